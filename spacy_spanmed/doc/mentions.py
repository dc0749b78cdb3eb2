"""The mentions of a Doc: nested ones in `doc.spans["spanmed"]`, else its flat `doc.ents`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, TypeVar

from spacy.tokens import Doc, Span

from .layers import SPANS_KEY

SCORES_ATTR = "scores"  # key in the attrs of `doc.spans["spanmed"]` where `span_ner` predicted it

Mention = tuple[int, int, str]


class _HasOffsets(Protocol):
    @property
    def start(self) -> int: ...

    @property
    def end(self) -> int: ...


SpanT = TypeVar("SpanT", bound=_HasOffsets)


def get_mentions(doc: Doc) -> list[Mention]:
    """All mentions of a Doc: `doc.spans["spanmed"]` if it exists, else `doc.ents`; these too if
    someone changed them after `span_ner` wrote both.

    doc (Doc): Any Doc.
    RETURNS (List[Tuple[int, int, str]]): (start, end, label) in characters, end exclusive, sorted
        and without duplicates.
    """
    spans: Iterable[Span] = doc.spans[SPANS_KEY] if SPANS_KEY in doc.spans else doc.ents
    if SCORES_ATTR in getattr(spans, "attrs", {}):
        written = {(span.start, span.end, span.label) for span in select_flat(spans)}
        if written != {(ent.start, ent.end, ent.label) for ent in doc.ents}:
            spans = doc.ents
    return sorted({(span.start_char, span.end_char, span.label_) for span in spans})


def expand_span(doc: Doc, start: int, end: int, label: str = "") -> Span:
    """RETURNS (Span): What the characters from start to end (exclusive) touch, in whole tokens.
    RAISES (ValueError): If they lie outside the text, or in no token."""
    span = doc.char_span(start, end, label=label, alignment_mode="expand")
    if span is None:
        raise ValueError(f"No token of the Doc has the characters {start} to {end}.")
    return span


def select_flat(spans: Iterable[SpanT]) -> list[SpanT]:
    """Select entities from nested candidates: each that overlaps none before it.

    spans (Iterable): Best first, with `start` and `end` in tokens.
    RETURNS (List): By position.
    """
    taken: set[int] = set()
    kept = []
    for span in spans:
        tokens = range(span.start, span.end)
        if taken.isdisjoint(tokens):
            taken.update(tokens)
            kept.append(span)
    return sorted(kept, key=lambda span: span.start)


def get_unknown_tokens(doc: Doc) -> list[tuple[int, int]]:
    """RETURNS (List[Tuple[int, int]]): Character offsets of the tokens that lack entity annotation
    ("-" in spaCy's training data) in a Doc that has some: whether they are entities is unknown."""
    if not doc.has_annotation("ENT_IOB"):
        return []  # annotated by spans alone: all of it is known
    return [(t.idx, t.idx + len(t)) for t in doc if t.ent_iob == 0]
