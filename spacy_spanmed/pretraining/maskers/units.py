"""Known phrases as units: where they are in a text, and how a budget is spent on them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ..texts.packing import PackedSequences

OUTSIDE = 2**32 - 2  # symbol of a token that belongs to no word: even, and no token's
COVERAGE_TOKENS = 1_000_000


def make_symbols(words: np.ndarray, input_ids: np.ndarray) -> np.ndarray:
    """Tokens as numbers that also say whether a word begins: equal symbols are equal words.

    words (np.ndarray): Shape (length,), word index of each token, -1 outside of words.
    input_ids (np.ndarray): Shape (length,), ids of the tokens.
    RETURNS (np.ndarray): Shape (length + 1,), int64: twice the id, plus one where the word goes
        on; OUTSIDE where the word is -1, and at the end.
    """
    symbols = np.full(len(words) + 1, OUTSIDE, dtype=np.int64)
    symbols[:-1] = input_ids
    symbols[:-1] *= 2
    symbols[1:-1] += words[1:] == words[:-1]
    symbols[:-1][words < 0] = OUTSIDE
    return symbols


class PhraseTrie:
    """Phrases as a prefix tree in one sorted array, in which many places of a text are looked up
    at once: level by level, by binary search. Nothing is hashed, so there are no false matches.

    Node 0 is the root; the others are numbered from 1 in the order of their keys, which put the
    parent's number before the symbol.

    symbols (np.ndarray): Shape (length,), int64, from :func:`make_symbols`.
    starts, ends (np.ndarray): Shape (phrases,): where each phrase stands in the symbols: first
        one and end (exclusive). A phrase may come more than once.
    """

    def __init__(self, symbols: np.ndarray, starts: np.ndarray, ends: np.ndarray):
        self.nodes = np.zeros(len(starts), dtype=np.int64)  # where each phrase ends in the tree
        self.size = 1
        levels = []
        rows = np.flatnonzero(starts < ends)
        depth = 0
        while len(rows):
            keys = (self.nodes[rows] << 32) | symbols[starts[rows] + depth]
            distinct, inverse = np.unique(keys, return_inverse=True)
            self.nodes[rows] = inverse + self.size
            self.size += len(distinct)
            levels.append(distinct)
            depth += 1
            rows = rows[starts[rows] + depth < ends[rows]]
        levels.append(np.array([np.iinfo(np.int64).max]))  # so that every search ends inside
        self._keys = np.concatenate(levels)
        self._is_phrase = np.zeros(self.size, dtype=bool)
        self._is_phrase[self.nodes] = True
        self._is_phrase[0] = False

    def __len__(self) -> int:
        """RETURNS (int): Distinct phrases."""
        return int(np.count_nonzero(self._is_phrase))

    def find(self, symbols: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Find all occurrences that begin and end where words do, overlapping ones included.

        symbols (np.ndarray): Shape (length + 1,), from :func:`make_symbols`.
        RETURNS (tuple): Three int64 arrays of shape (occurrences,): first token, end (exclusive)
            and node of each, shorter ones first.
        """
        starts = np.flatnonzero((symbols & 1 == 0) & (symbols != OUTSIDE))
        ends, nodes = starts, np.zeros(len(starts), dtype=np.int64)
        found: list[tuple[np.ndarray, ...]] = [(starts[:0],) * 3]
        while len(starts):
            keys = (nodes << 32) | symbols[ends]
            places = np.searchsorted(self._keys, keys)
            known = np.flatnonzero(self._keys[places] == keys)
            starts, ends, nodes = starts[known], ends[known] + 1, places[known] + 1
            whole = np.flatnonzero(self._is_phrase[nodes] & (symbols[ends] & 1 == 0))
            found.append((starts[whole], ends[whole], nodes[whole]))
        first, end, node = (np.concatenate(parts) for parts in zip(*found))
        return first, end, node


def keep_disjoint(starts: np.ndarray, ends: np.ndarray, length: int) -> np.ndarray:
    """Resolve overlaps: an occurrence is kept if no kept one before it shares a token with it.

    starts, ends (np.ndarray): Shape (occurrences,), in the order of preference.
    length (int): Tokens of the sequence.
    RETURNS (np.ndarray): Shape (kept, 2), int64, in the same order.
    """
    taken = bytearray(length)
    kept = []
    for start, end in zip(starts.tolist(), ends.tolist()):
        if 1 not in taken[start:end]:
            taken[start:end] = b"\x01" * (end - start)
            kept.append((start, end))
    return np.array(kept, dtype=np.int64).reshape(-1, 2)


def draw_units(units: np.ndarray, budget: int, rng: np.random.Generator) -> tuple[np.ndarray, int]:
    """Take units in a uniformly random order; one that does not fit any more is passed over.

    units (np.ndarray): Shape (units, 2), disjoint.
    budget (int): Tokens that may be taken.
    rng (np.random.Generator): Source of randomness.
    RETURNS (tuple): The taken units, in the order of drawing, and what is left of the budget:
        less than any unit that was not taken.
    """
    sizes = (units[:, 1] - units[:, 0]).tolist()
    taken = []
    for number in rng.permutation(len(units)).tolist():
        if budget == 0:
            break
        if sizes[number] <= budget:
            taken.append(number)
            budget -= sizes[number]
    return units[taken], budget


def mark_tokens(units: np.ndarray, length: int) -> np.ndarray:
    """RETURNS (np.ndarray): Shape (length,), bool: which tokens lie in units (disjoint ones)."""
    steps = np.zeros(length + 1, dtype=np.int8)
    steps[units[:, 0]] += 1
    steps[units[:, 1]] -= 1
    return np.cumsum(steps[:-1], dtype=np.int8).astype(bool)


def sample_sequences(sequences: PackedSequences, max_tokens: int) -> tuple[np.ndarray, np.ndarray]:
    """As many sequences as hold so many tokens, spread evenly over the text, one after the other.

    sequences (PackedSequences): The packed text. A sequence begins and ends with a special token,
        so that nothing crosses from one to the next.
    max_tokens (int): Tokens to take at most; one sequence at least.
    RETURNS (tuple): Their words and ids, two arrays of shape (tokens,). Words of different
        sequences may have the same index.
    """
    total, length = sequences.words.shape
    count = min(total, max(max_tokens // length, 1))
    rows = np.arange(count) * total // count
    return sequences.words[rows].reshape(-1), sequences.input_ids[rows].reshape(-1)


def measure_coverage(phrases: PhraseTrie, sequences: PackedSequences) -> float:
    """Which part of the maskable tokens lies in a known phrase, in a sample of a million tokens.

    phrases (PhraseTrie): The phrases.
    sequences (PackedSequences): The text.
    RETURNS (float): 0 to 1.
    """
    words, input_ids = sample_sequences(sequences, COVERAGE_TOKENS)
    starts, ends, _ = phrases.find(make_symbols(words, input_ids))
    opened, closed = (np.bincount(places, minlength=len(words) + 1) for places in (starts, ends))
    covered = np.count_nonzero(np.cumsum(opened - closed))
    return covered / max(np.count_nonzero(words >= 0), 1)
