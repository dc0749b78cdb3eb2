"""Scorers on character offsets, so that what a tokenizer can't express counts as missed.

spaCy's own scorers align gold spans to the predicted tokens and leave out the ones that don't
align. These compare (start, end, label) in characters over *all* gold mentions and relations.
A Doc without a layer is not scored on it: its annotation is unknown, not empty.

The figures are sums over the examples, so their order doesn't matter. A value is None when there
is nothing to score, as in spaCy, and never NaN.
"""

from collections import Counter
from dataclasses import dataclass
from functools import partial
from typing import Any, Callable, Dict, Hashable, Iterable, List, Optional, Set, Tuple

from spacy.tokens import Doc, Span
from spacy.training import Example
from spacy.util import registry

from .doc import (
    ENTITIES,
    RELATIONS,
    SPANS_KEY,
    Mention,
    RelationTuple,
    get_layers,
    get_mentions,
    get_relation_tuples,
)

Scores = Dict[str, Any]
Offsets = Tuple[int, int]
RelationKey = Tuple[int, int, int, int, str]  # head offsets, tail offsets, label


@dataclass
class Counts:
    """True positives, false positives and false negatives of one label or of all.

    tp, fp, fn (int): The counts. Default to 0.
    """

    tp: int = 0
    fp: int = 0
    fn: int = 0

    def add(self, gold: Set[Hashable], predicted: Set[Hashable]) -> None:
        """Count the items of one Doc: those in both, only predicted, only gold."""
        both = len(gold & predicted)
        self.tp += both
        self.fp += len(predicted) - both
        self.fn += len(gold) - both

    @property
    def p(self) -> Optional[float]:
        """Precision in [0, 1]; 0 without predictions, None if there is nothing to score."""
        return self._ratio(self.tp, self.tp + self.fp)

    @property
    def r(self) -> Optional[float]:
        """Recall in [0, 1]; 0 without gold items, None if there is nothing to score."""
        return self._ratio(self.tp, self.tp + self.fn)

    @property
    def f(self) -> Optional[float]:
        """F1 in [0, 1]; None if there is nothing to score."""
        return self._ratio(2 * self.tp, 2 * self.tp + self.fp + self.fn)

    def _ratio(self, part: int, whole: int) -> Optional[float]:
        if self.tp + self.fp + self.fn == 0:
            return None
        return part / whole if whole else 0.0

    def to_dict(self) -> Dict[str, Any]:
        """RETURNS (Dict): p, r, f, the counts, and support: the number of gold items."""
        return {
            "p": self.p, "r": self.r, "f": self.f,
            "tp": self.tp, "fp": self.fp, "fn": self.fn, "support": self.tp + self.fn,
        }  # fmt: skip


class PerLabel:
    """Counts for each label, and their sums."""

    def __init__(self) -> None:
        self.counts: Dict[str, Counts] = {}

    def add(self, gold: Set[Any], predicted: Set[Any], label_of: Callable[[Any], str]) -> None:
        """Count the items of one Doc under the label that `label_of` reads from each."""
        for label in {label_of(item) for item in gold | predicted}:
            self.counts.setdefault(label, Counts()).add(
                {item for item in gold if label_of(item) == label},
                {item for item in predicted if label_of(item) == label},
            )

    def micro(self, without: Optional[str] = None) -> Counts:
        """The sum over labels, leaving out the label `without`."""
        kept = [counts for label, counts in self.counts.items() if label != without]
        return Counts(sum(c.tp for c in kept), sum(c.fp for c in kept), sum(c.fn for c in kept))

    def macro_f(self) -> Optional[float]:
        """Mean F1 over the labels that occur in the gold annotation; None without any."""
        scores = [c.f or 0.0 for _, c in sorted(self.counts.items()) if c.tp + c.fn]
        return sum(scores) / len(scores) if scores else None

    def majority(self) -> Optional[str]:
        """The most frequent gold label, the first in the alphabet of several; None without."""
        support = {label: c.tp + c.fn for label, c in self.counts.items() if c.tp + c.fn}
        return min(support, key=lambda label: (-support[label], label)) if support else None

    def to_dict(self) -> Optional[Dict[str, Dict[str, Any]]]:
        """RETURNS (Optional[Dict]): `Counts.to_dict` by label, sorted; None without labels."""
        return {k: c.to_dict() for k, c in sorted(self.counts.items())} or None


# -------------------------------------------------------------------------- entities


