"""The interface of a masker, the key of its choices, and the budget that all share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from ..texts.packing import PackedSequences


class Masker(ABC):
    """Chooses the tokens to predict.

    name (str): What figures measured with it are listed under.
    files (dict): Files that the choice depends on, by what they are; they count in the identity
        of a run as the texts do. Defaults to none.
    """

    name: str
    files: dict[str, Path] = {}

    def prepare(
        self, tokenizer: PreTrainedTokenizerBase, sequences: PackedSequences
    ) -> dict[str, Any]:
        """Learn what is needed from the tokenizer and the text, once before the first sequence.

        tokenizer (PreTrainedTokenizerBase): The encoder's own.
        sequences (PackedSequences): The training text.
        RETURNS (dict): What was found, in figures, for the record of the run. Empty for maskers
            that need nothing.
        RAISES (ValueError): If text and settings leave nothing to choose; the message says why.
        """
        return {}

    @abstractmethod
    def select(
        self, words: np.ndarray, rng: np.random.Generator, input_ids: np.ndarray | None = None
    ) -> np.ndarray:
        """Choose the units to mask in one sequence.

        words (np.ndarray): Shape (length,), integers: the index of the word each token belongs
            to, -1 where a token must not be masked.
        rng (np.random.Generator): Source of randomness, from :func:`mask_rng`.
        input_ids (np.ndarray): Shape (length,), the tokens' ids, for the maskers that look at the
            words themselves.
        RETURNS (np.ndarray): Shape (units, 2), int64: first token and end (exclusive) of each
            unit, disjoint and in the order of the text.
        """


def mask_rng(seed: int, epoch: int, sample: int) -> np.random.Generator:
    """A counter-based generator for the masks of one sample in one epoch.

    The data loader works ahead of the training step and resumed runs skip samples, so masks may
    depend on nothing but these three numbers.

    seed (int): Seed of the run, not negative.
    epoch (int): Pass over the data, from 0.
    sample (int): Number of the sequence in the packed data, not its place in the shuffled order.
    RETURNS (np.random.Generator): Always the same stream for the same three numbers.
    """
    return np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, epoch, sample])))


def word_ranges(words: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First token and end (exclusive) of every maskable word.

    words (np.ndarray): Shape (length,), word index of each token, -1 where not maskable.
    RETURNS (tuple): Two int64 arrays of shape (maskable words,).
    """
    edges = (words[1:] != words[:-1]).nonzero()[0]
    bounds = np.empty(len(edges) + 2, dtype=np.int64)
    bounds[0], bounds[-1] = 0, len(words)
    np.add(edges, 1, out=bounds[1:-1])
    starts = bounds[:-1]
    kept = words[starts] >= 0
    return starts[kept], bounds[1:][kept]


def word_units(words: np.ndarray) -> np.ndarray:
    """RETURNS (np.ndarray): Shape (maskable words, 2): every word as a unit of its own."""
    return np.stack(word_ranges(words), axis=1)


def token_budget(rate: float, words: np.ndarray) -> int:
    """How many tokens of a sequence may be masked: ``rate`` of the maskable ones, rounded down."""
    return int(rate * np.count_nonzero(words >= 0) + 1e-9)


def check_rate(rate: float) -> float:
    """RETURNS (float): The rate. RAISES (ValueError): Unless it lies between 0 and 1."""
    if not 0.0 < rate < 1.0:
        raise ValueError(f"The masking rate must lie between 0 and 1, but it is {rate}.")
    return rate
