"""Write JSON lines: the form is described in `jsonl.py`."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ...util.files import write_text_atomically
from ...util.problems import CorpusError
from ..documents import Passage, SourceDocument, SourceMention, SourceRelation

_Object = dict[str, Any]


def write(documents: Iterable[SourceDocument], path: Path) -> None:
    """Write JSON lines in our own form. What is written comes back the same, except places.

    documents (Iterable[SourceDocument]): The documents.
    path (Path): The file; gzipped if its name ends in ".gz".
    RAISES (CorpusError): On an `info` that JSON can't express.
    RAISES (OSError): If the file can't be written.
    """
    write_text_atomically(path, map(_format, documents))


def _format(document: SourceDocument) -> str:
    value = {
        "id": document.id,
        "text": document.text,
        "layers": document.layers,
        "spans": [_mention_object(mention) for mention in document.mentions],
        "relations": [_relation_object(relation) for relation in document.relations],
        **_given(passages=[_passage_object(p) for p in document.passages], meta=document.info),
    }
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False) + "\n"
    except (TypeError, ValueError, RecursionError) as error:
        raise CorpusError(
            f"{document.place or 'document'} ({document.id!r}): JSON can't express it ({error}). "
            f"`info` must hold JSON values only."
        ) from None


def _given(**entries: Any) -> _Object:
    """RETURNS (Dict[str, Any]): The entries that aren't empty."""
    return {key: value for key, value in entries.items() if value}


def _mention_object(mention: SourceMention) -> _Object:
    value = {"start": mention.start, "end": mention.end, "label": mention.label}
    if mention.text is not None:
        value["text"] = mention.text
    return {
        **value,
        **_given(
            id=mention.id,
            concepts=mention.concepts,
            fragments=mention.fragments,
            info=mention.info,
        ),
    }


def _relation_object(relation: SourceRelation) -> _Object:
    return {
        "head": relation.head,
        "tail": relation.tail,
        "label": relation.label,
        **_given(
            concepts=relation.concepts,
            negated=relation.negated,
            id=relation.id,
            info=relation.info,
        ),
    }


def _passage_object(passage: Passage) -> _Object:
    value = {"name": passage.name, "start": passage.start, "end": passage.end}
    return {**value, **_given(info=passage.info)}