def score_entities(examples: Iterable[Example], **kwargs: Any) -> Scores:
    """Score `predicted.ents`, and nested predictions, against every gold mention.

    Only examples whose reference carries the entities layer count. Gold mentions are those of
    `doc.get_mentions` (nested ones included, which flat predictions must miss). Predictions that
    touch reference tokens with missing entity annotation, and that aren't gold, are ignored, as
    spaCy does.

    examples (Iterable[Example]): Reference and predicted Docs over the same text.
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
        ents_docs: number of Docs scored.
    RAISES (ValueError): If the two texts of an example differ.
    """
    flat, boundary, nested = PerLabel(), Counts(), Counts()
    docs = inexpressible = total = 0
    has_nested = False
    for example in examples:
        reference, predicted = example.reference, example.predicted
        _check_texts(reference, predicted)
        if ENTITIES not in get_layers(reference):
            continue
        docs += 1
        gold = set(get_mentions(reference))
        gold_offsets = {(start, end) for start, end, _ in gold}
        unknown = _unknown_tokens(reference)
        ents = _judged(predicted.ents, gold_offsets, unknown)
        flat.add(gold, ents, lambda mention: mention[2])
        boundary.add(gold_offsets, {(start, end) for start, end, _ in ents})
        if SPANS_KEY in predicted.spans:
            has_nested = True
            nested.add(gold, _judged(predicted.spans[SPANS_KEY], gold_offsets, unknown))
        else:
            nested.add(gold, set())
        starts = {token.idx for token in predicted}
        ends = {token.idx + len(token) for token in predicted}
        inexpressible += sum(s not in starts or e not in ends for s, e, _ in gold)
        total += len(gold)
    micro = flat.micro()
    return {
        "ents_p": micro.p,
        "ents_r": micro.r,
        "ents_f": micro.f,
        "ents_macro_f": flat.macro_f(),
        "ents_per_type": flat.to_dict(),
        "ents_boundary_f": boundary.f,
        "ents_nested_p": nested.p if has_nested else None,
        "ents_nested_r": nested.r if has_nested else None,
        "ents_nested_f": nested.f if has_nested else None,
        "ents_gold_inexpressible": inexpressible / total if total else None,
        "ents_docs": docs,
    }


def _judged(
    spans: Iterable[Span], gold_offsets: Set[Offsets], unknown: List[Offsets]
) -> Set[Mention]:
    """The predictions that count: all but those off gold that touch unknown tokens."""
    found = {(span.start_char, span.end_char, span.label_) for span in spans}
    return {
        (start, end, label)
        for start, end, label in found
        if (start, end) in gold_offsets or not _touches(start, end, unknown)
    }


def _unknown_tokens(reference: Doc) -> List[Offsets]:
    """Character offsets of the tokens that lack entity annotation, in an annotated Doc."""
    if not reference.has_annotation("ENT_IOB"):
        return []  # annotated by spans alone: all of it is known
    return [(t.idx, t.idx + len(t)) for t in reference if t.ent_iob == 0]


def _touches(start: int, end: int, regions: List[Offsets]) -> bool:
    return any(start < region_end and region_start < end for region_start, region_end in regions)


# ------------------------------------------------------------------------- relations


