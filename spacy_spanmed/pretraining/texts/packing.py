"""Cut tokenized texts into sequences, and keep these as arrays.

A sequence is ``[CLS] ... [SEP]`` and of a highest length. There are two ways to cut:

- **By document** (the default): a sequence holds text of one document and ends with a sentence
  where it can. A sentence too long for a sequence is cut between words. The last sequence of a
  document that would be too short gets sentences of the one before it. Sequences differ in length,
  so batches of them are padded (see ``bucket_order`` in ``samples.py``).
- **Joined**: all documents become one stream with a separator after each, ``a a a [SEP] b b
  [SEP] ...``, which is cut into full sequences. Where a cut falls inside a word, the pieces before
  it stay as context that is never masked (word -1), and the next sequence starts with the whole
  word again. For corpora whose documents are single sentences.
"""

from __future__ import annotations

import mmap
import warnings
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from transformers import PreTrainedTokenizerBase

from .tokenizing import EncodedText, encode_texts

SHORTEST_SEQUENCE = 8  # tokens
COUNTED_AT_ONCE = 4096  # sequences
LOOKED_AT = 1000  # sequences, to see whether a text can be read
# What packing counts.
DOCUMENTS = "documents_packed"
PIECES = "word_pieces"
DROPPED = "word_pieces_in_remainders_dropped"
TOO_SHORT = "documents_shorter_than_a_block_dropped"
CUT = "sentences_cut"


class TokenSequence(NamedTuple):
    """A sequence.

    ids (np.ndarray): Shape (length,), int32, special tokens included.
    words (np.ndarray): Shape (length,), int16: index of the word inside the sequence, -1 for
        special tokens and cut words.
    """

    ids: np.ndarray
    words: np.ndarray


class Packer(ABC):
    """Cuts tokenized texts into sequences.

    tokenizer (PreTrainedTokenizerBase): For the ids of the special tokens.
    block_length (int): Tokens of a sequence at most, special tokens included, at least 8.
    RAISES (ValueError): A length is out of its bounds.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, block_length: int):
        if block_length < SHORTEST_SEQUENCE:
            raise ValueError(
                f"A sequence needs at least {SHORTEST_SEQUENCE} tokens, but block_length is "
                f"{block_length}."
            )
        self._tokenizer = tokenizer
        self._body = block_length - 2
        self.counts: Counter[str] = Counter()

    def pack(self, texts: Iterable[str]) -> Iterator[TokenSequence]:
        """Tokenize and pack texts, one after the other; to be called once.

        texts (Iterable[str]): The documents.
        YIELDS (TokenSequence): The sequences, in the order of the text.
        """
        for text in encode_texts(texts, self._tokenizer):
            yield from self.add(text)
        yield from self.finish()

    def add(self, text: EncodedText) -> Iterator[TokenSequence]:
        """Take a text, and yield the sequences that are ready."""
        self.counts[DOCUMENTS] += 1
        self.counts[PIECES] += len(text.ids)
        yield from self._cut(text)

    @abstractmethod
    def _cut(self, text: EncodedText) -> Iterator[TokenSequence]:
        """The sequences that are ready with this text."""

    def finish(self) -> Iterator[TokenSequence]:
        """Yield what is left when there is no further text."""
        return iter(())

    def _wrap(self, ids: np.ndarray, words: np.ndarray) -> TokenSequence:
        """Wrap ids into special tokens and number words from 0."""
        all_ids = np.empty(len(ids) + 2, dtype=np.int32)
        all_ids[0], all_ids[-1] = self._tokenizer.cls_token_id, self._tokenizer.sep_token_id
        all_ids[1:-1] = ids
        changes = np.diff(words, prepend=-1) != 0
        local = np.cumsum(changes & (words >= 0)) - 1
        all_words = np.full(len(ids) + 2, -1, dtype=np.int16)
        all_words[1:-1] = np.where(words >= 0, local, -1)
        return TokenSequence(all_ids, all_words)


class DocumentPacker(Packer):
    """Sequences of one document each, which end with a sentence where they can.

    tokenizer, block_length: See :class:`Packer`.
    min_block (int): Tokens of a sequence at least, special tokens included, at most half of
        ``block_length``.
    RAISES (ValueError): A length is out of its bounds.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, block_length: int, min_block: int):
        super().__init__(tokenizer, block_length)
        if not 3 <= min_block <= block_length // 2:
            raise ValueError(
                f"data.min_block is {min_block}, but must lie between 3 and half of "
                f"training.block_length, {block_length // 2}."
            )
        self._least = min_block - 2

    def _cut(self, text: EncodedText) -> Iterator[TokenSequence]:
        size = len(text.ids)
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
            # A word that a cut goes through, because it is longer than a sequence, is no target.
            if start and text.words[start - 1] == words[0]:
                words[words == words[0]] = -1
            if end < size and text.words[end] == words[-1]:
                words[words == words[-1]] = -1
            yield self._wrap(text.ids[start:end], words)

    def _next_cut(self, text: EncodedText, start: int) -> int:
        """The last end of a sentence that fits the sequence from ``start``, or of a word."""
        limit = start + self._body
        sentence = _sentence_start(text, limit)
        if sentence - start >= self._least:
            return sentence
        self.counts[CUT] += 1
        word = _word_start(text.words, start, limit)
        return word if word - start >= self._least else limit

    def _earlier_cut(self, text: EncodedText, start: int, cut: int) -> int:
        """Another cut between ``start`` and the text's end, so that both sequences are long enough;
        the old one if there is none."""
        size = len(text.ids)
        low, high = max(start + self._least, size - self._body), size - self._least
        sentence = _sentence_start(text, high)
        if sentence >= low:
            return sentence
        word = _word_start(text.words, start, high)
        if word < low:
            return cut
        self.counts[CUT] += 1
        return word


