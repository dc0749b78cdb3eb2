"""From span scores to entities: agreement within the document, then greedy by score, nested and flat.

An abbreviation is explained once and used a dozen times, and each use is scored from its own
context: "middle cerebral artery occlusion (MCAO)" says what kind of thing MCAO is, "after MCAO"
hardly does. Here spans with the same text share their evidence, and short forms take that of their
long forms, as non-local features did in earlier taggers (Krishnan and Manning 2006, "An Effective
Two-Stage Model for Exploiting Non-Local Dependencies in Named Entity Recognition").
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from spacy.attrs import ORTH
from spacy.tokens import Doc

from ...doc.concepts import get_abbreviations
from ...doc.mentions import SpanT
from ...scoring.calibration import Calibration
from .model import SpanScores

LOWEST = 0.02  # a span whose probability of being an entity is lower isn't worth looking for
# The long form that letters allow begins late if its first words have none in the short form:
# "(acute) renal failure (RF)". Tokens before it at which a mention may begin too.
SLACK = 3
_FACTOR = np.uint64(0x9E3779B97F4A7C15)  # odd, so that products lose nothing (mod 2 ** 64)


class ScoredSpan(NamedTuple):
    """start, end (int): Tokens, end exclusive. label (int): Class from 1. score (float): 0 to 1."""

    start: int
    end: int
    label: int
    score: float


def softmax(logits: np.ndarray) -> np.ndarray:
    """RETURNS (Floats2d): Row-wise softmax."""
    exp = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exp / exp.sum(axis=1, keepdims=True)


def pool_repeats(scores: SpanScores, docs: Sequence[Doc], weight: float) -> None:
    """Move the probabilities of spans towards the mean over all spans of the Doc with their text.

    scores (SpanScores): Of the batch, as numpy arrays; gets new logits.
    docs (Sequence[Doc]): The batch.
    weight (float): How far, between 0 (not at all) and 1 (to the mean).
    """
    if not weight or _is_empty(scores):
        return
    logits = scores.logits = scores.logits.copy()  # the model's own array stays as it is
    margin = np.log(LOWEST / (1 - LOWEST)) - np.log(logits.shape[1] - 1)
    likely = np.flatnonzero(logits[:, 1:].max(axis=1) - logits[:, 0] >= margin)
    likely = likely[softmax(logits[likely])[:, 0] <= 1.0 - LOWEST]
    if not len(likely):
        return
    keys = _make_keys(scores, docs, int(scores.widths[likely].max()))
    rows = np.flatnonzero(np.isin(keys, keys[likely]))
    probs = softmax(logits[rows])
    _, groups, counts = np.unique(keys[rows], return_inverse=True, return_counts=True)
    means = np.zeros((len(counts), probs.shape[1]), dtype=probs.dtype)
    np.add.at(means, groups, probs)
    means /= counts[:, None]
    repeated = counts[groups] > 1
    logits[rows[repeated]] = _mix(probs, means[groups], weight)[repeated]


def _make_keys(scores: SpanScores, docs: Sequence[Doc], widest: int) -> np.ndarray:
    """A number for the text of each span and its Doc; 0 for spans wider than `widest`.

    Equal texts have equal numbers; 64 bits make it most unlikely that others do.
    """
    words = np.concatenate([doc.to_array([ORTH]).astype("uint64").ravel() for doc in docs])
    firsts, _ = _place(scores, docs)
    keys = np.zeros(len(firsts), dtype="uint64")
    so_far = words.copy()
    ends = np.searchsorted(scores.widths, np.arange(widest + 2))
    for width in range(widest + 1):
        if width:
            so_far[:-width] = so_far[:-width] * _FACTOR + words[width:]
        rows = slice(ends[width], ends[width + 1])
        keys[rows] = so_far[firsts[rows]] + scores.docs[rows].astype("uint64") * _FACTOR
    return keys


def pool_abbreviations(scores: SpanScores, docs: Sequence[Doc], weight: float) -> None:
    """Move the probabilities of short forms towards those of their long forms.

    Those of a long form are, for each label, the sum over the spans that end where it ends, at
    most 1: which words before the last belong to a mention says nothing about the short form.

    scores (SpanScores): Of the batch, as numpy arrays; gets new logits.
    docs (Sequence[Doc]): The batch, with `doc._.abbreviations`; without them nothing happens.
    weight (float): How far, between 0 (not at all) and 1.
    """
    if not weight or _is_empty(scores):
        return
    forms = [(n, *form) for n, doc in enumerate(docs) for form in get_abbreviations(doc)]
    if not forms:
        return
    changed = scores.logits.copy()  # the model's own array stays as it is
    firsts, offsets = _place(scores, docs)
    blocks = np.searchsorted(scores.widths, np.arange(int(scores.widths[-1]) + 2))
    known: dict[tuple[int, tuple[int, int]], np.ndarray] = {}
    for number, short, long in forms:
        if (number, long) not in known:
            begins = range(max(0, long[0] - SLACK), long[1])
            found = [_row(firsts, blocks, offsets[number], start, long[1]) for start in begins]
            known[number, long] = _evidence(scores.logits[[row for row in found if row >= 0]])
        row = _row(firsts, blocks, offsets[number], *short)
        if row >= 0:
            own = softmax(scores.logits[row : row + 1])[0]
            changed[row] = _mix(own, known[number, long], weight)
    scores.logits = changed


def _row(firsts: np.ndarray, blocks: np.ndarray, offset: int, start: int, end: int) -> int:
    """RETURNS (int): The row of a span, -1 if it is too wide to have one.

    firsts (Ints1d): For each row the first token in the batch, ascending among equal widths.
    blocks (Ints1d): For each width, and behind the last, where its rows begin.
    """
    width = end - start - 1
    if not 0 <= width < len(blocks) - 1:
        return -1
    low, high = blocks[width], blocks[width + 1]
    row = low + int(np.searchsorted(firsts[low:high], offset + start))
    return row if row < high and firsts[row] == offset + start else -1


def _evidence(logits: np.ndarray) -> np.ndarray:
    """RETURNS (Floats1d): Probabilities of no entity and of each label."""
    labels = softmax(logits)[:, 1:].sum(axis=0) if len(logits) else np.zeros(logits.shape[1] - 1)
    labels = labels / max(1.0, float(labels.sum()))
    return np.concatenate([[1.0 - labels.sum()], labels])


def _is_empty(scores: SpanScores) -> bool:
    """RETURNS (bool): Whether there are no spans, or no labels."""
    return not len(scores.starts) or scores.logits.shape[1] < 2


def _place(scores: SpanScores, docs: Sequence[Doc]) -> tuple[np.ndarray, np.ndarray]:
    """RETURNS (Tuple[Ints1d, Ints1d]): For each span its first token in the batch, and for each Doc,
    and behind the last, where its tokens begin."""
    offsets = np.concatenate([[0], np.cumsum([len(doc) for doc in docs])])
    return offsets[scores.docs] + scores.starts, offsets


def _mix(own: np.ndarray, other: np.ndarray, weight: float) -> np.ndarray:
    """RETURNS (np.ndarray): Logits of the weighted mean of two probabilities each."""
    return np.log(np.maximum((1.0 - weight) * own + weight * other, 1e-12))


def decode(
    scores: SpanScores,
    n_docs: int,
    threshold: float | np.ndarray,
    calibration: Calibration = Calibration(),
) -> list[list[ScoredSpan]]:
    """Pick each Doc's mentions: the best label of a span, if its score exceeds the threshold.

    Spans that cross a better one (share a part, neither inside the other) are dropped, so the
    result may be nested but never crosses.

    scores (SpanScores): Of the batch, as numpy arrays. n_docs (int): Docs in it.
    threshold (float | Floats1d): Lowest score of the label to keep, or of each label.
    calibration (Calibration): From probabilities to scores. Defaults to none.
    RETURNS (List[List[ScoredSpan]]): For each Doc, best first (ties: leftmost, then longest).
    """
    found: list[list[ScoredSpan]] = [[] for _ in range(n_docs)]
    if not len(scores.starts):
        return found
    labels = scores.logits[:, 1:].argmax(axis=1) + 1 if scores.logits.shape[1] > 1 else None
    if labels is None:
        return found
    # Only rows whose best label comes near "no entity" can pass: skip the softmax of the rest.
    best = np.take_along_axis(scores.logits, labels[:, None], axis=1)[:, 0]
    limits = calibration.invert_all(threshold, scores.logits.shape[1] - 1)
    lowest = float(limits.min())
    margin = np.log(max(lowest, 1e-6) / max(1 - lowest, 1e-6))
    rows = np.flatnonzero(best - scores.logits[:, 0] >= min(margin, 0.0))
    probs = softmax(scores.logits[rows])
    chosen = probs[np.arange(len(rows)), labels[rows]]
    keep = chosen > limits[labels[rows] - 1]
    rows, chosen = rows[keep], calibration.apply(chosen[keep])
    order = np.lexsort((-scores.widths[rows], scores.starts[rows], -chosen))
    for index in order:
        row = rows[index]
        start = int(scores.starts[row])
        span = ScoredSpan(
            start, start + int(scores.widths[row]) + 1, int(labels[row]), float(chosen[index])
        )
        found[int(scores.docs[row])].append(span)
    return [drop_crossing(spans) for spans in found]


def drop_crossing(spans: Iterable[SpanT]) -> list[SpanT]:
    """Keep spans, best first, that cross no span kept before.

    Linear in the tokens covered: `deepest[i]`, the farthest end of a kept span that starts at i,
    and `earliest[i]`, the first start of one that ends at i, are looked up inside the span only.
    """
    farthest_end: dict = {}
    earliest_start: dict = {}
    kept = []
    for span in spans:
        inside = range(span.start + 1, span.end)
        if any(farthest_end.get(i, 0) > span.end for i in inside):
            continue  # a kept span starts inside this one and ends behind it
        if any(earliest_start.get(i, span.start) < span.start for i in inside):
            continue  # a kept span ends inside this one and starts before it
        kept.append(span)
        farthest_end[span.start] = max(farthest_end.get(span.start, 0), span.end)
        earliest_start[span.end] = min(earliest_start.get(span.end, span.start), span.start)
    return kept
