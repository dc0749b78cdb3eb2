"""BioC JSON: a collection {"documents": [...]}, or PubTator3's export {"PubTator3": [...]}.

ijson reads it piece by piece, so that only one document is in memory at a time; the library `bioc`
makes BioC objects of it. What a document may leave out (PubTator3 leaves out much) is filled in.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import ijson
from bioc import biocjson

from ...util.files import write_text_atomically
from ...util.problems import CorpusError, Problems
from ...util.text_files import BOM, open_bytes
from ..documents import SourceDocument
from .bioc_reader import from_bioc
from .bioc_writer import to_bioc

LISTS = ("documents", "PubTator3")  # keys of the list of documents
MAX_DEPTH = 100  # levels of lists and objects: deeper ones only serve to bring a reader down
_LARGEST = 10**18


class _Unusable(Exception):
    """A part of a document has the wrong form. The message says which."""


def read(path: Path, problems: Problems) -> Iterator[SourceDocument]:
    """Read a BioC JSON file. A list of documents without an object around it is fine, too.

    path (Path): The file, plain or gzipped.
    problems (Problems): Told of what can't be used: documents without id or with a wrong form,
        and annotations and relations with a wrong form.
    YIELDS (SourceDocument): The documents; see `bioc_reader.from_bioc`.
    RAISES (CorpusError): On a file that isn't JSON to its end, or has no list of documents.
    RAISES (OSError): If the file can't be opened.
    """
    for number, (value, repeated) in enumerate(_read_values(path), start=1):
        place = f"{path}, document {number}"
        try:
            if repeated is not None:
                raise _Unusable(
                    f"the key {repeated[:40]!r} occurs twice in one object. Remove one."
                )
            complete = _complete_document(value, place, problems)
        except _Unusable as error:
            problems.add("document of the wrong form", place, f"{error}")
            continue
        document = biocjson.fromJSON(complete, "BioCDocument")
        yield from_bioc(document, f"{place} ({document.id})", problems)


def _read_values(path: Path) -> Iterator[tuple[Any, str | None]]:
    """Read the items of the list of documents, each with a key that an object in it repeats.

    ijson's own `items` keeps the path to each value, which takes memory by the square of the
    nesting; so the levels are counted here.
    """
    depth, key, found = 0, "", False
    inside = 0  # level of the list of documents while in it
    keys: list[set[str]] = []  # those of each object around, as far as it is read
    repeated: str | None = None
    builder: ijson.ObjectBuilder | None = None
    with open_bytes(path) as file:
        if file.peek(len(BOM))[: len(BOM)] == BOM:
            file.read(len(BOM))
        try:
            for event, value in ijson.basic_parse(file, use_float=True):
                if event in ("end_map", "end_array"):
                    depth -= 1
                if event == "start_map":
                    keys.append(set())
                elif event == "end_map":
                    keys.pop()
                elif event == "map_key":
                    if value in keys[-1] and not inside:
                        raise CorpusError(
                            f"{path}: the key {value[:40]!r} occurs twice in one object. Remove "
                            f"one of them."
                        )
                    if value in keys[-1]:
                        repeated = value
                    keys[-1].add(value)
                if inside and depth < inside:
                    inside = 0
                elif inside:
                    builder = builder or ijson.ObjectBuilder()
                    builder.event(event, value)
                if event in ("start_map", "start_array"):
                    depth += 1
                    if depth > MAX_DEPTH:
                        raise CorpusError(
                            f"{path}: lists and objects within one another, {depth} levels deep. "
                            f"This isn't BioC JSON."
                        )
                    here = depth == 1 or (depth == 2 and key in LISTS)
                    if event == "start_array" and here and not inside:
                        inside, found = depth, True
                elif event == "map_key" and depth == 1:
                    key = value
                if builder and depth == inside:
                    yield builder.value, repeated
                    builder = repeated = None
        except (ijson.JSONError, UnicodeDecodeError) as error:
            what = " ".join(_as_text(error).split())
            raise CorpusError(
                f"{path}: not JSON to its end: {what}. Correct it, or fetch it again."
            ) from None
    if not found:
        raise CorpusError(
            f"{path}: not BioC JSON, which has a list of documents under 'documents' (or, from "
            f"PubTator3, 'PubTator3')."
        )


def _as_text(error: Exception) -> str:
    first = error.args[0] if error.args else ""
    return first.decode("utf8", "replace") if isinstance(first, bytes) else str(error)


# ------------------------------------------------- the form that the library expects


def _complete_document(value: Any, place: str, problems: Problems) -> dict[str, Any]:
    source = _object(value, "the document")
    name = source.get("id")
    if isinstance(name, bool) or not isinstance(name, (str, int)):
        raise _Unusable("the document has no id. Give it one, as a string.")
    return {
        "id": str(name),
        "infons": _infons(source),
        "passages": [
            _complete_passage(item, place, problems) for item in _list(source, "passages")
        ],
        **_annotations(source, place, problems),
    }


def _complete_passage(value: Any, place: str, problems: Problems) -> dict[str, Any]:
    source = _object(value, "a passage")
    sentences = _list(source, "sentences")
    return {
        **_complete_text(source, "a passage", place, problems),
        "sentences": [
            _complete_text(_object(item, "a sentence"), "a sentence", place, problems)
            for item in sentences
        ],
    }


def _complete_text(
    source: dict[str, Any], what: str, place: str, problems: Problems
) -> dict[str, Any]:
    return {
        "offset": _number(source, "offset", what),
        "text": _string(source, "text", what),
        "infons": _infons(source),
        **_annotations(source, place, problems),
    }


def _annotations(source: dict[str, Any], place: str, problems: Problems) -> dict[str, list]:
    result: dict[str, list] = {"annotations": [], "relations": []}
    for key, complete in (("annotations", _annotation), ("relations", _relation)):
        for item in _list(source, key):
            try:
                result[key].append(complete(_object(item, "one")))
            except _Unusable as error:
                name = item.get("id") if isinstance(item, dict) else None
                where = place if name is None else f"{place}, {key[:-1]} {str(name)[:40]!r}"
                problems.add(f"{key[:-1]} of the wrong form", where, f"among the {key}, {error}")
    return result


def _annotation(source: dict[str, Any]) -> dict[str, Any]:
    locations = [_object(item, "a location") for item in _list(source, "locations")]
    return {
        "id": _string(source, "id", "one"),
        "infons": _infons(source),
        "text": _string(source, "text", "one") if source.get("text") is not None else None,
        "locations": [
            {key: _number(item, key, "a location") for key in ("offset", "length")}
            for item in locations
        ],
    }


def _relation(source: dict[str, Any]) -> dict[str, Any]:
    nodes = [_object(item, "a node") for item in _list(source, "nodes")]
    return {
        "id": _string(source, "id", "one"),
        "infons": _infons(source),
        "nodes": [
            {key: _string(item, key, "a node") for key in ("refid", "role")} for item in nodes
        ],
    }


def _object(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _Unusable(f"{what} is not an object. Write {{...}} there.")
    return value


def _list(source: dict[str, Any], key: str) -> list[Any]:
    value = source.get(key)
    if value is not None and not isinstance(value, list):
        raise _Unusable(f"{key!r} is not a list. Write [...] there.")
    return value or []


def _infons(source: dict[str, Any]) -> dict[str, Any]:
    value = source.get("infons")
    return {} if value is None else _object(value, "'infons'")


def _string(source: dict[str, Any], key: str, what: str) -> str:
    value = source.get(key)
    if isinstance(value, (int, float)) and not isinstance(value, bool) and key != "text":
        return str(value)
    if value is not None and not isinstance(value, str):
        raise _Unusable(f"{what} has a {key!r} that is not a string. Write it between quotes.")
    return value or ""


def _number(source: dict[str, Any], key: str, what: str) -> int:
    value = source.get(key)
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) > _LARGEST:
        raise _Unusable(f"{what} has no {key!r} that is a whole number. Correct it.")
    return value


# --------------------------------------------------------------------------- writing


def write(documents: Iterable[SourceDocument], path: Path) -> None:
    """Write a BioC JSON collection, piece by piece.

    See `bioc_writer.to_bioc` for what is left out; whole numbers in `info` that don't fit into
    64 bits can't be read again.

    documents (Iterable[SourceDocument]): The documents.
    path (Path): The file; gzipped if its name ends in ".gz".
    RAISES (CorpusError): On `info` that JSON can't express.
    RAISES (OSError): If the file can't be written.
    """
    write_text_atomically(path, _format(documents, path))


def _format(documents: Iterable[SourceDocument], path: Path) -> Iterator[str]:
    yield '{"bioctype": "BioCCollection", "source": "", "date": "", "key": "", "version": "1.0",\n'
    yield '"infons": {}, "documents": ['
    separator = "\n"
    for document in documents:
        bioc = to_bioc(document)
        try:
            text = biocjson.dumps(bioc, ensure_ascii=False, allow_nan=False)
        except (TypeError, ValueError, RecursionError) as error:
            raise CorpusError(
                f"{path}: JSON can't express the info of {document.id!r} ({error}). Write strings, "
                f"numbers, lists and objects only."
            ) from None
        yield separator + text
        separator = ",\n"
    yield "\n]}\n"
