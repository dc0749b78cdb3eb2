"""Where sentences end, by rules: fast, and good enough for where a block may end.

A sentence ends at a full stop, question or exclamation mark (closing quotes and brackets go with
it) before white space, at the marks of Chinese and Japanese, and at a line feed. A full stop ends
none after an abbreviation or a single letter, nor before a word in lower case, unless the text
has most of its sentences begin so (corpora that were lower-cased).
"""

from __future__ import annotations

import re

ABBREVIATIONS = frozenset(
    "al approx ca cf dept dr ed eds eg eq eqs et etc fig figs i.e e.g ie inc ltd mr mrs ms no nos "
    "prof ref refs resp sp spp ssp st subsp suppl v var viz vol vols vs".split()
)
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
    word = _LAST_WORD.search(text, max(0, stop - LONGEST_ABBREVIATION - 1), stop).group()
    return word.lower() in ABBREVIATIONS or (len(word) == 1 and word.isalpha())
