"""From span probabilities to entities: greedy by score, nested and flat."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from ...doc.mentions import SpanT
from ...scoring.calibration import Calibration
from .model import SpanScores


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


def decode(
    scores: SpanScores, n_docs: int, threshold: float, calibration: Calibration = Calibration()
) -> list[list[ScoredSpan]]:
    """Pick each Doc's mentions: the best label of a span, if its score exceeds the threshold.

    Spans that cross a better one (share a part, neither inside the other) are dropped, so the
    result may be nested but never crosses.

    scores (SpanScores): Of the batch, as numpy arrays. n_docs (int): Docs in it.
    threshold (float): Lowest score of the label to keep. calibration (Calibration): From
        probabilities to scores. Defaults to none.
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
    lowest = calibration.invert(threshold)
    margin = np.log(max(lowest, 1e-6) / max(1 - lowest, 1e-6))
    rows = np.flatnonzero(best - scores.logits[:, 0] >= min(margin, 0.0))
    probs = softmax(scores.logits[rows])
    chosen = probs[np.arange(len(rows)), labels[rows]]
    keep = chosen > lowest
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
