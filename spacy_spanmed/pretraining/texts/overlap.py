"""Find texts that were there before, and texts that share a passage with evaluation texts, so that
nothing is trained on twice and no test set at all.

A text that was there before is found by a hash, in about eight bytes a text.

A text overlaps if it shares any 13 words in a row with an evaluation text, the definition of Brown et al. 2020 (appendix C, arXiv 2005.14165); words are runs of letters and digits without
case, so neither punctuation nor line breaks matter. An evaluation text of 8 to 12 words must lie
in the text as a whole (they use no shorter runs than 8 either), a shorter one must be all of it.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Iterable

import numpy as np

RECENT = 1 << 16  # hashes kept in a Python set until they are merged into the sorted array
_SPACE = re.compile(r"\s+")


class SeenTexts:
    """The texts seen so far, as 64-bit hashes.

    Two texts are the same if they are equal after case and white space are evened out. The hashes
    lie in a sorted array, 8 bytes each, and the last 65,536 at most in a set. Among 100 million
    texts, the chance that any one is wrongly taken for another is under 0.03 %.
    """

    def __init__(self) -> None:
        self._sorted = np.zeros(0, dtype=np.uint64)
        self._recent: set[int] = set()

    def __len__(self) -> int:
        return len(self._sorted) + len(self._recent)

    def add(self, text: str) -> bool:
        """Note a text.

        text (str): The text.
        RETURNS (bool): Whether it is new.
        """
        value = text_hash(text)
        if value in self._recent:
            return False
        place = int(np.searchsorted(self._sorted, np.uint64(value)))
        if place < len(self._sorted) and int(self._sorted[place]) == value:
            return False
        self._recent.add(value)
        if len(self._recent) >= RECENT:
            recent = np.fromiter(self._recent, np.uint64, len(self._recent))
            self._sorted = np.concatenate([self._sorted, recent])
            self._sorted.sort(kind="stable")  # in place; quick on two sorted parts
            self._recent.clear()
        return True


def text_hash(text: str) -> int:
    """64 bits that are equal for texts which differ in case and white space only."""
    even = _SPACE.sub(" ", text).strip().casefold()
    digest = hashlib.blake2b(even.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little")


SHORTEST_PASSAGE = 8  # words
_WORD = re.compile(r"[^\W_]+")
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


class EvaluationTexts:
    """Evaluation texts, as sorted 64-bit hashes of their runs of words.

    texts (Iterable[str]): The texts.
    words (int): How many words in a row make an overlap, default 13, at least 8.
    """

    def __init__(self, texts: Iterable[str], words: int = 13):
        self.words = words
        self.count = 0
        runs: dict[int, list[np.ndarray]] = {}
        short = []
        for text in texts:
            self.count += 1
            hashes = _word_hashes(text)
            length = min(words, len(hashes))
            if length >= SHORTEST_PASSAGE:
                runs.setdefault(length, []).append(_run_hashes(hashes, length))
            elif length:
                short.append(_run_hashes(hashes, length))
        self._runs = {length: np.unique(np.concatenate(found)) for length, found in runs.items()}
        self._short = np.unique(np.concatenate(short)) if short else np.zeros(0, np.uint64)

    def overlap(self, text: str) -> bool:
        """Whether a text shares a passage with any of the evaluation texts."""
        hashes = _word_hashes(text)
        if 0 < len(hashes) < SHORTEST_PASSAGE:
            return _any_in(_run_hashes(hashes, len(hashes)), self._short)
        return any(
            _any_in(_run_hashes(hashes, length), known)
            for length, known in self._runs.items()
            if len(hashes) >= length
        )


def _word_hashes(text: str) -> np.ndarray:
    words = (zlib.crc32(m.group().encode()) for m in _WORD.finditer(text.lower()))
    return np.fromiter(words, dtype=np.uint32)


def _run_hashes(hashes: np.ndarray, length: int) -> np.ndarray:
    """A 64-bit hash for each run of ``length`` words. The length itself counts, too."""
    count = len(hashes) - length + 1
    total = np.full(count, length, dtype=np.uint64)
    for place in range(length):
        total *= _MULTIPLIER
        total += hashes[place : place + count]
        total ^= total >> np.uint64(29)
    return total


def _any_in(values: np.ndarray, known: np.ndarray) -> bool:
    if not len(known):
        return False
    places = np.minimum(np.searchsorted(known, values), len(known) - 1)
    return bool((known[places] == values).any())
