"""The stock way to relate entities: a score for every ordered pair, as in spaCy's tutorial.

After `tutorials/rel_component` of spaCy's project templates: all ordered pairs of different
entities whose starts are at most so many tokens apart, each pair's two entities pooled from their
tokens anew and concatenated to a row of a dense array, one linear layer with a logistic function
over it, and all scores of all pairs in dicts on the Doc. Only prediction, and written not to be
slower than the tutorial's code: it lists the pairs of a Doc once instead of three times, and asks
for its entities once instead of for each entity. Besides it copes with batches without any pair.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import chain as concatenate
from typing import Any

from spacy.language import Language
from spacy.pipeline import TrainablePipe
from spacy.tokens import Doc, Span
from spacy.training import Example
from spacy.util import registry
from spacy.vocab import Vocab
from thinc.api import Linear, Logistic, Model, chain
from thinc.types import Floats2d, Ragged

from spacy_spanmed.pipeline.base import LISTENER

MAX_LENGTH = 100  # the tutorial's
NAME = "stock_relations"

Pair = tuple[Span, Span]
Pairs = list[list[Pair]]  # of each Doc


def get_pairs(doc: Doc, max_length: int) -> list[Pair]:
    """All ordered pairs of different entities.

    doc (Doc): With its entities.
    max_length (int): Tokens between the starts of the two, at most.
    RETURNS (list[Pair]): By the first entity's position, then the second's.
    """
    entities = doc.ents
    return [
        (first, second)
        for first in entities
        for second in entities
        if first != second and abs(second.start - first.start) <= max_length
    ]


@registry.architectures("spanmed.StockPairScorer.v1")
def build_stock_pair_scorer(
    tok2vec: Model[list[Doc], list[Floats2d]], pooling: Model[Ragged, Floats2d]
) -> Model[tuple[list[Doc], Pairs], Floats2d]:
    """Architecture `spanmed.StockPairScorer.v1`: takes Docs and their pairs, returns (pairs,
    labels) probabilities.

    tok2vec (Model), pooling (Model): Vectors of tokens, and of an entity from those of its tokens.
    """
    rows: Model[Any, Any] = Model(
        "dense_pairs", _forward, layers=[tok2vec, pooling], refs={"tok2vec": tok2vec}, init=_init
    )
    output = Linear()
    model: Model[Any, Any] = chain(rows, output, Logistic())
    model.set_ref("output", output)
    return model


def _init(model: Model, X: Any = None, Y: Any = None) -> None:
    model.get_ref("tok2vec").initialize(X=None if X is None else X[0])


def _forward(
    model: Model, inputs: tuple[list[Doc], Pairs], is_train: bool
) -> tuple[Floats2d, Callable]:
    tok2vec, pooling = model.layers
    docs, pairs = inputs
    vectors, _ = tok2vec(docs, is_train)
    tokens, lengths = [], []
    for rows, found in zip(vectors, pairs):
        indices: list[int] = []
        for entity in concatenate.from_iterable(found):
            indices.extend(range(entity.start, entity.end))
            lengths.append(entity.end - entity.start)
        tokens.append(rows[indices])
    entities = Ragged(model.ops.flatten(tokens), model.ops.asarray1i(lengths))
    pooled, _ = pooling(entities, is_train)

    def backprop(gradient: Floats2d) -> None:
        raise TypeError(f"{NAME} only predicts: it is there to be timed. Train without it.")

    return model.ops.reshape2f(pooled, -1, 2 * pooled.shape[1]), backprop


@Language.factory(
    "spanmed_stock_relations",
    requires=["doc.ents", "doc._.trf_data"],
    assigns=["doc._.rel"],
    default_config={
        "model": {
            "@architectures": "spanmed.StockPairScorer.v1",
            "tok2vec": LISTENER,
            "pooling": {"@layers": "reduce_mean.v1"},
        },
        "max_length": MAX_LENGTH,
    },
)
def make_stock_relations(nlp: Language, name: str, model: Model, max_length: int) -> StockRelations:
    """Make the pipe. See StockRelations for the settings."""
    return StockRelations(nlp.vocab, model, name, max_length=max_length)


class StockRelations(TrainablePipe):
    """Scores every pair: `doc._.rel[(first.start, second.start)][label]`, in [0, 1].

    vocab (Vocab), model (Model), name (str): As in any spaCy pipe.
    max_length (int): See `get_pairs`. Defaults to 100.
    """

    def __init__(
        self, vocab: Vocab, model: Model, name: str = NAME, *, max_length: int = MAX_LENGTH
    ):
        self.vocab, self.model, self.name = vocab, model, name
        self.max_length = max_length
        self.cfg: dict[str, Any] = {"labels": []}
        if not Doc.has_extension("rel"):
            Doc.set_extension("rel", default={})  # each Doc gets its own copy

    @property
    def labels(self) -> tuple[str, ...]:
        """RETURNS (tuple[str, ...]): The labels, in the order of the model's outputs."""
        return tuple(self.cfg["labels"])

    def add_label(self, label: str) -> int:
        """Add a label, before the model is initialized. RETURNS (int): 1, or 0 if it was there."""
        if label in self.cfg["labels"]:
            return 0
        self.cfg["labels"].append(label)
        return 1

    def initialize(
        self, get_examples: Callable[[], Iterable[Example]], *, nlp: Language | None = None
    ) -> None:
        """Build the model for the labels added before, with random weights.

        get_examples (Callable): Some that have a pair.
        """
        docs = [example.reference for example in get_examples()]
        self.model.get_ref("output").set_dim("nO", len(self.labels))
        self.model.initialize(X=(docs, [get_pairs(doc, self.max_length) for doc in docs]))

    def predict(self, docs: Iterable[Doc]) -> tuple[Pairs, Floats2d]:
        """RETURNS (tuple): Each Doc's pairs, and (pairs of all, labels) probabilities."""
        docs = list(docs)
        pairs = [get_pairs(doc, self.max_length) for doc in docs]
        if not any(pairs):
            return pairs, self.model.ops.alloc2f(0, len(self.labels))
        return pairs, self.model.predict((docs, pairs))

    def set_annotations(self, docs: Iterable[Doc], predictions: tuple[Pairs, Floats2d]) -> None:
        """Write all scores of all pairs."""
        pairs, scores = predictions
        rows = iter(self.model.ops.to_numpy(scores))
        for doc, found in zip(docs, pairs):
            relations = doc._.rel
            for first, second in found:
                scored = relations.setdefault((first.start, second.start), {})
                for label, score in zip(self.labels, next(rows)):
                    scored[label] = score
