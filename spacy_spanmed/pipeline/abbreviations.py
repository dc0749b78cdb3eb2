"""The factory of scispaCy's abbreviation detector, for Docs of any length, and what it found."""

from __future__ import annotations

from typing import Any

from spacy.language import Language


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
