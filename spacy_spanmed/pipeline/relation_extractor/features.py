"""What a whole document says of two concepts, beside the words around their mentions.

An abstract's topic is named often, early, and near what it is related to. A scorer that sees one
pair of mentions at a time can't know that.

What speaks for a relation beside its own score: what else the document offers.

Each pair is scored as if it were alone, but annotators, and readers, compare: an abstract mostly
has something to report, and a chemical that is near is blamed before one that is far. So a pair's
final score is a logistic regression on its own score, that of its best rival, and how many of its
rivals are nearer (see `rival_fitting.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from thinc.types import Floats2d

from .candidates import CandidatePairs
from .pair_blocks import Candidate

BEGINNING = 20  # tokens: about a title
CLOSE = 20  # tokens between the starts of two mentions: about a sentence
OF_CONCEPT = 6
SIZE = 2 * OF_CONCEPT + 2


def describe_pairs(candidate: CandidatePairs) -> Floats2d:
    """Describe the two concepts of each pair of mentions; without concepts, the two mentions.

    candidate (CandidatePairs): The pairs of one Doc.
    RETURNS (Floats2d): (pairs, SIZE), float32: what `_describe_concepts` says of the head and of
        the tail, the logarithm of the shortest distance of their mentions, and that of the number
        of mentions of theirs that are close. All between 0 and about 3.
    """
    if not candidate.pairs:
        return np.zeros((0, SIZE), dtype="float32")
    table, rows = _describe_concepts(candidate.mentions)
    groups = np.array(candidate.groups, dtype="int64")
    pairs = np.array(candidate.pairs, dtype="int64")
    starts = np.array([mention.start for mention in candidate.mentions])
    distances = np.abs(starts[pairs[:, 0]] - starts[pairs[:, 1]])
    nearest = np.full(len(candidate.arguments), np.inf)
    np.minimum.at(nearest, groups, distances)
    close = np.bincount(groups[distances <= CLOSE], minlength=len(candidate.arguments))
    # No list a pair: there may be so many that the garbage collector would look at all Docs again
    ends = np.array(
        [
            rows[name]
            for pair, group in zip(candidate.pairs, candidate.groups)
            for name in _name_ends(candidate.mentions, pair, candidate.arguments[group])
        ]
    ).reshape(-1, 2)
    described = [
        table[ends[:, 0]],
        table[ends[:, 1]],
        np.log1p(nearest[groups, None]) / 3,
        np.log1p(close[groups, None]),
    ]
    return np.concatenate(described, axis=1).astype("float32")


def _describe_concepts(mentions: list[Candidate]) -> tuple[np.ndarray, dict[Any, int]]:
    """RETURNS (Tuple[np.ndarray, Dict]): (concepts, OF_CONCEPT), and the row of each concept:
    the logarithm of its mentions, that of its first token, whether that is in the beginning; and
    among those with its label its rank by mentions (1, then 1/2, ...), its share of the mentions,
    and the logarithm of their number."""
    found: dict[Any, list[Candidate]] = {}
    for position, mention in enumerate(mentions):
        for name in mention.concepts or (position,):
            found.setdefault(name, []).append(mention)
    by_label: dict[str, list[Any]] = {}
    for name, own in found.items():
        by_label.setdefault(own[0].label, []).append(name)
    table = np.zeros((len(found), OF_CONCEPT))
    rows = {name: row for row, name in enumerate(found)}
    for names in by_label.values():
        names.sort(key=lambda name: -len(found[name]))
        total = sum(len(found[name]) for name in names)
        for rank, name in enumerate(names, start=1):
            count, first = len(found[name]), min(mention.start for mention in found[name])
            table[rows[name]] = (
                np.log(count),
                np.log1p(first) / 3,
                first < BEGINNING,
                1 / rank,
                count / total,
                np.log(len(names)),
            )
    return table, rows


def _name_ends(
    mentions: list[Candidate], pair: tuple[int, int], arguments: tuple[Any, Any]
) -> tuple[Any, Any]:
    """RETURNS (Tuple): The concepts of the head and of the tail. The arguments of a relation
    without direction may stand the other way round."""
    head, tail = (mentions[position].concepts for position in pair)
    if not head or not tail:
        return pair
    one, other = arguments
    return (one, other) if one in head and other in tail else (other, one)


BIAS = "bias"
FEATURES = ("own", "best_rival", "head_nearer", "tail_nearer")
LOWEST = -8.0  # logit of a rival that is none, or that nobody would believe

Weights = Mapping[str, float]


def check_weights(weights: Weights) -> dict[str, float]:
    """RETURNS (Dict[str, float]): The weights. RAISES (ValueError): Some are missing or unknown."""
    if weights and set(weights) != {BIAS, *FEATURES}:
        raise ValueError(
            f"rivals must be empty or have {', '.join((BIAS, *FEATURES))}; not {', '.join(weights)}."
        )
    return dict(weights)


def apply_weights(weights: Weights, described: np.ndarray) -> np.ndarray:
    """RETURNS (np.ndarray): (groups, labels), logits; described is that of `describe_rivals`."""
    return described @ np.array([weights[name] for name in FEATURES]) + weights[BIAS]


def describe_rivals(candidate: CandidatePairs, pooled: np.ndarray) -> np.ndarray:
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
