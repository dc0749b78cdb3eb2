"""Occurrences of known terms, such as those of a biomedical dictionary, and the files they come
from: a term a line, or EntityRuler patterns."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from spacy.util import registry

from ...util.problems import Problems
from ...util.text_files import read_lines
from .base import Masker, token_budget
from .basic import SpanMasker
from .units import PhraseTrie, draw_units, keep_disjoint, make_symbols, measure_coverage

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from ..texts.packing import PackedSequences

TERMS_AT_ONCE = 10_000
LITERAL = ("TEXT", "ORTH", "LOWER")  # token attributes whose value is the word itself


def read_terms(path: Path) -> list[str]:
    """Read distinct terms.

    path (Path): UTF-8, plain or gzipped. If the name ends in .jsonl (or .jsonl.gz): patterns of
        spaCy's EntityRuler, ``{"label": ..., "pattern": ...}``, of which the label is not used.
        A pattern is a string, or a list of tokens that each give their text (TEXT, ORTH or
        LOWER) and nothing else. Any other file: a term a line. Blank lines are skipped.
    RETURNS (list): Terms with single spaces, in the order of the file.
    RAISES (ValueError): The file is missing or empty, or a line is not a term; the message names
        file and line.
    """
    if not path.is_file():
        raise ValueError(
            f"The terms file '{path}' does not exist: make it (spanmed terms TRAIN.spacy OUT.txt), "
            "or set terms to a file with a term a line."
        )
    is_jsonl = path.name.lower().removesuffix(".gz").endswith(".jsonl")
    terms: dict[str, None] = {}
    for number, line in read_lines(path, Problems(hint="")):
        if line.strip():
            term = _parse_pattern(line, f"{path}:{number}") if is_jsonl else line
            terms[" ".join(term.split())] = None
    if not terms:
        raise ValueError(f"The terms file '{path}' is empty: give it a term a line.")
    return list(terms)


def _parse_pattern(line: str, place: str) -> str:
    try:
        pattern = json.loads(line)["pattern"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f'{place}: expected a JSON object like {{"label": "DRUG", "pattern": "aspirin"}} '
            f"({error})."
        ) from None
    if isinstance(pattern, list) and pattern:
        pattern = " ".join(_literal(token, place) for token in pattern)
    if not isinstance(pattern, str) or not pattern.strip():
        raise ValueError(f'{place}: "pattern" must be a string, or a list of tokens, not blank.')
    return pattern


def _literal(token: Any, place: str) -> str:
    if isinstance(token, dict) and len(token) == 1:
        ((key, value),) = token.items()
        if str(key).upper() in LITERAL and isinstance(value, str):
            return value
    raise ValueError(
        f"{place}: a token of a pattern must give its text and nothing else, as in "
        f'{{"LOWER": "aspirin"}}, but it is {json.dumps(token)}: write out what it matches, or '
        "leave the line out."
    )


class EntityMasker(Masker):
    """Known terms as units, after the entity masking of ERNIE (Sun et al. 2019, arXiv 1904.09223).

    Terms are matched as whole words of the encoder's own tokenizer: left to right, of those that
    begin at a word the longest. A term is thus found in any case under an uncased encoder, and
    as it is written under a cased one. The found terms are masked in a uniformly random order;
    one that does not fit the budget any more is passed over. What is left of the budget goes to
    spans of other words, as :class:`SpanMasker` draws them, so that a sequence without terms is
    masked like any other.

    terms (Sequence[str]): The terms.
    files (dict): Files they come from, by name. Defaults to none.
    rate, p, max_words: See :class:`SpanMasker`; p and max_words are those of the filling spans.
    """

    name = "entity"

    def __init__(
        self,
        terms: Sequence[str],
        rate: float = 0.15,
        p: float = 0.2,
        max_words: int = 10,
        files: dict[str, Path] | None = None,
    ):
        self._spans = SpanMasker(rate=rate, p=p, max_words=max_words)
        self.rate = rate
        self.terms = list(terms)
        self.files = dict(files or {})
        self._phrases: PhraseTrie | None = None

    def prepare(
        self, tokenizer: PreTrainedTokenizerBase, sequences: PackedSequences
    ) -> dict[str, Any]:
        """Tokenize the terms.

        RETURNS (dict): ``terms`` given, ``phrases`` that they are to the tokenizer, and
            ``coverage``: part of the training text's tokens in a phrase, 0 to 1.
        RAISES (ValueError): No term occurs in the training text.
        """
        self._phrases = tokenize_terms(self.terms, tokenizer)
        coverage = measure_coverage(self._phrases, sequences)
        if not coverage:
            raise ValueError(
                f"None of the {len(self.terms):,} terms (such as '{self.terms[0]}') occurs in the "
                "training text: give terms of its field, in the case that the encoder reads."
            )
        return {
            "terms": len(self.terms),
            "phrases": len(self._phrases),
            "coverage": round(coverage, 4),
        }

    def select(
        self, words: np.ndarray, rng: np.random.Generator, input_ids: np.ndarray | None = None
    ) -> np.ndarray:
        """See :meth:`Masker.select`; every unit is a term, or a span between terms."""
        if self._phrases is None or input_ids is None:
            raise ValueError("An EntityMasker needs prepare() once, and the ids of each sequence.")
        found, ends, _ = self._phrases.find(make_symbols(words, input_ids))
        order = np.lexsort((-ends, found))
        terms = keep_disjoint(found[order], ends[order], len(words))
        chosen, budget = draw_units(terms, token_budget(self.rate, words), rng)
        return self._spans.add_spans(chosen, words, budget, rng)


def tokenize_terms(terms: Sequence[str], tokenizer: PreTrainedTokenizerBase) -> PhraseTrie:
    """Make terms findable in packed text.

    terms (Sequence[str]): The terms.
    tokenizer (PreTrainedTokenizerBase): A fast tokenizer. To some, a word after a space is not
        the word at the beginning of a text, so each term is taken both ways.
    RETURNS (PhraseTrie): All but the terms with a piece unknown to the tokenizer, which never
        are targets.
    """
    special = np.array(tokenizer.all_special_ids)
    symbols, lengths = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int64)]
    for first in range(0, len(terms), TERMS_AT_ONCE):
        batch = terms[first : first + TERMS_AT_ONCE]
        texts = [*batch, *(f" {term}" for term in batch)]
        encoded = tokenizer(
            texts, add_special_tokens=False, return_attention_mask=False, verbose=False
        )
        sizes = np.array([len(ids) for ids in encoded["input_ids"]])
        owner = np.repeat(np.arange(len(texts)), sizes)
        ids = np.fromiter(chain.from_iterable(encoded["input_ids"]), dtype=np.int64)
        word_ids = map(encoded.word_ids, range(len(texts)))
        words = np.fromiter(chain.from_iterable(word_ids), dtype=np.int64)
        words += owner * (words.max(initial=0) + 1)  # no word goes on from one term to the next
        unknown = np.bincount(owner[np.isin(ids, special)], minlength=len(texts)) > 0
        symbols.append(make_symbols(words, ids)[:-1][~unknown[owner]])
        lengths.append(sizes[~unknown])
    ends = np.cumsum(np.concatenate(lengths))
    return PhraseTrie(np.concatenate(symbols), ends - np.concatenate(lengths), ends)


@registry.misc("spanmed.EntityMasker.v1")
def make_entity_masker(
    terms: Path, rate: float = 0.15, p: float = 0.2, max_words: int = 10
) -> EntityMasker:
    """Registered as ``spanmed.EntityMasker.v1``; see :class:`EntityMasker`.

    terms (Path): The terms file; see :func:`read_terms`.
    RAISES (ValueError): It can't be used; the message names the line.
    """
    path = Path(terms)
    return EntityMasker(
        read_terms(path), rate=rate, p=p, max_words=max_words, files={"terms": path}
    )
