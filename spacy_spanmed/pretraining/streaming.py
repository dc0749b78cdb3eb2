"""Samples from texts that are tokenized while training, with nothing kept on the disk.

The blocks of the texts, one pass after the other, are one endless sequence. It is cut into windows
of equal size, and each is shuffled with a generator keyed by (seed, window). A sample's place in
the run thus decides which block it is, where it was in the text and how it is masked, exactly as
with a cache, and a run that is resumed, or one of several workers, sees what an unbroken one sees.

What is different from a cache: blocks are shuffled inside a window only, so texts that are sorted
by topic stay so on the whole; to go on in the middle, all text before it is read and tokenized
again, by each worker; and the tokens of a pass are not known before it is over.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np
from torch.utils.data import Dataset

from spacy_spanmed.pretraining.blocks import require_blocks
from spacy_spanmed.pretraining.bucketing import bucket_order
from spacy_spanmed.pretraining.corruption import MaskedBlock, Vocabulary, corrupt
from spacy_spanmed.pretraining.data import SHUFFLE_KEY
from spacy_spanmed.pretraining.maskers import Masker, mask_rng
from spacy_spanmed.pretraining.packers import Block
from spacy_spanmed.pretraining.packing import PackedBlocks, stack_blocks
from spacy_spanmed.pretraining.text_corpus import TextCorpus


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
