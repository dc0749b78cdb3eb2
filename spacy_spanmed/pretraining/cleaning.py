"""Clean a text before it is tokenized: white space, and characters that nobody sees."""

from __future__ import annotations

import re
from collections.abc import Sequence

# Control characters but for white space, and characters without width: soft hyphen, zero-width
# space, word joiner, byte order mark. Joiners (U+200C, U+200D) stay: some scripts need them.
_INVISIBLE = re.compile("[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\xad\u200b\u2060\ufeff]")
_HALF = re.compile("[\ud800-\udfff]")
_LINE_END = re.compile("\r\n?|[\x0b\x0c\x85\u2028\u2029]")
_SPACES = re.compile(r"\s{2,}|[^\S ]")  # white space that is not one space


def clean_text(
    text: str,
    *,
    replace: Sequence[tuple[re.Pattern, str]] = (),
    normalize_whitespace: bool = True,
    remove_control_characters: bool = True,
) -> str:
    """Clean a text.

    text (str): The text.
    replace (Sequence): Regular expressions and what their matches become, first of all, one after
        the other. Default none.
    normalize_whitespace (bool): Make every run of white space one space, but one line feed where
        there was a blank line: a paragraph ends there. Default True.
    remove_control_characters (bool): Remove control characters other than white space, and
        characters without width. Default True.
    RETURNS (str): The text without white space around it. Half characters (lone surrogates, which
        JSON can hold but UTF-8 can't) are always replaced by U+FFFD.
    """
    for pattern, replacement in replace:
        text = pattern.sub(replacement, text)
    if _HALF.search(text):
        text = _HALF.sub("\ufffd", text)
    if remove_control_characters:
        text = _INVISIBLE.sub("", text)
    if normalize_whitespace:
        text = _LINE_END.sub("\n", text)
        text = _SPACES.sub(_even, text)
    return text.strip()


def _even(spaces: re.Match) -> str:
    """One line feed for a blank line, else a space."""
    return "\n" if spaces.group().count("\n") > 1 else " "
