"""scispaCy's abbreviation detector with a linear pattern. Apart, because scispaCy loads slowly."""

from __future__ import annotations

import warnings

from scispacy.abbreviation import AbbreviationDetector
from spacy.language import Language
from spacy.matcher import Matcher
from spacy.tokens import Doc, Span

# scispaCy ignores what is longer between two brackets (`filter_matches`).
MAX_INNER_TOKENS = 8


class LinearAbbreviationDetector(AbbreviationDetector):
    """Same results as scispaCy's, whose pattern "(" anything ")" matches from each opening bracket
    to each later closing one: 80,200 matches in 6,000 tokens. Here only the lengths that it goes
    on to use are matched."""

    def __init__(self, nlp: Language, name: str, make_serializable: bool):
        super().__init__(nlp, name=name, make_serializable=make_serializable)
        self.matcher = Matcher(nlp.vocab)
        patterns = [
            [{"ORTH": "("}, *[{} for _ in range(length)], {"ORTH": ")"}]
            for length in range(1, MAX_INNER_TOKENS + 1)
        ]
        self.matcher.add("parenthesis", patterns)

    def __call__(self, doc: Doc) -> Doc:
        doc._.abbreviations = []  # scispaCy adds to what an earlier pass over the Doc found
        return super().__call__(doc)

    def find_matches_for(
        self, filtered: list[tuple[Span, Span]], doc: Doc
    ) -> list[tuple[Span, set[Span]]]:
        with warnings.catch_warnings():
            # A text without abbreviations is no reason to warn that there are no patterns.
            warnings.filterwarnings("ignore", message=r"\[W036\]")
            return super().find_matches_for(filtered, doc)
