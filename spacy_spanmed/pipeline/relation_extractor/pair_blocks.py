"""All pairs of mentions of a Doc, a part at a time: thousands of mentions have millions of pairs."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

import numpy as np

LabelPair = tuple[str, str]


class Candidate(NamedTuple):
    """A mention on the tokens of the Doc that is processed, with the offsets it came with.

    start, end (int): Tokens, end exclusive. start_char, end_char (int): As given, which may cut
    through a token. label (str): Entity label. concepts (Tuple[str, ...]): Ids of its concepts;
    not used for relations between mentions.
    """

    start: int
    end: int
    start_char: int
    end_char: int
    label: str
    concepts: tuple[str, ...] = ()


class PairBlocks:
    """All pairs of mentions, some rows of the matrix at a time. For the arguments see `find_pairs`."""

    ROWS = 256
    WAITING = 1 << 20  # pairs that `collect_first` gathers before it keeps the closest

    def __init__(
        self,
        mentions: list[Candidate],
        max_distance: int,
        concepts: bool,
        directed: bool,
        pair_types: Collection[LabelPair] | None,
    ):
        labels = sorted({mention.label for mention in mentions})
        code = {label: i for i, label in enumerate(labels)}
        self.starts = np.array([mention.start for mention in mentions], dtype="int64")
        self.labels = np.array([code[mention.label] for mention in mentions], dtype="int64")
        self.allowed = np.array(
            [[pair_types is None or (h, t) in pair_types for t in labels] for h in labels],
            dtype=bool,
        ).reshape(len(labels), len(labels))
        # Mentions of no concept (-1) have no relations, nor have two of the same one.
        self.concepts: np.ndarray | None = None
        if concepts:
            ids: dict[tuple[str, ...], int] = {(): -1}
            self.concepts = np.array(
                [ids.setdefault(mention.concepts, len(ids)) for mention in mentions], dtype="int64"
            )
        self.max_distance = max_distance
        self.directed = directed

    def _block(self, start: int, reach: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """RETURNS (Tuple): Distances, at most reach, and which pairs (row first, and column first)
        to look at. Row and column 0 are the mention at start."""
        rows = self.starts[start : start + self.ROWS]
        last = int(np.searchsorted(self.starts, rows[-1] + reach, side="right"))
        one, other = slice(start, start + len(rows)), slice(start, last)
        distances = self.starts[None, other] - rows[:, None]
        near = np.tri(len(rows), distances.shape[1], dtype=bool)
        np.logical_not(near, out=near)  # columns behind the row
        near &= distances <= reach
        if self.concepts is not None:
            heads, tails = self.concepts[one, None], self.concepts[None, other]
            near &= (heads != tails) & (heads >= 0) & (tails >= 0)
        forward, backward = self._allow(self.labels[one, None], self.labels[None, other])
        return distances, near & forward, near & backward

    def _allow(self, one: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """RETURNS (Tuple): Whether mentions with such labels, in this order in the text, are to be
        looked at as head and tail, and as tail and head."""
        forward, backward = self.allowed[one, other], self.allowed[other, one]
        if not self.directed:
            forward, backward = forward & (one <= other), backward & (one > other)
        return forward, backward

    def measure(self, max_pairs: int) -> tuple[int, int]:
        """RETURNS (Tuple[int, int]): The number of pairs, and the distance within which there are
        at least max_pairs (if there are)."""
        counts = np.zeros(1, dtype="int64")
        for start in range(0, len(self.starts), self.ROWS):
            distances, forward, backward = self._block(start, self.max_distance)
            for chosen in (forward, backward):
                more = np.bincount(distances[chosen], minlength=len(counts))
                more[: len(counts)] += counts
                counts = more
        within = counts.cumsum()
        return int(within[-1]), int(np.searchsorted(within, max_pairs))

    def collect(self, furthest: int) -> np.ndarray:
        """RETURNS (np.ndarray): (3, pairs), int64: distances, heads and tails of all pairs within
        a distance."""
        parts = [np.zeros((3, 0), dtype="int64")]
        for start in range(0, len(self.starts), self.ROWS):
            distances, forward, backward = self._block(start, min(furthest, self.max_distance))
            for chosen, swap in ((forward, False), (backward, True)):
                rows, columns = np.nonzero(chosen)
                pair = (columns, rows) if swap else (rows, columns)
                parts.append(np.stack([distances[rows, columns], *(end + start for end in pair)]))
        return np.concatenate(parts, axis=1)

    def collect_first(self, max_pairs: int) -> np.ndarray:
        """RETURNS (np.ndarray): As `collect`, of each pair of concepts only the closest pair of
        mentions; of those about max_pairs, the closest."""
        assert self.concepts is not None  # asked for only where the arguments are concepts
        both = np.stack([self.concepts, self.labels])
        codes = np.unique(both, axis=1, return_inverse=True)[1].ravel()
        count = int(codes.max()) + 1
        nearest = np.full(count, -1)  # of each code the next mention to the right
        label_of = np.zeros(count, dtype="int64")
        label_of[codes] = self.labels
        found = np.zeros((4, 0), dtype="int64")
        parts: list[np.ndarray] = []
        waiting, limit = 0, self.max_distance
        for row in reversed(range(len(codes))):
            if self.concepts[row] < 0:
                continue
            others = np.flatnonzero(nearest >= 0)
            columns = nearest[others]
            distances = self.starts[columns] - self.starts[row]
            forward, backward = self._allow(self.labels[row], label_of[others])
            wanted = (forward | backward) & (distances <= limit)
            wanted &= self.concepts[columns] != self.concepts[row]
            others, columns, distances = others[wanted], columns[wanted], distances[wanted]
            mine = codes[row]
            keys = np.minimum(others, mine) * count + np.maximum(others, mine)
            rows = np.full(len(keys), row)
            parts.append(np.stack([keys, distances, rows, columns]))
            waiting += len(keys)
            nearest[mine] = row
            if waiting > self.WAITING:
                found = _choose_first(np.concatenate([found, *parts], axis=1), max_pairs)
                parts, waiting = [], 0
                if found.shape[1] == max_pairs:  # what is farther away has no chance any more
                    limit = int(found[1].max())
        distances, rows, columns = _choose_first(
            np.concatenate([found, *parts], axis=1), max_pairs
        )[1:]
        forward, backward = self._allow(self.labels[rows], self.labels[columns])
        pairs = np.stack([distances, rows, columns])
        return np.concatenate([pairs[:, forward], pairs[[0, 2, 1]][:, backward]], axis=1)


def _choose_first(found: np.ndarray, count: int) -> np.ndarray:
    """RETURNS (np.ndarray): The columns (key, distance, ...) that are the closest of their key,
    and of these the count closest."""
    found = found[:, np.lexsort(found[::-1])]
    found = found[:, np.append(True, found[0, 1:] != found[0, :-1])[: found.shape[1]]]
    return found[:, np.lexsort(found[[3, 2, 1]])[:count]]
