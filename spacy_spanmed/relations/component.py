"""The trainable pipe `relation_extractor`."""

from __future__ import annotations

import warnings
from itertools import islice
from typing import Any, Callable, Dict, Iterable, List, Optional, Sequence, Tuple

import numpy
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example, validate_examples, validate_get_examples
from spacy.vocab import Vocab
from thinc.api import Model, Optimizer

from ..doc import (
    RELATIONS,
    Mention,
    RelationTuple,
    get_layers,
    get_relation_tuples,
    set_relation_tuples,
)
from ..pipe import LISTENER, LabelledPipe
from .candidates import (
    CandidatePairs,
    align_mentions,
    find_pairs,
    get_entity_mentions,
    get_gold_mentions,
    get_training_mentions,
)

DEFAULT_MODEL = {
    "@architectures": "spanmed.PairScorer.v1",
    "tok2vec": LISTENER,
    "hidden_size": 192,
    "context_margin": 8,
    "context_window": 64,
    "learn_rate_factor": 1.0,
}


@Language.factory(
    "relation_extractor",
    assigns=["doc._.relations"],
    requires=["doc.ents", "doc._.trf_data"],
    default_config={
        "model": DEFAULT_MODEL,
        "threshold": 0.5,
        "max_distance": 128,
        "max_pairs": 10000,
        "scorer": {"@scorers": "spanmed.relation_scorer.v1"},
    },
    default_score_weights={
        "rel_gold_micro_f": 0.5,
        "rel_micro_f": 0.5,
        "rel_micro_p": 0.0,
        "rel_micro_r": 0.0,
        "rel_per_type": None,
        "rel_gold_per_type": None,
    },
)
def make_relation_extractor(
    nlp: Language,
    name: str,
    model: Model,
    threshold: float,
    max_distance: int,
    max_pairs: int,
    scorer: Optional[Callable],
) -> "RelationExtractor":
    """Make the pipe. See RelationExtractor for the settings."""
    return RelationExtractor(
        nlp.vocab,
        model,
        name,
        threshold=threshold,
        max_distance=max_distance,
        max_pairs=max_pairs,
        scorer=scorer,
    )


