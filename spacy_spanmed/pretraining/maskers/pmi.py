"""Collocations of the training text itself, as PMI-Masking masks them (Levine et al. 2021)."""

from typing import TYPE_CHECKING, Any

import numpy as np
from spacy.util import registry

from .base import Masker, check_rate, token_budget, word_ranges
from .collocations import choose_collocations, count_ngrams, pointwise_mutual_information
from .units import (
    PhraseTrie,
    draw_units,
    keep_disjoint,
    make_symbols,
    mark_tokens,
    measure_coverage,
    sample_blocks,
    word_units,
)

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from ..packing import PackedBlocks


class PMIMasker(Masker):
    """Collocations and single words, after PMI-Masking (Levine et al. 2021, ICLR).

    A word that its neighbours give away teaches little: "magnetic [MASK] imaging". So n-grams
    whose words come together more often than any of their parts explain (generalised pointwise
    mutual information, see ``collocations.py``) are masked as a whole. In a block, occurrences
    are found longest first, of equal length those of higher PMI; the words between are units of
    their own. Units are masked in a uniformly random order; one that does not fit the budget any
    more is passed over. Only where no single word is left, words of a collocation are masked.

    rate (float): Part of the maskable tokens to choose at most, default 0.15.
    max_words (int): Longest collocation in words, default 5.
    min_count (int): Occurrences in the text that is counted, at least; default 10.
    vocabulary (int): Collocations at most, default 50,000.
    max_tokens (int): Count a sample of the blocks, spread evenly over the text, with so many
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
        for name, value in (
            ("min_count", min_count), ("vocabulary", vocabulary), ("max_tokens", max_tokens),
        ):  # fmt: skip
            if value < 1:
                raise ValueError(f"{name} must be at least 1, but it is {value}.")
        self.max_words = max_words
        self.min_count = min_count
        self.vocabulary = vocabulary
        self.max_tokens = max_tokens
        self._phrases: PhraseTrie | None = None
        self._scores = np.zeros(0)  # PMI by node of the tree

    def prepare(
        self, tokenizer: "PreTrainedTokenizerBase", blocks: "PackedBlocks"
    ) -> dict[str, Any]:
        """Find the collocations of the training text.

        RETURNS (dict): ``tokens_counted``, ``collocations`` by their length, and ``coverage``:
            part of the text's tokens in a collocation, 0 to 1.
        RAISES (ValueError): There are none.
        """
        words, input_ids = sample_blocks(blocks, self.max_tokens)
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
            "coverage": round(measure_coverage(self._phrases, blocks), 4),
        }

    def find(self, words: np.ndarray, input_ids: np.ndarray) -> np.ndarray:
        """Find the collocations of a block.

        words, input_ids (np.ndarray): See :meth:`Masker.select`.
        RETURNS (np.ndarray): Shape (collocations, 2): first token and end of each, disjoint, best
            first.
        RAISES (ValueError): Before :meth:`prepare`, or without ids.
        """
        if self._phrases is None or input_ids is None:
            raise ValueError("A PMIMasker needs prepare() once, and the ids of each block.")
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


@registry.misc("spanmed.PMIMasker.v1")
def make_pmi_masker(
    rate: float = 0.15,
    max_words: int = 5,
    min_count: int = 10,
    vocabulary: int = 50_000,
    max_tokens: int = 10_000_000,
) -> PMIMasker:
    """Registered as ``spanmed.PMIMasker.v1``; see :class:`PMIMasker`."""
    return PMIMasker(
        rate=rate,
        max_words=max_words,
        min_count=min_count,
        vocabulary=vocabulary,
        max_tokens=max_tokens,
    )
