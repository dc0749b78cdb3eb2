"""Which tokens of a block become targets: single tokens, whole words, or spans of words.

A masker sees only where the words of a block are and a random generator, so that its choice is
a function of the generator's key (:func:`mask_rng`), not of what was masked before. What happens
to the chosen tokens (80/10/10) is decided in ``corruption.py``, once for each unit returned here.

All maskers share one budget: ``rate`` of the maskable tokens, rounded down. It is never exceeded,
and when units are words it is missed by less than one word: the one that did not fit any more.
Special tokens and the pieces of a word cut by the end of a block (word -1) are never chosen.
"""

from typing import Protocol

import numpy as np
from spacy.util import registry


class Masker(Protocol):
    """Chooses the tokens to predict."""

    name: str

    def select(self, words: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Choose the units to mask in one block.

        words (np.ndarray): Shape (length,), integers: the index of the word each token belongs
            to, -1 where a token must not be masked.
        rng (np.random.Generator): Source of randomness, from :func:`mask_rng`.
        RETURNS (np.ndarray): Shape (units, 2), int64: first token and end (exclusive) of each
            unit, disjoint and in the order of the text.
        """
        ...


def mask_rng(seed: int, epoch: int, sample: int) -> np.random.Generator:
    """A counter-based generator for the masks of one sample in one epoch.

    The data loader works ahead of the training step and resumed runs skip samples, so masks may
    depend on nothing but these three numbers.

    seed (int): Seed of the run, not negative.
    epoch (int): Pass over the data, from 0.
    sample (int): Number of the block in the packed data, not its place in the shuffled order.
    RETURNS (np.random.Generator): Always the same stream for the same three numbers.
    """
    return np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, epoch, sample])))


def word_ranges(words: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First token and end (exclusive) of every maskable word of a block.

    words (np.ndarray): Shape (length,), word index of each token, -1 where not maskable.
    RETURNS (tuple): Two int64 arrays of shape (maskable words,).
    """
    padded = np.concatenate(([-1], words, [-1]))
    change = padded[1:] != padded[:-1]
    starts = np.flatnonzero(change[:-1] & (words >= 0))
    ends = np.flatnonzero(change[1:] & (words >= 0)) + 1
    return starts, ends


def token_budget(rate: float, words: np.ndarray) -> int:
    """How many tokens of a block may be masked: ``rate`` of the maskable ones, rounded down."""
    return int(np.floor(rate * np.count_nonzero(words >= 0) + 1e-9))


def _check_rate(rate: float) -> float:
    if not 0.0 < rate < 1.0:
        raise ValueError(f"The masking rate must lie between 0 and 1, but it is {rate}.")
    return rate


class TokenMasker:
    """Single tokens, uniformly and without regard to words, as BERT does.

    rate (float): Part of the maskable tokens to choose, default 0.15. The budget is met exactly.
    """

    name = "token"

    def __init__(self, rate: float = 0.15):
        self.rate = _check_rate(rate)

    def select(self, words: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """See :meth:`Masker.select`; every unit is one token."""
        maskable = np.flatnonzero(words >= 0)
        chosen = rng.choice(maskable, size=token_budget(self.rate, words), replace=False)
        chosen = np.sort(chosen)
        return np.stack([chosen, chosen + 1], axis=1)


class WholeWordMasker:
    """Whole words, in a uniformly random order until the next one exceeds the budget.

    rate (float): Part of the maskable tokens to choose at most, default 0.15.
    """

    name = "whole_word"

    def __init__(self, rate: float = 0.15):
        self.rate = _check_rate(rate)

    def select(self, words: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """See :meth:`Masker.select`; every unit is one word."""
        starts, ends = word_ranges(words)
        order = rng.permutation(len(starts))
        total = np.cumsum((ends - starts)[order])
        fits = np.searchsorted(total, token_budget(self.rate, words), side="right")
        chosen = np.sort(order[:fits])
        return np.stack([starts[chosen], ends[chosen]], axis=1)


class SpanMasker:
    """Spans of whole words with geometric lengths, after SpanBERT (Joshi et al. 2020).

    The length of a span, in words, is drawn first: geometric with ``p``, renormalised to
    1..``max_words`` (mean 3.8 for the defaults). The start is then uniform over all places where
    a span of that length fits: inside one document and one word away from every other span, so
    that both outer boundary tokens, which the span boundary objective reads, stay visible.
    Drawing the length first keeps its distribution: rejecting overlaps would favour short spans.
    The last span is cut to the words that fit the budget.

    rate (float): Part of the maskable tokens to choose at most, default 0.15.
    p (float): Parameter of the geometric distribution, default 0.2.
    max_words (int): Longest span in words, default 10.
    """

    name = "span"

    def __init__(self, rate: float = 0.15, p: float = 0.2, max_words: int = 10):
        self.rate = _check_rate(rate)
        if not 0.0 < p < 1.0:
            raise ValueError(f"The geometric parameter p must lie between 0 and 1, but it is {p}.")
        if max_words < 1:
            raise ValueError(f"A span needs at least one word, but max_words is {max_words}.")
        weights = p * (1.0 - p) ** np.arange(max_words)
        self.length_probabilities = weights / weights.sum()
        self._cumulative = np.cumsum(self.length_probabilities)

    def draw_length(self, rng: np.random.Generator) -> int:
        """Draw the length of one span.

        rng (np.random.Generator): Source of randomness.
        RETURNS (int): Words, 1 to ``max_words``.
        """
        place = int(np.searchsorted(self._cumulative, rng.random(), side="right"))
        return min(place, len(self._cumulative) - 1) + 1

    def select(self, words: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """See :meth:`Masker.select`; every unit is one span."""
        starts, ends = word_ranges(words)
        touches_next = np.append(starts[1:] == ends[:-1], False)[: len(starts)]
        left = token_budget(self.rate, words)
        masked = np.zeros(len(starts), dtype=bool)
        free = ~masked
        spans = []
        while left > 0:
            room = _free_words_to_the_right(free, touches_next)
            if not room.any():
                if np.array_equal(free, ~masked):
                    break
                free = ~masked  # no place one word away from all spans: let spans touch
                continue
            length = min(self.draw_length(rng), int(room.max()))
            places = np.flatnonzero(room >= length)
            first = int(places[rng.integers(len(places))])
            sizes = np.cumsum((ends - starts)[first : first + length])
            fits = int(np.searchsorted(sizes, left, side="right"))
            if fits:
                spans.append((starts[first], ends[first + fits - 1]))
                left -= int(sizes[fits - 1])
                masked[first : first + fits] = True
                free[max(first - 1, 0) : first + fits + 1] = False
            if fits < length:
                break
        return np.array(sorted(spans), dtype=np.int64).reshape(-1, 2)


def _free_words_to_the_right(free: np.ndarray, touches_next: np.ndarray) -> np.ndarray:
    """For each word, how many free words follow each other from it on, itself included."""
    index = np.arange(len(free))
    goes_on = free & touches_next & np.append(free[1:], False)[: len(free)]
    stops = np.where(goes_on, len(free), index)
    next_stop = np.minimum.accumulate(stops[::-1])[::-1]
    return np.where(free, next_stop - index + 1, 0)


@registry.misc("spanmed.TokenMasker.v1")
def make_token_masker(rate: float = 0.15) -> TokenMasker:
    """Registered as ``spanmed.TokenMasker.v1``; see :class:`TokenMasker`."""
    return TokenMasker(rate=rate)


@registry.misc("spanmed.WholeWordMasker.v1")
def make_whole_word_masker(rate: float = 0.15) -> WholeWordMasker:
    """Registered as ``spanmed.WholeWordMasker.v1``; see :class:`WholeWordMasker`."""
    return WholeWordMasker(rate=rate)


@registry.misc("spanmed.SpanMasker.v1")
def make_span_masker(rate: float = 0.15, p: float = 0.2, max_words: int = 10) -> SpanMasker:
    """Registered as ``spanmed.SpanMasker.v1``; see :class:`SpanMasker`."""
    return SpanMasker(rate=rate, p=p, max_words=max_words)
