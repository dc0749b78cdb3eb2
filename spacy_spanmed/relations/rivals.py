"""What speaks for a relation beside its own score: what else the document offers.

Each pair is scored as if it were alone, but annotators, and readers, compare: an abstract mostly
has something to report, and a chemical that is near is blamed before one that is far. So a pair's
final score is a logistic regression on its own score, that of its best rival, and how many of its
rivals are nearer (see `rival_fitting.py`).
"""

from __future__ import annotations

from typing import Any, Dict, Mapping

import numpy

from .candidates import CandidatePairs

BIAS = "bias"
FEATURES = ("own", "best_rival", "head_nearer", "tail_nearer")
LOWEST = -8.0  # logit of a rival that is none, or that nobody would believe

Weights = Mapping[str, float]


def check_weights(weights: Weights) -> Dict[str, float]:
    """RETURNS (Dict[str, float]): The weights. RAISES (ValueError): Some are missing or unknown."""
    if weights and set(weights) != {BIAS, *FEATURES}:
        raise ValueError(
            f"rivals must be empty or have {', '.join((BIAS, *FEATURES))}; not {', '.join(weights)}."
        )
    return dict(weights)


def apply_weights(weights: Weights, described: numpy.ndarray) -> numpy.ndarray:
    """RETURNS (numpy.ndarray): (groups, labels), logits; described is that of `describe_rivals`."""
    return described @ numpy.array([weights[name] for name in FEATURES]) + weights[BIAS]


def describe_rivals(candidate: CandidatePairs, pooled: numpy.ndarray) -> numpy.ndarray:
    """Describe the pairs of arguments of a Doc for each label.

    candidate (CandidatePairs): The pairs. pooled (numpy.ndarray): (groups, labels), their logits.
    RETURNS (numpy.ndarray): (groups, labels, FEATURES), float64: the logit; the greatest of the
        other pairs, whatever their label; and for head and tail the logarithm of 1 + the number of
        the other pairs that it is in and that are nearer.
    """
    described = numpy.zeros((*pooled.shape, len(FEATURES)))
    described[:, :, 0] = pooled
    if not len(pooled):
        return described
    described[:, :, 1] = _find_best_others(pooled.max(axis=1))[:, None]
    index: Dict[Any, int] = {}
    heads, tails = zip(*candidate.arguments)
    # Each pair once among those of its head, and once among those of its tail
    codes = numpy.array([index.setdefault(end, len(index)) for end in (*heads, *tails)])
    nearer = _count_smaller(numpy.tile(_find_distances(candidate), 2), codes)
    described[:, :, 2:] = numpy.log1p(nearer).reshape(2, -1).T[:, None, :]
    return described


def _find_best_others(values: numpy.ndarray) -> numpy.ndarray:
    """RETURNS (numpy.ndarray): For each the greatest of the others, LOWEST at least."""
    best = values.argmax()
    result = numpy.full(len(values), max(float(values[best]), LOWEST))
    result[best] = max(numpy.delete(values, best).max(initial=LOWEST), LOWEST)
    return result


def _count_smaller(values: numpy.ndarray, codes: numpy.ndarray) -> numpy.ndarray:
    """RETURNS (numpy.ndarray): For each the number of smaller values with its code."""
    order = numpy.lexsort((values, codes))
    values, codes = values[order], codes[order]
    places = numpy.arange(len(codes))
    changes = numpy.append(True, codes[1:] != codes[:-1])
    begins = numpy.maximum.accumulate(numpy.where(changes, places, 0))
    greater = changes | numpy.append(True, values[1:] != values[:-1])
    result = numpy.empty(len(codes), dtype="int64")
    result[order] = numpy.maximum.accumulate(numpy.where(greater, places, 0)) - begins
    return result


def _find_distances(candidate: CandidatePairs) -> numpy.ndarray:
    """RETURNS (numpy.ndarray): Of each pair of arguments, tokens between the starts of their
    nearest mentions."""
    starts = numpy.array([mention.start for mention in candidate.mentions])
    heads, tails = numpy.array(candidate.pairs, dtype="int64").T
    nearest = numpy.full(len(candidate.arguments), numpy.iinfo("int64").max)
    numpy.minimum.at(nearest, candidate.groups, numpy.abs(starts[heads] - starts[tails]))
    return nearest
