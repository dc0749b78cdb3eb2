"""Find texts that were there before, in about eight bytes a text."""

from __future__ import annotations

import hashlib
import re

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
