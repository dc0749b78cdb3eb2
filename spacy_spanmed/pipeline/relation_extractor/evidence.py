"""What a whole document says of two concepts, beside the words around their mentions.

An abstract's topic is named often, early, and near what it is related to. A scorer that sees one
pair of mentions at a time can't know that, so with `evidence` it is told.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .candidates import CandidatePairs
from .pair_blocks import Candidate

BEGINNING = 20  # tokens: about a title
CLOSE = 20  # tokens between the starts of two mentions: about a sentence
OF_CONCEPT = 6
SIZE = 2 * OF_CONCEPT + 2


def describe_pairs(candidate: CandidatePairs) -> np.ndarray:
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
