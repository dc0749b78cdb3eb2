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
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple, Protocol

import numpy as np
from transformers import PreTrainedTokenizerBase

from spacy_spanmed.pretraining.encoding import EncodedText

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