class RelationExtractor(LabelledPipe):
    """Finds relations between the entities of a Doc, across sentences too, in one encoder pass.

    Writes `doc._.relations` (see `spacy_spanmed.doc`). Docs without the layer "relations" are
    neither learned from nor scored.

    vocab (Vocab), model (Model), name (str): As in any spaCy pipe.
    threshold (float): Lowest probability of a relation. Defaults to 0.5.
    max_distance (int): Tokens between the starts of the two mentions, at most. Defaults to 128.
    max_pairs (int): Ordered pairs looked at in a Doc, the closest first. If there are more, a
        warning counts them. Defaults to 10,000.
    scorer (Optional[Callable]): Scores examples. Defaults to `spanmed.relation_scorer.v1`.
    """

    def __init__(
        self,
        vocab: Vocab,
        model: Model,
        name: str = "relation_extractor",
        *,
        threshold: float = 0.5,
        max_distance: int = 128,
        max_pairs: int = 10000,
        scorer: Optional[Callable] = None,
    ):
        super().__init__(vocab, model, name, threshold, scorer)
        self.max_distance = max_distance
        self.max_pairs = max_pairs

    @property
    def label_data(self) -> Dict[str, List[str]]:
        """RETURNS (Dict[str, List[str]]): What `spacy init labels` stores."""
        return {"labels": list(self.labels), "entity_labels": self.model.attrs["entity_labels"]}

    def _resize(self, n_labels: int) -> None:
        from .model import resize_output  # torch is imported with the model, not the factory

        resize_output(self.model, n_labels)

    def initialize(
        self,
        get_examples: Callable[[], Iterable[Example]],
        *,
        nlp: Optional[Language] = None,
        labels: Optional[Dict[str, List[str]]] = None,
    ) -> None:
        """Collect relation and entity labels from the examples (or take `labels`, in the form of
        `label_data`) and build the model.

        RAISES (ValueError): If there is no relation at all.
        """
        validate_get_examples(get_examples, "RelationExtractor.initialize")
        if labels is None:
            relations, entities = set(), set()
            for eg in get_examples():
                if RELATIONS in get_layers(eg.reference):
                    relations.update(item.label for item in get_relation_tuples(eg.reference))
                entities.update(label for _, _, label in get_gold_mentions(eg.reference))
            labels = {"labels": sorted(relations), "entity_labels": sorted(entities)}
        self.model.attrs["entity_labels"] = list(labels["entity_labels"])
        for label in labels["labels"]:
            self.add_label(label)
        if not self.labels:
            raise ValueError(
                f"{self.name}: no relation in the training data. Check that the corpus carries the "
                "layer 'relations' (doc._.relations), or remove the pipe from the config."
            )
        docs = [eg.reference for eg in islice(get_examples(), 10) if len(eg.reference)]
        self.model.initialize(X=docs or [Doc(self.vocab, words=["words"])])

    # ------------------------------------------------------------------ prediction

    def predict(self, docs: Iterable[Doc]) -> List[List[RelationTuple]]:
        """RETURNS (List[List[RelationTuple]]): The relations between each Doc's entities."""
        docs = list(docs)
        for doc in docs:
            if len(doc) and not doc.has_annotation("ENT_IOB"):
                warnings.warn(
                    f"{self.name}: a Doc has no entity annotation, so no relations are found. "
                    "Put an entity pipe such as 'span_ner' before this one."
                )
                break
        return self.predict_pairs(docs, [get_entity_mentions(doc) for doc in docs])

    def predict_pairs(
        self, docs: Sequence[Doc], mentions: Sequence[Iterable[Mention]]
    ) -> List[List[RelationTuple]]:
        """Predict relations between given mentions, without writing to the Docs.

        docs (Sequence[Doc]): Docs on which the transformer ran.
        mentions (Sequence[Iterable[Mention]]): For each Doc (start, end, label) in characters.
        RETURNS (List[List[RelationTuple]]): By position of head, then tail.
        """
        candidates = [self._find_pairs(doc, found) for doc, found in zip(docs, mentions)]
        if not any(c.pairs for c in candidates):
            return [[] for _ in docs]
        self.check_upstream([doc for doc, c in zip(docs, candidates) if c.pairs])
        scores = self.model.ops.to_numpy(self.model.predict((list(docs), candidates)))
        probs = 1 / (1 + numpy.exp(-scores))
        results, start = [], 0
        for candidate in candidates:
            rows = probs[start : start + len(candidate.pairs)]
            start += len(candidate.pairs)
            results.append(self._decode(candidate, rows))
        return results

    def _find_pairs(self, doc: Doc, mentions: Iterable[Mention]) -> CandidatePairs:
        found = find_pairs(align_mentions(doc, mentions), self.max_distance, self.max_pairs)
        if found.cut:
            warnings.warn(
                f"{self.name}: {found.cut:,} of {found.cut + len(found.pairs):,} pairs of entities "
                "in a Doc were left out, the most distant ones. Raise max_pairs to see them all."
            )
        return found

    def _decode(self, candidate: CandidatePairs, probs: numpy.ndarray) -> List[RelationTuple]:
        relations = []
        for row, column in zip(*numpy.nonzero(probs[:, :-1] > self.threshold)):
            head, tail = (candidate.mentions[i] for i in candidate.pairs[row])
            relations.append(
                RelationTuple(
                    *(head.start_char, head.end_char, head.label),
                    *(tail.start_char, tail.end_char, tail.label),
                    self.labels[column],
                    float(probs[row, column]),
                    bool(probs[row, -1] > 0.5),
                )
            )
        return sorted(relations)

    def set_annotations(self, docs: Iterable[Doc], relations: List[List[RelationTuple]]) -> None:
        """Write `doc._.relations`."""
        for doc, found in zip(docs, relations):
            set_relation_tuples(doc, found)

    # -------------------------------------------------------------------- learning

    def update(
        self,
        examples: Iterable[Example],
        *,
        drop: float = 0.0,
        sgd: Optional[Optimizer] = None,
        losses: Optional[Dict[str, float]] = None,
    ) -> Dict[str, float]:
        """Learn from a batch: gold mentions, and the entities that `example.predicted` carries."""
        losses = {} if losses is None else losses
        losses.setdefault(self.name, 0.0)
        examples = list(examples)
        validate_examples(examples, "RelationExtractor.update")
        docs = [eg.predicted for eg in examples]
        if not any(len(doc) for doc in docs):
            return losses
        from ..torch_layer import set_dropout

        set_dropout(self.model, drop)
        candidates = [self._training_pairs(eg) for eg in examples]
        logits, backprop = self.model.begin_update((docs, candidates))
        loss, d_logits = self._get_pair_loss(examples, candidates, logits)
        backprop(d_logits)
        if sgd is not None:
            self.finish_update(sgd)
        losses[self.name] += loss
        return losses

    def _training_pairs(self, eg: Example) -> CandidatePairs:
        if RELATIONS not in get_layers(eg.reference):
            return CandidatePairs([], [], 0)
        return self._find_pairs(eg.predicted, get_training_mentions(eg.reference, eg.predicted))

    def get_loss(self, examples: Iterable[Example], scores: Any) -> Tuple[float, Any]:
        """Loss and gradient of the scores of the examples' training pairs (see `update`)."""
        examples = list(examples)
        return self._get_pair_loss(examples, [self._training_pairs(e) for e in examples], scores)

    def _get_pair_loss(
        self, examples: List[Example], candidates: List[CandidatePairs], logits: Any
    ) -> Tuple[float, Any]:
        """Binary cross-entropy per label, and of "negated" where there is a relation; summed, per
        mention pair that has a relation, so that long lists of unrelated pairs don't dilute it."""
        logits = self.model.ops.to_numpy(logits)
        gold = numpy.zeros_like(logits)
        weights = numpy.ones_like(logits)
        weights[:, -1] = 0.0
        index = {label: i for i, label in enumerate(self.labels)}
        start = 0
        for eg, candidate in zip(examples, candidates):
            offsets = [(m.start_char, m.end_char) for m in candidate.mentions]
            rows = {
                (*offsets[head], *offsets[tail]): start + i
                for i, (head, tail) in enumerate(candidate.pairs)
            }
            start += len(candidate.pairs)
            if RELATIONS not in get_layers(eg.reference):
                continue
            for item in get_relation_tuples(eg.reference):
                self.check_label(item.label)
                row = rows.get((item.head_start, item.head_end, item.tail_start, item.tail_end))
                if row is not None:  # else: farther apart than max_distance
                    gold[row, index[item.label]] = 1.0
                    gold[row, -1] = float(item.negated)
                    weights[row, -1] = 1.0
        weights /= max(float((gold[:, :-1].sum(axis=1) > 0).sum()), 1.0)
        probs = 1 / (1 + numpy.exp(-logits))
        log_loss = numpy.logaddexp(0, logits) - gold * logits
        loss = float((log_loss * weights).sum())
        return loss, self.model.ops.asarray2f((probs - gold) * weights)

    # --------------------------------------------------------------------- scoring

    def score(self, examples: Iterable[Example], **kwargs: Any) -> Dict[str, Any]:
        """The scorer's figures (end to end), and `rel_gold_*`: predicted between gold mentions.

        RETURNS (Dict[str, Any]): See `spacy_spanmed.scoring`.
        """
        from ..scoring import score_relations

        examples = list(examples)
        scores = super().score(examples, **kwargs)
        scored = [eg for eg in examples if RELATIONS in get_layers(eg.reference)]
        mentions = [get_gold_mentions(eg.reference) for eg in scored]
        with_gold = []
        for start in range(0, len(scored), 128):
            batch = scored[start : start + 128]
            docs = [eg.predicted for eg in batch]
            for eg, found in zip(batch, self.predict_pairs(docs, mentions[start : start + 128])):
                # Not on the Doc itself, whose own relations others may still look at
                words = [token.text for token in eg.predicted]
                spaces = [bool(token.whitespace_) for token in eg.predicted]
                copy = Doc(eg.predicted.vocab, words=words, spaces=spaces)
                set_relation_tuples(copy, found)
                with_gold.append(Example(copy, eg.reference))
        scores.update(score_relations(with_gold, prefix="rel_gold"))
        return scores
