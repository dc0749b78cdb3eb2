"""Pack raw text into blocks of a fixed length, without padding.

All documents become one stream of word pieces with a separator after each: ``a a a [SEP] b b
[SEP] ...``. The stream is cut into bodies of ``block_length - 2`` pieces, each wrapped into
``[CLS] ... [SEP]``. Where a cut falls inside a word, the pieces before it stay as context that
is never masked (word -1), and the next block starts with the whole word again. The rest of the
stream that fills no block is dropped.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from transformers import PreTrainedTokenizerBase

TEXTS_AT_ONCE = 1000


class PackedBlocks(NamedTuple):
    """Packed text.

    input_ids (np.ndarray): Shape (blocks, block_length), int32.
    words (np.ndarray): Shape (blocks, block_length), int16: index of the word inside the block,
        -1 for special tokens and cut words.
    documents (int): Number of texts read.
    tokens (int): Word pieces in them.
    """

    input_ids: np.ndarray
    words: np.ndarray
    documents: int
    tokens: int


def read_texts(path: Path) -> Iterator[str]:
    """Read the texts of a JSONL file with one ``{"text": ...}`` a line.

    path (Path): The file, UTF-8.
    YIELDS (str): Texts that are not blank.
    RAISES (ValueError): The file is missing, or a line is no object with a string "text"; the
        message names file and line.
    """
    if not path.is_file():
        raise ValueError(f"The text file '{path}' does not exist: build the corpus first.")
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                text = json.loads(line)["text"]
            except (ValueError, KeyError, TypeError) as err:
                raise ValueError(
                    f'{path}, line {number}: expected a JSON object like {{"text": "..."}} ({err}).'
                ) from err
            if not isinstance(text, str):
                raise ValueError(f'{path}, line {number}: "text" must be a string.')
            if text.strip():
                yield text


def pack_texts(
    texts: Iterable[str], tokenizer: PreTrainedTokenizerBase, block_length: int
) -> PackedBlocks:
    """Tokenize texts and pack them into blocks.

    texts (Iterable[str]): The documents, in the order in which they are joined.
    tokenizer (PreTrainedTokenizerBase): A fast tokenizer with classification and separator token.
    block_length (int): Tokens of a block with its two special tokens, at least 8.
    RETURNS (PackedBlocks): All full blocks, possibly none.
    RAISES (ValueError): ``block_length`` is under 8.
    """
    if block_length < 8:
        raise ValueError(f"A block needs at least 8 tokens, but block_length is {block_length}.")
    ids, words, documents, tokens = [], [], 0, 0
    next_word = 0
    for batch in _batches(texts, TEXTS_AT_ONCE):
        encoded = tokenizer(
            batch, add_special_tokens=False, return_attention_mask=False, verbose=False
        )
        for i, piece_ids in enumerate(encoded["input_ids"]):
            if not piece_ids:
                continue
            pieces = np.array(encoded.word_ids(i), dtype=np.int64)
            ids.append(np.array([*piece_ids, tokenizer.sep_token_id], dtype=np.int32))
            words.append(np.append(pieces + next_word, -1))
            next_word += int(pieces.max()) + 1
            documents += 1
            tokens += len(piece_ids)
    stream_ids = np.concatenate(ids) if ids else np.zeros(0, dtype=np.int32)
    stream_words = np.concatenate(words) if words else np.zeros(0, dtype=np.int64)
    special = set(tokenizer.all_special_ids)
    stream_words[np.isin(stream_ids, list(special))] = -1
    block_ids, block_words = _cut(stream_ids, stream_words, tokenizer, block_length)
    return PackedBlocks(block_ids, block_words, documents, tokens)


def _cut(
    ids: np.ndarray, words: np.ndarray, tokenizer: PreTrainedTokenizerBase, block_length: int
) -> tuple[np.ndarray, np.ndarray]:
    """Cut the stream into blocks that never show a part of a word as a maskable word."""
    body = block_length - 2
    bounds, start = [], 0
    while start + body <= len(ids):
        end = start + body
        keep = end  # tokens from here to the end belong to a word that goes on after the cut
        if end < len(ids) and words[end] >= 0 and words[end] == words[end - 1]:
            while keep > start and words[keep - 1] == words[end]:
                keep -= 1
        bounds.append((start, keep, end))
        start = keep if keep > start else end  # a word longer than a block is not started again
    block_ids = np.empty((len(bounds), block_length), dtype=np.int32)
    block_words = np.full((len(bounds), block_length), -1, dtype=np.int16)
    block_ids[:, 0] = tokenizer.cls_token_id
    block_ids[:, -1] = tokenizer.sep_token_id
    cut_word = -1  # the rest of a word longer than a block must not pass for a whole word
    for row, (start, keep, end) in enumerate(bounds):
        block_ids[row, 1:-1] = ids[start:end]
        chunk = words[start:keep].copy()
        chunk[chunk == cut_word] = -1
        cut_word = int(words[end - 1]) if keep == start else -1
        changes = np.diff(chunk, prepend=-1) != 0
        local = np.cumsum(changes & (chunk >= 0)) - 1
        block_words[row, 1 : 1 + len(chunk)] = np.where(chunk >= 0, local, -1)
    return block_ids, block_words


def _batches(texts: Iterable[str], size: int) -> Iterator[list[str]]:
    batch: list[str] = []
    for text in texts:
        batch.append(text)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
