"""Replace the chosen tokens (80 % [MASK], 10 % random, 10 % kept) and find the span boundaries.

An order of blocks in which those of a batch are about equally long, so that little is padding.

A random order is taken in windows; in a window the blocks are sorted by length and cut into
batches, and the batches are shuffled. Batches thus stay random in what they hold but for length.

The samples of a whole run as one sequence, and their batches.

Sample ``i`` belongs to epoch ``i // blocks`` and is the block that a shuffle keyed by (seed,
epoch) puts at ``i % blocks``. Order and masks are thus functions of ``i``: a resumed run, or one
on several devices, sees the samples of an uninterrupted one.

Samples from texts that are tokenized while training, with nothing kept on the disk.

The blocks of the texts, one pass after the other, are one endless sequence. It is cut into windows
of equal size, and each is shuffled with a generator keyed by (seed, window). A sample's place in
the run thus decides which block it is, where it was in the text and how it is masked, exactly as
with a cache, and a run that is resumed, or one of several workers, sees what an unbroken one sees.

What is different from a cache: blocks are shuffled inside a window only, so texts that are sorted
by topic stay so on the whole; to go on in the middle, all text before it is read and tokenized
again, by each worker; and the tokens of a pass are not known before it is over.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.utils.data import Dataset
from transformers import PreTrainedTokenizerBase

from .maskers import Masker, mask_rng
from .packing import Block, PackedBlocks, stack_blocks
from .sequences import require_blocks
from .texts.corpus import TextCorpus


class Vocabulary(NamedTuple):
    """What corruption needs to know of a tokenizer.

    mask_id (int): Id of the mask token.
    random_ids (np.ndarray): Ids a random replacement is drawn from: all but the special tokens.
    """

    mask_id: int
    random_ids: np.ndarray


class MaskedBlock(NamedTuple):
    """One corrupted block and its targets, in the order of the text.

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
) -> MaskedBlock:
    """Corrupt the units of a block, deciding 80/10/10 once for each unit.

    input_ids (np.ndarray): Shape (length,), ids of a block that starts and ends with a special
        token, so that every run of targets has a neighbour on both sides.
    units (np.ndarray): Shape (units, 2), from a masker.
    rng (np.random.Generator): Source of randomness.
    vocabulary (Vocabulary): Mask id and ids for random replacements.
    RETURNS (MaskedBlock): The input is not changed.
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
    return MaskedBlock(
        input_ids=corrupted,
        positions=positions,
        labels=labels,
        left=left,
        right=np.repeat(run_ends, run_sizes),
        offsets=positions - left - 1,
    )


BATCHES_A_WINDOW = 64


def bucket_order(
    order: np.ndarray, lengths: np.ndarray, batch_size: int, rng: np.random.Generator, first: int
) -> np.ndarray:
    """Rearrange an epoch.

    order (np.ndarray): Shape (blocks,), block numbers in random order.
    lengths (np.ndarray): Shape (blocks,), tokens of each block, by block number.
    batch_size (int): Blocks a batch.
    rng (np.random.Generator): Shuffles the batches of a window.
    first (int): How many blocks of the epoch complete the batch that the epoch before began.
    RETURNS (np.ndarray): Shape (blocks,). The first ones and what fills no batch at the end
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


SHUFFLE_KEY = 2**32 - 1  # no block has this number, so the shuffle shares no stream with a mask
RELEASE_EVERY = 10_000  # samples, after which the memory that the text was read into is let go


def make_vocabulary(tokenizer: PreTrainedTokenizerBase) -> Vocabulary:
    """Mask id and the ids that may replace a token at random: every id but the special ones.

    tokenizer (PreTrainedTokenizerBase): A tokenizer with a mask token.
    RETURNS (Vocabulary): For :func:`corrupt`.
    """
    special = np.array(sorted(set(tokenizer.all_special_ids)))
    used = np.array(sorted(set(tokenizer.get_vocab().values())))
    return Vocabulary(tokenizer.mask_token_id, np.setdiff1d(used, special))


class MaskedBlocks(Dataset):
    """Masked samples, indexed over all epochs.

    blocks (PackedBlocks): The packed text, at least one block.
    masker (Masker): Chooses the targets; it has been prepared.
    vocabulary (Vocabulary): For the 80/10/10 replacement.
    seed (int): Seed of the order and the masks.
    samples (int): Length of the sequence, over all epochs.
    first_epoch (int): Number of the first epoch, default 0.
    shuffle (bool): Shuffle each epoch, default True.
    batch_size (int): Blocks of a batch, which get about equal lengths if blocks differ in length
        and are shuffled. Default 1.
    dynamic (bool): New masks in each epoch (Liu et al. 2019, RoBERTa, arXiv 1907.11692), default
        True; else those of the first.
    """

    def __init__(
        self,
        blocks: PackedBlocks,
        masker: Masker,
        vocabulary: Vocabulary,
        *,
        seed: int,
        samples: int,
        first_epoch: int = 0,
        shuffle: bool = True,
        batch_size: int = 1,
        dynamic: bool = True,
    ):
        self.dynamic = dynamic
        self.blocks = blocks
        self.masker = masker
        self.vocabulary = vocabulary
        self.seed = seed
        self.samples = samples
        self.first_epoch = first_epoch
        self.shuffle = shuffle
        self.batch_size = batch_size
        # Two epochs meet in a batch; older orders are not needed again.
        self._order = lru_cache(maxsize=2)(self._draw_order)

    def __len__(self) -> int:
        return self.samples

    def _draw_order(self, epoch: int) -> np.ndarray:
        count = len(self.blocks.input_ids)
        if not self.shuffle:
            return np.arange(count)
        rng = mask_rng(self.seed, epoch, SHUFFLE_KEY)
        order = rng.permutation(count)
        if self.blocks.lengths is None:
            return order
        first = -(epoch - self.first_epoch) * count % self.batch_size
        return bucket_order(order, self.blocks.lengths, self.batch_size, rng, first)

    def __getitem__(self, index: int) -> MaskedBlock:
        passes, place = divmod(index, len(self.blocks.input_ids))
        epoch = self.first_epoch + passes
        block = int(self._order(epoch)[place])
        rng = mask_rng(self.seed, epoch if self.dynamic else self.first_epoch, block)
        if index % RELEASE_EVERY == 0:
            self.blocks.release()
        lengths = self.blocks.lengths
        end = None if lengths is None else int(lengths[block])
        input_ids = self.blocks.input_ids[block][:end]
        units = self.masker.select(self.blocks.words[block][:end], rng, input_ids)
        return corrupt(input_ids, units, rng, self.vocabulary)


