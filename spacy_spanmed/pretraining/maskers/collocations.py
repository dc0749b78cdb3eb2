"""Count the n-grams of a text and find the collocations among them, after Levine et al. 2021.

Everything is counted in whole arrays over the text. An n-gram is the pair of its first and its
last n - 1 words, so that a number for each pair is an exact count, without hashing, and as an
n-gram is no more frequent than its parts, only frequent ones go on to the next length.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


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
        separator, or the end of a block). The last one is False.
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
