"""Collocations of the training text itself, as PMI-Masking masks them (Levine et al. 2021).

Everything is counted in whole arrays over the text. An n-gram is the pair of its first and its
last n - 1 words, so that a number for each pair is an exact count, without hashing, and as an
n-gram is no more frequent than its parts, only frequent ones go on to the next length.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from spacy.util import registry

from .base import Masker, check_rate, token_budget, word_ranges, word_units
from .units import (
    PhraseTrie,
    draw_units,
    keep_disjoint,
    make_symbols,
    mark_tokens,
    measure_coverage,
    sample_sequences,
)

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from ..texts.packing import PackedSequences


class Ngrams(NamedTuple):
    """The frequent n-grams of one length.

    length (int): Words.
    total (int): Occurrences of all n-grams of this length, rare ones included.
    counts (np.ndarray): Shape (n-grams,), occurrences.
    places (np.ndarray): Shape (n-grams,), the word at which one occurrence begins.
    heads, tails (np.ndarray): Shape (n-grams,), the numbers of its first and its last n - 1
        words among the n-grams of that length. Empty for single words.
    """

    length: int
    total: int
    counts: np.ndarray
    places: np.ndarray
    heads: np.ndarray
    tails: np.ndarray


def count_ngrams(
    words: np.ndarray, follows: np.ndarray, max_words: int, min_count: int
) -> list[Ngrams]:
    """Count n-grams.

    words (np.ndarray): Shape (words,), integers: which word stands at each place of the text.
    follows (np.ndarray): Shape (words,), bool: whether the next word follows without a gap (a
        separator, or the end of a sequence). The last one is False.
    max_words (int): Longest n-gram.
    min_count (int): Rarer n-grams are left out.
    RETURNS (list): From length 1 on; shorter than ``max_words`` if no longer one is frequent.
    """
    found: list[Ngrams] = []
    here = np.arange(len(words))  # where n-grams with frequent parts begin
    keys = np.asarray(words, dtype=np.int64)
    complete = np.ones(len(words), dtype=bool)  # whether n words without a gap begin here
    numbers = np.zeros(0, dtype=np.int64)  # of the n-gram that begins at a word; -1 for none
    for length in range(1, max_words + 1):
        distinct, first, inverse, counts = np.unique(
            keys, return_index=True, return_inverse=True, return_counts=True
        )
        kept = counts >= min_count
        if not kept.any():
            break
        parts = np.divmod(distinct[kept], len(found[-1].counts)) if found else (numbers, numbers)
        total = int(np.count_nonzero(complete))
        found.append(Ngrams(length, total, counts[kept], here[first[kept]], *parts))
        renumbered = np.where(kept, np.cumsum(kept) - 1, -1)
        numbers = np.full(len(words), -1, dtype=np.int64)
        numbers[here] = renumbered[inverse]
        complete = follows & np.append(complete[1:], False)
        here = np.flatnonzero(complete[:-1] & (numbers[:-1] >= 0) & (numbers[1:] >= 0))
        keys = numbers[here] * len(found[-1].counts) + numbers[here + 1]
    return found


def pointwise_mutual_information(found: list[Ngrams]) -> list[np.ndarray]:
    """How much more frequent n-grams are than any way to put them together makes likely.

    PMI(w1..wn) is the minimum, over all segmentations of w1..wn into two or more parts, of
    log p(w1..wn) / product of p(part), where p is the count of an n-gram by that of all n-grams
    of its length (Levine et al. 2021, equation 3). A trigram that is only a word beside a
    collocation thus scores low.

    found (list): From :func:`count_ngrams`.
    RETURNS (list): For each length from 2 on, an array of shape (n-grams,), nats.
    """
    log_p = [np.log(ngrams.counts / ngrams.total) for ngrams in found]
    best = log_p[:1]  # for each length: the best product of probabilities, the whole included
    scores = []
    for n in range(1, len(found)):
        split = np.full(len(log_p[n]), -np.inf)
        head = np.arange(len(log_p[n]))
        for size in range(n, 0, -1):  # words of the first part, one less in each round
            head = found[size].heads[head]
            tail = np.arange(len(log_p[n]))
            for longer in range(n, n - size, -1):
                tail = found[longer].tails[tail]
            split = np.maximum(split, best[size - 1][head] + best[n - size][tail])
        scores.append(log_p[n] - split)
        best.append(np.maximum(log_p[n], split))
    return scores


def choose_collocations(scores: list[np.ndarray], vocabulary: int) -> list[np.ndarray]:
    """The highest-ranking n-grams of each length, of those with a positive PMI.

    PMI grows with the length, so lengths are ranked apart, and share the vocabulary as in the
    lists that the paper's authors published: half of it for bigrams, half of the rest for
    trigrams, and so on; the longest two lengths have equal shares. What a length can't use goes
    to the others, shortest first.

    scores (list): From :func:`pointwise_mutual_information`.
    vocabulary (int): N-grams to choose at most.
    RETURNS (list): For each length from 2 on, the numbers of the chosen n-grams, best first.
    """
    ranked = [np.argsort(-pmi, kind="stable")[: np.count_nonzero(pmi > 0)] for pmi in scores]
    quotas = []
    rest = vocabulary
    for number in range(len(ranked)):
        quotas.append(rest if number == len(ranked) - 1 else -(-rest // 2))
        rest -= quotas[-1]
    sizes = [min(quota, len(ranks)) for quota, ranks in zip(quotas, ranked)]
    for number, ranks in enumerate(ranked):
        sizes[number] += min(len(ranks) - sizes[number], vocabulary - sum(sizes))
    return [ranks[:size] for ranks, size in zip(ranked, sizes)]


class PMIMasker(Masker):
    """Collocations and single words, after PMI-Masking (Levine et al. 2021, ICLR).

    A word that its neighbours give away teaches little: "magnetic [MASK] imaging". So n-grams
    whose words come together more often than any of their parts explain (generalised pointwise
    mutual information, see :func:`pointwise_mutual_information`) are masked as a whole. In a
    sequence, occurrences are found longest first, of equal length those of higher PMI; the words
    between are units of their own. Units are masked in a uniformly random order; one that does not fit the budget any
    more is passed over. Only where no single word is left, words of a collocation are masked.

    rate (float): Part of the maskable tokens to choose at most, default 0.15.
    max_words (int): Longest collocation in words, default 5.
    min_count (int): Occurrences in the text that is counted, at least; default 10.
    vocabulary (int): Collocations at most, default 50,000.
    max_tokens (int): Count a sample of the sequences, spread evenly over the text, with so many
        tokens at most; default 10 million, which takes about 100 bytes of memory a token.
    """

    name = "pmi"

    def __init__(
        self,
        rate: float = 0.15,
        max_words: int = 5,
        min_count: int = 10,
        vocabulary: int = 50_000,
        max_tokens: int = 10_000_000,
    ):
        self.rate = check_rate(rate)
        if max_words < 2:
            raise ValueError(f"A collocation has two words or more, but max_words is {max_words}.")
        least_one = {"min_count": min_count, "vocabulary": vocabulary, "max_tokens": max_tokens}
        for name, value in least_one.items():
            if value < 1:
                raise ValueError(f"{name} must be at least 1, but it is {value}.")
        self.max_words = max_words
        self.min_count = min_count
        self.vocabulary = vocabulary
        self.max_tokens = max_tokens
        self._phrases: PhraseTrie | None = None
        self._scores = np.zeros(0)  # PMI by node of the tree

    def prepare(
        self, tokenizer: PreTrainedTokenizerBase, sequences: PackedSequences
    ) -> dict[str, Any]:
        """Find the collocations of the training text.

        RETURNS (dict): ``tokens_counted``, ``collocations`` by their length, and ``coverage``:
            part of the text's tokens in a collocation, 0 to 1.
        RAISES (ValueError): There are none.
        """
        words, input_ids = sample_sequences(sequences, self.max_tokens)
        symbols = make_symbols(words, input_ids)
        starts, ends = word_ranges(words)
        follows = np.append(starts[1:] == ends[:-1], False)[: len(starts)]
        identities = PhraseTrie(symbols, starts, ends).nodes
        found = count_ngrams(identities, follows, self.max_words, self.min_count)
        scores = pointwise_mutual_information(found)
        chosen = choose_collocations(scores, self.vocabulary)
        if not sum(map(len, chosen)):
            raise ValueError(
                f"No words come together {self.min_count} times, more often than by chance, in "
                f"the {len(words):,} tokens counted: lower masker.min_count or give more text."
            )
        first, last = [], []
        for ngrams, numbers in zip(found[1:], chosen):
            first.append(ngrams.places[numbers])
            last.append(first[-1] + ngrams.length - 1)
        self._phrases = PhraseTrie(
            symbols, starts[np.concatenate(first)], ends[np.concatenate(last)]
        )
        self._scores = np.zeros(self._phrases.size)
        self._scores[self._phrases.nodes] = np.concatenate(
            [pmi[numbers] for pmi, numbers in zip(scores, chosen)]
        )
        return {
            "tokens_counted": len(words),
            "collocations": {str(n): len(numbers) for n, numbers in enumerate(chosen, start=2)},
            "coverage": round(measure_coverage(self._phrases, sequences), 4),
        }

    def find(self, words: np.ndarray, input_ids: np.ndarray | None) -> np.ndarray:
        """Find the collocations of a sequence.

        words, input_ids (np.ndarray): See :meth:`Masker.select`.
        RETURNS (np.ndarray): Shape (collocations, 2): first token and end of each, disjoint, best
            first.
        RAISES (ValueError): Before :meth:`prepare`, or without ids.
        """
        if self._phrases is None or input_ids is None:
            raise ValueError("A PMIMasker needs prepare() once, and the ids of each sequence.")
        starts, ends, nodes = self._phrases.find(make_symbols(words, input_ids))
        lengths = words[ends - 1] - words[starts]
        order = np.lexsort((starts, -self._scores[nodes], -lengths))
        return keep_disjoint(starts[order], ends[order], len(words))

    def select(
        self, words: np.ndarray, rng: np.random.Generator, input_ids: np.ndarray | None = None
    ) -> np.ndarray:
        """See :meth:`Masker.select`; every unit is a collocation or a word."""
        collocations = self.find(words, input_ids)
        singles = word_units(words)
        between = ~mark_tokens(collocations, len(words))[singles[:, 0]]
        units = np.concatenate([collocations, singles[between]])
        chosen, left = draw_units(units, token_budget(self.rate, words), rng)
        if left:
            free = ~mark_tokens(chosen, len(words))[singles[:, 0]]
            if not (free & between).any():
                words_left, _ = draw_units(singles[free], left, rng)
                chosen = np.concatenate([chosen, words_left])
        return chosen[np.argsort(chosen[:, 0])]


make_pmi_masker = registry.misc("spanmed.PMIMasker.v1")(PMIMasker)