class JoiningPacker(Packer):
    """Full sequences from the stream of all documents; see :class:`Packer`."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, block_length: int):
        super().__init__(tokenizer, block_length)
        self._ids = np.zeros(0, dtype=np.int32)
        self._words = np.zeros(0, dtype=np.int64)
        self._next_word = 0
        # The rest of a word longer than a sequence must not pass for a whole word.
        self._cut_word = -1

    def _cut(self, text: EncodedText) -> Iterator[TokenSequence]:
        words = np.where(text.words >= 0, text.words + self._next_word, -1)
        self._next_word += int(text.words.max(initial=0)) + 1
        self._ids = np.concatenate([self._ids, text.ids, [self._tokenizer.sep_token_id]])
        self._words = np.concatenate([self._words, words, [-1]])
        start = 0
        # The token after a sequence shows whether its end cuts a word.
        while start + self._body < len(self._ids):
            end = start + self._body
            keep = end
            if self._words[end] >= 0 and self._words[end] == self._words[end - 1]:
                keep = _word_start(self._words, start, end)
                keep = start if keep == end else keep
            yield self._sequence(start, keep, end)
            # A word longer than a sequence is not started again.
            start = keep if keep > start else end
        self._ids, self._words = self._ids[start:], self._words[start:]

    def finish(self) -> Iterator[TokenSequence]:
        # What fills no sequence is dropped.
        if len(self._ids) == self._body:
            yield self._sequence(0, self._body, self._body)
        else:
            self.counts[DROPPED] += int((self._ids != self._tokenizer.sep_token_id).sum())

    def _sequence(self, start: int, keep: int, end: int) -> TokenSequence:
        """The sequence of the stream from ``start`` to ``end``, targets only up to ``keep``."""
        words = self._words[start:end].copy()
        words[keep - start :] = -1
        words[words == self._cut_word] = -1
        self._cut_word = int(self._words[end - 1]) if keep == start else -1
        return self._wrap(self._ids[start:end], words)


def make_packer(
    tokenizer: PreTrainedTokenizerBase, block_length: int, join_documents: bool, min_block: int
) -> Packer:
    """The packer that the settings ask for; see :func:`pack_texts`."""
    if join_documents:
        return JoiningPacker(tokenizer, block_length)
    return DocumentPacker(tokenizer, block_length, min_block)


def _sentence_start(text: EncodedText, limit: int) -> int:
    """The last place up to ``limit`` where a sentence begins; -1 if there is none."""
    place = int(np.searchsorted(text.sentences, limit, side="right")) - 1
    return int(text.sentences[place]) if place >= 0 else -1


def _word_start(words: np.ndarray, start: int, limit: int) -> int:
    """The last place up to ``limit`` where a word begins; ``limit`` if one word fills it all."""
    place = limit
    while place > start and words[limit] >= 0 and words[place - 1] == words[limit]:
        place -= 1
    return place if place > start else limit


class PackedSequences(NamedTuple):
    """Packed text, in memory or mapped from a file.

    input_ids (np.ndarray): Shape (sequences, block_length), uint16 or int32. Shorter sequences are
        padded at their end.
    words (np.ndarray): Shape (sequences, block_length), int16: index of the word inside the
        sequence, -1 for special tokens, padding and cut words.
    documents (int): Number of texts packed.
    tokens (int): Word pieces in them.
    lengths (np.ndarray): Shape (sequences,), tokens of each sequence; None if all are full.
    report (dict): What was read, left out and kept; empty if nobody counted.
    """

    input_ids: np.ndarray
    words: np.ndarray
    documents: int
    tokens: int
    lengths: np.ndarray | None = None
    report: dict[str, Any] = {}

    @classmethod
    def make(
        cls,
        arrays: Sequence[np.ndarray],
        documents: int,
        tokens: int,
        report: dict[str, Any] | None = None,
    ) -> PackedSequences:
        """Join ids, words and lengths, as :func:`stack_sequences` gives them, with figures."""
        ids, words, lengths = arrays
        full = bool((lengths == ids.shape[1]).all())
        return cls(ids, words, documents, tokens, None if full else lengths, report or {})

    @property
    def mean_length(self) -> float:
        """Tokens of a sequence on average, special tokens included, padding not."""
        if self.lengths is None or not len(self.lengths):
            return float(self.input_ids.shape[1])
        return float(np.mean(self.lengths))

    def get(self, row: int) -> TokenSequence:
        """RETURNS (TokenSequence): One sequence, without its padding. row (int): Its number."""
        end = None if self.lengths is None else int(self.lengths[row])
        return TokenSequence(self.input_ids[row][:end], self.words[row][:end])

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
    min_block: int = SHORTEST_SEQUENCE // 2,
) -> PackedSequences:
    """Tokenize texts and pack them into sequences in memory.

    texts (Iterable[str]): The documents in their order.
    tokenizer (PreTrainedTokenizerBase): A fast tokenizer with classification and separator token.
    block_length (int): Tokens of a sequence with its two special tokens, at least 8.
    join_documents (bool): Full sequences, which may hold several documents. Default True.
    min_block (int): If not joined, tokens of a sequence at least. Default 4.
    RETURNS (PackedSequences): All sequences, possibly none.
    RAISES (ValueError): A length is out of its bounds.
    """
    packer = make_packer(tokenizer, block_length, join_documents, min_block)
    arrays = stack_sequences(list(packer.pack(texts)), block_length, tokenizer)
    return PackedSequences.make(arrays, packer.counts[DOCUMENTS], packer.counts[PIECES])


def stack_sequences(
    sequences: Sequence[TokenSequence], block_length: int, tokenizer: PreTrainedTokenizerBase
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Put sequences into arrays.

    sequences (Sequence[TokenSequence]): The sequences.
    block_length (int): Width of the arrays; what sequences lack of it is padding.
    tokenizer (PreTrainedTokenizerBase): For the width of ids (uint16 up to 65,536 entries, else
        int32) and the id of padding.
    RETURNS (tuple): Ids and words, see :class:`PackedSequences`, and int32 lengths.
    """
    # Nobody looks at padding: a tokenizer that has none lends the separator's id.
    pad = tokenizer.sep_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
    id_type = np.uint16 if highest_id(tokenizer) < 1 << 16 else np.int32
    ids = np.full((len(sequences), block_length), pad, id_type)
    words = np.full((len(sequences), block_length), -1, dtype=np.int16)
    lengths = np.array([len(sequence.ids) for sequence in sequences], dtype=np.int32)
    for row, sequence in enumerate(sequences):
        ids[row, : lengths[row]] = sequence.ids
        words[row, : lengths[row]] = sequence.words
    return ids, words, lengths


