"""Text with marked mentions as HTML, by displaCy's own entity renderer.

displaCy's "ent" style knows only mentions that don't overlap, its "span" style puts every token
into a box of its own, with spaces that the text doesn't have. So the renderer of the "ent" style is
called for each mention with others inside it: their markup takes the place of its text. A mention
that crosses the end of another is marked in pieces.
"""

from __future__ import annotations

import heapq
import html
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from spacy.displacy.render import EntityRenderer
from spacy.displacy.templates import TPL_ENTS

from .colors import COLORS, make_colors
from .views import Mark, shorten

# HTML has no place for these, not even as character references
_NOT_IN_HTML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")
_HEX = re.compile(r"#[0-9a-fA-F]{3,8}")

# displaCy formats this with the fields of a mention and its "params"
_TEMPLATE = (
    '<mark class="{classes}"{id} data-mark="{name}" data-label="{label}" data-start="{start}" '
    'data-end="{end}" tabindex="-1" style="--c:{bg}" title="{note}">{text}{tag}</mark>'
)


def clean(text: str) -> str:
    """RETURNS (str): A text as HTML can hold it, of the same length: replacement characters for
    control characters, line feeds for other line ends."""
    return _NOT_IN_HTML.sub("\ufffd", text).replace("\r\n", " \n").replace("\r", "\n")


def escape(value: Any) -> str:
    """RETURNS (str): What is shown, for use in text and in quoted attributes."""
    return html.escape(clean(str(value)), quote=True)


class Piece(NamedTuple):
    """What one element marks: a mention, or a part of one that crosses another's end."""

    start: int
    end: int
    mark: int
    part: int
    inner: list[int]  # indexes of the pieces directly inside


class TextRenderer:
    """Renders texts, all with the same colours.

    labels (Iterable[str]): Those that will come; those without a colour get one.
    """

    def __init__(self, labels: Sequence[str]):
        ours = {label.upper(): color for label, color in COLORS.items()}
        # displaCy has ours too, where this package is installed, and the user's own
        known = {**ours, **EntityRenderer().colors}
        invented = make_colors(x for x in labels if x.upper() not in known)
        colors = {**known, **{label.upper(): color for label, color in invented.items()}}
        self.colors: dict[str, str] = {name: escape(color) for name, color in colors.items()}
        options = {"colors": self.colors, "template": _TEMPLATE}
        self._displacy = EntityRenderer(options)
        self._frame = TPL_ENTS.format(content="\0", dir=self._displacy.direction).split("\0")

    def get_color(self, label: str, plain: bool = False) -> str:
        """RETURNS (str): The colour of a label, in CSS; the default one, with plain, if it is no
        "#rrggbb", as a user's own may be."""
        default = self._displacy.default_color
        color = self.colors.get(label.upper(), default)
        return default if plain and not _plain(color) else color

    def get_style(self, label: str) -> str:
        """RETURNS (str): The attributes that give a legend's entry the colour of a label."""
        color = self.get_color(label)
        return f'class="swatch{_plain(color)}" style="--c:{color}"'

    def render(self, text: str, marks: Sequence[Mark], prefix: str) -> str:
        """Mark mentions in a text.

        text (str): The text. marks (Sequence[Mark]): Its mentions, which may overlap.
        prefix (str): What the elements' ids begin with; the mention's index follows.
        RETURNS (str): HTML, its text content but for the labels (class "tag") that of the text.
        """
        text = clean(text)
        pieces, roots = split_marks(marks)
        last = {piece.mark: piece.part for piece in pieces}
        markup: list[str] = [""] * len(pieces)

        def render(start: int, end: int, numbers: list[int]) -> str:
            spans = []
            for number in numbers:
                piece = pieces[number]
                mark = marks[piece.mark]
                params = self._describe(text, mark, piece, last[piece.mark], prefix)
                if piece.inner:
                    params["text"] = markup[number]
                spans.append(
                    {
                        "start": piece.start - start,
                        "end": piece.end - start,
                        "label": mark.label,
                        "params": params,
                    }
                )
            found = self._displacy.render_ents(text[start:end], spans, None)
            return found[len(self._frame[0]) : -len(self._frame[1])]

        for number in reversed(range(len(pieces))):  # what is inside comes later in the list
            piece = pieces[number]
            if piece.inner:
                markup[number] = render(piece.start, piece.end, piece.inner)
        return render(0, len(text), roots)

    def _describe(
        self, text: str, mark: Mark, piece: Piece, last: int, prefix: str
    ) -> dict[str, str]:
        name, label = f"{prefix}{piece.mark}", escape(mark.label)
        note = [shorten(text[mark.start : mark.end]), mark.label or "argument of a relation"]
        if mark.score is not None:
            note.append(f"score {mark.score:.2f}")
        if mark.kb_id:
            note.append(mark.kb_id)
        color = self.get_color(mark.label)
        classes = f"entity{_plain(color)}"
        classes += " more" * (piece.part < last) + " rest" * (piece.part > 0)
        return {
            "classes": classes,
            "id": f' id="{name}"' if piece.part == 0 else "",
            "name": name,
            "label": label,
            "start": str(piece.start),
            "end": str(piece.end),
            "note": escape(" · ".join(note)),
            "tag": f'<span class="tag"><bdi>{label}</bdi></span>'
            if label and piece.part == last
            else "",
        }


def _plain(color: str) -> str:
    return " plain" if _HEX.fullmatch(color) else ""  # can be mixed with the page's in the dark


def split_marks(marks: Sequence[Mark]) -> tuple[list[Piece], list[int]]:
    """Make marks properly nested.

    marks (Sequence[Mark]): In any order.
    RETURNS (Tuple[List[Piece], List[int]]): The pieces, each before those inside it, and the
        indexes of those that are inside no other.
    """
    waiting = [(m.start, -m.end, i, 0) for i, m in enumerate(marks)]
    heapq.heapify(waiting)
    pieces: list[Piece] = []
    roots: list[int] = []
    open_pieces: list[Piece] = []
    while waiting:
        start, end, mark, part = heapq.heappop(waiting)
        end = -end
        while open_pieces and open_pieces[-1].end <= start:
            open_pieces.pop()
        if open_pieces and end > open_pieces[-1].end:  # crosses: the rest comes back later
            heapq.heappush(waiting, (open_pieces[-1].end, -end, mark, part + 1))
            end = open_pieces[-1].end
        piece = Piece(start, end, mark, part, [])
        (open_pieces[-1].inner if open_pieces else roots).append(len(pieces))
        pieces.append(piece)
        open_pieces.append(piece)
    return pieces, roots
