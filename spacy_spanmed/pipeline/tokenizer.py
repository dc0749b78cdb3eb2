"""A tokenizer for biomedical text: spaCy's English rules, with splits inside compound names.

Gold mentions end where annotators say so: inside "5-HT3-receptor", "BRCA1/BARD1", "Ca(2+)-ATPase".
A mention that ends inside a token can neither be learned nor found, so this tokenizer splits at
the punctuation that joins names. It doesn't split between letters and digits ("p53", "IL6"), so
tokens stay words and mentions stay short enough to enumerate spans.
"""

from collections.abc import Callable

import spacy
from spacy.lang.en import English
from spacy.lang.tokenizer_exceptions import emoticons
from spacy.language import Language
from spacy.tokenizer import Tokenizer
from spacy.util import compile_infix_regex, compile_prefix_regex, compile_suffix_regex

# Joints inside names, split wherever they occur within a token: hyphens and dashes, slashes,
# brackets, signs of charge and comparison, arrows and middle dots.
JOINTS = r"""[-\u00ad\u2010-\u2015\u2212~/\\()\[\]{}<>=+*:;|^_&%#@!?"\u201c\u201d\u00ab\u00bb\u2190-\u21ff\u00b1\u00d7\u00b7\u2022\u2026\u00b0]"""
# A comma splits unless it is part of a number ("1,000", "3,4-dihydroxy") ...
COMMAS = r"(?<![0-9]),|,(?![0-9])"
# ... and a full stop only where a sentence ends without a space ("mice.The", "mice.(", "mice.4."),
# never in "0.5".
STOPS = r"(?<=[A-Za-z0-9)\]])\.(?=[A-Z][A-Za-z]|[-(\[])|(?<=[a-z]{3})\.(?=[0-9])"
# Primes in "5'-AMP" and "3'UTR" are joints; the apostrophe of "Parkinson's" belongs to English.
PRIMES = r"(?<=[0-9])['\u2032\u2033`]+|(?<=[A-Za-z])['\u2032\u2019](?=[-/,)\]])"

# Variants and knock-outs written onto a gene's name: "Kras|G12D", "rDEN2|Delta30", "AT1a|KO".
_AMINO = "[ACDEFGHIKLMNPQRSTVWY]"
VARIANTS = (
    rf"(?<=[A-Za-z0-9]){_AMINO}[0-9]{{2,4}}{_AMINO}(?![A-Za-z0-9])"
    r"|(?<=[A-Za-z0-9])[Dd]elta[0-9]+|(?<=[A-Za-z0-9])KO(?:Tg)?(?![A-Za-z0-9])"
)

_MARKS = r"[,'\u2032\u2033`.]"
# A line drawn with one sign ("-----...") is one token: sign by sign, spaCy takes time by the square
# of its length. No text has so many in a row for another reason. (The lookbehind: only from the
# line's first sign is it tried.)
LINES = rf"(?P<sign>{JOINTS}|{_MARKS})(?<!(?P=sign)(?P=sign))(?P=sign){{19,}}"
# The same for signs of any mixture (ornaments, emoji).
RUNS = r"(?<![^\w\s])(?:[^\w\s]|_){20,}"


def _exceptions() -> dict[str, list[dict[int, str]]]:
    """English exceptions, without those that are something else in biomedical text: emoticons
    ("8)" ends "(IL-8)"), single letters with a stop ("a." ends "TNF-a."), and contractions that
    lack an apostrophe ("Id" for "I'd" is a gene)."""
    return {
        text: parts
        for text, parts in English.Defaults.tokenizer_exceptions.items()
        if text not in emoticons
        and not (len(text) == 2 and text[0].isalpha() and text[1] == ".")
        and (len(parts) == 1 or not text.isalpha() or text.lower() == "cannot")
    }


def create_tokenizer(nlp: Language) -> Tokenizer:
    """Build the biomedical tokenizer.

    nlp (Language): The pipeline whose vocabulary the tokenizer shares.
    RETURNS (Tokenizer): A plain `spacy.tokenizer.Tokenizer`: it is lossless (`doc.text` is the
        text), and is saved and loaded with the pipeline.
    """
    defaults = English.Defaults
    lines, edges = (LINES, RUNS), (JOINTS, _MARKS)
    infixes = [*(defaults.infixes or ()), JOINTS, COMMAS, STOPS, PRIMES, VARIANTS]
    return Tokenizer(
        nlp.vocab,
        rules=_exceptions(),
        prefix_search=compile_prefix_regex([*lines, *(defaults.prefixes or ()), *edges]).search,
        suffix_search=compile_suffix_regex([*lines, *(defaults.suffixes or ()), *edges]).search,
        infix_finditer=compile_infix_regex(infixes).finditer,
        # Chemical names look like addresses to spaCy's URL pattern; nothing is worth that here.
        url_match=None,
        token_match=None,
    )


@spacy.registry.tokenizers("spanmed.BiomedicalTokenizer.v1")
def create_biomedical_tokenizer() -> Callable[[Language], Tokenizer]:
    """The tokenizer's factory for a config:

        [nlp.tokenizer]
        @tokenizers = "spanmed.BiomedicalTokenizer.v1"

    RETURNS (Callable[[Language], Tokenizer]): Makes the tokenizer for a pipeline.
    """
    return create_tokenizer
