"""The trainable pipe `span_ner`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from spacy.language import Language
from spacy.tokens import Doc, Span, SpanGroup
from spacy.training import Example, validate_get_examples
from spacy.vocab import Vocab
from thinc.api import Model

from ...doc.layers import ENTITIES, SPANS_KEY, get_layers
from ...doc.mentions import SCORES_ATTR, get_mentions, get_unknown_tokens, select_flat
from ..base import LISTENER, LabelledPipe, split_by_tokens
from .decoding import ScoredSpan, decode, drop_crossing, pool_abbreviations, pool_repeats, softmax
from .model import SpanScores, resize_output

DEFAULT_MODEL = {
    "@architectures": "spanmed.SpanScorer.v1",
    "tok2vec": LISTENER,
    "hidden_size": 96,
    "max_width": 16,
    "learn_rate_factor": 1.0,
}


@Language.factory(
    "span_ner",
    assigns=["doc.ents", "doc.spans", "span._.score", "token.ent_iob", "token.ent_type"],
    requires=["doc._.trf_data"],
    default_config={
        "model": DEFAULT_MODEL,
        "threshold": 0.5,
        "label_thresholds": {},
        "calibration": [1.0, 0.0],
        "pool_repeats": 0.0,
        "pool_abbreviations": 0.0,
        "annotate_update": True,
        "scorer": {"@scorers": "spanmed.entity_scorer.v1"},
    },
    default_score_weights={
        "ents_f": 1.0,
        "ents_p": 0.0,
        "ents_r": 0.0,
        "ents_macro_f": 0.0,
        "ents_per_type": None,
    },
)
def make_span_ner(
    nlp: Language,
    name: str,
    model: Model,
    threshold: float,
    label_thresholds: dict[str, float],
    calibration: list[float],
    pool_repeats: float,
    pool_abbreviations: float,
    annotate_update: bool,
    scorer: Callable | None,
) -> SpanNER:
    """Make the pipe. See SpanNER for the settings."""
    return SpanNER(
        nlp.vocab,
        model,
        name,
        threshold=threshold,
        label_thresholds=label_thresholds,
        calibration=calibration,
        pool_repeats=pool_repeats,
        pool_abbreviations=pool_abbreviations,
        annotate_update=annotate_update,
        scorer=scorer,
    )


class SpanNER(LabelledPipe):
    """Finds entities by scoring every span of up to `max_width` tokens.

    Writes `doc.ents` (best non-overlapping spans), `doc.spans["spanmed"]` (nested candidates
    too, best first, scores in `.attrs["scores"]`) and `span._.score`. Entities that a Doc has
    already stay, and nothing that overlaps them becomes one. Docs without the layer "entities"
    (see `spacy_spanmed.doc`) are neither learned from nor scored.

    vocab (Vocab), model (Model[List[Doc], SpanScores]), name (str): As in any spaCy pipe.
    threshold (float): Lowest score of an entity, between 0 and 1. Defaults to 0.5.
    label_thresholds (Mapping[str, float]): Of labels that have their own. Defaults to none.
    calibration (Sequence[float]): Slope and offset of the scores (see `Calibration`); `spanmed
        finalize` fits them. The threshold is one of calibrated scores. Defaults to (1, 0): as is.
    pool_repeats (float): How far the probabilities of spans with the same text move towards their
        mean over the Doc, 0 (not at all) to 1. For documents, not single sentences. Defaults to 0.
    pool_abbreviations (float): How far the probabilities of short forms then move towards those of
        their long forms, 0 to 1. Needs a pipe before this one that sets `doc._.abbreviations`, such
        as `spanmed_abbreviations`; without it nothing moves. Defaults to 0.
    annotate_update (bool): While training, write predictions into `example.predicted`, from the
        scores computed anyway, so that later pipes see this one's mistakes. Defaults to True.
    scorer (Optional[Callable]): Scores examples. Defaults to `spanmed.entity_scorer.v1`.
    """

    other_outputs = 1  # no entity

    def __init__(
        self,
        vocab: Vocab,
        model: Model,
        name: str = "span_ner",
        *,
        threshold: float = 0.5,
        label_thresholds: Mapping[str, float] = {},
        calibration: Sequence[float] = (1.0, 0.0),
        pool_repeats: float = 0.0,
        pool_abbreviations: float = 0.0,
        annotate_update: bool = True,
        scorer: Callable | None = None,
    ):
        super().__init__(vocab, model, name, threshold, label_thresholds, calibration, scorer)
        pools = {"pool_repeats": pool_repeats, "pool_abbreviations": pool_abbreviations}
        for setting, weight in pools.items():
            if not 0.0 <= weight <= 1.0:
                raise ValueError(f"{name}: {setting} must be 0 to 1, not {weight}.")
        self.pool_repeats = pool_repeats
        self.pool_abbreviations = pool_abbreviations
        self.annotate_update = annotate_update

    @property
    def label_data(self) -> tuple[str, ...]:
        """RETURNS (Tuple[str, ...]): What `spacy init labels` stores."""
        return self.labels

    def _resize(self, n_labels: int) -> None:
        resize_output(self.model, n_labels + self.other_outputs)

    def initialize(
        self,
        get_examples: Callable[[], Iterable[Example]],
        *,
        nlp: Language | None = None,
        labels: Iterable[str] | None = None,
    ) -> None:
        """Collect the labels from the examples (or take `labels`) and build the model.

        RAISES (ValueError): If there is no label at all.
        """
        validate_get_examples(get_examples, "SpanNER.initialize")
        if labels is None:
            found: set[str] = set()
            for eg in get_examples():
                if ENTITIES in get_layers(eg.reference):
                    found.update(label for _, _, label in get_mentions(eg.reference))
            labels = sorted(found)
        for label in labels:
            self.add_label(label)
        self._build(get_examples, "entity", "'entities' (doc.ents)")

    def predict(self, docs: Iterable[Doc]) -> list[list[ScoredSpan]]:
        """RETURNS (List[List[ScoredSpan]]): Each Doc's candidates, best first."""
        docs = list(docs)
        if not any(len(doc) for doc in docs):
            return [[] for _ in docs]
        self.check_upstream(docs)
        candidates: list[list[ScoredSpan]] = []
        for part in split_by_tokens(docs):
            candidates.extend(self._decode(self.model.predict(docs[part]), docs[part]))
        return candidates

    def _decode(self, scores: SpanScores, docs: list[Doc]) -> list[list[ScoredSpan]]:
        scores.logits = self.model.ops.to_numpy(scores.logits)
        pool_repeats(scores, docs, self.pool_repeats)
        pool_abbreviations(scores, docs, self.pool_abbreviations)
        thresholds = self.operating.get_thresholds(self.labels)
        return decode(scores, len(docs), thresholds, self.calibration)

    def set_annotations(self, docs: Iterable[Doc], candidates: list[list[ScoredSpan]]) -> None:
        """Write entities, nested candidates and their scores. Entities that the Doc has from
        elsewhere, such as an `entity_ruler`, stay, as they do before spaCy's own `ner`."""
        for doc, spans in zip(docs, candidates):
            preset = self._find_preset(doc)
            taken = {(ent.start, ent.end) for ent in preset}
            group = list(preset)
            for start, end, label, score in spans:
                if (start, end) not in taken:
                    group.append(Span(doc, start, end, label=self.labels[label - 1]))
                    group[-1]._.score = score
            if preset:
                group = drop_crossing(group)
            scores = [1.0 if span._.score is None else span._.score for span in group]
            attrs = {SCORES_ATTR: scores, "pipe": self.name, "preset": len(preset)}
            doc.spans[SPANS_KEY] = SpanGroup(doc, name=SPANS_KEY, spans=group, attrs=attrs)
            doc.set_ents(select_flat(group))

    def _find_preset(self, doc: Doc) -> list[Span]:
        """RETURNS (List[Span]): The entities of a Doc that this pipe did not write itself, in an
        earlier pass."""
        own = set()
        group = doc.spans.get(SPANS_KEY)
        if group is not None and group.attrs.get("pipe") == self.name:
            written = list(group)[group.attrs["preset"] :]
            own = {(span.start, span.end, span.label) for span in written}
        return [ent for ent in doc.ents if (ent.start, ent.end, ent.label) not in own]

    def _learn(self, examples: list[Example]) -> float:
        docs = [eg.predicted for eg in examples]
        scores, backprop = self.model.begin_update(docs)
        loss, d_logits = self.get_loss(examples, scores)
        # Always, even if all is zero: a listener that does not backpropagate cuts off the others.
        backprop(d_logits)
        if self.annotate_update:
            self.set_annotations(docs, self._decode(scores, docs))
        return loss

    def get_loss(self, examples: Iterable[Example], scores: SpanScores) -> tuple[float, Any]:
        """Cross-entropy over the classes of every span, summed, per token of the labelled Docs.

        scores (SpanScores): Of the examples' predicted Docs. A mention that no span stands for
            (inside a token, or too wide) can't be learned; its text counts as no entity. Spans
            with tokens whose annotation is missing ("-") are neither learned nor unlearned, unless
            they overlap a mention: then they are no entity.
        RETURNS (Tuple[float, Floats2d]): The loss and its gradient by the logits.
        RAISES (ValueError): If a gold label is unknown.
        """
        logits = self.model.ops.to_numpy(scores.logits)
        gold = np.zeros(len(logits), dtype="int64")
        examples = list(examples)
        labelled = np.zeros(len(examples), dtype="float32")
        index = {label: i + 1 for i, label in enumerate(self.labels)}
        places = zip(scores.docs.tolist(), scores.starts.tolist(), scores.widths.tolist())
        rows = {place: row for row, place in enumerate(places)}
        tokens = 0
        known = np.ones(len(logits), dtype="float32")
        for i, eg in enumerate(examples):
            if ENTITIES not in get_layers(eg.reference):
                continue
            labelled[i] = 1.0
            tokens += len(eg.predicted)
            mentions = get_mentions(eg.reference)
            unknown = get_unknown_tokens(eg.reference)
            if unknown:
                known[_find_touching(scores, i, eg.predicted, unknown)] = 0.0
                whole = [
                    (start, end)
                    for start, end, _ in mentions
                    if not any(a < end and start < b for a, b in unknown)
                ]
                known[_find_touching(scores, i, eg.predicted, whole)] = 1.0
            for start, end, label in mentions:
                self.check_label(label)
                span = eg.predicted.char_span(start, end)
                row = rows.get((i, span.start, len(span) - 1)) if span is not None else None
                if row is not None:
                    gold[row] = index[label]
                    known[row] = 1.0
        weights = (known * labelled[scores.docs])[:, None] / max(tokens, 1)
        probs = softmax(logits) if len(logits) else logits
        picked = probs[np.arange(len(gold)), gold]
        loss = float(-(np.log(np.maximum(picked, 1e-12)) * weights[:, 0]).sum())
        d_logits = probs.copy()
        d_logits[np.arange(len(gold)), gold] -= 1.0
        return loss, self.model.ops.asarray2f(d_logits * weights)


def _find_touching(
    scores: SpanScores, index: int, doc: Doc, regions: list[tuple[int, int]]
) -> np.ndarray:
    """RETURNS (np.ndarray): The rows of the spans of a Doc that share text with some regions.

    scores (SpanScores): Of a batch. index (int): The Doc's in it. regions (List[Tuple[int, int]]):
        In characters, ends exclusive.
    """
    touched = np.zeros(len(doc) + 1, dtype="int64")  # tokens before each that are touched
    for start, end in regions:
        span = doc.char_span(start, end, alignment_mode="expand")
        if span is not None:
            touched[span.start + 1 : span.end + 1] = 1
    touched = touched.cumsum()
    rows = np.flatnonzero(scores.docs == index)
    starts = scores.starts[rows]
    return rows[touched[starts + scores.widths[rows] + 1] > touched[starts]]
