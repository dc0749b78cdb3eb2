"""Cut tokenized texts into blocks, each ``[CLS] ... [SEP]`` and of a highest length.

Two ways:

- **By document** (the default): a block holds text of one document and ends with a sentence where
  it can. A sentence longer than a block is cut between words. The last block of a document that
  would be too short gets sentences of the one before it. Blocks differ in length, so batches of
  them are padded (see ``bucketing.py``).
- **Joined**: all documents become one stream with a separator after each, ``a a a [SEP] b b
  [SEP] ...``, which is cut into full blocks. Where a cut falls inside a word, the pieces before it
  stay as context that is never masked (word -1), and the next block starts with the whole word
  again. For corpora whose documents are single sentences.

Blocks of text as arrays, and the way from texts to them.
"""

from __future__ import annotations

import mmap
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, Protocol

import numpy as np
from transformers import PreTrainedTokenizerBase

from .tokenizing import EncodedText, encode_texts

SHORTEST_BLOCK = 8  # tokens
# What packing counts.
DOCUMENTS = "documents_packed"
PIECES = "word_pieces"
DROPPED = "word_pieces_in_remainders_dropped"
TOO_SHORT = "documents_shorter_than_a_block_dropped"
CUT = "sentences_cut"


class Block(NamedTuple):
    """A block.

    ids (np.ndarray): Shape (length,), int32, special tokens included.
    words (np.ndarray): Shape (length,), int16: index of the word inside the block, -1 for special
        tokens and cut words.
    """

    ids: np.ndarray
    words: np.ndarray


class Packer(Protocol):
    """Cuts tokenized texts into blocks."""

    counts: Counter

    def add(self, text: EncodedText) -> Iterator[Block]:
        """Take a text, and yield the blocks that are ready."""
        ...

    def finish(self) -> Iterator[Block]:
        """Yield what is left when there is no further text."""
        ...


