"""The factory of scispaCy's abbreviation detector, for Docs of any length, and what it found."""

from __future__ import annotations

from collections.abc import Iterator

from spacy.tokens import Doc


def get_abbreviations(doc: Doc) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    """YIELDS (Tuple[Tuple[int, int], Tuple[int, int]]): First token and end (exclusive) of each
    use of a short form and of its long form; nothing if no abbreviation detector ran."""
    # Not through `doc._`: that knows the extension only where scispaCy was imported
    for item in doc.user_data.get(("._.", "abbreviations", None, None)) or ():
        if isinstance(item, dict):
            short = item["short_start"], item["short_end"]
            yield short, (item["long_start"], item["long_end"])
        else:  # scispaCy's own form: the short form as a Span
            long = item._.long_form
            yield (item.start, item.end), (long.start, long.end)
