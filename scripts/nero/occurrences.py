"""Where an annotated string stands in its sentence. NERO gives strings, not offsets."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import product

Offsets = tuple[int, int]

_PLURAL = re.compile(r"e?s(?![^\W_])")


def find_occurrences(text: str, string: str) -> list[list[Offsets]]:
    """Find a string in a text.

    Annotators often wrote the singular where the text has the plural. There the whole word is the
    mention: a span that ends before the "s" can't be found on the words of a sentence.

    text (str): The text.
    string (str): What to find, case-sensitively.
    RETURNS (list[list[Offsets]]): (start, end) of three kinds of occurrences, each from left to
        right: whole words; those widened by a plural "s" or "es"; those within words.
    """
    kinds: list[list[Offsets]] = [[], [], []]
    start = text.find(string) if string else -1
    while start >= 0:
        end = start + len(string)
        cut_left = start > 0 and text[start - 1].isalnum() and text[start].isalnum()
        cut_right = end < len(text) and text[end - 1].isalnum() and text[end].isalnum()
        plural = _PLURAL.match(text, end) if cut_right and not cut_left else None
        if plural:
            kinds[1].append((start, plural.end()))
        else:
            kinds[2 if cut_left or cut_right else 0].append((start, end))
        start = text.find(string, start + 1)
    return kinds


def candidate_occurrences(text: str, string: str) -> list[Offsets]:
    """RETURNS (list[Offsets]): Occurrences of the best kind there is; see `find_occurrences`."""
    return next((kind for kind in find_occurrences(text, string) if kind), [])


def place_in_order(text: str, strings: Sequence[str]) -> list[Offsets | None]:
    """Locate the mentions of a sentence, given in the order in which they were annotated.

    Annotators went from left to right (99 % of neighbours are in order), which tells which
    occurrence of a repeated string is meant: a mention takes the first free occurrence between
    the mention annotated before it and the next one that occurs only once; failing that, the
    first free one after the mention before it; failing that, the first free one. Each row takes
    one occurrence; an occurrence that nobody annotated stays without annotation.

    text (str): The sentence.
    strings (Sequence[str]): The mentions' strings, each of which occurs in the text.
    RETURNS (list[Offsets | None]): (start, end) of each, None for a repetition that finds no
        free occurrence.
    """
    options: dict[str, list[Offsets]] = {}
    for string in dict.fromkeys(strings):
        options[string] = []
        for kind in find_occurrences(text, string):
            if len(options[string]) < strings.count(string):
                options[string].extend(kind)
    # For each position, the start of the next mention that has only one place to be.
    next_fixed = [len(text)]
    for string in reversed(strings[1:]):
        spots = options[string]
        next_fixed.append(spots[0][0] if len(spots) == 1 else next_fixed[-1])
    placed: list[Offsets | None] = []
    previous = 0
    for string, bound in zip(strings, reversed(next_fixed)):
        free = [spot for spot in options[string] if spot not in placed]
        after = [spot for spot in free if spot[0] >= previous]
        between = [spot for spot in after if spot[0] <= bound]
        spot = next(iter(between or after or free), None)
        placed.append(spot)
        if spot is not None:
            previous = spot[0]
    return placed


def nearest_pair(text: str, first: str, second: str) -> tuple[Offsets, Offsets] | None:
    """Choose the occurrences of two different strings that are meant by a statement about them.

    The pair with the smallest gap is taken, the leftmost among equals; a pair that overlaps
    ("p53" within "p53 promoter") only where there is no other.

    text (str): The sentence.
    first, second (str): The arguments' strings.
    RETURNS (tuple[Offsets, Offsets] | None): (start, end) of both; None if one doesn't occur.
    """

    def distance(pair: tuple[Offsets, Offsets]) -> tuple:
        (a, b), (c, d) = pair
        gap = max(a, c) - min(b, d)
        return gap < 0, abs(gap), min(a, c), pair

    pairs = product(candidate_occurrences(text, first), candidate_occurrences(text, second))
    return min(pairs, key=distance, default=None)
