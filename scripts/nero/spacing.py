"""The spacing that a text had before a corpus's tokenizer put spaces between its tokens.

Nearly all sentences of NERO's dense sets read "GGA ( Golgi-localizing , ... )"; no paper does. What
the tokenizer did is undone where the text alone tells: around brackets and punctuation, in quotes,
primes, escaped characters and charges of ions. Where it doesn't ("A + B", "1 - 2") spaces stay.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from .occurrences import Offsets

_ION = r"(?<![^\W_])(?:Ca2|Mg2|Zn2|Mn2|Cu2|Ni2|Co2|Cd2|Fe[23]|Na|K|H|CD\d+|NADP?)"
_RULES = (
    r" (?=[)\]}])|(?<=[(\[{]) ",
    r" (?=[,;:%?!](?: |$))| (?=\.(?: |$))",
    r"(?<=\d :) (?=\d)",
    r" (?='(?:s|t|re|ve|ll|d|m)?(?: |$))",
    r"(?P<opening>(?<![^ ])`` ?)|(?P<closing> ?''(?![^ ]))",
    r"(?P<escaped>& ?(?P<name>lt|gt|amp) ?;)",
    r"(?<=\+) (?=/ -)|(?<=\+ /) (?=-)|(?<=\w) (?=/ \w)|(?<=\w /) (?=\w)",
    rf"(?P<ion>{_ION}) (?=\+(?: |$))",
)
_EDITS = re.compile("|".join(_RULES))
_ESCAPED = {"lt": "<", "gt": ">", "amp": "&"}


class Restored(NamedTuple):
    """A text with natural spacing, and how its offsets follow from the old ones.

    text (str): The new text. places (list[int]): For each character of the old text the one of
        the new text that it became, or became part of; -1 for a space that is gone.
    """

    text: str
    places: list[int]

    def move(self, start: int, end: int) -> Offsets:
        """RETURNS (tuple[int, int]): Where the characters from start to end (exclusive) of the old
        text, not all of them spaces, lie in the new one."""
        kept = [place for place in self.places[start:end] if place >= 0]
        return kept[0], kept[-1] + 1


def restore_spacing(text: str) -> Restored:
    """RETURNS (Restored): The text as it is likely to have been printed."""
    parts: list[str] = []
    places: list[int] = []
    for match in _EDITS.finditer(text):
        parts.append(text[len(places) : match.start()])
        _extend(places, match.start(), len(parts[-1]))
        parts.append(_replace(match))
        _extend(places, match.end(), len(parts[-1]))
    parts.append(text[len(places) :])
    _extend(places, len(text), len(parts[-1]))
    return Restored("".join(parts), places)


def _extend(places: list[int], until: int, size: int) -> None:
    """Let the characters of the old text up to one become the next so many of the new one."""
    first = max(places, default=-1) + 1
    count = until - len(places)
    places.extend(first + min(i, size - 1) if size else -1 for i in range(count))


def _replace(match: re.Match[str]) -> str:
    if match["escaped"]:
        return _ESCAPED[match["name"]]
    return match["ion"] or ('"' if match["opening"] or match["closing"] else "")
