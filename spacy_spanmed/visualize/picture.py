"""Entities and relations of one short Doc as a picture: an SVG file that stands alone.

For a README or a slide: it has a light background of its own, so that it is legible in a dark page
too, and neither scripts nor fonts. As on the page, relations run at right angles in lanes above the
lines of text, and beside them where they join two lines. SVG can't measure text, hence widths are
estimated from classes of characters, and each word is told to take up its own (`textLength`).
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from itertools import count, pairwise
from typing import NamedTuple

from spacy.tokens import Doc

from .marked_text import TextRenderer, clean, escape
from .views import Link, Mark, View, make_view

LINE_WIDTH = 860.0  # px; a line of text is longer only where a mention is
SIZE, SMALL = 16, 11  # px: of the text; of labels
PAD = 4.0  # px between a mention's text and the edge of its box, and between nested boxes
BOX = 24.0  # px, height of a box with no other inside
PITCH = 16.0  # px between lanes of relations
LABEL_ROW = 14.0  # px, height of a row of entity labels
EDGE = 16.0  # px around the picture
SIDE_PITCH = 8.0  # px between the lanes beside the text
BACKGROUND, INK, LINE = "#ffffff", "#1b1f24", "#57606a"

_NARROW, _WIDE = "fijlrtI.,:;'|!()[]{}/\\-\" ", "mwMW@%&"


def measure(text: str, size: float) -> float:
    """RETURNS (float): About how many px a text takes up in a sans-serif font of a size in px."""
    return size * sum(map(_measure_character, text))


def _measure_character(character: str) -> float:
    if unicodedata.combining(character):
        return 0.0
    if character in _NARROW:
        return 0.34
    if character in _WIDE or unicodedata.east_asian_width(character) in "WF":
        return 1.0
    return 0.72 if character.isupper() else 0.58


class Place(NamedTuple):
    """Where a mark's box is: line, left and right in px, and the number of boxes around it."""

    line: int
    left: float
    right: float
    depth: int

    @property
    def centre(self) -> float:
        """RETURNS (float): In px."""
        return (self.left + self.right) / 2


@dataclass
class Part:
    """A horizontal piece of a relation's line, in the space above a line of text.

    line (int). start, end (float): In px, in the direction of the relation. caption (str): What is
    written on it, if anything. lane (int): Counted from the text upwards. low, high (float): What
    it takes up in its lane, caption included.
    """

    line: int
    start: float
    end: float
    caption: str = ""
    lane: int = 0
    low: float = field(init=False)
    high: float = field(init=False)

    def __post_init__(self) -> None:
        self.low, self.high = sorted((self.start, self.end))
        lack = measure(self.caption, SMALL) + 16 - (self.high - self.low)
        if self.caption and lack > 0:
            self.low, self.high = self.low - lack / 2, self.high + lack / 2

    def is_beside(self, other: Part) -> bool:
        """RETURNS (bool): Whether both find room in one lane."""
        return self.high + 8 < other.low or other.high + 8 < self.low


class Route(NamedTuple):
    """The line of a relation: one part, or two, above either of the lines of text that it joins, and
    then the lane between them beside the text: below 0 to the left, above it to the right."""

    parts: list[Part]
    side: int
    negated: bool


def render_svg(doc: Doc, nested: bool | None = None) -> str:
    """Draw a Doc, best of one sentence or a few.

    doc (Doc): Gold or predicted.
    nested (Optional[bool]): Whether to show all of `doc.spans["spanmed"]`, or `doc.ents` alone.
        Defaults to None: all of gold annotation, the entities of predictions.
    RETURNS (str): The SVG, to be saved as UTF-8. A relation between concepts that have no mention
        in the text is written below it.
    RAISES (ValueError): If something else than a Doc is given, or a stored relation is malformed.
    """
    if not isinstance(doc, Doc):
        raise ValueError(f"Expected a Doc, not {type(doc).__name__}: {str(doc)[:60]!r}.")
    return _Drawing(make_view(doc, nested)).render()


