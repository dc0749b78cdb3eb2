"""Where a text states a relation, and whether it states it as a fact.

Speculation is found by words, in the manner of ConText (Harkema et al. 2009, doi
10.1016/j.jbi.2009.05.002): a cue in the clauses that hold the two arguments makes what they say a
possibility, a question or a plan. No corpus here annotates it, so nothing is learned.
"""

from __future__ import annotations

import re

from spacy.tokens import Span

_CUES = re.compile(
    r"""\b(?:
    may(?!\s+\d)|might|could|would|
    possibl[ey]|possibility|potential(?:ly)?|perhaps|presumabl[ey]|probabl[ey]|(?:un)?likely|
    putative(?:ly)?|suspected|tentative(?:ly)?|candidate|
    hypothe[sz]\w+|speculat\w+|postulat\w+|proposed?|presumed?|believed|thought\s+to|
    suggest(?:s|ed|ing|ive)?|indicat(?:es?|ing)\s+(?:a\s+)?(?:possib|potential)\w+|
    appears?|seems?|whether|
    unclear|unknown|uncertain|controversial|not\s+(?:been\s+)?(?:established|known|clear)|
    remains?\s+to\s+be|(?:to|we|was|were|is|are|been|being)\s+(?:\w+ly\s+)?
        (?:test|investigat|examin|evaluat|assess|explor|stud[iy])(?:e?d|ing|e|y)?|
    under\s+(?:investigation|evaluation|study)|(?:trials?|study)\s+(?:of|is|are)\s+\w*ing
    )\b""",
    re.IGNORECASE | re.VERBOSE,
)
_CLAUSES = re.compile(r";|,\s+(?:but|whereas|while|although|however|and)\b|\bbut\b|\bwhereas\b")


def find_sents(head: Span, tail: Span) -> list[Span]:
    """RETURNS (List[Span]): The sentences with the first token of either argument, by position; the
    whole Doc if it has no sentence boundaries."""
    doc = head.doc
    if not doc.has_annotation("SENT_START"):
        return [doc[:]]
    found = {span[0].sent.start: span[0].sent for span in (head, tail)}
    return [found[start] for start in sorted(found)]


def is_speculative(head: Span, tail: Span) -> bool:
    """RETURNS (bool): Whether the clauses that hold the arguments say so of what is possible, asked,
    or being tested."""
    text = head.doc.text
    for sent in find_sents(head, tail):
        inside = [s for s in (head, tail) if sent.start <= s.start < sent.end]
        first = min((span.start_char for span in inside), default=sent.start_char)
        last = max((span.end_char for span in inside), default=sent.end_char)
        start, end = sent.start_char, sent.end_char
        for match in _CLAUSES.finditer(text, start, end):
            if match.end() <= first:
                start = match.end()
            elif match.start() >= last:
                end = match.start()
                break
        if _CUES.search(text, start, end):
            return True
    return False
