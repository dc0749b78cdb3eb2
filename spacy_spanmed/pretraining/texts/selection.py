"""Which documents are used, and how they are cleaned before they are tokenized.

A document is cleaned of superfluous white space and of characters that nobody sees. It is kept if
it is then long enough, new (told by a hash, in about eight bytes a text), on the right side of the
split, and in no evaluation corpus.

A text overlaps with an evaluation text if it shares any 13 words in a row with it, the definition
of Brown et al. 2020 (appendix C, arXiv 2005.14165); words are runs of letters and digits without
case, so neither punctuation nor line breaks matter. An evaluation text of 8 to 12 words must lie
in the text as a whole (they use no shorter runs than 8 either), a shorter one must be all of it.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...corpora.reading import iter_texts
from ...util.problems import EXAMPLES, SKIP, Problems
from ...util.text_files import Meter
from ..config import DataSettings
from .reading import Document
from .sources import Sources

# Control characters but for white space, and characters without width: soft hyphen, zero-width
# space, word joiner, byte order mark. Joiners (U+200C, U+200D) stay: some scripts need them.
_INVISIBLE = re.compile("[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\xad\u200b\u2060\ufeff]")
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_LINE_END = re.compile("\r\n?|[\x0b\x0c\x85\u2028\u2029]")
_SPACES = re.compile(r"\s{2,}|[^\S ]")  # white space that is not one space


def clean_text(text: str, settings: DataSettings) -> str:
    """Clean a text.

    text (str): The text.
    settings (DataSettings): ``replace``: regular expressions and what their matches become, first
        of all, one after the other. ``normalize_whitespace``: make every run of white space one
        space, but one line feed where there was a blank line: a paragraph ends there.
        ``remove_control_characters``: remove control characters other than white space, and
        characters without width.
    RETURNS (str): The text without white space around it. Lone surrogates (which JSON can hold but
        UTF-8 can't) are always replaced by U+FFFD.
    """
    for pattern, replacement in settings.replace:
        text = pattern.sub(replacement, text)
    text = _LONE_SURROGATE.sub("\ufffd", text)
    if settings.remove_control_characters:
        text = _INVISIBLE.sub("", text)
    if settings.normalize_whitespace:
        text = _LINE_END.sub("\n", text)
        text = _SPACES.sub(_even, text)
    return text.strip()


def _even(spaces: re.Match) -> str:
    """One line feed for a blank line, else a space."""
    return "\n" if spaces.group().count("\n") > 1 else " "


RECENT = 1 << 16  # hashes kept in a Python set until they are merged into the sorted array


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
        if value in self._recent or _any_in(np.array([value], np.uint64), self._sorted):
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
    even = " ".join(text.split()).casefold()
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
        self.count = 0
        self.problems: dict[str, int] = {}
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

    @classmethod
    def read(cls, paths: Sequence[Path], words: int) -> EvaluationTexts:
        """Read corpora that must not be trained on.

        paths (Sequence[Path]): ``.spacy`` data, or corpora in any format that ``convert`` reads.
        words (int): How many words in a row make an overlap.
        RETURNS (EvaluationTexts): Its ``problems`` count what in them can't be used, by kind:
            annotation, which does not matter here, or texts.
        RAISES (ValueError): A corpus does not exist, can't be read, or holds no text.
        """
        problems = Problems(SKIP)

        def read() -> Iterator[str]:
            for path in paths:
                if not path.exists():
                    raise ValueError(f"data.exclude names '{path}', which does not exist.")
                count = 0
                for count, document in enumerate(iter_texts(path, problems), start=1):
                    yield document.text
                if not count:
                    raise ValueError(f"data.exclude names '{path}', which holds no text.")

        found = cls(read(), words)
        found.problems = dict(problems.counts)
        return found

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


READ, KEPT = "documents_read", "documents_kept"
EMPTY, SHORT, DUPLICATE, OVERLAPPING = "empty", "too_short", "duplicate", "overlapping"
OTHER_SIDE, IN_DEV = "other_side", "in_dev"
REASONS = {
    EMPTY: "empty",
    SHORT: "too short",
    DUPLICATE: "duplicates",
    OTHER_SIDE: "on the other side of the split",
    IN_DEV: "held out",
    OVERLAPPING: "overlapping with evaluation texts",
}


class Selection:
    """Cleans documents, leaves some out, and accounts for each.

    settings (DataSettings): What to clean and to leave out.
    evaluation (EvaluationTexts): Texts that must not be trained on; None: there are none.
    held_out (bool): Where ``settings.held_out`` splits the texts, select those that are held out,
        not those to train on. Default False.
    dev (Container[int]): Hashes (``text_hash``) of held-out texts of their own, which must not be
        trained on. Default none.
    """

    def __init__(
        self,
        settings: DataSettings,
        evaluation: EvaluationTexts | None = None,
        held_out: bool = False,
        dev: Container[int] = (),
    ):
        self._dev = dev
        self._settings = settings
        self._held_out = held_out
        self._evaluation = evaluation
        self._seen = SeenTexts() if settings.deduplicate else None
        self._counts: Counter = Counter()
        self._examples: dict[str, list[str]] = {}

    def select(self, documents: Iterable[Document]) -> Iterator[str]:
        """Clean documents.

        documents (Iterable[Document]): From ``Sources.read``.
        YIELDS (str): The text of those that are kept.
        """
        for document in documents:
            self._counts[READ] += 1
            text = clean_text(document.text, self._settings)
            reason = self._find_reason(text)
            if reason is None:
                self._counts[KEPT] += 1
                yield text
                continue
            self._counts[reason] += 1
            if self._counts[reason] <= EXAMPLES:
                self._examples.setdefault(reason, []).append(document.place)

    def report(self) -> dict[str, Any]:
        """How many documents were read, left out (with the places of the first few) and kept."""
        return {
            READ: self._counts[READ],
            **{f"documents_{reason}": self._counts[reason] for reason in REASONS},
            KEPT: self._counts[KEPT],
            "examples": self._examples,
        }

    def _find_reason(self, text: str) -> str | None:
        """Why a text is left out; None: it is kept."""
        if not text:
            return EMPTY
        if len(text) < self._settings.min_characters:
            return SHORT
        if self._seen is not None and not self._seen.add(text):
            return DUPLICATE
        share = self._settings.held_out
        if share and _is_held_out(text, share) != self._held_out:
            return OTHER_SIDE
        if self._dev and text_hash(text) in self._dev:
            return IN_DEV
        if self._evaluation is not None and self._evaluation.overlap(text):
            return OVERLAPPING
        return None


def read_selected(entries: Sequence[str], settings: DataSettings) -> Iterator[str]:
    """Read texts as a run does, those of both its sides.

    entries (Sequence[str]): Files, folders and datasets.
    settings (DataSettings): How to read, clean and select. ``exclude`` is not looked at.
    YIELDS (str): Texts.
    RAISES (ValueError): See ``Sources``.
    """
    sources = Sources.from_settings(entries, settings)
    whole = settings.model_copy(update={"held_out": 0.0})
    yield from Selection(whole).select(sources.read(Meter()))


def _is_held_out(text: str, share: float) -> bool:
    """Whether a cleaned text is of the share (0 to 1) that is held out: decided by its hash, so
    always the same for the same text."""
    digest = hashlib.blake2b(text.encode("utf-8"), digest_size=8).digest()
    return int.from_bytes(digest, "big") < share * 2**64
