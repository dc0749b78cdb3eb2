"""Scores on character offsets, so that what a tokenizer can't express counts as missed: entities,
and the counts behind all figures.

spaCy's own scorers align gold spans to the predicted tokens and leave out the ones that don't
align. These compare (start, end, label) in characters over *all* gold mentions and relations.
A Doc without a layer is not scored on it: its annotation is unknown, not empty.

The figures are sums over the examples, so their order doesn't matter. A value is None when there
is nothing to score, as in spaCy, and never NaN.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

from spacy.scorer import PRFScore
from spacy.tokens import Doc, Span
from spacy.training import Example
from spacy.util import registry

from ..doc.layers import ENTITIES, SPANS_KEY, get_layers
from ..doc.mentions import Mention, get_mentions, get_unknown_tokens
from .calibration import Judged, expected_calibration_error

Scores = dict[str, Any]
Offsets = tuple[int, int]


def to_figures(score: PRFScore) -> dict[str, float | None]:
    """RETURNS (Dict[str, Optional[float]]): Precision, recall and F1 as "p", "r", "f", in [0, 1];
    each None if there is nothing to score."""
    if not len(score):
        return {"p": None, "r": None, "f": None}
    # spaCy has F1 from precision and recall, which rounds once more
    f = 2 * score.tp / (2 * score.tp + score.fp + score.fn)
    return {"p": score.precision, "r": score.recall, "f": f}


class PerLabel:
    """Counts for each label, and their sums."""

    def __init__(self) -> None:
        self.scores: dict[str, PRFScore] = defaultdict(PRFScore)

    def add(self, gold: set[Any], predicted: set[Any], label_of: Callable[[Any], str]) -> None:
        """Count the items of one Doc under the label that `label_of` reads from each."""
        for label in {label_of(item) for item in gold | predicted}:
            self.scores[label].score_set(
                {item for item in predicted if label_of(item) == label},
                {item for item in gold if label_of(item) == label},
            )

    def micro(self, without: str | None = None) -> PRFScore:
        """The sum over labels, leaving out the label `without`."""
        kept = (score for label, score in self.scores.items() if label != without)
        return sum(kept, start=PRFScore())

    def support(self) -> dict[str, int]:
        """RETURNS (Dict[str, int]): The number of gold items by label, sorted; of those with any."""
        support = {label: score.tp + score.fn for label, score in sorted(self.scores.items())}
        return {label: number for label, number in support.items() if number}

    def macro_f(self) -> float | None:
        """Mean F1 over the labels that occur in the gold annotation; None without any."""
        found = [to_figures(self.scores[label])["f"] or 0.0 for label in self.support()]
        return sum(found) / len(found) if found else None

    def majority(self) -> str | None:
        """The most frequent gold label, the first in the alphabet of several; None without."""
        support = self.support()
        return max(support, key=lambda label: support[label]) if support else None

    def to_dict(self) -> dict[str, dict[str, Any]] | None:
        """RETURNS (Optional[Dict]): By label, sorted, p, r, f, the counts tp, fp and fn, and
        support: the number of gold items. None without labels."""
        return {
            label: {**to_figures(s), **vars(s), "support": s.tp + s.fn}
            for label, s in sorted(self.scores.items())
        } or None


def score_entities(
    examples: Iterable[Example], *, judged: list[Judged] | None = None, **kwargs: Any
) -> Scores:
    """Score `predicted.ents`, and nested predictions, against every gold mention.

    Only examples whose reference carries the entities layer count. Gold mentions are those of
    `mentions.get_mentions` (nested ones included, which flat predictions must miss). Predictions that
    touch reference tokens with missing entity annotation, and that aren't gold, are ignored, as
    spaCy does.

    examples (Iterable[Example]): Reference and predicted Docs over the same text.
    judged (Optional[List[Judged]]): If given, takes up score and rightness of each prediction.
    **kwargs: Ignored; spaCy passes a pipe's settings to its scorer.
    RETURNS (Dict[str, Any]):
        ents_p, ents_r, ents_f: micro, offsets and label must match; in [0, 1], as all below.
        ents_macro_f: mean F1 over the labels in gold.
        ents_per_type: {label: {p, r, f, tp, fp, fn, support}}.
        ents_boundary_f: offsets alone must match.
        ents_nested_p, ents_nested_r, ents_nested_f: `predicted.spans["spanmed"]` instead of
            `predicted.ents`; None if no predicted Doc has that key.
        ents_gold_inexpressible: share of the gold mentions that don't start and end at token
            boundaries of the predicted Doc.
        ents_ece: expected calibration error of the scores of `predicted.ents`; None without.
        ents_docs: number of Docs scored.
    RAISES (ValueError): If the two texts of an example differ.
    """
    flat, boundary, nested = PerLabel(), PRFScore(), PRFScore()
    docs = inexpressible = total = 0
    has_nested = False
    judged = [] if judged is None else judged
    for example in examples:
        reference, predicted = example.reference, example.predicted
        check_texts(reference, predicted)
        if ENTITIES not in get_layers(reference):
            continue
        docs += 1
        gold = set(get_mentions(reference))
        gold_offsets = {(start, end) for start, end, _ in gold}
        unknown = get_unknown_tokens(reference)
        ents = _judged(predicted.ents, gold_offsets, unknown)
        flat.add(gold, ents, lambda mention: mention[2])
        judged += [
            Judged(score, mention in gold, mention[2])
            for mention, score in _scores(predicted)
            if mention in ents
        ]
        boundary.score_set({(start, end) for start, end, _ in ents}, gold_offsets)
        if SPANS_KEY in predicted.spans:
            has_nested = True
            nested.score_set(_judged(predicted.spans[SPANS_KEY], gold_offsets, unknown), gold)
        else:
            nested.score_set(set(), gold)
        starts = {token.idx for token in predicted}
        ends = {token.idx + len(token) for token in predicted}
        inexpressible += sum(s not in starts or e not in ends for s, e, _ in gold)
        total += len(gold)
    of_nested = to_figures(nested if has_nested else PRFScore())
    return {
        **{f"ents_{key}": value for key, value in to_figures(flat.micro()).items()},
        "ents_macro_f": flat.macro_f(),
        "ents_per_type": flat.to_dict(),
        "ents_boundary_f": to_figures(boundary)["f"],
        **{f"ents_nested_{key}": value for key, value in of_nested.items()},
        "ents_gold_inexpressible": inexpressible / total if total else None,
        "ents_ece": expected_calibration_error(judged),
        "ents_docs": docs,
    }


def _scores(doc: Doc) -> list[tuple[Mention, float]]:
    """The entities that have a score."""
    if not Span.has_extension("score"):
        return []
    scored = [((e.start_char, e.end_char, e.label_), e._.score) for e in doc.ents]
    return [(mention, score) for mention, score in scored if score is not None]


def _judged(
    spans: Iterable[Span], gold_offsets: set[Offsets], unknown: list[Offsets]
) -> set[Mention]:
    """The predictions that count: all but those off gold that touch unknown tokens."""
    found = {(span.start_char, span.end_char, span.label_) for span in spans}
    return {
        (start, end, label)
        for start, end, label in found
        if (start, end) in gold_offsets or not _touches(start, end, unknown)
    }


def _touches(start: int, end: int, regions: list[Offsets]) -> bool:
    return any(start < region_end and region_start < end for region_start, region_end in regions)


def check_texts(reference: Doc, predicted: Doc) -> None:
    """RAISES (ValueError): If the two texts differ, saying where."""
    gold, text = reference.text, predicted.text
    if gold != text:
        pairs = enumerate(zip(gold, text))
        at = next((i for i, (a, b) in pairs if a != b), min(len(gold), len(text)))
        raise ValueError(
            "Can't score: the reference and the predicted Doc differ in their text, first at "
            f"character {at}: {gold[at : at + 20]!r} and {text[at : at + 20]!r}."
        )


@registry.scorers("spanmed.entity_scorer.v1")
def make_entity_scorer() -> Callable[..., Scores]:
    """Scorer for any component that sets `doc.ents`, stock `ner` included.

    RETURNS (Callable[[Iterable[Example]], Dict[str, Any]]): `score_entities`.
    """
    return score_entities
