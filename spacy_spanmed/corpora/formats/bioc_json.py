"""BioC JSON: a collection {"documents": [...]}, or PubTator3's export {"PubTator3": [...]}.

ijson reads it piece by piece, so that only one document is in memory at a time; the library `bioc`
makes BioC objects of it. What a document may leave out (PubTator3 leaves out much) is filled in.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, TypeVar

import ijson
from bioc import biocjson
from pydantic import BeforeValidator, Field

from ...util.files import write_text_atomically
from ...util.problems import CorpusError, Problems
from ...util.text_files import BOM, open_bytes
from ..documents import SourceDocument
from ..validation import Checked, Name, Object, Unusable, check
from .bioc_reader import from_bioc
from .bioc_writer import to_bioc

LISTS = ("documents", "PubTator3")  # keys of the list of documents
MAX_DEPTH = 100  # levels of lists and objects: deeper ones only serve to bring a reader down
_LARGEST = 10**18


def _or_empty(make: type) -> BeforeValidator:
    return BeforeValidator(lambda value: make() if value is None else value)


def _write_number(value: Any) -> Any:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return str(value) if is_number else value


Item = TypeVar("Item")
_Number = Annotated[int, Field(ge=-_LARGEST, le=_LARGEST)]
_Text = Annotated[str, _or_empty(str)]
_Word = Annotated[_Text, BeforeValidator(_write_number)]
_List = Annotated[list[Item], _or_empty(list)]


class _Infons(Checked):
    infons: Annotated[Object, _or_empty(dict)] = {}


class _Location(Checked):
    offset: _Number
    length: _Number


class _Annotation(_Infons):
    id: _Word = ""
    text: str | None = None
    locations: _List[_Location] = []


class _Node(Checked):
    refid: _Word = ""
    role: _Word = ""


class _Relation(_Infons):
    id: _Word = ""
    nodes: _List[_Node] = []


class _Annotated(_Infons):
    annotations: _List[Any] = []
    relations: _List[Any] = []

    def keep_usable(self, place: str, problems: Problems) -> None:
        """Check annotations and relations one by one: the rest of the document can be used."""
        for kind, model in (("annotation", _Annotation), ("relation", _Relation)):
            kept = []
            for item in getattr(self, f"{kind}s"):
                try:
                    kept.append(check(model, item))
                except Unusable as error:
                    name = item.get("id") if isinstance(item, dict) else None
                    where = place if name is None else f"{place}, {kind} {str(name)[:40]!r}"
                    problems.add(f"{kind} of the wrong form", where, str(error))
            setattr(self, f"{kind}s", kept)


class _Sentence(_Annotated):
    offset: _Number
    text: _Text = ""


class _Passage(_Sentence):
    sentences: _List[_Sentence] = []


class _Document(_Annotated):
    id: Name
    passages: _List[_Passage] = []


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
                raise Unusable(_repeats(repeated))
            found = check(_Document, value)
        except Unusable as error:
            problems.add("document of the wrong form", place, str(error))
            continue
        for passage in found.passages:
            for part in (passage, *passage.sentences):
                part.keep_usable(place, problems)
        found.keep_usable(place, problems)
        document = biocjson.fromJSON(found.model_dump(), "BioCDocument")
        yield from_bioc(document, f"{place} ({document.id})", problems)


def _repeats(key: str) -> str:
    return f"the key {key[:40]!r} occurs twice in one object. Remove one of them."


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
                        raise CorpusError(f"{path}: {_repeats(value)}")
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
            what = error.args[0] if error.args and isinstance(error.args[0], bytes) else str(error)
            if isinstance(what, bytes):
                what = what.decode("utf8", "replace")
            raise CorpusError(
                f"{path}: not JSON to its end: {' '.join(what.split())}. Correct it, or fetch it again."
            ) from None
    if not found:
        raise CorpusError(
            f"{path}: not BioC JSON, which has a list of documents under 'documents' (or, from "
            f"PubTator3, 'PubTator3')."
        )


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
