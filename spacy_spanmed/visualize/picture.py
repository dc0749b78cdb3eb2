"""Entities and relations of one short Doc as a picture: an SVG file that stands alone.

For a README or a slide: it has a light background of its own, so that it is legible in a dark page
too, and neither scripts nor fonts. As on the page, relations run at right angles in lanes above the
lines of text, and beside them where they join two lines. SVG can't measure text, hence widths are
estimated from classes of characters, and each word is told to take up its own (`textLength`).
"""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

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


@dataclass
class Place:
    """Where a mark's box is: line, left and right in px, and the number of boxes around it."""

    line: int
    left: float
    right: float
    depth: int = 0


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
        self.text = clean(view.text)
        self.marks, self.links = view.marks, view.links
        self.renderer = TextRenderer([mark.label for mark in view.marks])
        self.words: list[tuple[int, float, str]] = []  # line, left, word
        self.places = self._place_marks()
        self.lines = 1 + max((line for line, _, _ in self.words), default=0)
        ends = [left + measure(word, SIZE) for _, left, word in self.words]
        self.width = max([*ends, *(place.right for place in self.places), 200.0])
        self.labels = self._place_labels()
        self.drawn = [link for link in self.links if link.head and link.tail]
        self.side_lanes: dict[int, int] = {}  # of a link that joins two lines; below 0: to the left
        self.parts = self._route()

    def _place_marks(self) -> list[Place]:
        """Break the text into lines, never inside a mention, and find the words' and boxes' places."""
        opening: dict[int, list[int]] = defaultdict(list)
        closing: dict[int, list[int]] = defaultdict(list)
        for number, mark in enumerate(self.marks):  # by start, the longer first
            opening[mark.start].append(number)
            closing[mark.end].insert(0, number)
        inside = {i for mark in self.marks for i in range(mark.start + 1, mark.end)}
        places = [Place(0, 0.0, 0.0) for _ in self.marks]
        line, x, begin = 0, 0.0, 0
        breaks = [i for i, c in enumerate(self.text) if c.isspace() and i not in inside]
        for end in [*breaks, len(self.text)]:
            boxes = sum(len(opening[i]) + len(closing[i + 1]) for i in range(begin, end))
            needed = measure(self.text[begin:end], SIZE) + PAD * boxes
            if x and x + needed > LINE_WIDTH:
                line, x = line + 1, 0.0
            word, left = "", x
            for i in range(begin, end):
                for number in opening[i]:
                    word = self._add_word(line, left, word)
                    places[number] = Place(line, x, x)
                    x += PAD
                character = self.text[i]
                if character.isspace():
                    word = self._add_word(line, left, word)
                    character = " "
                elif not word:
                    left = x
                if not character.isspace():
                    word += character
                x += measure(character, SIZE)
                for number in closing[i + 1]:
                    word = self._add_word(line, left, word)
                    x += PAD
                    places[number].right = x
            self._add_word(line, left, word)
            if self.text[end : end + 1] == "\n" and x:
                line, x = line + 1, 0.0
            elif x:
                x += measure(" ", SIZE)
            begin = end + 1
        for i, mark in enumerate(self.marks):
            places[i].depth = sum(other.end >= mark.end for other in self._open_at(i))
        return places

    def _add_word(self, line: int, left: float, word: str) -> str:
        if word:
            self.words.append((line, left, word))
        return ""

    def _open_at(self, number: int) -> Iterable[Mark]:
        """RETURNS (Iterable[Mark]): The marks before one that end behind its start."""
        return (mark for mark in self.marks[:number] if mark.end > self.marks[number].start)

    def _place_labels(self) -> list[tuple[int, float]]:
        """RETURNS (List[Tuple[int, float]]): For each mark the row of its label below the line of
        text, and its centre."""
        found = []
        taken: dict[tuple[int, int], float] = {}
        for mark, place in zip(self.marks, self.places):
            half = measure(mark.label, SMALL) / 2
            centre = max((place.left + place.right) / 2, half)
            row = 0
            while taken.get((place.line, row), -1e9) > centre - half:
                row += 1
            taken[place.line, row] = centre + half + 6
            self.width = max(self.width, centre + half)
            found.append((row, centre))
        return found

    def _route(self) -> list[list[Part]]:
        """RETURNS (List[List[Part]]): Of each link that is drawn, one part, or two, above either of
        the lines that it joins."""
        ends = self._spread_ends()
        routes = []
        for number, (link, (start, end)) in enumerate(zip(self.drawn, ends)):
            head, tail = self.places[link.head[0]], self.places[link.tail[0]]
            caption = f"not {link.label}" if link.negated else link.label
            side = self._get_side(link)
            if not side:
                routes.append([Part(head.line, start, end, caption)])
                continue
            self.side_lanes[number] = side * (
                1 + sum(lane * side > 0 for lane in self.side_lanes.values())
            )
            edge = 0.0 if side < 0 else self.width
            first = abs(start - edge) >= abs(end - edge)  # the longer part has the caption
            routes.append(
                [
                    Part(head.line, start, edge, caption if first else ""),
                    Part(tail.line, edge, end, "" if first else caption),
                ]
            )
        lanes: dict[int, list[list[Part]]] = defaultdict(list)
        for part in sorted((p for route in routes for p in route), key=lambda p: p.high - p.low):
            own = lanes[part.line]
            free = (i for i, others in enumerate(own) if all(part.is_beside(x) for x in others))
            part.lane = next(free, len(own))
            if part.lane == len(own):
                own.append([])
            own[part.lane].append(part)
        return routes

    def _get_side(self, link: Link) -> int:
        """RETURNS (int): 0 for a link within a line; -1 or 1 if it runs left or right of the text."""
        head, tail = self.places[link.head[0]], self.places[link.tail[0]]
        if head.line == tail.line:
            return 0
        return -1 if head.left + head.right + tail.left + tail.right < 2 * self.width else 1

    def _spread_ends(self) -> list[tuple[float, float]]:
        """RETURNS (List[Tuple[float, float]]): Where each link's line leaves its head and enters its
        tail. Several at one box stand beside each other, in the order of what they lead to."""
        at: dict[int, list[tuple[float, int, int]]] = defaultdict(list)
        for number, link in enumerate(self.drawn):
            for end, (own, other) in enumerate(
                ((link.head[0], link.tail[0]), (link.tail[0], link.head[0]))
            ):
                aim = self._get_side(link) * 1e6 or self.places[other].left
                at[own].append((aim, number, end))
        found = [[0.0, 0.0] for _ in self.drawn]
        for mark, there in at.items():
            place = self.places[mark]
            step = min(12.0, (place.right - place.left) / (len(there) + 1))
            for i, (_, number, end) in enumerate(sorted(there)):
                centre = (place.left + place.right) / 2
                found[number][end] = centre + (i - (len(there) - 1) / 2) * step
        return [(start, end) for start, end in found]

    def render(self) -> str:
        """RETURNS (str): The SVG."""
        lanes, rows = [0] * self.lines, [0] * self.lines
        for part in (part for route in self.parts for part in route):
            lanes[part.line] = max(lanes[part.line], part.lane + 1)
        for (row, _), place in zip(self.labels, self.places):
            rows[place.line] = max(rows[place.line], row + 1)
        y = EDGE
        self.tops: list[float] = []  # of the boxes in each line
        for line in range(self.lines):
            y += PITCH * lanes[line] + (8 if lanes[line] else 0)
            self.tops.append(y)
            y += BOX + LABEL_ROW * rows[line] + 10
        parts = [part for route in self.parts for part in route]
        left = min([0.0, *(part.low for part in parts)]) - EDGE
        right = max([self.width, *(part.high for part in parts)]) + EDGE
        sides = self.side_lanes.values()
        left -= SIDE_PITCH * -min([0, *sides])
        right += SIDE_PITCH * max([0, *sides])
        body = [*map(self._draw_box, range(len(self.marks))), *map(self._draw_word, self.words)]
        body += map(self._draw_line, range(len(self.drawn)))
        body += map(self._draw_caption, range(len(self.drawn)))
        for link in self.links:
            if link not in self.drawn:
                note = self._describe(link)
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

    def _describe(self, link: Link) -> str:
        verb = f"not {link.label}" if link.negated else link.label
        names = []
        for marks, name in ((link.head, link.head_id), (link.tail, link.tail_id)):
            mark = self.marks[marks[0]] if marks else None
            names.append(self.text[mark.start : mark.end] if mark else name)
        return f"{names[0]} → {verb} → {names[1]}"

    def _draw_box(self, number: int) -> str:
        mark, place, (row, centre) = self.marks[number], self.places[number], self.labels[number]
        inset = min(2.5 * place.depth, 7.5)
        top = self.tops[place.line] + inset
        color = self.renderer.get_color(mark.label, plain=True)
        y = self.tops[place.line] + BOX + LABEL_ROW * (row + 1) - 3
        label = _draw_text(centre, y, mark.label, SMALL, fill=LINE, middle=True)
        return (
            f'<rect x="{place.left:.1f}" y="{top:.1f}" width="{place.right - place.left:.1f}" '
            f'height="{BOX - 2 * inset:.1f}" rx="4" fill="{color}" stroke="{BACKGROUND}"/>\n{label}'
        )

    def _draw_word(self, word: tuple[int, float, str]) -> str:
        line, left, text = word
        return _draw_text(left, self.tops[line] + 17.5, text, SIZE, fill=INK)

    def _get_y(self, part: Part) -> float:
        return self.tops[part.line] - 12 - PITCH * part.lane

    def _draw_line(self, number: int) -> str:
        route = self.parts[number]
        first, last = route[0], route[-1]
        points = [(first.start, self.tops[first.line] - 1), (first.start, self._get_y(first))]
        if number in self.side_lanes:
            lane = self.side_lanes[number]
            edge = (0.0 if lane < 0 else self.width) + SIDE_PITCH * lane
            points += [(edge, self._get_y(first)), (edge, self._get_y(last))]
        tip = self.tops[last.line] - 1
        points += [(last.end, self._get_y(last)), (last.end, tip - 5)]
        path = "L".join(f"{x:.1f},{y:.1f}" for x, y in points)
        dashes = ' stroke-dasharray="4 3"' if self.drawn[number].negated else ""
        arrow = f"M{last.end - 3.5:.1f},{tip - 6:.1f}h7l-3.5,6z"
        return (
            f'<path d="M{path}" fill="none" stroke="{LINE}" stroke-linejoin="round"{dashes}/>\n'
            f'<path d="{arrow}" fill="{LINE}"/>\n'
        )

    def _draw_caption(self, number: int) -> str:
        """What is written on a line hides those that would run through it, where there is no place
        that none does."""
        part = next(part for part in self.parts[number] if part.caption)
        half = measure(part.caption, SMALL) / 2 + 3
        crossing = [
            x
            for route in self.parts
            for other in route
            if other.line == part.line and other.lane > part.lane
            for x in (other.start, other.end)
        ]
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
