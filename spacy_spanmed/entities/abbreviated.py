"""Agreement of abbreviations with what they stand for.

"Middle cerebral artery occlusion (MCAO)" says what kind of thing MCAO is; "after MCAO" hardly does.
Each use of a short form takes evidence from its long form, where the text explains it.
"""

from __future__ import annotations

from typing import Dict, Sequence, Tuple

import numpy
from spacy.tokens import Doc

from ..abbreviations import get_abbreviations
from .decoding import softmax
from .model import SpanScores

# The long form that letters allow begins late if its first words have none in the short form:
# "(acute) renal failure (RF)". Tokens before it at which a mention may begin too.
SLACK = 3


def pool_abbreviations(scores: SpanScores, docs: Sequence[Doc], weight: float) -> None:
    """Move the probabilities of short forms towards those of their long forms.

    Those of a long form are, for each label, the sum over the spans that end where it ends, at
    most 1: which words before the last belong to a mention says nothing about the short form.

    scores (SpanScores): Of the batch, as numpy arrays; gets new logits.
    docs (Sequence[Doc]): The batch, with `doc._.abbreviations`; without them nothing happens.
    weight (float): How far, between 0 (not at all) and 1.
    """
    if not weight or not len(scores.starts) or scores.logits.shape[1] < 2:
        return
    forms = [(n, *form) for n, doc in enumerate(docs) for form in get_abbreviations(doc)]
    if not forms:
        return
    changed = scores.logits.copy()  # the model's own array stays as it is
    offsets = numpy.concatenate([[0], numpy.cumsum([len(doc) for doc in docs])])
    firsts = offsets[scores.docs] + scores.starts
    blocks = numpy.searchsorted(scores.widths, numpy.arange(int(scores.widths[-1]) + 2))
    known: Dict[Tuple[int, Tuple[int, int]], numpy.ndarray] = {}
    for number, short, long in forms:
        if (number, long) not in known:
            begins = range(max(0, long[0] - SLACK), long[1])
            found = [_row(firsts, blocks, offsets[number], start, long[1]) for start in begins]
            known[number, long] = _evidence(scores.logits[[row for row in found if row >= 0]])
        row = _row(firsts, blocks, offsets[number], *short)
        if row >= 0:
            own = softmax(scores.logits[row : row + 1])[0]
            pooled = (1.0 - weight) * own + weight * known[number, long]
            changed[row] = numpy.log(numpy.maximum(pooled, 1e-12))
    scores.logits = changed


def _row(firsts: numpy.ndarray, blocks: numpy.ndarray, offset: int, start: int, end: int) -> int:
    """RETURNS (int): The row of a span, -1 if it is too wide to have one.

    firsts (Ints1d): For each row the first token in the batch, ascending among equal widths.
    blocks (Ints1d): For each width, and behind the last, where its rows begin.
    """
    width = end - start - 1
    if not 0 <= width < len(blocks) - 1:
        return -1
    low, high = blocks[width], blocks[width + 1]
    row = low + int(numpy.searchsorted(firsts[low:high], offset + start))
    return row if row < high and firsts[row] == offset + start else -1


def _evidence(logits: numpy.ndarray) -> numpy.ndarray:
    """RETURNS (Floats1d): Probabilities of no entity and of each label."""
    labels = softmax(logits)[:, 1:].sum(axis=0) if len(logits) else numpy.zeros(logits.shape[1] - 1)
    labels = labels / max(1.0, float(labels.sum()))
    return numpy.concatenate([[1.0 - labels.sum()], labels])
