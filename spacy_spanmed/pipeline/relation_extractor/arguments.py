"""The candidates of a batch as arrays, argument by argument.

An argument is a mention, or a concept with all its mentions; a pair of arguments is one row, however
many pairs of mentions it has.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from .candidates import CandidatePairs
from .evidence import describe_pairs, order_ends

DISTANCES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96)  # upper ends of the buckets, in tokens
BUCKETS = 2 * len(DISTANCES) + 2  # of both orders
WINDOW = 512  # tokens that look at one another in layers of the pipe's own
STRIDE = 64  # contexts start at multiples of so many tokens, so that many pairs share one


class ArgumentBatch(NamedTuple):
    """numpy arrays of a batch, int64 but for the last, float32. Tokens are rows of the concatenated
    Docs.

    windows (Ints2d): (windows, 2), see `cut_windows`. spans (Ints2d): (mentions, 2), first and last
    token. labels (Ints1d): Of each mention; 0 is an unknown one. members (Ints2d): (members, 2), a
    mention and an argument that it is one of. pairs (Ints2d): (pairs, 2), head and tail, arguments.
    contexts (Ints2d): (pairs, 2), the tokens to attend to, start and end, exclusive. buckets (Ints1d):
    Distance and order of the nearest mentions of each pair. evidence (Floats2d): (pairs, SIZE), see
    `describe_pairs`; (pairs, 0) if it isn't wanted.
    """

    windows: np.ndarray
    spans: np.ndarray
    labels: np.ndarray
    members: np.ndarray
    pairs: np.ndarray
    contexts: np.ndarray
    buckets: np.ndarray
    evidence: np.ndarray


def find_nearest(candidate: CandidatePairs) -> np.ndarray:
    """RETURNS (Ints1d): For each pair of arguments the row of its nearest pair of mentions, the first
    one that speaks for it."""
    if not candidate.groups:
        return np.zeros(0, dtype="int64")
    return np.unique(np.array(candidate.groups), return_index=True)[1]


def index_arguments(
    lengths: Sequence[int],
    candidates: Sequence[CandidatePairs],
    entity_labels: Sequence[str],
    window: int,
    evidence: bool,
) -> ArgumentBatch:
    """Turn the candidates of a batch into arrays.

    lengths (Sequence[int]): Tokens of each Doc. entity_labels (Sequence[str]): Known labels.
    window (int): Tokens of a Doc that a pair attends to, at most, around its nearest mentions.
    evidence (bool): Whether to describe the pairs.
    """
    row_of = {label: row for row, label in enumerate(entity_labels, start=1)}
    labels: list[int] = []
    members: list[tuple[int, int]] = []
    pairs: list[tuple[int, int]] = []
    spans, contexts, distances, described = [], [], [], []
    offset = n_arguments = 0
    for length, candidate in zip(lengths, candidates):
        own = np.array([(m.start, m.end) for m in candidate.mentions], dtype="int64").reshape(-1, 2)
        index: dict[Any, int] = {}
        for number, mention in enumerate(candidate.mentions):
            for name in mention.concepts or ((mention.start_char, mention.end_char),):
                place = index.setdefault(name, len(index))
                members.append((len(labels) + number, n_arguments + place))
        nearest = find_nearest(candidate)
        mentions = np.array(candidate.pairs, dtype="int64").reshape(-1, 2)[nearest]
        for number, pair in enumerate(mentions.tolist()):
            ends = order_ends(candidate.mentions, pair, candidate.arguments[number])
            head, tail = (index[name] for name in ends)
            pairs.append((n_arguments + head, n_arguments + tail))
        starts = own[mentions, 0]
        distances.append(starts[:, 1] - starts[:, 0])
        contexts.append(_find_contexts(starts, length, window) + offset)
        if evidence:
            described.append(describe_pairs(candidate, nearest))
        spans.append(own + (offset, offset - 1))
        labels.extend(row_of.get(mention.label, 0) for mention in candidate.mentions)
        n_arguments += len(index)
        offset += length
    between = np.concatenate([np.zeros(0, dtype="int64"), *distances])
    buckets = np.searchsorted(DISTANCES, np.abs(between)) + (between < 0) * (len(DISTANCES) + 1)
    return ArgumentBatch(
        cut_windows(lengths),
        _join(spans, 2),
        np.array(labels, dtype="int64"),
        np.array(members, dtype="int64").reshape(-1, 2),
        np.array(pairs, dtype="int64").reshape(-1, 2),
        _join(contexts, 2),
        buckets,
        np.concatenate(described) if evidence else np.zeros((len(pairs), 0), dtype="float32"),
    )


def _find_contexts(starts: np.ndarray, length: int, window: int) -> np.ndarray:
    """RETURNS (Ints2d): (pairs, 2), start and end, exclusive, around the middle of two tokens."""
    first = (starts.sum(axis=1) - window) // 2
    first = (first // STRIDE * STRIDE).clip(0, max(length - window, 0))
    return np.stack([first, (first + window).clip(max=length)], axis=1)


def _join(parts: list[np.ndarray], width: int) -> np.ndarray:
    return np.concatenate([np.zeros((0, width), dtype="int64"), *parts])


def cut_windows(lengths: Sequence[int], limit: int = WINDOW) -> np.ndarray:
    """Cut the tokens of a batch into windows of one Doc each, of about equal length.

    lengths (Sequence[int]): Tokens of each Doc. limit (int): Tokens in a window, at most.
    RETURNS (Ints2d): (windows, 2), start and end, exclusive, in the concatenated tokens.
    """
    found: list[tuple[int, int]] = []
    start = 0
    for length in lengths:
        count = -(-length // limit)
        edges = start + np.arange(count + 1) * length // max(count, 1)
        found.extend(zip(edges, edges[1:]))
        start += length
    return np.array(found, dtype="int64").reshape(-1, 2)
