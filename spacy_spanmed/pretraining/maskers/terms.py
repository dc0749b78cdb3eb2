"""Read the terms of an entity masker: a text file with a term a line, or EntityRuler patterns."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ...corpora.text_files import open_bytes

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
    with open_bytes(path) as lines:
        for number, line in enumerate(lines, start=1):
            place = f"{path}, line {number}"
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                raise ValueError(
                    f"{place}: not UTF-8 ({error.reason}): convert the file."
                ) from None
            if text.strip():
                term = _parse_pattern(text, place) if is_jsonl else text
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
