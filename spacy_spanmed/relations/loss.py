"""What the relation pipe learns from."""

from __future__ import annotations

from typing import Any, Iterable, Sequence, Tuple

import numpy

from ..calibration import sigmoid
from .candidates import CandidatePairs
from .pooling import join_groups, pool, unpool

GoldRelation = Tuple[Any, str, bool]  # arguments, label, negated


def get_pair_loss(
    rows: numpy.ndarray,
    candidates: Sequence[CandidatePairs],
    gold: Sequence[Iterable[GoldRelation]],
    labels: Sequence[str],
) -> Tuple[float, numpy.ndarray]:
    """Binary cross-entropy per label, and of "negated" where there is a relation; summed, per pair
    of arguments that has a relation, so that many unrelated pairs don't dilute it.

    rows (numpy.ndarray): (pairs of mentions, labels + 1), logits of the candidates of all Docs in
        order, the last column "negated". Those of the same arguments are pooled.
    candidates (Sequence[CandidatePairs]), gold (Sequence[Iterable[GoldRelation]]): Of each Doc.
        Relations between arguments that are no candidates are too far apart to be learned.
    labels (Sequence[str]): Those of the columns; gold has no others.
    RETURNS (Tuple[float, numpy.ndarray]): The loss, and its gradient by the rows.
    """
    groups, n_groups = join_groups(candidates)
    logits = pool(rows, groups, n_groups)
    targets = numpy.zeros_like(logits)
    weights = numpy.ones_like(logits)
    weights[:, -1] = 0.0
    column_of = {label: i for i, label in enumerate(labels)}
    start = 0
    for candidate, relations in zip(candidates, gold):
        row_of = {pair: start + i for i, pair in enumerate(candidate.arguments)}
        start += len(candidate.arguments)
        for arguments, label, negated in relations:
            row = row_of.get(arguments)
            if row is not None:
                targets[row, column_of[label]] = 1.0
                targets[row, -1] = float(negated)
                weights[row, -1] = 1.0
    weights /= max(float((targets[:, :-1].sum(axis=1) > 0).sum()), 1.0)
    log_loss = numpy.logaddexp(0, logits) - targets * logits
    loss = float((log_loss * weights).sum())
    d_logits = (sigmoid(logits) - targets) * weights
    return loss, unpool(d_logits, rows, logits, groups)
