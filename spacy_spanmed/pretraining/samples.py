"""The samples of a run: sequences in their order, masked, and joined to batches.

Order and masks of a sample are functions of the seed and of its number in the run, not of what was
drawn before. A run that is resumed, or one of several workers, thus sees what an unbroken one does.
Of the tokens that a masker has chosen, 80 % become [MASK], 10 % random ones, and 10 % are kept.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.utils.data import Dataset
from transformers import PreTrainedTokenizerBase

from .maskers import Masker, mask_rng
from .texts.corpus import SequenceStream
from .texts.packing import PackedSequences, TokenSequence

BATCHES_A_WINDOW = 64
SHUFFLE_KEY = 2**32 - 1  # no sequence has this number, so the shuffle shares no stream with a mask
RELEASE_EVERY = 10_000  # sequences, after which the memory that the text was read into is let go


class Vocabulary(NamedTuple):
    """What corruption needs to know of a tokenizer.

    mask_id (int): Id of the mask token.
    random_ids (np.ndarray): Ids a random replacement is drawn from: all but the special tokens.
    """

    mask_id: int
    random_ids: np.ndarray


class MaskedSequence(NamedTuple):
    """One corrupted sequence and its targets, in the order of the text.

    input_ids (np.ndarray): Shape (length,), the corrupted ids.
    positions (np.ndarray): Shape (targets,), which tokens are predicted.
    labels (np.ndarray): Shape (targets,), their true ids.
    left, right (np.ndarray): Shape (targets,), the last visible token before the unbroken run of
        targets a target lies in, and the first one after it.
    offsets (np.ndarray): Shape (targets,), place of a target in its run, from 0.
    """

    input_ids: np.ndarray
    positions: np.ndarray
    labels: np.ndarray
    left: np.ndarray
    right: np.ndarray
    offsets: np.ndarray


def corrupt(
    input_ids: np.ndarray, units: np.ndarray, rng: np.random.Generator, vocabulary: Vocabulary
) -> MaskedSequence:
    """Corrupt the units of a sequence, deciding 80/10/10 once for each unit.

    input_ids (np.ndarray): Shape (length,), ids of a sequence that starts and ends with a special
        token, so that every run of targets has a neighbour on both sides.
    units (np.ndarray): Shape (units, 2), from a masker.
    rng (np.random.Generator): Source of randomness.
    vocabulary (Vocabulary): Mask id and ids for random replacements.
    RETURNS (MaskedSequence): The input is not changed.
    """
    starts, ends = units[:, 0], units[:, 1]
    sizes = ends - starts
    fate = np.repeat(rng.random(len(units)), sizes)
    # place in the text less place among the targets, which is the same for all of a unit
    shift = starts - (np.cumsum(sizes) - sizes)
    positions = np.repeat(shift, sizes) + np.arange(len(fate))
    labels = input_ids[positions].astype(np.int64)

    corrupted = input_ids.astype(np.int64)
    corrupted[positions[fate < 0.8]] = vocabulary.mask_id
    random = positions[(fate >= 0.8) & (fate < 0.9)]
    corrupted[random] = vocabulary.random_ids[
        rng.integers(len(vocabulary.random_ids), size=len(random))
    ]

    opens = np.ones(len(units) + 1, dtype=bool)
    opens[1:-1] = starts[1:] != ends[:-1]  # units that touch are one run
    run_starts, run_ends = starts[opens[:-1]], ends[opens[1:]]
    run_sizes = run_ends - run_starts
    left = np.repeat(run_starts - 1, run_sizes)
    return MaskedSequence(
        input_ids=corrupted,
        positions=positions,
        labels=labels,
        left=left,
        right=np.repeat(run_ends, run_sizes),
        offsets=positions - left - 1,
    )


def bucket_order(
    order: np.ndarray, lengths: np.ndarray, batch_size: int, rng: np.random.Generator, first: int
) -> np.ndarray:
    """Rearrange an order so that the sequences of a batch are about equally long, and little of it
    is padding.

    The order is taken in windows; in a window the sequences are sorted by length and cut into
    batches, and the batches are shuffled. Batches thus stay random in what they hold but for
    length.

    order (np.ndarray): Shape (sequences,), sequence numbers in random order.
    lengths (np.ndarray): Shape (sequences,), tokens of each sequence, by sequence number.
    batch_size (int): Sequences a batch.
    rng (np.random.Generator): Shuffles the batches of a window.
    first (int): How many sequences of the epoch complete the batch that the epoch before began.
    RETURNS (np.ndarray): Shape (sequences,). The first ones and what fills no batch at the end
        stay where they are.
    """
    result = order.copy()
    end = first + (len(order) - first) // batch_size * batch_size
    window = BATCHES_A_WINDOW * batch_size
    for start in range(first, end, window):
        chosen = order[start : min(start + window, end)]
        batches = chosen[np.argsort(lengths[chosen], kind="stable")].reshape(-1, batch_size)
        result[start : start + len(chosen)] = rng.permutation(batches).ravel()
    return result


def make_vocabulary(tokenizer: PreTrainedTokenizerBase) -> Vocabulary:
    """Mask id and the ids that may replace a token at random: every id but the special ones.

    tokenizer (PreTrainedTokenizerBase): A tokenizer with a mask token.
    RETURNS (Vocabulary): For :func:`corrupt`.
    """
    special = np.array(sorted(set(tokenizer.all_special_ids)))
    used = np.array(sorted(set(tokenizer.get_vocab().values())))
    return Vocabulary(tokenizer.mask_token_id, np.setdiff1d(used, special))


class MaskedSamples(Dataset[MaskedSequence]):
    """Masked samples, numbered through the whole run.

    The run is cut into rounds of ``size`` sequences, each of which is shuffled in itself; what a
    round is, and which sequences it has, the subclasses say.

    masker (Masker): Chooses the targets; it has been prepared.
    vocabulary (Vocabulary): For the 80/10/10 replacement.
    seed (int): Seed of the order and the masks.
    samples (int): How many there are in the run.
    batch_size (int): Sequences of a batch, which are about equally long where sequences differ in
        length and are shuffled. Default 1.
    shuffle (bool): Shuffle each round, default True.
    dynamic (bool): New masks in each round (Liu et al. 2019, RoBERTa, arXiv 1907.11692), default
        True; else those of the first.
    """

    size: int

    def __init__(
        self,
        masker: Masker,
        vocabulary: Vocabulary,
        *,
        seed: int,
        samples: int,
        batch_size: int = 1,
        shuffle: bool = True,
        dynamic: bool = True,
    ):
        self.masker = masker
        self.vocabulary = vocabulary
        self.seed = seed
        self.samples = samples
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.dynamic = dynamic
        # Two rounds meet in a batch; older orders are not needed again.
        self._order = lru_cache(maxsize=2)(self._draw_order)

    def __len__(self) -> int:
        return self.samples

    def __getitem__(self, index: int) -> MaskedSequence:
        round_, place = divmod(index, self.size)
        row = int(self._order(round_)[place])
        sequence = self._get(round_, row)
        rng = mask_rng(self.seed, round_ if self.dynamic else 0, row)
        units = self.masker.select(sequence.words, rng, sequence.ids)
        return corrupt(sequence.ids, units, rng, self.vocabulary)

    def _draw_order(self, round_: int) -> np.ndarray:
        if not self.shuffle:
            return np.arange(self.size)
        rng = mask_rng(self.seed, round_, SHUFFLE_KEY)
        order = rng.permutation(self.size)
        lengths = self._lengths(round_)
        if lengths is None:
            return order
        first = -round_ * self.size % self.batch_size
        return bucket_order(order, lengths, self.batch_size, rng, first)

    @abstractmethod
    def _lengths(self, round_: int) -> np.ndarray | None:
        """Tokens of each sequence of a round, shape (size,); None if all are equally long."""

    @abstractmethod
    def _get(self, round_: int, row: int) -> TokenSequence:
        """A sequence of a round, by its number in the round."""


class MaskedSequences(MaskedSamples):
    """Masked samples of packed text. A round is an epoch, a pass over all sequences.

    sequences (PackedSequences): The packed text, at least one sequence.
    masker, vocabulary, options: See :class:`MaskedSamples`.
    """

    def __init__(
        self, sequences: PackedSequences, masker: Masker, vocabulary: Vocabulary, **options: Any
    ):
        super().__init__(masker, vocabulary, **options)
        self.sequences = sequences
        self.size = len(sequences.input_ids)
        self._read = 0

    def _lengths(self, round_: int) -> np.ndarray | None:
        return self.sequences.lengths

    def _get(self, round_: int, row: int) -> TokenSequence:
        self._read += 1
        if self._read % RELEASE_EVERY == 0:
            self.sequences.release()
        return self.sequences.get(row)


class StreamedSequences(MaskedSamples):
    """Masked samples of a stream, to be asked for in ascending order. A round is a window.

    What is different from packed text: sequences are shuffled inside a window only, so texts that
    are sorted by topic stay so on the whole; and to go on in the middle, all text before it is
    read and tokenized again, by each worker.

    stream (SequenceStream): The sequences; its window is a multiple of ``batch_size``.
    masker, vocabulary, options: See :class:`MaskedSamples`.
    """

    def __init__(
        self, stream: SequenceStream, masker: Masker, vocabulary: Vocabulary, **options: Any
    ):
        super().__init__(masker, vocabulary, **options)
        self.stream = stream
        self.size = stream.window
        self._number = -1  # of the window in memory
        self._window: list[TokenSequence] = []

    def _go_to(self, number: int) -> list[TokenSequence]:
        if number < self._number:
            self.stream.restart()
            self._number = -1
        while self._number < number:
            self._window = self.stream.next_window()
            self._number += 1
        return self._window

    def _lengths(self, round_: int) -> np.ndarray:
        return np.array([len(sequence.ids) for sequence in self._go_to(round_)])

    def _get(self, round_: int, row: int) -> TokenSequence:
        return self._go_to(round_)[row]


def collate(
    batch: Sequence[MaskedSequence], *, multiple: int = 1, limit: int | None = None
) -> dict[str, torch.Tensor]:
    """Join masked sequences into a batch.

    batch (Sequence[MaskedSequence]): At least one sequence.
    multiple (int): The length of the batch is a multiple of it, default 1. Few lengths are fast on
        a CPU: oneDNN writes a program for each shape that it meets.
    limit (int): But at most so long, for a model that can't read more. Default None: no limit.
    RETURNS (dict): ``input_ids`` of shape (batch, length), and ``positions``, ``labels``,
        ``left``, ``right``, ``offsets`` of shape (targets of the batch,). Positions index the
        flattened batch. Sequences shorter than it end with zeros; if there are any,
        ``attention_mask`` of shape (batch, length) is 1 before them. All int64.
    """
    lengths = np.array([len(b.input_ids) for b in batch])
    longest = lengths.max()
    length = -(-longest // multiple) * multiple
    if limit is not None:
        length = max(min(length, limit), longest)
    shift = np.repeat(np.arange(len(batch)) * length, [len(b.positions) for b in batch])

    def join(field: str) -> np.ndarray:
        return np.concatenate([getattr(b, field) for b in batch])

    used = np.arange(length) < lengths[:, None]
    input_ids = np.zeros(used.shape, dtype=np.int64)
    input_ids[used] = join("input_ids")
    arrays = {
        "input_ids": input_ids,
        "positions": join("positions") + shift,
        "labels": join("labels"),
        "left": join("left") + shift,
        "right": join("right") + shift,
        "offsets": join("offsets"),
    }
    if not used.all():
        arrays["attention_mask"] = used.astype(np.int64)
    return {name: torch.from_numpy(np.ascontiguousarray(a)) for name, a in arrays.items()}
