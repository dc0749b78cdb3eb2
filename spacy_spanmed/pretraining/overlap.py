"""Find texts that share a passage with evaluation texts, so that no test set is trained on.

A text overlaps if it shares any 13 words in a row with an evaluation text, the definition of
Brown et al. 2020 (appendix C, arXiv 2005.14165); words are runs of letters and digits without
case, so neither punctuation nor line breaks matter. An evaluation text of 8 to 12 words must lie
in the text as a whole (they use no shorter runs than 8 either), a shorter one must be all of it.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable

import numpy as np

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
