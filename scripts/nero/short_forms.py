"""Mentions that hold a long form and its short form: "glucocorticoid receptor ( GR )".

NERO's dense sets mark such a thing as one mention, its statement sets mark both forms, and so does
every other corpus. So each is made two mentions of the same class.
"""

from __future__ import annotations

import re

from .occurrences import Offsets

_BOTH = re.compile(r"(?P<long>[^()]+?) ?\( ?(?P<short>[^() ]+(?: [^() ]+)?) ?\)")
_SHORT = re.compile(r"(?=.*[^\W\d_])[^\W_].{1,9}")
_CAPITALS = re.compile(r"(?=(?:[^A-Z]*[A-Z]){2})(?![IVX]+$)[^ =]+")


def split_short_form(mention: str) -> tuple[Offsets, Offsets] | None:
    """Find the two forms. Either the short form's letters and digits stand in the long form in their
    order, the first of them where a word begins (Schwartz and Hearst 2003, "A simple algorithm for
    identifying abbreviation definitions in biomedical text"); or it is one word with two capitals or
    more, and a word of the long form begins as it does ("Total organic halogen ( TOX )").

    mention (str): The text of a mention.
    RETURNS (tuple[tuple[int, int], tuple[int, int]] | None): (start, end) of the long and of the
        short form within the mention; None if it isn't of this kind.
    """
    match = _BOTH.fullmatch(mention)
    if not match or not _SHORT.fullmatch(match["short"]):
        return None
    short = re.sub(r"(?<=[A-Z])s$", "", match["short"])  # of a plural, "TKIs"
    long = match["long"].lower()
    initials = {word[0] for word in re.findall(r"[^\W_]+", long)}
    initialled = _CAPITALS.fullmatch(short) and short[0].lower() in initials
    if len(short) >= len(long) or not (initialled or _fits(short.lower(), long)):
        return None
    return match.span("long"), match.span("short")


def _fits(short: str, long: str) -> bool:
    place = len(long)
    characters = [character for character in short if character.isalnum()]
    for number, character in reversed(list(enumerate(characters))):
        place = long.rfind(character, 0, place)
        while number == 0 and place > 0 and long[place - 1].isalnum():
            place = long.rfind(character, 0, place)
        if place < 0:
            return False
    return True