def count_pieces(sequences: PackedSequences, size: int) -> np.ndarray:
    """How often each id is a word piece.

    sequences (PackedSequences): The sequences, read piece by piece.
    size (int): Length of the result, more than the highest id.
    RETURNS (np.ndarray): Shape (size,), int64; special tokens and padding are not counted.
    """
    counts = np.zeros(size, dtype=np.int64)
    for start in range(0, len(sequences.input_ids), COUNTED_AT_ONCE):
        rows = slice(start, start + COUNTED_AT_ONCE)
        pieces = sequences.input_ids[rows][sequences.words[rows] >= 0]
        counts += np.bincount(pieces, minlength=size)
        sequences.release()
    return counts


def check_readable(sequences: PackedSequences, name: str) -> None:
    """Refuse text of which the tokenizer knows next to nothing: nothing can be masked or learned.

    sequences (PackedSequences): The texts. name (str): Theirs, for the message.
    RAISES (ValueError): Of sequences spread over the text, under a tenth of the tokens are in words
        that can be masked. Under a half is warned of.
    """
    count = len(sequences.input_ids)
    rows = np.unique(np.linspace(0, count - 1, min(count, LOOKED_AT)).astype(np.int64))
    words = np.asarray(sequences.words[rows])
    tokens = words.size if sequences.lengths is None else int(sequences.lengths[rows].sum())
    share = int((words >= 0).sum()) / max(tokens, 1)
    fault = (
        f"Of '{name}' the tokenizer makes words in only {share:.0%} of the tokens, the others are "
        "unknown to it or parts of words longer than a sequence. Are these texts with spaces "
        "between words, in a language and alphabet the encoder was trained on?"
    )
    if share < 0.1:
        raise ValueError(fault)
    if share < 0.5:
        warnings.warn(fault)


def highest_id(tokenizer: PreTrainedTokenizerBase) -> int:
    """The highest id a tokenizer may give."""
    return max(tokenizer.get_vocab().values(), default=0)
