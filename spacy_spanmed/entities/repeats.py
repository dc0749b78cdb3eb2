"""Agreement among repeats: the same words in one document are mostly the same entity, or none.

An abbreviation is explained once and used a dozen times. Each use is scored from its own context;
here the spans with the same text share their evidence, as non-local features did in earlier
taggers (Krishnan and Manning 2006, "An Effective Two-Stage Model for Exploiting Non-Local
Dependencies in Named Entity Recognition").
"""

from __future__ import annotations

from typing import Sequence

import numpy
from spacy.attrs import ORTH
from spacy.tokens import Doc

from .decoding import softmax
from .model import SpanScores

LOWEST = 0.02  # a span whose probability of being an entity is lower isn't worth looking for
_FACTOR = numpy.uint64(0x9E3779B97F4A7C15)  # odd, so that products lose nothing (mod 2 ** 64)


def pool_repeats(scores: SpanScores, docs: Sequence[Doc], weight: float) -> None:
    """Move the probabilities of spans towards the mean over all spans of the Doc with their text.

    scores (SpanScores): Of the batch, as numpy arrays; gets new logits.
    docs (Sequence[Doc]): The batch.
    weight (float): How far, between 0 (not at all) and 1 (to the mean).
    """
    if not weight or not len(scores.starts) or scores.logits.shape[1] < 2:
        return
    logits = scores.logits = scores.logits.copy()  # the model's own array stays as it is
    margin = numpy.log(LOWEST / (1 - LOWEST)) - numpy.log(logits.shape[1] - 1)
    likely = numpy.flatnonzero(logits[:, 1:].max(axis=1) - logits[:, 0] >= margin)
    likely = likely[softmax(logits[likely])[:, 0] <= 1.0 - LOWEST]
    if not len(likely):
        return
    keys = _make_keys(scores, docs, int(scores.widths[likely].max()))
    rows = numpy.flatnonzero(numpy.isin(keys, keys[likely]))
    probs = softmax(logits[rows])
    _, groups, counts = numpy.unique(keys[rows], return_inverse=True, return_counts=True)
    means = numpy.zeros((len(counts), probs.shape[1]), dtype=probs.dtype)
    numpy.add.at(means, groups, probs)
    means /= counts[:, None]
    repeated = counts[groups] > 1
    pooled = (1.0 - weight) * probs + weight * means[groups]
    logits[rows[repeated]] = numpy.log(numpy.maximum(pooled[repeated], 1e-12))


def _make_keys(scores: SpanScores, docs: Sequence[Doc], widest: int) -> numpy.ndarray:
    """A number for the text of each span and its Doc; 0 for spans wider than `widest`.

    Equal texts have equal numbers; 64 bits make it most unlikely that others do.
    """
    words = numpy.concatenate([doc.to_array([ORTH]).astype("uint64").ravel() for doc in docs])
    offsets = numpy.concatenate([[0], numpy.cumsum([len(doc) for doc in docs])])
    firsts = offsets[scores.docs] + scores.starts
    keys = numpy.zeros(len(firsts), dtype="uint64")
    so_far = words.copy()
    ends = numpy.searchsorted(scores.widths, numpy.arange(widest + 2))
    for width in range(widest + 1):
        if width:
            so_far[:-width] = so_far[:-width] * _FACTOR + words[width:]
        rows = slice(ends[width], ends[width + 1])
        keys[rows] = so_far[firsts[rows]] + scores.docs[rows].astype("uint64") * _FACTOR
    return keys
