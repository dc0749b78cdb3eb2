"""What a document says of a pair, beside the words around its mentions.

A scorer that sees one pair of mentions at a time can't know what a whole document says, so it is told:

- `describe_pairs`, before a pair is scored, of its two concepts: an abstract's topic is named often,
  early, and near what it is related to (the setting `evidence` of the model).
- `describe_competing`, after all were scored, of the competing pairs (the document's others), since
  annotators, and readers, compare: an abstract mostly has something to report, and a chemical that
  is near is blamed before one that is far. A pair's final score is a logistic regression on its own,
  on that of the best of the others, and on how many of those with its head or its tail are nearer.
  Its weights are fitted by `tuning/thresholds.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .candidates import Candidate, CandidatePairs

BEGINNING = 20  # tokens: about a title
CLOSE = 20  # tokens between the starts of two mentions: about a sentence
OF_CONCEPT = 6
SIZE = 2 * OF_CONCEPT + 2

# Keys of the setting `rivals`, which keeps its first name: it is saved in configs and meta.json
BIAS = "bias"
FEATURES = ("own", "best_rival", "head_nearer", "tail_nearer")
LOWEST = -8.0  # logit of a competing pair that isn't there, or that nobody would believe

Weights = Mapping[str, float]


def describe_pairs(candidate: CandidatePairs, rows: np.ndarray | None = None) -> np.ndarray:
    """Describe the two concepts of each pair of mentions; without concepts, the two mentions.

    candidate (CandidatePairs): The pairs of one Doc.
    rows (Optional[Ints1d]): Those to describe. Defaults to None: all.
    RETURNS (Floats2d): (pairs, SIZE), float32: what `_describe_concepts` says of the head and of
        the tail, the logarithm of the shortest distance of their mentions, and that of the number
        of mentions of theirs that are close. All between 0 and about 3.
    """
    if not candidate.pairs:
        return np.zeros((0, SIZE), dtype="float32")
    table, row_of = _describe_concepts(candidate.mentions)
    groups = np.array(candidate.groups, dtype="int64")
    distances, nearest = _measure_distances(candidate)
    close = np.bincount(groups[distances <= CLOSE], minlength=len(nearest))
    rows = np.arange(len(groups)) if rows is None else rows
    groups = groups[rows]
    # No list a pair: there may be so many that the garbage collector would look at all Docs again
    ends = np.array(
        [
            row_of[name]
            for row, group in zip(rows.tolist(), groups.tolist())
            for name in _name_ends(
                candidate.mentions, candidate.pairs[row], candidate.arguments[group]
            )
        ]
    ).reshape(-1, 2)
    described = [
        table[ends[:, 0]],
        table[ends[:, 1]],
        np.log1p(nearest[groups, None]) / 3,
        np.log1p(close[groups, None]),
    ]
    return np.concatenate(described, axis=1).astype("float32")


def _measure_distances(candidate: CandidatePairs) -> tuple[np.ndarray, np.ndarray]:
    """RETURNS (Tuple[Ints1d, Ints1d]): Tokens between the starts of each pair of mentions, and of
    the nearest mentions of each pair of arguments."""
    starts = np.array([mention.start for mention in candidate.mentions])
    heads, tails = np.array(candidate.pairs, dtype="int64").T
    distances = np.abs(starts[heads] - starts[tails])
    nearest = np.full(len(candidate.arguments), np.iinfo("int64").max)
    np.minimum.at(nearest, candidate.groups, distances)
    return distances, nearest


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
    if not mentions[pair[0]].concepts or not mentions[pair[1]].concepts:
        return pair
    return order_ends(mentions, pair, arguments)


def order_ends(
    mentions: list[Candidate], pair: tuple[int, int], arguments: tuple[Any, Any]
) -> tuple[Any, Any]:
    """RETURNS (Tuple): The arguments, that of the head first. Those of a relation between concepts
    without direction may stand the other way round."""
    head, tail = (mentions[position].concepts for position in pair)
    one, other = arguments
    if not head or not tail:
        return arguments
    return (one, other) if one in head and other in tail else (other, one)


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
    highest = pooled.max(axis=1)
    best = highest.argmax()
    described[:, :, 1] = highest.max(initial=LOWEST)
    described[best, :, 1] = np.delete(highest, best).max(initial=LOWEST)
    index: dict[Any, int] = {}
    heads, tails = zip(*candidate.arguments)
    # Each pair once among those of its head, and once among those of its tail
    codes = np.array([index.setdefault(end, len(index)) for end in (*heads, *tails)])
    nearer = _count_smaller(np.tile(_measure_distances(candidate)[1], 2), codes)
    described[:, :, 2:] = np.log1p(nearer).reshape(2, -1).T[:, None, :]
    return described


def _count_smaller(values: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """RETURNS (np.ndarray): For each the number of smaller values, from 0, with its code."""
    keys = codes * (values.max() + 1) + values
    ordered = np.sort(keys)
    return np.searchsorted(ordered, keys) - np.searchsorted(ordered, keys - values)
