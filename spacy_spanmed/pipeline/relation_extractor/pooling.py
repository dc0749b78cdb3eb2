"""From scores of pairs of mentions to scores of pairs of arguments.

A pair of concepts has as many rows of scores as it has pairs of mentions; they are pooled by
logsumexp, a smooth maximum (Verga et al. 2018, BRAN, doi 10.18653/v1/N18-1080). A pair of single
mentions has one row, which pooling doesn't change. The loss is that of the pooled scores.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .candidates import CandidatePairs


def pool(logits: np.ndarray, groups: np.ndarray, n_groups: int) -> np.ndarray:
    """Pool rows by logsumexp.

    logits (np.ndarray): (rows, labels). groups (np.ndarray): (rows,), the group of each.
    n_groups (int): Number of groups, each of which has a row.
    RETURNS (np.ndarray): (groups, labels).
    """
    highest = np.full((n_groups, logits.shape[1]), -np.inf, dtype=logits.dtype)
    np.maximum.at(highest, groups, logits)
    total = np.zeros_like(highest)
    np.add.at(total, groups, np.exp(logits - highest[groups]))
    return highest + np.log(total)


def unpool(
    d_pooled: np.ndarray, logits: np.ndarray, pooled: np.ndarray, groups: np.ndarray
) -> np.ndarray:
    """RETURNS (np.ndarray): (rows, labels), the gradient by the rows that were pooled: each
    gets its share by softmax within the group."""
    return d_pooled[groups] * np.exp(logits - pooled[groups])


def join_groups(candidates: Sequence[CandidatePairs]) -> tuple[np.ndarray, int]:
    """RETURNS (Tuple[np.ndarray, int]): The groups of all rows of a batch, numbered through,
    and their number."""
    parts: list[np.ndarray] = []
    start = 0
    for candidate in candidates:
        parts.append(np.array(candidate.groups, dtype="int64") + start)
        start += len(candidate.arguments)
    return np.concatenate(parts) if parts else np.zeros(0, dtype="int64"), start
