"""Single tokens and whole words, as BERT masks them (Devlin et al. 2019)."""

import numpy as np
from spacy.util import registry

from .base import Masker, check_rate, token_budget, word_ranges


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
        starts, ends = word_ranges(words)
        order = rng.permutation(len(starts))
        total = np.cumsum((ends - starts)[order])
        fits = np.searchsorted(total, token_budget(self.rate, words), side="right")
        chosen = np.sort(order[:fits])
        return np.stack([starts[chosen], ends[chosen]], axis=1)


make_token_masker = registry.misc("spanmed.TokenMasker.v1")(TokenMasker)
make_whole_word_masker = registry.misc("spanmed.WholeWordMasker.v1")(WholeWordMasker)