def score_relations(examples: Iterable[Example], *, prefix: str = "rel", **kwargs: Any) -> Scores:
    """Score the predicted relations against every gold relation.

    Only examples whose reference carries the relations layer count. Pairs are ordered. A
    relation matches if the offsets of both arguments and the label do; a relation predicted twice
    counts once (the one with the highest score).

    examples (Iterable[Example]): Reference and predicted Docs over the same text.
    prefix (str): Start of each key: "rel" for end to end, "rel_gold" when the predictions were
        made on gold entities. Defaults to "rel".
    **kwargs: Ignored; spaCy passes a pipe's settings to its scorer.
    RETURNS (Dict[str, Any]): With "rel" standing for the prefix:
        rel_micro_p, rel_micro_r, rel_micro_f: over all relations; in [0, 1], as all below.
        rel_macro_f: mean F1 over the labels in gold.
        rel_per_type: {label: {p, r, f, tp, fp, fn, support}}.
        rel_minority_micro_p, rel_minority_micro_r, rel_minority_micro_f: over all labels but the
            most frequent one in gold.
        rel_majority_label: that label (str), or None without gold relations.
        rel_negation_accuracy: share of the true positives whose `negated` is right.
        rel_negated_micro_f: `negated` must match as well.
        rel_typed_micro_f: the entity labels of both arguments must match as well.
        rel_docs: number of Docs scored.
    RAISES (ValueError): If the two texts of an example differ, or a tuple is malformed.
    """
    per_label, negated, typed = PerLabel(), Counts(), Counts()
    docs = same_negation = 0
    for example in examples:
        _check_texts(example.reference, example.predicted)
        if RELATIONS not in get_layers(example.reference):
            continue
        docs += 1
        gold = _by_key(get_relation_tuples(example.reference))
        predicted = _by_key(get_relation_tuples(example.predicted))
        per_label.add(set(gold), set(predicted), lambda key: key[-1])
        negated.add(
            {(key, item.negated) for key, item in gold.items()},
            {(key, item.negated) for key, item in predicted.items()},
        )
        typed.add(
            {(key, item.head_label, item.tail_label) for key, item in gold.items()},
            {(key, item.head_label, item.tail_label) for key, item in predicted.items()},
        )
        both = gold.keys() & predicted.keys()
        same_negation += sum(gold[key].negated == predicted[key].negated for key in both)
    micro, majority = per_label.micro(), per_label.majority()
    minority = per_label.micro(without=majority)
    scores = {
        "micro_p": micro.p,
        "micro_r": micro.r,
        "micro_f": micro.f,
        "macro_f": per_label.macro_f(),
        "per_type": per_label.to_dict(),
        "minority_micro_p": minority.p,
        "minority_micro_r": minority.r,
        "minority_micro_f": minority.f,
        "majority_label": majority,
        "negation_accuracy": same_negation / micro.tp if micro.tp else None,
        "negated_micro_f": negated.f,
        "typed_micro_f": typed.f,
        "docs": docs,
    }
    return {f"{prefix}_{key}": value for key, value in scores.items()}


def _by_key(tuples: Iterable[RelationTuple]) -> Dict[RelationKey, RelationTuple]:
    """One tuple for each pair and label: of several, the one with the highest score."""
    best: Dict[RelationKey, RelationTuple] = {}
    # The rest of the sort key makes the choice independent of the order of annotation.
    for item in sorted(tuples, key=lambda t: (-t.score, t.negated, t.head_label, t.tail_label)):
        key = (item.head_start, item.head_end, item.tail_start, item.tail_end, item.label)
        best.setdefault(key, item)
    return best


# ---------------------------------------------------------------------------- common


def _check_texts(reference: Doc, predicted: Doc) -> None:
    gold, text = reference.text, predicted.text
    if gold != text:
        pairs = enumerate(zip(gold, text))
        at = next((i for i, (a, b) in pairs if a != b), min(len(gold), len(text)))
        raise ValueError(
            "Can't score: the reference and the predicted Doc differ in their text, first at "
            f"character {at}: {gold[at : at + 20]!r} and {text[at : at + 20]!r}."
        )


def gold_label_counts(examples: Iterable[Example]) -> Tuple[Counter, Counter]:
    """Count the gold labels that `score_entities` and `score_relations` look for.

    examples (Iterable[Example]): Only their references are read.
    RETURNS (Tuple[Counter, Counter]): Number of mentions by entity label over the Docs with the
        entities layer; number of relations by label over the Docs with the relations layer.
    """
    entities: Counter = Counter()
    relations: Counter = Counter()
    for example in examples:
        layers = get_layers(example.reference)
        if ENTITIES in layers:
            entities.update(label for _, _, label in get_mentions(example.reference))
        if RELATIONS in layers:
            relations.update(key[-1] for key in _by_key(get_relation_tuples(example.reference)))
    return entities, relations


@registry.scorers("spanmed.entity_scorer.v1")
def make_entity_scorer() -> Callable[..., Scores]:
    """Scorer for any component that sets `doc.ents`, stock `ner` included.

    RETURNS (Callable[[Iterable[Example]], Dict[str, Any]]): `score_entities`.
    """
    return score_entities


@registry.scorers("spanmed.relation_scorer.v1")
def make_relation_scorer(prefix: str = "rel") -> Callable[..., Scores]:
    """Scorer for any component that sets `doc._.relations`.

    prefix (str): Start of each key in the scores. Defaults to "rel".
    RETURNS (Callable[[Iterable[Example]], Dict[str, Any]]): `score_relations` with that prefix.
    """
    return partial(score_relations, prefix=prefix)
