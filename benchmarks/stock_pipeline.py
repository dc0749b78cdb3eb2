"""The pipeline that a user would build today of spaCy's own parts, around the same encoder.

What `spacy init config --pipeline ner --gpu` gives (`transformer` with strided windows, `ner`,
batches of 128 texts, English tokenizer), and the relation component of spaCy's tutorial
(`tutorials/rel_component` of its project templates): all ordered pairs of different entities whose
starts are at most so many tokens apart, each pair's two entities pooled from their tokens anew and
concatenated to a row of a dense array, one linear layer with a logistic function over it, and all
scores of all pairs in dicts on the Doc.

`ner` and the relation component are not trained: that changes how fast they are only in that the
number of entities decides the number of pairs. Therefore the relation component gets entities from
outside. It only predicts, and is written not to be slower than the tutorial's code: it lists the
pairs of a Doc once instead of three times, and asks for its entities once instead of for each
entity. Besides it copes with batches without any pair.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from itertools import chain as concatenate
from typing import Any

from spacy.cli.init_config import init_config
from spacy.language import Language
from spacy.pipeline import TrainablePipe
from spacy.tokens import Doc, Span
from spacy.training import Example
from spacy.util import filter_spans, load_model_from_config, registry
from spacy.vocab import Vocab
from thinc.api import Linear, Logistic, Model, chain
from thinc.types import Floats2d, Ragged

from spacy_spanmed.pipeline.base import LISTENER

GIVEN_ENTITIES = "given_entities"
RELATIONS = "stock_relations"
MAX_LENGTH = 100  # the tutorial's

Pairs = list[list[tuple[Span, Span]]]  # of each Doc


class GivenEntities:
    """Replaces the entities of a Doc by those known of its text, and counts the time it takes, so
    that it can be taken off. Their ends move to the ends of the Doc's tokens.

    entities (dict): By text, start, end (in characters) and label of each. Set after the pipe is
        made.
    seconds (float): Time taken since the pipe was made.
    """

    def __init__(self) -> None:
        self.entities: dict[str, list[tuple[int, int, str]]] = {}
        self.seconds = 0.0

    def __call__(self, doc: Doc) -> Doc:
        """Set `doc.ents`. RETURNS (Doc): The same Doc."""
        start = time.perf_counter()
        known = self.entities.get(doc.text, ())
        spans = (doc.char_span(s, e, label=x, alignment_mode="expand") for s, e, x in known)
        doc.set_ents(filter_spans(span for span in spans if span is not None))
        self.seconds += time.perf_counter() - start
        return doc


def get_pairs(docs: Iterable[Doc], max_length: int) -> Pairs:
    """All ordered pairs of different entities.

    docs (Iterable[Doc]): With their entities.
    max_length (int): Tokens between the starts of the two, at most.
    RETURNS (Pairs): Of each Doc, by the first entity's position, then the second's.
    """
    return [
        [
            (first, second)
            for first in entities
            for second in entities
            if first != second and abs(second.start - first.start) <= max_length
        ]
        for entities in (doc.ents for doc in docs)
    ]


@registry.architectures("spanmed.StockPairScorer.v1")
def build_stock_pair_scorer(
    tok2vec: Model[list[Doc], list[Floats2d]], pooling: Model[Ragged, Floats2d]
) -> Model[tuple[list[Doc], Pairs], Floats2d]:
    """Architecture `spanmed.StockPairScorer.v1`: takes Docs and their pairs, returns (pairs,
    labels) probabilities.

    tok2vec (Model), pooling (Model): Vectors of tokens, and of an entity from those of its tokens.
    """
    rows: Model[Any, Any] = Model("dense_pairs", _forward, layers=[tok2vec, pooling], init=_init)
    output = Linear()
    model: Model[Any, Any] = chain(rows, output, Logistic())
    model.set_ref("output", output)
    return model


def _init(model: Model, X: Any = None, Y: Any = None) -> None:
    model.layers[0].initialize(X=None if X is None else X[0])


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
        raise TypeError(f"{RELATIONS} only predicts: it is there to be timed. Train without it.")

    return model.ops.reshape2f(pooled, -1, 2 * pooled.shape[1]), backprop


class StockRelations(TrainablePipe):
    """Scores every pair: `doc._.rel[(first.start, second.start)][label]`, in [0, 1].

    vocab (Vocab), model (Model), name (str): As in any spaCy pipe.
    labels (Sequence[str]): In the order of the model's outputs.
    max_length (int): See `get_pairs`. Defaults to 100.
    """

    labels: tuple[str, ...] = ()

    def __init__(
        self,
        vocab: Vocab,
        model: Model,
        name: str = RELATIONS,
        *,
        labels: Sequence[str],
        max_length: int = MAX_LENGTH,
    ):
        self.vocab, self.model, self.name = vocab, model, name
        self.labels, self.max_length = tuple(labels), max_length
        if not Doc.has_extension("rel"):
            Doc.set_extension("rel", default={})  # each Doc gets its own copy

    def initialize(
        self, get_examples: Callable[[], Iterable[Example]], *, nlp: Language | None = None
    ) -> None:
        """Give the model random weights. get_examples (Callable): Some that have a pair."""
        docs = [example.reference for example in get_examples()]
        self.model.get_ref("output").set_dim("nO", len(self.labels))
        self.model.initialize(X=(docs, get_pairs(docs, self.max_length)))

    def predict(self, docs: Iterable[Doc]) -> tuple[Pairs, Floats2d]:
        """RETURNS (tuple): Each Doc's pairs, and (pairs of all, labels) probabilities."""
        docs = list(docs)
        pairs = get_pairs(docs, self.max_length)
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


Language.factory(
    "spanmed_given_entities", assigns=["doc.ents"], func=lambda nlp, name: GivenEntities()
)


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
    },
)
def make_stock_relations(nlp: Language, name: str, model: Model, labels: list) -> StockRelations:
    """Make the pipe. See StockRelations for the settings."""
    return StockRelations(nlp.vocab, model, name, labels=labels)


def build_stock_pipeline(
    nlp: Language, entity_labels: Sequence[str], relation_labels: Sequence[str]
) -> Language:
    """Build the stock pipeline around the encoder of another one.

    nlp (Language): Its component "transformer" gives weights and word pieces.
    entity_labels, relation_labels (Sequence[str]): What `ner` and the relation component tell
        apart.
    RETURNS (Language): With random weights, but for the encoder. Its component "given_entities"
        is a GivenEntities that knows no text yet.
    """
    transformer: Any = nlp.get_pipe("transformer")
    config = init_config(lang="en", pipeline=["ner"], gpu=True)
    with tempfile.TemporaryDirectory() as folder:
        transformer.model.transformer.save_pretrained(folder)
        transformer.model.tokenizer.save_pretrained(folder)
        config["components"]["transformer"]["model"]["name"] = folder
        stock = load_model_from_config(config)
        stock.add_pipe("spanmed_given_entities", GIVEN_ENTITIES)
        stock.add_pipe("spanmed_stock_relations", RELATIONS, config={"labels": [*relation_labels]})
        # An entity of each label, one token each, and at least two in all, for a pair
        labels = [*entity_labels, *entity_labels]
        reference = Doc(stock.vocab, words=[f"word{i}" for i in range(len(labels))])
        reference.set_ents([Span(reference, i, i + 1, label) for i, label in enumerate(labels)])
        example = Example(stock.make_doc(reference.text), reference)
        stock.initialize(lambda: [example])
    return stock
