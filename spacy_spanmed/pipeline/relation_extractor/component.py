"""The trainable pipe `relation_extractor`."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example, validate_get_examples
from spacy.vocab import Vocab
from thinc.api import Model

from ...doc.concepts import set_concept_mentions
from ...doc.gold import collect_labels, get_gold_relations, get_pair_types
from ...doc.layers import CONCEPT_RELATIONS_KEY, RELATIONS, get_layers
from ...doc.relations import set_concept_relation_tuples, set_relation_tuples
from ...encoder.torch_layer import get_shim
from ...scoring.operating import Operating, check_operating
from ...scoring.relations import score_relations
from ..base import LabelledPipe, split_by_tokens
from .candidates import (
    NO_PAIRS,
    CandidatePairs,
    Mentions,
    align_mentions,
    find_pairs,
    get_entities,
    get_gold,
    get_training,
    warn_of_unknown_labels,
    warn_without_entities,
)
from .decoding import Found, decode
from .evidence import apply_weights, check_weights, describe_competing
from .losses import READINGS, ArgumentPairs, MentionPairs, PairScores
from .model import resize_entity_labels, resize_output

BATCH_SIZE = 128  # Docs whose gold mentions are looked at together


class RelationExtractor(LabelledPipe):
    """Finds relations between the entities of a Doc, across sentences too, in one encoder pass.

    Writes `doc._.relations` (see `spacy_spanmed.doc`), between concepts `doc._.concept_relations`
    too (see `spacy_spanmed.doc.concepts`), in place of those that the Doc had. Docs without the layer
    "relations" are neither learned from nor scored.

    vocab (Vocab), model (Model), name (str): As in any spaCy pipe.
    threshold (float): Lowest score of a relation. Defaults to 0.5.
    label_thresholds (Mapping[str, float]): Of labels that have their own. Defaults to none.
    calibration (Sequence[float]): Slope and offset of the scores (see `Calibration`); `spanmed
        finalize` fits them. The threshold is one of calibrated scores. Defaults to (1, 0): as is.
    given_gold (Mapping[str, Any]): "threshold", "label_thresholds" and "calibration" for entities
        that are known to be right, for `predict_given_gold` and the scores made of it: there more
        of what it believes is true. `spanmed finalize` fits them. Defaults to none: the same.
    rivals (Mapping[str, float]): Weights by which a pair's score depends on those of the competing
        pairs of the Doc (see `evidence.py`); `spanmed finalize` fits them. Defaults to none:
        it doesn't.
    max_distance (int): Tokens between the starts of the two mentions, at most. Defaults to 128.
    max_pairs (int): Ordered pairs looked at in a Doc, at least 2: the closest, but first of all the
        closest of each pair of concepts; a pair of mentions with several concepts counts as often
        as it has pairs of these. If there are more, a warning counts the pairs of mentions left
        out, and so does `doc._.cut_pairs`. Defaults to 10,000.
    concepts (bool): Relate the concepts of a document, pooling over their mentions, instead of
        single mentions. `doc._.relations` then holds each relation between its best pair of
        mentions. Relations between mentions in the training data are taken for ones between
        their concepts. Defaults to False.
    directed (bool): Whether a relation from A to B is another one than from B to A. Defaults to
        True.
    multi_label (bool): Whether a pair may have several relations; else it has at most the most
        probable one. Defaults to True.
    typed_pairs (bool): Look only at pairs of entity labels that are related somewhere in the
        training data. Defaults to False.
    predicted_share (float): In training, the share of Docs whose pairs are also of the entities that
        the pipe before predicted, beside the gold ones: with all the pipe would forget what to
        do where entities are known to be right, with none what to do where they aren't.
        Defaults to 0.5.
    scorer (Optional[Callable]): Scores examples. Defaults to `spanmed.relation_scorer.v1`.
    RAISES (ValueError): If max_distance or max_pairs is too small, or predicted_share out of range.
    """

    def __init__(
        self,
        vocab: Vocab,
        model: Model,
        name: str = "relation_extractor",
        *,
        threshold: float = 0.5,
        label_thresholds: Mapping[str, float] = {},
        calibration: Sequence[float] = (1.0, 0.0),
        given_gold: Mapping[str, Any] = {},
        rivals: Mapping[str, float] = {},
        max_distance: int = 128,
        max_pairs: int = 10000,
        concepts: bool = False,
        directed: bool = True,
        multi_label: bool = True,
        typed_pairs: bool = False,
        predicted_share: float = 0.5,
        scorer: Callable | None = None,
    ):
        super().__init__(vocab, model, name, threshold, label_thresholds, calibration, scorer)
        if max_distance < 0 or max_pairs < 2:
            raise ValueError(
                f"{name}: max_distance must be at least 0 and max_pairs at least 2, not "
                f"{max_distance} and {max_pairs}."
            )
        if not 0.0 <= predicted_share <= 1.0:
            raise ValueError(f"{name}: predicted_share must be in [0, 1], not {predicted_share}.")
        self.given_gold = dict(given_gold)
        if given_gold:
            check_operating(name, given_gold)
        self.rivals = check_weights(rivals)
        self.max_distance = max_distance
        self.max_pairs = max_pairs
        self.concepts = concepts
        self.directed = directed
        self.multi_label = multi_label
        self.typed_pairs = typed_pairs
        self.predicted_share = predicted_share
        self.reading = READINGS.get(model.name, MentionPairs)
        self.cfg["pair_types"] = []

    @property
    def label_data(self) -> dict[str, list[Any]]:
        """RETURNS (Dict[str, List]): What `spacy init labels` stores: "labels" of relations,
        "entity_labels", and "pair_types", the pairs of entity labels that are related."""
        return {
            "labels": list(self.labels),
            "entity_labels": self.model.attrs["entity_labels"],
            "pair_types": self.cfg["pair_types"],
        }

    def _resize(self, n_labels: int) -> None:
        resize_output(self.model, n_labels)

    def _add_entity_labels(self, labels: Iterable[str]) -> None:
        known = self.model.attrs["entity_labels"]
        new = [label for label in labels if label not in known]
        self.model.attrs["entity_labels"] = [*known, *new]
        if new:
            resize_entity_labels(self.model)

    def initialize(
        self,
        get_examples: Callable[[], Iterable[Example]],
        *,
        nlp: Language | None = None,
        labels: dict[str, list[Any]] | None = None,
    ) -> None:
        """Collect relation and entity labels from the examples (or take `labels`, in the form of
        `label_data`) and build the model.

        RAISES (ValueError): If there is no relation at all.
        """
        validate_get_examples(get_examples, "RelationExtractor.initialize")
        if labels is None:
            labels = collect_labels(eg.reference for eg in get_examples())
        # A pipe that was trained before keeps what it knows, as with `add_label`
        self._add_entity_labels(labels["entity_labels"])
        types = [list(pair) for pair in labels.get("pair_types", ())]
        known = self.cfg["pair_types"]
        self.cfg["pair_types"] = known + [pair for pair in types if pair not in known]
        for label in labels["labels"]:
            self.add_label(label)
        fresh = get_shim(self.model)._model is None
        self._build(get_examples, "relation", "'relations' (doc._.relations)")
        if fresh and nlp is not None and self.reading is ArgumentPairs:
            # Only now: it imports much that predicting doesn't need
            from .starting import start_from_encoder

            start_from_encoder(self.model, nlp)

    def predict(self, docs: Iterable[Doc]) -> list[Found]:
        """RETURNS (List[Found]): The relations between each Doc's entities."""
        docs = list(docs)
        mentions = [get_entities(doc, self.concepts) for doc in docs]
        warn_without_entities(self.name, docs)
        warn_of_unknown_labels(
            self.name, mentions, self.model.attrs["entity_labels"], self.typed_pairs
        )
        return self.predict_pairs(docs, mentions)

    def predict_pairs(self, docs: Sequence[Doc], mentions: Sequence[Mentions]) -> list[Found]:
        """Predict relations between given mentions, without writing to the Docs.

        docs (Sequence[Doc]): Docs on which the transformer ran.
        mentions (Sequence[Mentions]): For each Doc its mentions, (start, end, label) in characters,
            with the ids of their concepts.
        RETURNS (List[Found]): By position of head, then tail.
        """
        scored = self.score_pairs(docs, mentions)
        return [self._decode(*found, self.operating) for found in scored]

    def _decode(self, candidate: CandidatePairs, scores: PairScores, operating: Operating) -> Found:
        def rescore(pooled: np.ndarray) -> np.ndarray:
            return apply_weights(self.rivals, describe_competing(candidate, pooled))

        return decode(
            candidate,
            scores,
            self.labels,
            threshold=operating.get_thresholds(self.labels),
            calibration=operating.calibration,
            multi_label=self.multi_label,
            concepts=self.concepts,
            rescore=rescore if self.rivals else None,
        )

    def score_pairs(
        self, docs: Sequence[Doc], mentions: Sequence[Mentions]
    ) -> list[tuple[CandidatePairs, PairScores]]:
        """Score the pairs of given mentions (see `predict_pairs`).

        RETURNS (List[Tuple[CandidatePairs, PairScores]]): Each Doc's pairs, and their scores.
        """
        scored: list[tuple[CandidatePairs, PairScores]] = []
        for part in split_by_tokens(docs):
            candidates = [
                self._find_pairs(doc, found) for doc, found in zip(docs[part], mentions[part])
            ]
            ends = np.cumsum([self.reading.count(candidate) for candidate in candidates])
            if ends[-1]:
                self.check_upstream([doc for doc, c in zip(docs[part], candidates) if c.pairs])
                output = self.model.ops.to_numpy(self.model.predict((list(docs[part]), candidates)))
                parts = np.split(output, ends[:-1])
                scored.extend((c, self.reading.read(c, own)) for c, own in zip(candidates, parts))
            else:
                empty = np.zeros((0, len(self.labels) + 1), dtype="float32")
                nothing = PairScores(empty, np.zeros((0, len(self.labels)), dtype="int64"))
                scored.extend((candidate, nothing) for candidate in candidates)
        return scored

    def _find_pairs(self, doc: Doc, mentions: Mentions) -> CandidatePairs:
        found = find_pairs(
            align_mentions(doc, mentions, mentions if self.concepts else None),
            self.max_distance,
            self.max_pairs,
            concepts=self.concepts,
            directed=self.directed,
            pair_types=self._pair_types() if self.typed_pairs else None,
        )
        if found.cut:
            warnings.warn(
                f"{self.name}: {found.cut:,} of {found.total:,} pairs of entities in a Doc were left "
                "out, the most distant ones. Raise max_pairs to see them all."
            )
        return found

    def _pair_types(self) -> set[tuple[str, str]]:
        pairs = {(head, tail) for head, tail in self.cfg["pair_types"]}
        return pairs if self.directed else pairs | {(tail, head) for head, tail in pairs}

    def set_annotations(self, docs: Iterable[Doc], relations: list[Found]) -> None:
        """Write `doc._.relations`, and between concepts `doc._.concept_relations`."""
        for doc, found in zip(docs, relations):
            set_relation_tuples(doc, found.relations)
            doc._.cut_pairs = found.cut
            if self.concepts:
                set_concept_relation_tuples(doc, found.concept_relations)
                set_concept_mentions(doc, found.mentions)
            else:  # another source's, of other relations
                doc.user_data.pop(CONCEPT_RELATIONS_KEY, None)
                set_concept_mentions(doc, ())

    def _learn(self, examples: list[Example]) -> float:
        """Of gold mentions, and of some Docs of the entities too that `example.predicted` carries."""
        predicted = [random.random() < self.predicted_share for _ in examples]
        candidates = [self._training_pairs(eg, with_) for eg, with_ in zip(examples, predicted)]
        docs = [eg.predicted for eg in examples]
        logits, backprop = self.model.begin_update((docs, candidates))
        loss, d_logits = self.get_loss(examples, logits, candidates)
        backprop(d_logits)
        return loss

    def _training_pairs(self, eg: Example, with_predicted: bool = True) -> CandidatePairs:
        if RELATIONS not in get_layers(eg.reference):
            return NO_PAIRS
        if self.typed_pairs:  # learning further on other data may bring other pairs of types
            new = get_pair_types(eg.reference) - {tuple(pair) for pair in self.cfg["pair_types"]}
            self.cfg["pair_types"].extend(list(pair) for pair in sorted(new))
        if with_predicted:
            mentions = get_training(eg.reference, eg.predicted, self.concepts)
        else:
            mentions = get_gold(eg.reference, self.concepts)
        return self._find_pairs(eg.predicted, mentions)

    def get_loss(
        self,
        examples: Iterable[Example],
        scores: Any,
        candidates: Sequence[CandidatePairs] | None = None,
    ) -> tuple[float, Any]:
        """Loss and gradient of the scores of the examples' training pairs (see `_learn`).

        candidates (Optional[Sequence[CandidatePairs]]): Those pairs. Defaults to None: found anew.
        """
        examples = list(examples)
        if candidates is None:
            candidates = [self._training_pairs(eg) for eg in examples]
        gold = [
            get_gold_relations(eg.reference, self.concepts, self.directed)
            if RELATIONS in get_layers(eg.reference)
            else []
            for eg in examples
        ]
        for _, label, _ in chain.from_iterable(gold):
            self.check_label(label)
        output = self.model.ops.to_numpy(scores)
        loss, gradient = self.reading.get_loss(output, candidates, gold, self.labels)
        return loss, self.model.ops.asarray2f(gradient)  # type: ignore[arg-type]

    def score(self, examples: Iterable[Example], **kwargs: Any) -> dict[str, Any]:
        """The scorer's figures (end to end), and `rel_gold_*`: predicted given gold entities.

        RETURNS (Dict[str, Any]): See `spacy_spanmed.scoring.relations`.
        """
        examples = list(examples)
        scores = super().score(examples, **{"directed": self.directed, **kwargs})
        predicted: list[Example] = []
        if all(self.has_input(eg.predicted) for eg in examples):
            predicted = self.predict_given_gold(examples)
        else:  # only now: pipes are scored after all of them ran
            warnings.warn(
                f"{self.name}: no scores of relations given gold entities (rel_gold_...), because "
                "a pipe such as 'doc_cleaner' removed what the transformer made of the Docs. "
                "Evaluate without that pipe to see them."
            )
        scores.update(
            score_relations(predicted, prefix="rel_gold", directed=self.directed, by_id=True)
        )
        return scores

    def predict_given_gold(self, examples: Iterable[Example]) -> list[Example]:
        """Relate gold entities, whatever the entity pipe missed.

        examples (Iterable[Example]): On their predicted Docs the transformer ran.
        RETURNS (List[Example]): Those with the layer "relations", with copies of the predicted Docs
            that carry the relations found.
        """
        examples = [eg for eg in examples if RELATIONS in get_layers(eg.reference)]
        with_gold = []
        operating = self.operating
        if self.given_gold:
            operating = check_operating(self.name, self.given_gold)
        for eg, candidate, scores in self.score_given_gold(examples):
            # Not on the Doc itself, whose own relations others may still look at
            words = [token.text for token in eg.predicted]
            spaces = [bool(token.whitespace_) for token in eg.predicted]
            copy = Doc(eg.predicted.vocab, words=words, spaces=spaces)
            self.set_annotations([copy], [self._decode(candidate, scores, operating)])
            with_gold.append(Example(copy, eg.reference))
        return with_gold

    def score_given_gold(
        self, examples: Sequence[Example]
    ) -> Iterator[tuple[Example, CandidatePairs, PairScores]]:
        """YIELDS (Tuple[Example, CandidatePairs, PairScores]): Each example with the pairs of its gold
        mentions, and their scores (see `score_pairs`)."""
        for start in range(0, len(examples), BATCH_SIZE):
            batch = examples[start : start + BATCH_SIZE]
            mentions = [get_gold(eg.reference, self.concepts) for eg in batch]
            scored = self.score_pairs([eg.predicted for eg in batch], mentions)
            yield from ((eg, *found) for eg, found in zip(batch, scored))
