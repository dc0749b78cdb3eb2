"""Tokenize texts of any length, and tell where their sentences begin.

Sentences are found by rules: fast, and good enough for where a sequence may end. A sentence ends
at a full stop, question or exclamation mark (closing quotes and brackets go with it) before white
space, at the marks of Chinese and Japanese, and at a line feed. A full stop ends none after an
abbreviation or a single letter, nor before a word in lower case, unless the text has most of its
sentences begin so (corpora that were lower-cased).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from tokenizers import Encoding
from transformers import PreTrainedTokenizerBase

_ABBREVIATIONS = """
al approx ca cf dept dr ed eds eg eq eqs et etc fig figs i.e e.g ie inc ltd mr mrs ms no nos
prof ref refs resp sp spp ssp st subsp suppl v var viz vol vols vs
"""
ABBREVIATIONS = frozenset(_ABBREVIATIONS.split())
LONGEST_ABBREVIATION = max(map(len, ABBREVIATIONS))
_CLOSING = r"""["'\u2019\u201d\u00bb)\]]*"""
# The look-behind keeps a long run of marks from being tried again from each of them.
_MARKS = r"(?<![.!?\u2026])([.!?\u2026]+)"
_END = re.compile(rf"{_MARKS}{_CLOSING}(?=\s+(\S))|[\u3002\uff01\uff1f]{_CLOSING}|\n")
_LAST_WORD = re.compile(r"[^\s(\[]*\Z")


def sentence_ends(text: str) -> list[int]:
    """Find the ends of sentences.

    text (str): A text, cleaned or not.
    RETURNS (list): Offsets just after each sentence, ascending; the last is the text's length.
    """
    ends, before_lower, upper, lower = [], set(), 0, 0
    for match in _END.finditer(text):
        mark, following = match.groups()
        if following is not None:
            if mark == "." and _is_abbreviated(text, match.start()):
                continue
            if following.islower():
                lower += 1
                if mark == ".":
                    before_lower.add(match.end())
            elif following.isupper():
                upper += 1
        ends.append(match.end())
    if upper >= lower:
        ends = [end for end in ends if end not in before_lower]
    if not ends or ends[-1] < len(text):
        ends.append(len(text))
    return ends


def _is_abbreviated(text: str, stop: int) -> bool:
    """Whether the word before a full stop is an abbreviation or a single letter."""
    match = _LAST_WORD.search(text, max(0, stop - LONGEST_ABBREVIATION - 1), stop)
    word = match.group() if match else ""
    return word.lower() in ABBREVIATIONS or (len(word) == 1 and word.isalpha())


# Characters. A tokenizer needs some hundred bytes a word piece while it works, so long texts go
# through it in parts that end with a sentence, and many texts at once as long as they are short.
LONGEST_PART = 20_000
PARTS_AT_ONCE = 400_000
LOOK_AHEAD = 8
_NOT_SPACE = re.compile(r"\S")


class EncodedText(NamedTuple):
    """A tokenized text.

    ids (np.ndarray): Shape (pieces,), int32, without special tokens around them.
    words (np.ndarray): Shape (pieces,), int64: number of the word in the text, -1 for special
        tokens, unknown words among them.
    sentences (np.ndarray): First pieces of sentences, int64, ascending, at least 0.
    """

    ids: np.ndarray
    words: np.ndarray
    sentences: np.ndarray


class _Part(NamedTuple):
    text: str
    sentences: list[int]  # offsets in the part
    last: bool  # of its text


def encode_texts(texts: Iterable[str], tokenizer: PreTrainedTokenizerBase) -> Iterator[EncodedText]:
    """Tokenize texts.

    texts (Iterable[str]): The texts.
    tokenizer (PreTrainedTokenizerBase): A fast tokenizer.
    YIELDS (EncodedText): One for each text that has a word piece.
    """
    special = np.array(sorted(set(tokenizer.all_special_ids)))
    waiting: list[EncodedText] = []  # parts of the text under way
    for batch in _batches(texts):
        encoded = tokenizer(
            [part.text for part in batch],
            add_special_tokens=False,
            return_attention_mask=False,
            return_token_type_ids=False,
            verbose=False,
        )
        for part, ids, encoding in zip(batch, encoded["input_ids"], encoded.encodings):
            if ids:
                pieces = np.array(ids, dtype=np.int32)
                words = np.array(encoding.word_ids, dtype=np.int64)
                starts = _first_pieces(encoding, part.sentences)
                waiting.append(EncodedText(pieces, words, starts))
            if part.last and waiting:
                text = _join(waiting)
                text.words[np.isin(text.ids, special)] = -1
                yield text
                waiting = []


def _batches(texts: Iterable[str]) -> Iterator[list[_Part]]:
    batch: list[_Part] = []
    size = 0
    for text in texts:
        for part in _parts(text):
            batch.append(part)
            size += len(part.text)
            if size >= PARTS_AT_ONCE:
                yield batch
                batch, size = [], 0
    if batch:
        yield batch


def _parts(text: str) -> Iterator[_Part]:
    """Cut a text at ends of sentences, or, in very long ones, of words.

    White space before a sentence goes with it, as tokenizers that have pieces for a space before
    a word expect.
    """
    ends: list[int] = []
    for end in sentence_ends(text):
        begin = ends[-1] if ends else 0
        while end - begin > LONGEST_PART:
            space = text.rfind(" ", begin + 1, begin + LONGEST_PART)
            begin = space if space > 0 else begin + LONGEST_PART
            ends.append(begin)
        ends.append(end)
    first = 0
    while first < len(ends):
        begin = ends[first - 1] if first else 0
        last = first
        while last + 1 < len(ends) and ends[last + 1] - begin <= LONGEST_PART:
            last += 1
        # Line feeds, where paragraphs end, are spaces to the encoder: it has seen running text.
        part = text[begin : ends[last]].replace("\n", " ")
        starts = [0, *(end - begin for end in ends[first:last])]
        matches = (_NOT_SPACE.search(part, start) for start in starts)
        yield _Part(part, [m.start() for m in matches if m], last=last == len(ends) - 1)
        first = last + 1


def _first_pieces(encoding: Encoding, offsets: list[int]) -> np.ndarray:
    found = set()
    for offset in offsets:
        # A tokenizer may drop characters, such as those its normalization removes.
        pieces = map(encoding.char_to_token, range(offset, offset + LOOK_AHEAD))
        found.add(next((piece for piece in pieces if piece is not None), 0))
    return np.array(sorted(found), dtype=np.int64)


def _join(parts: list[EncodedText]) -> EncodedText:
    if len(parts) == 1:
        return parts[0]
    words, sentences, next_word, pieces = [], [], 0, 0
    for part in parts:
        words.append(part.words + next_word)
        sentences.append(part.sentences + pieces)
        next_word += int(part.words.max()) + 1
        pieces += len(part.ids)
    ids = np.concatenate([part.ids for part in parts])
    return EncodedText(ids, np.concatenate(words), np.concatenate(sentences))
