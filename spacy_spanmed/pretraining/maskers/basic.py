"""Tokens and whole words, as BERT masks them (Devlin et al. 2019), and spans of words, as SpanBERT
does (Joshi et al. 2020): all drawn without a look at which words they are."""

from bisect import bisect_right

import numpy as np
from spacy.util import registry

from .base import Masker, check_rate, token_budget, word_ranges, word_units


class TokenMasker(Masker):
    """Single tokens, uniformly and without regard to words, as BERT does.

    rate (float): Part of the maskable tokens to choose, default 0.15. The budget is met exactly.
    """

    name = "token"

    def __init__(self, rate: float = 0.15):
        self.rate = check_rate(rate)

    def select(
        self, words: np.ndarray, rng: np.random.Generator, input_ids: np.ndarray | None = None
    ) -> np.ndarray:
        """See :meth:`Masker.select`; every unit is one token."""
        maskable = np.flatnonzero(words >= 0)
        chosen = rng.choice(maskable, size=token_budget(self.rate, words), replace=False)
        chosen = np.sort(chosen)
        return np.stack([chosen, chosen + 1], axis=1)


class WholeWordMasker(Masker):
    """Whole words, in a uniformly random order until the next one exceeds the budget.

    rate (float): Part of the maskable tokens to choose at most, default 0.15.
    """

    name = "whole_word"

    def __init__(self, rate: float = 0.15):
        self.rate = check_rate(rate)

    def select(
        self, words: np.ndarray, rng: np.random.Generator, input_ids: np.ndarray | None = None
    ) -> np.ndarray:
        """See :meth:`Masker.select`; every unit is one word."""
        units = word_units(words)
        order = rng.permutation(len(units))
        total = np.cumsum((units[:, 1] - units[:, 0])[order])
        fits = np.searchsorted(total, token_budget(self.rate, words), side="right")
        return units[np.sort(order[:fits])]


class SpanMasker(Masker):
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
        self.rate = check_rate(rate)
        if not 0.0 < p < 1.0:
            raise ValueError(f"The geometric parameter p must lie between 0 and 1, but it is {p}.")
        if max_words < 1:
            raise ValueError(f"A span needs at least one word, but max_words is {max_words}.")
        weights = p * (1.0 - p) ** np.arange(max_words)
        self.length_probabilities = weights / weights.sum()
        self._cumulative = np.cumsum(self.length_probabilities).tolist()

    def draw_length(self, rng: np.random.Generator) -> int:
        """Draw the length of one span.

        rng (np.random.Generator): Source of randomness.
        RETURNS (int): Words, 1 to ``max_words``.
        """
        place = bisect_right(self._cumulative, rng.random())
        return min(place, len(self._cumulative) - 1) + 1

    def select(
        self, words: np.ndarray, rng: np.random.Generator, input_ids: np.ndarray | None = None
    ) -> np.ndarray:
        """See :meth:`Masker.select`; every unit is one span."""
        none = np.zeros((0, 2), dtype=np.int64)
        return self.add_spans(none, words, token_budget(self.rate, words), rng)

    def add_spans(
        self, chosen: np.ndarray, words: np.ndarray, budget: int, rng: np.random.Generator
    ) -> np.ndarray:
        """Place spans on the words that are not masked yet.

        Between two spans only the runs of free words matter, of which a sequence has a handful, so
        they are kept as plain pairs: a span costs microseconds however long the sequence is.

        chosen (np.ndarray): Shape (units, 2), units of whole words that are masked already.
        words, rng: See :meth:`Masker.select`.
        budget (int): Tokens that may be masked.
        RETURNS (np.ndarray): Shape (units, 2), these units and the spans, in the order of the text.
        """
        starts, ends = word_ranges(words)
        documents = _documents(starts, ends)
        first_tokens, last_tokens = starts.tolist(), ends.tolist()
        first_words = np.searchsorted(starts, chosen[:, 0]).tolist()
        last_words = np.searchsorted(ends, chosen[:, 1]).tolist()
        taken = [(first, last + 1) for first, last in zip(first_words, last_words)]
        runs = documents
        for first, end in taken:
            runs = _without(runs, first - 1, end + 1)
        spans: list[tuple[int, int]] = []
        while budget > 0:
            if not runs:  # no place one word away from all spans: let spans touch
                runs = documents
                for first, end in taken:
                    runs = _without(runs, first, end)
                if not runs:
                    break
            room = max([end - start for start, end in runs])
            length = min(self.draw_length(rng), room)
            first = _draw_place(runs, length, rng)
            limit = first_tokens[first] + budget
            end = bisect_right(last_tokens, limit, first, first + length)
            if end > first:
                spans.append((first_tokens[first], last_tokens[end - 1]))
                budget = limit - last_tokens[end - 1]
                taken.append((first, end))
                runs = _without(runs, first - 1, end + 1)
            if end < first + length:
                break
        units = np.concatenate([chosen, np.array(spans, dtype=np.int64).reshape(-1, 2)])
        return units[np.argsort(units[:, 0])]


def _documents(starts: np.ndarray, ends: np.ndarray) -> list[tuple[int, int]]:
    """Runs of words that follow each other without a gap: first word and end (exclusive)."""
    gaps = (starts[1:] != ends[:-1]).nonzero()[0] + 1
    bounds = [0, *gaps.tolist(), len(starts)]
    return list(zip(bounds[:-1], bounds[1:])) if len(starts) else []


def _draw_place(runs: list[tuple[int, int]], length: int, rng: np.random.Generator) -> int:
    """Draw the first word of a span uniformly from all places where its length fits."""
    places = [(start, end - start - length + 1) for start, end in runs if end - start >= length]
    number = int(rng.integers(sum(count for _, count in places)))
    for start, count in places:
        if number < count:
            break
        number -= count
    return start + number


def _without(runs: list[tuple[int, int]], first: int, end: int) -> list[tuple[int, int]]:
    """Take the words from first to end (exclusive) out of the runs."""
    left = []
    for start, stop in runs:
        if stop <= first or start >= end:
            left.append((start, stop))
            continue
        if start < first:
            left.append((start, first))
        if stop > end:
            left.append((end, stop))
    return left


make_token_masker = registry.misc("spanmed.TokenMasker.v1")(TokenMasker)
make_whole_word_masker = registry.misc("spanmed.WholeWordMasker.v1")(WholeWordMasker)
make_span_masker = registry.misc("spanmed.SpanMasker.v1")(SpanMasker)
