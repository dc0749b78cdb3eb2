"""A pair's final score, by what else the document offers.

Each pair is scored as if it were alone, but annotators, and readers, compare: an abstract mostly
has something to report, and a chemical that is near is blamed before one that is far. So a pair's
final score is a logistic regression on its own score, that of the best of the competing pairs (the
document's others), and how many of those with its head or its tail are nearer. Its weights are
fitted by `tuning/competing.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .candidates import CandidatePairs

# Keys of the setting `rivals`, which keeps its first name: it is saved in configs and meta.json
BIAS = "bias"
FEATURES = ("own", "best_rival", "head_nearer", "tail_nearer")
LOWEST = -8.0  # logit of a competing pair that isn't there, or that nobody would believe

Weights = Mapping[str, float]


def check_weights(weights: Weights) -> dict[str, float]:
    """RETURNS (Dict[str, float]): The weights. RAISES (ValueError): Some are missing or unknown."""
    if weights and set(weights) != {BIAS, *FEATURES}:
        raise ValueError(
            f"rivals must be empty or have {', '.join((BIAS, *FEATURES))}; not {', '.join(weights)}."
        )
    return dict(weights)


def apply_weights(weights: Weights, described: np.ndarray) -> np.ndarray:
    """RETURNS (np.ndarray): (groups, labels), logits; described is that of `describe_competing`."""
    return described @ np.array([weights[name] for name in FEATURES]) + weights[BIAS]


def describe_competing(candidate: CandidatePairs, pooled: np.ndarray) -> np.ndarray:
    """Describe the pairs of arguments of a Doc for each label.

    candidate (CandidatePairs): The pairs. pooled (np.ndarray): (groups, labels), their logits.
    RETURNS (np.ndarray): (groups, labels, FEATURES), float64: the logit; the greatest of the
        other pairs, whatever their label; and for head and tail the logarithm of 1 + the number of
        the other pairs that it is in and that are nearer.
    """
    described = np.zeros((*pooled.shape, len(FEATURES)))
    described[:, :, 0] = pooled
    if not len(pooled):
        return described
    described[:, :, 1] = _find_best_others(pooled.max(axis=1))[:, None]
    index: dict[Any, int] = {}
    heads, tails = zip(*candidate.arguments)
    # Each pair once among those of its head, and once among those of its tail
    codes = np.array([index.setdefault(end, len(index)) for end in (*heads, *tails)])
    nearer = _count_smaller(np.tile(_find_distances(candidate), 2), codes)
    described[:, :, 2:] = np.log1p(nearer).reshape(2, -1).T[:, None, :]
    return described


def _find_best_others(values: np.ndarray) -> np.ndarray:
    """RETURNS (np.ndarray): For each the greatest of the others, LOWEST at least."""
    best = values.argmax()
    result = np.full(len(values), max(float(values[best]), LOWEST))
    result[best] = max(np.delete(values, best).max(initial=LOWEST), LOWEST)
    return result


def _count_smaller(values: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """RETURNS (np.ndarray): For each the number of smaller values with its code."""
    order = np.lexsort((values, codes))
    values, codes = values[order], codes[order]
    places = np.arange(len(codes))
    changes = np.append(True, codes[1:] != codes[:-1])
    begins = np.maximum.accumulate(np.where(changes, places, 0))
    greater = changes | np.append(True, values[1:] != values[:-1])
    result = np.empty(len(codes), dtype="int64")
    result[order] = np.maximum.accumulate(np.where(greater, places, 0)) - begins
    return result


def _find_distances(candidate: CandidatePairs) -> np.ndarray:
    """RETURNS (np.ndarray): Of each pair of arguments, tokens between the starts of their
    nearest mentions."""
    starts = np.array([mention.start for mention in candidate.mentions])
    heads, tails = np.array(candidate.pairs, dtype="int64").T
    nearest = np.full(len(candidate.arguments), np.iinfo("int64").max)
    np.minimum.at(nearest, candidate.groups, np.abs(starts[heads] - starts[tails]))
    return nearest