class DocumentPacker:
    """Blocks of one document each, which end with a sentence where they can.

    tokenizer (PreTrainedTokenizerBase): For the ids of the special tokens.
    block_length (int): Tokens of a block at most, special tokens included, at least 8.
    min_block (int): Tokens of a block at least, special tokens included, at most half of
        ``block_length``.
    RAISES (ValueError): A length is out of its bounds.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, block_length: int, min_block: int):
        _check_length(block_length)
        if not 3 <= min_block <= block_length // 2:
            raise ValueError(
                f"data.min_block is {min_block}, but must lie between 3 and half of "
                f"training.block_length, {block_length // 2}."
            )
        self._tokenizer = tokenizer
        self._body, self._least = block_length - 2, min_block - 2
        self.counts: Counter = Counter()

    def add(self, text: EncodedText) -> Iterator[Block]:
        """See :meth:`Packer.add`."""
        size = len(text.ids)
        self.counts[DOCUMENTS] += 1
        self.counts[PIECES] += size
        if size < self._least:
            self.counts[TOO_SHORT] += 1
            self.counts[DROPPED] += size
            return
        cuts = [0]
        while size - cuts[-1] > self._body:
            cuts.append(self._next_cut(text, cuts[-1]))
        if size - cuts[-1] < self._least:
            cuts[-1] = self._earlier_cut(text, cuts[-2], cuts[-1])
        cuts.append(size)
        for start, end in zip(cuts, cuts[1:]):
            if end - start < self._least:
                self.counts[DROPPED] += end - start
                continue
            words = text.words[start:end].copy()
            # A word that a cut goes through, because it is longer than a block, is no target.
            if start and text.words[start - 1] == words[0]:
                words[words == words[0]] = -1
            if end < size and text.words[end] == words[-1]:
                words[words == words[-1]] = -1
            yield _make_block(text.ids[start:end], words, self._tokenizer)

    def finish(self) -> Iterator[Block]:
        """See :meth:`Packer.finish`; nothing is held back."""
        return iter(())

    def _next_cut(self, text: EncodedText, start: int) -> int:
        """The last end of a sentence that fits the block from ``start``, or of a word."""
        limit = start + self._body
        place = int(np.searchsorted(text.sentences, limit, side="right")) - 1
        if place >= 0 and text.sentences[place] - start >= self._least:
            return int(text.sentences[place])
        self.counts[CUT] += 1
        word = _word_start(text.words, start, limit)
        return word if word - start >= self._least else limit

    def _earlier_cut(self, text: EncodedText, start: int, cut: int) -> int:
        """Another cut between ``start`` and the text's end, so that both blocks are long enough;
        the old one if there is none."""
        size = len(text.ids)
        low, high = max(start + self._least, size - self._body), size - self._least
        place = int(np.searchsorted(text.sentences, high, side="right")) - 1
        if place >= 0 and text.sentences[place] >= low:
            return int(text.sentences[place])
        word = _word_start(text.words, start, high)
        if word < low:
            return cut
        self.counts[CUT] += 1
        return word


class JoiningPacker:
    """Full blocks from the stream of all documents.

    tokenizer (PreTrainedTokenizerBase): For the ids of the special tokens.
    block_length (int): Tokens of a block, special tokens included, at least 8.
    RAISES (ValueError): ``block_length`` is under 8.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, block_length: int):
        _check_length(block_length)
        self._tokenizer = tokenizer
        self._body = block_length - 2
        self._ids = np.zeros(0, dtype=np.int32)
        self._words = np.zeros(0, dtype=np.int64)
        self._next_word = 0
        # The rest of a word longer than a block must not pass for a whole word.
        self._cut_word = -1
        self.counts: Counter = Counter()

    def add(self, text: EncodedText) -> Iterator[Block]:
        """See :meth:`Packer.add`."""
        self.counts[DOCUMENTS] += 1
        self.counts[PIECES] += len(text.ids)
        words = np.where(text.words >= 0, text.words + self._next_word, -1)
        self._next_word += int(text.words.max(initial=0)) + 1
        self._ids = np.concatenate([self._ids, text.ids, [self._tokenizer.sep_token_id]])
        self._words = np.concatenate([self._words, words, [-1]])
        start = 0
        # The token after a block shows whether its end cuts a word.
        while start + self._body < len(self._ids):
            end = start + self._body
            keep = end
            if self._words[end] >= 0 and self._words[end] == self._words[end - 1]:
                keep = _word_start(self._words, start, end)
                keep = start if keep == end else keep
            yield self._block(start, keep, end)
            start = keep if keep > start else end  # a word longer than a block: not started again
        self._ids, self._words = self._ids[start:], self._words[start:]

    def finish(self) -> Iterator[Block]:
        """See :meth:`Packer.finish`; what fills no block is dropped."""
        if len(self._ids) == self._body:
            yield self._block(0, self._body, self._body)
        else:
            self.counts[DROPPED] += int((self._ids != self._tokenizer.sep_token_id).sum())

    def _block(self, start: int, keep: int, end: int) -> Block:
        """The block of the stream from ``start`` to ``end``, targets only up to ``keep``."""
        words = self._words[start:end].copy()
        words[keep - start :] = -1
        words[words == self._cut_word] = -1
        self._cut_word = int(self._words[end - 1]) if keep == start else -1
        return _make_block(self._ids[start:end], words, self._tokenizer)


def make_packer(
    tokenizer: PreTrainedTokenizerBase, block_length: int, join_documents: bool, min_block: int
) -> Packer:
    """The packer that the settings ask for; see :func:`pack_texts`."""
    if join_documents:
        return JoiningPacker(tokenizer, block_length)
    return DocumentPacker(tokenizer, block_length, min_block)


def _word_start(words: np.ndarray, start: int, limit: int) -> int:
    """The last place up to ``limit`` where a word begins; ``limit`` if one word fills it all."""
    place = limit
    while place > start and words[limit] >= 0 and words[place - 1] == words[limit]:
        place -= 1
    return place if place > start else limit


def _make_block(ids: np.ndarray, words: np.ndarray, tokenizer: PreTrainedTokenizerBase) -> Block:
    """Wrap ids into special tokens and number words from 0."""
    block_ids = np.empty(len(ids) + 2, dtype=np.int32)
    block_ids[0], block_ids[-1] = tokenizer.cls_token_id, tokenizer.sep_token_id
    block_ids[1:-1] = ids
    changes = np.diff(words, prepend=-1) != 0
    local = np.cumsum(changes & (words >= 0)) - 1
    block_words = np.full(len(ids) + 2, -1, dtype=np.int16)
    block_words[1:-1] = np.where(words >= 0, local, -1)
    return Block(block_ids, block_words)


def _check_length(block_length: int) -> None:
    if block_length < SHORTEST_BLOCK:
        raise ValueError(
            f"A block needs at least {SHORTEST_BLOCK} tokens, but block_length is {block_length}."
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
            mapped = getattr(array, "_mmap", None)  # of a np.memmap
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
