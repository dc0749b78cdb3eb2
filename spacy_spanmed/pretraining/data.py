"""The samples of a whole run as one sequence, and their batches.

Sample ``i`` belongs to epoch ``i // blocks`` and is the block that a shuffle keyed by (seed,
epoch) puts at ``i % blocks``. Order and masks are thus functions of ``i``: a resumed run, or one
on several devices, sees the samples of an uninterrupted one.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from torch.utils.data import Dataset
from transformers import PreTrainedTokenizerBase

from spacy_spanmed.pretraining.bucketing import bucket_order
from spacy_spanmed.pretraining.corruption import MaskedBlock, Vocabulary, corrupt
from spacy_spanmed.pretraining.maskers import Masker, mask_rng
from spacy_spanmed.pretraining.packing import PackedBlocks

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
