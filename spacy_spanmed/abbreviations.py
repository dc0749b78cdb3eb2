"""The factory of scispaCy's abbreviation detector, for Docs of any length, and what it found."""

from __future__ import annotations

from typing import Any, Iterator, Tuple

from spacy.language import Language
from spacy.tokens import Doc


@Language.factory(
    "spanmed_abbreviations",
    assigns=["doc._.abbreviations"],
    default_config={"make_serializable": True},
)
def make_abbreviation_detector(nlp: Language, name: str, make_serializable: bool) -> Any:
    """scispaCy's `AbbreviationDetector` (Schwartz and Hearst 2003) in linear time.

    It writes `doc._.abbreviations`: dicts with `short_text`, `short_start`, `short_end`,
    `long_text`, `long_start`, `long_end` (token offsets).

    make_serializable (bool): Keep plain dicts instead of Spans, which `Doc.to_bytes`, `DocBin`
        and `n_process` can't handle. Defaults to True.
    """
    # scispaCy takes seconds to import; factories are imported whenever any pipeline is made.
    from .abbreviation_detector import LinearAbbreviationDetector

    return LinearAbbreviationDetector(nlp, name, make_serializable)


def get_abbreviations(doc: Doc) -> Iterator[Tuple[Tuple[int, int], Tuple[int, int]]]:
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
