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

from spacy_spanmed.pretraining.corruption import MaskedBlock, Vocabulary, corrupt
from spacy_spanmed.pretraining.maskers import Masker, mask_rng
from spacy_spanmed.pretraining.packing import PackedBlocks

SHUFFLE_KEY = 2**32 - 1  # no block has this number, so the shuffle shares no stream with a mask


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
    masker (Masker): Chooses the targets.
    vocabulary (Vocabulary): For the 80/10/10 replacement.
    seed (int): Seed of the order and the masks.
    samples (int): Length of the sequence, over all epochs.
    first_epoch (int): Number of the first epoch, default 0.
    shuffle (bool): Shuffle each epoch, default True.
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
    ):
        self.blocks = blocks
        self.masker = masker
        self.vocabulary = vocabulary
        self.seed = seed
        self.samples = samples
        self.first_epoch = first_epoch
        self.shuffle = shuffle
        # Two epochs meet in a batch; older orders are not needed again.
        self._order = lru_cache(maxsize=2)(self._draw_order)

    def __len__(self) -> int:
        return self.samples

    def _draw_order(self, epoch: int) -> np.ndarray:
        count = len(self.blocks.input_ids)
        if not self.shuffle:
            return np.arange(count)
        return mask_rng(self.seed, epoch, SHUFFLE_KEY).permutation(count)

    def __getitem__(self, index: int) -> MaskedBlock:
        passes, place = divmod(index, len(self.blocks.input_ids))
        epoch = self.first_epoch + passes
        block = int(self._order(epoch)[place])
        rng = mask_rng(self.seed, epoch, block)
        units = self.masker.select(self.blocks.words[block], rng)
        return corrupt(self.blocks.input_ids[block], units, rng, self.vocabulary)


def collate(batch: Sequence[MaskedBlock]) -> dict[str, torch.Tensor]:
    """Join masked blocks of equal length into a batch.

    batch (Sequence[MaskedBlock]): At least one block.
    RETURNS (dict): ``input_ids`` of shape (batch, length), and ``positions``, ``labels``,
        ``left``, ``right``, ``offsets`` of shape (targets of the batch,). Positions index the
        flattened batch. All int64.
    """
    length = len(batch[0].input_ids)
    shift = np.repeat(np.arange(len(batch)) * length, [len(b.positions) for b in batch])

    def join(field: str) -> np.ndarray:
        return np.concatenate([getattr(b, field) for b in batch])

    arrays = {
        "input_ids": np.stack([b.input_ids for b in batch]),
        "positions": join("positions") + shift,
        "labels": join("labels"),
        "left": join("left") + shift,
        "right": join("right") + shift,
        "offsets": join("offsets"),
    }
    return {name: torch.from_numpy(np.ascontiguousarray(a)) for name, a in arrays.items()}