def collate(
    batch: Sequence[MaskedBlock], *, multiple: int = 1, limit: int | None = None
) -> dict[str, torch.Tensor]:
    """Join masked blocks into a batch.

    batch (Sequence[MaskedBlock]): At least one block.
    multiple (int): The length of the batch is a multiple of it, default 1. Few lengths are fast on
        a CPU: oneDNN writes a program for each shape that it meets.
    limit (int): But at most so long, for a model that can't read more. Default None: no limit.
    RETURNS (dict): ``input_ids`` of shape (batch, length), and ``positions``, ``labels``,
        ``left``, ``right``, ``offsets`` of shape (targets of the batch,). Positions index the
        flattened batch. Blocks shorter than it end with zeros; if there are any,
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


class BlockStream:
    """The windows of a corpus, read one after the other.

    corpus (TextCorpus): The texts.
    window (int): Blocks of a window.
    """

    def __init__(self, corpus: TextCorpus, window: int):
        self.corpus = corpus
        self.window = window
        self.restart()

    def restart(self) -> None:
        """Go back to the beginning."""
        self.passes = 0
        self._blocks = self._read()

    def _read(self) -> Iterator[Block]:
        while True:
            self.passes += 1
            count = 0
            for count, block in enumerate(self.corpus.read_blocks(), start=1):
                yield block
            require_blocks(self.corpus, count)

    def next_window(self) -> list[Block]:
        """RETURNS (list): The next ``window`` blocks.
        RAISES (ValueError): A text can't be read, or there is less than one block of text."""
        return list(islice(self._blocks, self.window))

    def head(self) -> PackedBlocks:
        """The first window, which stands for the whole text where a look at it is needed.

        RETURNS (PackedBlocks): In memory. Reading starts anew.
        RAISES (ValueError): See :meth:`next_window`.
        """
        self.restart()
        blocks = self.next_window()
        report = self.corpus.report()
        self.restart()
        packed = stack_blocks(blocks, self.corpus.block_length, self.corpus.tokenizer)
        return packed._replace(documents=report["documents_kept"], tokens=report["word_pieces"])

    def report(self) -> dict[str, Any]:
        """What the pass under way has found so far, and which pass it is, from 1."""
        return {"passes_begun": self.passes, **self.corpus.report()}


class StreamedSamples(Dataset):
    """Masked samples of a stream, indexed over the whole run, to be asked for in ascending order.

    stream (BlockStream): The blocks; its window is a multiple of ``batch_size``.
    masker (Masker): Chooses the targets; it has been prepared.
    vocabulary (Vocabulary): For the 80/10/10 replacement.
    seed (int): Seed of the order and the masks.
    samples (int): Length of the sequence.
    batch_size (int): Blocks of a batch, which are about equally long.
    """

    def __init__(
        self,
        stream: BlockStream,
        masker: Masker,
        vocabulary: Vocabulary,
        *,
        seed: int,
        samples: int,
        batch_size: int = 1,
    ):
        self.stream = stream
        self.masker = masker
        self.vocabulary = vocabulary
        self.seed = seed
        self.samples = samples
        self.batch_size = batch_size
        self._number = -1  # of the window in memory
        self._window: list[Block] = []
        self._order = np.zeros(0, dtype=np.int64)

    def __len__(self) -> int:
        return self.samples

    def __getitem__(self, index: int) -> MaskedBlock:
        number, place = divmod(index, self.stream.window)
        self._go_to(number)
        place = int(self._order[place])
        block = self._window[place]
        rng = mask_rng(self.seed, number, place)
        units = self.masker.select(block.words, rng, block.ids)
        return corrupt(block.ids, units, rng, self.vocabulary)

    def _go_to(self, number: int) -> None:
        if number == self._number:
            return
        if number < self._number:
            self.stream.restart()
            self._number = -1
        while self._number < number:
            self._window = self.stream.next_window()
            self._number += 1
        rng = mask_rng(self.seed, number, SHUFFLE_KEY)
        order = rng.permutation(self.stream.window)
        lengths = np.array([len(block.ids) for block in self._window])
        self._order = bucket_order(order, lengths, self.batch_size, rng, first=0)
