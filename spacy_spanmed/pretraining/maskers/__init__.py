"""Which tokens of a sequence become targets: tokens, words, spans, terms, collocations, a mixture.

A masker sees one sequence and a random generator, so that its choice is a function of the
generator's key (:func:`mask_rng`), not of what was masked before. What happens to the chosen
tokens (80/10/10) is decided in ``samples.py``, once for each unit returned here.

All maskers share one budget: ``rate`` of the maskable tokens, rounded down. It is never exceeded,
and when units are words it is missed by less than one word: the one that did not fit any more.
Special tokens and the pieces of a word cut by the end of a sequence (word -1) are never chosen.
"""

from .base import Masker, mask_rng, token_budget, word_ranges
from .basic import (
    SpanMasker,
    TokenMasker,
    WholeWordMasker,
    make_span_masker,
    make_token_masker,
    make_whole_word_masker,
)
from .entity import EntityMasker, make_entity_masker
from .mixed import MixedMasker, make_mixed_masker
from .pmi import PMIMasker, make_pmi_masker

__all__ = [
    "EntityMasker",
    "Masker",
    "MixedMasker",
    "PMIMasker",
    "SpanMasker",
    "TokenMasker",
    "WholeWordMasker",
    "make_entity_masker",
    "make_mixed_masker",
    "make_pmi_masker",
    "make_span_masker",
    "make_token_masker",
    "make_whole_word_masker",
    "mask_rng",
    "token_budget",
    "word_ranges",
]
