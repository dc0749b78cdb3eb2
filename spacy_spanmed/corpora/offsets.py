"""Offsets of a mention against its text: is the string there, and if not, where did it go?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from .documents import Offsets, SourceMention

SHOWN = 80  # characters of a string in a message
NEARBY = 2000  # characters searched on each side for a string that isn't where it should be


def same_string(a: str, b: str) -> bool:
    """RETURNS (bool): Whether two strings are equal but for white space. Formats that keep a
    mention on one line replace line ends by spaces, and some drop them."""
    return a == b or "".join(a.split()) == "".join(b.split())


def trim_mention(text: str, mention: SourceMention) -> SourceMention:
    """Trim white space from a mention's ends.

    text (str): The text.
    mention (SourceMention): None of its fragments may be nothing but white space.
    RETURNS (SourceMention): The same object if there is nothing to trim.
    """
    start, end = mention.start, mention.end
    while text[start].isspace():
        start += 1
    while text[end - 1].isspace():
        end -= 1
    if (start, end) == (mention.start, mention.end):
        return mention
    fragments = [(max(a, start), min(b, end)) for a, b in mention.fragments]
    return replace(mention, start=start, end=end, fragments=fragments)


def explain_mismatch(text: str, parts: Sequence[Offsets], given: str) -> str:
    """Say what is at a mention's place, and how its offsets may have come about.

    text (str): The text.
    parts (Sequence[Tuple[int, int]]): The mention's fragments, at least one, within the text.
    given (str): The string that should be there.
    RETURNS (str): A few sentences, with a remedy.
    """
    found = " ".join(text[a:b] for a, b in parts)
    message = f"the text there is {_shorten(found)}, but the source gives {_shorten(given)}."
    start, end = parts[0][0], parts[-1][1]
    unit = _find_unit(text, start, end, given) if len(parts) == 1 else None
    if unit:
        return f"{message} The offsets count {unit}: make them count characters."
    shifted = find_nearby(text, given, start)
    if shifted is None:
        return f"{message} Do text and offsets belong together? Correct one of them."
    if shifted == start:
        return f"{message} {_explain_end(end, start + len(given), len(parts))}"
    shift = start - shifted
    hint = ""
    if abs(shift) == 1:
        hint = " (a byte-order mark, a line end, or counting from 1?)"
    return (
        f"{message} That string is at character {shifted}, so the offset is {abs(shift)} too "
        f"{'high' if shift > 0 else 'low'}{hint}. Correct the offsets, or the text before it."
    )


def _explain_end(end: int, right: int, parts: int) -> str:
    if end == right and parts > 1:
        return "That string is there in one piece. Leave the fragments out, or correct the string."
    shift = end - right
    hint = " (ends are exclusive: the character after the last)" if shift == -1 else ""
    return (
        f"That string begins there but ends at character {right}, so the end is {abs(shift)} too "
        f"{'high' if shift > 0 else 'low'}{hint}. Correct the end, or the string."
    )


def _shorten(string: str) -> str:
    return repr(string if len(string) <= SHOWN else string[:SHOWN] + "...")


def find_nearby(text: str, string: str, start: int) -> int | None:
    """RETURNS (Optional[int]): The place of a string that is closest to a character of the text;
    None if it doesn't occur within some thousands of characters."""
    if not string:
        return None
    places: list[int] = []
    before = text.rfind(string, max(0, start - NEARBY), start + len(string))
    after = text.find(string, start, start + NEARBY)
    places = [place for place in (before, after) if place >= 0]
    return min(places, key=lambda place: abs(place - start)) if places else None


def _find_unit(text: str, start: int, end: int, given: str) -> str | None:
    """RETURNS (Optional[str]): What offsets count instead of characters, if the string tells."""
    views = (
        ("bytes of UTF-8", text.encode("utf-8")[start:end].decode("utf-8", "replace")),
        (
            "UTF-16 units, as in Java and JavaScript",
            text.encode("utf-16-le")[2 * start : 2 * end].decode("utf-16-le", "replace"),
        ),
        ("a line end of two characters as one", text.replace("\r\n", "\n")[start:end]),
        ("a line end of one character as two", text.replace("\n", "\r\n")[start:end]),
    )
    for unit, string in views:
        if string == given:
            return unit
    return None
