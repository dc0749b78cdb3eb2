"""Blocks of text as arrays, and the way from texts to them."""

from __future__ import annotations

import mmap
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
from transformers import PreTrainedTokenizerBase

from spacy_spanmed.pretraining.encoding import encode_texts
from spacy_spanmed.pretraining.packers import (
    DOCUMENTS,
    PIECES,
    SHORTEST_BLOCK,
    Block,
    Packer,
    make_packer,
)

COUNTED_AT_ONCE = 4096  # blocks


class PackedBlocks(NamedTuple):
    """Packed text, in memory or mapped from a file.

    input_ids (np.ndarray): Shape (blocks, block_length), uint16 or int32. Shorter blocks are
        padded at their end.
    words (np.ndarray): Shape (blocks, block_length), int16: index of the word inside the block,
        -1 for special tokens, padding and cut words.
    documents (int): Number of texts packed.
    tokens (int): Word pieces in them.
    lengths (np.ndarray): Shape (blocks,), tokens of each block; None if all are full.
    report (dict): What was read, left out and kept; None if nobody counted.
    """

    input_ids: np.ndarray
    words: np.ndarray
    documents: int
    tokens: int
    lengths: np.ndarray | None = None
    report: dict[str, Any] | None = None

    @property
    def mean_length(self) -> float:
        """Tokens of a block on average, special tokens included, padding not."""
        if self.lengths is None or not len(self.lengths):
            return float(self.input_ids.shape[1])
        return float(np.mean(self.lengths))

    def release(self) -> None:
        """Let go of what was read of arrays mapped from files: else all of a corpus would stay in
        this process's memory, as far as the system has room. Reading it again is cheap."""
        for array in (self.input_ids, self.words):
            mapped = getattr(array, "_mmap", None)  # of a numpy.memmap
            if mapped is not None and hasattr(mmap, "MADV_DONTNEED"):  # not on Windows
                mapped.madvise(mmap.MADV_DONTNEED)


def pack_texts(
    texts: Iterable[str],
    tokenizer: PreTrainedTokenizerBase,
    block_length: int,
    *,
    join_documents: bool = True,
    min_block: int = SHORTEST_BLOCK // 2,
) -> PackedBlocks:
    """Tokenize texts and pack them into blocks in memory.

    texts (Iterable[str]): The documents in their order.
    tokenizer (PreTrainedTokenizerBase): A fast tokenizer with classification and separator token.
    block_length (int): Tokens of a block with its two special tokens, at least 8.
    join_documents (bool): Full blocks, which may hold several documents. Default True.
    min_block (int): If not joined, tokens of a block at least. Default 4.
    RETURNS (PackedBlocks): All blocks, possibly none.
    RAISES (ValueError): A length is out of its bounds.
    """
    packer = make_packer(tokenizer, block_length, join_documents, min_block)
    blocks = stack_blocks(list(pack(texts, tokenizer, packer)), block_length, tokenizer)
    return blocks._replace(documents=packer.counts[DOCUMENTS], tokens=packer.counts[PIECES])


def pack(
    texts: Iterable[str], tokenizer: PreTrainedTokenizerBase, packer: Packer
) -> Iterator[Block]:
    """Tokenize texts and pack them, one after the other.

    texts (Iterable[str]): The documents.
    tokenizer (PreTrainedTokenizerBase): A fast tokenizer.
    packer (Packer): A new one.
    YIELDS (Block): The blocks, in the order of the text.
    """
    for text in encode_texts(texts, tokenizer):
        yield from packer.add(text)
    yield from packer.finish()


def stack_blocks(
    blocks: list[Block], block_length: int, tokenizer: PreTrainedTokenizerBase
) -> PackedBlocks:
    """Put blocks into arrays.

    blocks (list): The blocks.
    block_length (int): Width of the arrays; what blocks lack of it is padding.
    tokenizer (PreTrainedTokenizerBase): For the width of ids and the id of padding.
    RETURNS (PackedBlocks): In memory; documents and tokens are not counted.
    """
    ids = np.full((len(blocks), block_length), padding_id(tokenizer), id_type(tokenizer))
    words = np.full((len(blocks), block_length), -1, dtype=np.int16)
    lengths = np.array([len(block.ids) for block in blocks], dtype=np.int32)
    for row, block in enumerate(blocks):
        ids[row, : lengths[row]] = block.ids
        words[row, : lengths[row]] = block.words
    full = bool((lengths == block_length).all())
    return PackedBlocks(ids, words, 0, 0, None if full else lengths)


def count_pieces(blocks: PackedBlocks, size: int) -> np.ndarray:
    """How often each id is a word piece.

    blocks (PackedBlocks): The blocks, read piece by piece.
    size (int): Length of the result, more than the highest id.
    RETURNS (np.ndarray): Shape (size,), int64; special tokens and padding are not counted.
    """
    counts = np.zeros(size, dtype=np.int64)
    for start in range(0, len(blocks.input_ids), COUNTED_AT_ONCE):
        rows = slice(start, start + COUNTED_AT_ONCE)
        pieces = blocks.input_ids[rows][blocks.words[rows] >= 0]
        counts += np.bincount(pieces, minlength=size)
        blocks.release()
    return counts


def id_type(tokenizer: PreTrainedTokenizerBase) -> np.dtype:
    """The smallest type that holds all ids: uint16 up to 65,536 entries, else int32."""
    return np.dtype(np.uint16 if highest_id(tokenizer) < 1 << 16 else np.int32)


def highest_id(tokenizer: PreTrainedTokenizerBase) -> int:
    """The highest id a tokenizer may give."""
    return max(tokenizer.get_vocab().values(), default=0)


def padding_id(tokenizer: PreTrainedTokenizerBase) -> int:
    """The id of padding; the separator's where a tokenizer has none, for nobody looks at it."""
    pad = tokenizer.pad_token_id
    return tokenizer.sep_token_id if pad is None else pad