class _Drawing:
    """The parts of a picture, each placed when those that it depends on are.

    view (View): What to show.
    """

    def __init__(self, view: View):
        self.view = view
        self.text = clean(view.text)
        self.renderer = TextRenderer([mark.label for mark in view.marks])
        self.words: list[tuple[int, float, str]] = []  # line, left, word
        self.places = self._place_marks()
        ends = [left + measure(word, SIZE) for _, left, word in self.words]
        self.width = max([*ends, *(place.right for place in self.places), 200.0])
        self.labels = self._place_labels()
        self.routes = self._route([link for link in view.links if link.head and link.tail])
        self.parts = [part for route in self.routes for part in route.parts]
        self.tops: list[float] = []  # of the boxes in each line
        self.height = EDGE
        for line in range(1 + max((line for line, _, _ in self.words), default=0)):
            lanes = max((part.lane + 1 for part in self.parts if part.line == line), default=0)
            on_line = zip(self.labels, self.places)
            rows = max((row + 1 for (row, _), place in on_line if place.line == line), default=0)
            self.height += PITCH * lanes + (8 if lanes else 0)
            self.tops.append(self.height)
            self.height += BOX + LABEL_ROW * rows + 10

    def _place_marks(self) -> list[Place]:
        """Break the text into lines, never inside a mention, and find the words' and boxes' places."""
        marks, text = self.view.marks, self.text
        opening, closing = Counter(m.start for m in marks), Counter(m.end for m in marks)
        inside = {i for mark in marks for i in range(mark.start, mark.end)}
        breaks = [i for i, c in enumerate(text) if c.isspace() and i not in inside]
        lines, lefts, rights = [0] * len(text), [0.0] * len(text), [0.0] * len(text)
        line, x, begin = 0, 0.0, 0
        for end in [*breaks, len(text)]:
            boxes = sum(opening[i] + closing[i + 1] for i in range(begin, end))
            if x and x + measure(text[begin:end], SIZE) + PAD * boxes > LINE_WIDTH:
                line, x = line + 1, 0.0
            for i in range(begin, end):
                lines[i], lefts[i] = line, x + PAD * opening[i]
                rights[i] = lefts[i] + measure(" " if text[i].isspace() else text[i], SIZE)
                x = rights[i] + PAD * closing[i + 1]
            if x and text[end : end + 1] == "\n":
                line, x = line + 1, 0.0
            elif x:
                x += measure(" ", SIZE)
            begin = end + 1
        for word in re.finditer(r"\S+", text):
            cuts = [i for i in range(word.start() + 1, word.end()) if opening[i] or closing[i]]
            for i, end in pairwise([word.start(), *cuts, word.end()]):
                self.words.append((lines[i], lefts[i], text[i:end]))
        places = []
        for number, mark in enumerate(marks):  # by start, the longer first
            around = marks[:number]
            later = opening[mark.start] - sum(other.start == mark.start for other in around)
            inner = sum(other.end == mark.end for other in marks[number:])
            places.append(
                Place(
                    lines[mark.start],
                    lefts[mark.start] - PAD * later,
                    rights[mark.end - 1] + PAD * inner,
                    depth=sum(other.end >= mark.end for other in around),
                )
            )
        return places

    def _place_labels(self) -> list[tuple[int, float]]:
        """RETURNS (List[Tuple[int, float]]): For each mark the row of its label below the line of
        text, and its centre."""
        found = []
        taken: dict[tuple[int, int], float] = defaultdict(lambda: -1e9)  # by line and row
        for mark, place in zip(self.view.marks, self.places):
            half = measure(mark.label, SMALL) / 2
            centre = max(place.centre, half)
            row = next(i for i in count() if taken[place.line, i] <= centre - half)
            taken[place.line, row] = centre + half + 6
            self.width = max(self.width, centre + half)
            found.append((row, centre))
        return found

    def _route(self, links: list[Link]) -> list[Route]:
        """RETURNS (List[Route]): Of each link."""
        routes: list[Route] = []
        for link, (start, end) in zip(links, self._spread_ends(links)):
            head, tail = self.places[link.head[0]].line, self.places[link.tail[0]].line
            side = self._get_side(link)
            parts = [Part(head, start, end, link.caption)]
            if side:
                edge = 0.0 if side < 0 else self.width
                first = abs(start - edge) >= abs(end - edge)  # the longer part has the caption
                parts = [
                    Part(head, start, edge, link.caption if first else ""),
                    Part(tail, edge, end, "" if first else link.caption),
                ]
                side *= 1 + sum(route.side * side > 0 for route in routes)
            routes.append(Route(parts, side, link.negated))
        taken: dict[tuple[int, int], list[Part]] = defaultdict(list)  # by line and lane
        every = (part for route in routes for part in route.parts)
        for part in sorted(every, key=lambda part: part.high - part.low):
            lanes = (i for i in count() if all(map(part.is_beside, taken[part.line, i])))
            part.lane = next(lanes)
            taken[part.line, part.lane].append(part)
        return routes

    def _get_side(self, link: Link) -> int:
        """RETURNS (int): 0 for a link within a line; -1 or 1 if it runs left or right of the text."""
        head, tail = self.places[link.head[0]], self.places[link.tail[0]]
        if head.line == tail.line:
            return 0
        return -1 if head.left + head.right + tail.left + tail.right < 2 * self.width else 1

    def _spread_ends(self, links: list[Link]) -> list[list[float]]:
        """RETURNS (List[List[float]]): Where each link's line leaves its head and enters its tail.
        Several at one box stand beside each other, in the order of what they lead to."""
        at: dict[int, list[tuple[float, int, int]]] = defaultdict(list)
        for number, link in enumerate(links):
            both = (link.head[0], link.tail[0])
            for end, (own, other) in enumerate((both, both[::-1])):
                aim = self._get_side(link) * 1e6 or self.places[other].left
                at[own].append((aim, number, end))
        found = [[0.0, 0.0] for _ in links]
        for mark, there in at.items():
            place = self.places[mark]
            step = min(12.0, (place.right - place.left) / (len(there) + 1))
            for i, (_, number, end) in enumerate(sorted(there)):
                found[number][end] = place.centre + (i - (len(there) - 1) / 2) * step
        return found

    def render(self) -> str:
        """RETURNS (str): The SVG."""
        sides = [0, *(route.side for route in self.routes)]
        left = min([0.0, *(part.low for part in self.parts)]) - EDGE + SIDE_PITCH * min(sides)
        right = max([self.width, *(part.high for part in self.parts)]) + EDGE
        right += SIDE_PITCH * max(sides)
        body = [*map(self._draw_box, self.view.marks, self.places, self.labels)]
        for line, x, word in self.words:
            body.append(_draw_text(x, self.tops[line] + 17.5, word, SIZE, fill=INK))
        body += map(self._draw_line, self.routes)
        body += (self._draw_caption(part) for part in self.parts if part.caption)
        y = self.height
        for link in self.view.links:
            if not (link.head and link.tail):
                note = self.view.describe(link)
                body.append(_draw_text(0.0, y + SMALL, note, SMALL, fill=LINE))
                right = max(right, measure(note, SMALL) + EDGE)
                y += LABEL_ROW
        width, height = right - left, y + EDGE - 10
        frame = f'x="{left:.1f}" y="0" width="{width:.1f}" height="{height:.1f}"'
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
            f'viewBox="{left:.1f} 0 {width:.1f} {height:.1f}" role="img" '
            "font-family=\"system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif\">\n"
            f"<title>{escape(' '.join(self.text.split()))}</title>\n"
            f'<rect {frame} rx="8" fill="{BACKGROUND}"/>\n{"".join(body)}</svg>\n'
        )

    def _draw_box(self, mark: Mark, place: Place, label: tuple[int, float]) -> str:
        row, centre = label
        inset = min(2.5 * place.depth, 7.5)
        top = self.tops[place.line]
        color = self.renderer.get_color(mark.label, plain=True)
        return (
            f'<rect x="{place.left:.1f}" y="{top + inset:.1f}" '
            f'width="{place.right - place.left:.1f}" height="{BOX - 2 * inset:.1f}" rx="4" '
            f'fill="{color}" stroke="{BACKGROUND}"/>\n'
            + _draw_text(
                centre,
                top + BOX + LABEL_ROW * (row + 1) - 3,
                mark.label,
                SMALL,
                fill=LINE,
                middle=True,
            )
        )

    def _get_y(self, part: Part) -> float:
        return self.tops[part.line] - 12 - PITCH * part.lane

    def _draw_line(self, route: Route) -> str:
        first, last = route.parts[0], route.parts[-1]
        points = [(first.start, self.tops[first.line] - 1), (first.start, self._get_y(first))]
        if route.side:
            edge = (0.0 if route.side < 0 else self.width) + SIDE_PITCH * route.side
            points += [(edge, self._get_y(first)), (edge, self._get_y(last))]
        tip = self.tops[last.line] - 1
        points += [(last.end, self._get_y(last)), (last.end, tip - 5)]
        path = "L".join(f"{x:.1f},{y:.1f}" for x, y in points)
        dashes = ' stroke-dasharray="4 3"' if route.negated else ""
        arrow = f"M{last.end - 3.5:.1f},{tip - 6:.1f}h7l-3.5,6z"
        return (
            f'<path d="M{path}" fill="none" stroke="{LINE}" stroke-linejoin="round"{dashes}/>\n'
            f'<path d="{arrow}" fill="{LINE}"/>\n'
        )

    def _draw_caption(self, part: Part) -> str:
        """What is written on a line hides those that would run through it, where there is no place
        that none does."""
        half = measure(part.caption, SMALL) / 2 + 3
        above = (x for x in self.parts if x.line == part.line and x.lane > part.lane)
        crossing = [x for other in above for x in (other.start, other.end)]
        room = max((part.high - part.low) / 2 - half - 4, 0.0)
        middle = (part.low + part.high) / 2
        x = min(
            (middle + share * room for share in (0, -0.3, 0.3, -0.6, 0.6, -1, 1)),
            key=lambda x: sum(abs(x - at) < half for at in crossing),
        )
        y = self._get_y(part)
        return (
            f'<rect x="{x - half:.1f}" y="{y - 7:.1f}" width="{2 * half:.1f}" height="14" '
            f'fill="{BACKGROUND}"/>\n'
            + _draw_text(x, y + 4, part.caption, SMALL, fill=INK, middle=True)
        )


def _draw_text(x: float, y: float, text: str, size: int, *, fill: str, middle: bool = False) -> str:
    if not text:
        return ""
    anchor = ' text-anchor="middle"' if middle else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{fill}"{anchor} '
        f'textLength="{measure(text, size):.1f}" lengthAdjust="spacingAndGlyphs">'
        f"{escape(text)}</text>\n"
    )
