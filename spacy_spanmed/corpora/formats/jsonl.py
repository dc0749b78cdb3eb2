"""JSON lines: one JSON object a line, as spaCy and Prodigy have them, and our own form.

    {"id": "doc-1", "text": "...", "layers": ["entities", "relations"],
     "spans": [{"start": 0, "end": 9, "label": "CHEMICAL", "concepts": ["D002945"], "id": "T1",
                "fragments": [[0, 4], [6, 9]], "text": "...", "info": {}}, ...],
     "relations": [{"head": "T1", "tail": "T2", "label": "BINDS", "concepts": false,
                    "negated": false, "id": "R1", "info": {}}, ...],
     "passages": [{"name": "title", "start": 0, "end": 20, "info": {}}, ...],
     "meta": {}}

Only "text" is required; of a span "start", "end" and "label", of a relation "head", "tail" and
"label", of a passage "start" and "end". Head and tail are ids of spans or, with "concepts": true,
identifiers of concepts. "meta" becomes `info`. Also read are

- "entities": [[start, end, label], ...] beside or instead of "spans", and "kb_id" of a span;
- what spaCy's `Doc.to_json` writes: "ents", a list of spans, and "spans" as an object, of whose
  groups "spanmed" is read; another group that holds anything is a problem; and with
  `underscore=JSON_EXTENSIONS` the relations, the related concepts and the layers, under "_";
- an id in "meta", under "id" or "pmid"; where there is none it is the file's name without suffix,
  "-" and the line's number;
- Prodigy's relations, {"head_span": {"start", "end", "label"}, "child_span": {...}, "label"}: the
  arguments are the spans with these offsets and labels, and are added where they are missing;
- Prodigy's "answer": lines answered "reject" or "ignore" are left out, and counted as "rejected in
  Prodigy", also where problems raise.

Other keys are ignored. Offsets are in characters of "text", ends exclusive.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from ...doc.concepts import split_ids
from ...doc.layers import LAYERS, SPANS_KEY
from ...doc.relations import ConceptRelationTuple, RelationTuple
from ...util.files import write_text_atomically
from ...util.problems import CorpusError, Problems
from ...util.text_files import file_stem, read_lines
from ..documents import Passage, SourceDocument, SourceMention, SourceRelation
from ..validation import (
    Checked,
    Info,
    Layer,
    Made,
    Name,
    Object,
    Unusable,
    check,
    name_type,
    parse_object,
)

REJECTED = "rejected in Prodigy"

_Key = tuple[int, int, str]  # start, end and label of a mention


class _Document(Checked):
    text: str
    id: Name | None = None
    layers: list[Layer] | None = None
    meta: Info | None = None


class _ProdigyArguments(Checked):
    head_span: Object
    child_span: Object


class _ConceptTuple(Checked):
    head_id: str
    tail_id: str
    label: str
    negated: bool | None = None


def read(path: Path, problems: Problems) -> Iterator[SourceDocument]:
    """Read a file of JSON lines, one document at a time.

    path (Path): The file, plain or gzipped. Blank lines are skipped.
    problems (Problems): Told of what can't be used. Skipped are single spans, relations and
        passages, and lines that aren't JSON objects with a text as a whole.
    YIELDS (SourceDocument): The documents. Where a line has no "layers" they have both.
    RAISES (CorpusError): See `Problems` and `read_lines`.
    RAISES (OSError): If the file can't be opened.
    """
    for number, line in read_lines(path, problems):
        place = f"{path}:{number}"
        if not line.strip():
            continue
        try:
            value = parse_object(line)
            if value.get("answer") in ("reject", "ignore"):
                # Legal, so never an error; but nothing is left out in silence.
                problems.counts[REJECTED] += 1
                message = f"{place}: its answer is {value['answer']!r}."
                problems.examples.setdefault(REJECTED, [message])
                continue
            document = _make_document(value, f"{file_stem(path)}-{number}", place)
        except Unusable as error:
            problems.add("line that is no document", place, str(error))
            continue
        _Annotation(document, problems).read(value)
        yield document


def _make_document(value: Object, name: str, place: str) -> SourceDocument:
    if value.get("layers") is None:
        value = {**value, "layers": _get_extensions(value).get("_.annotation_layers")}
    found = check(_Document, value)
    meta, layers = found.meta or {}, found.layers
    for key in ("pmid", "id"):
        if type(meta.get(key)) in (str, int):
            name = str(meta[key])
    return SourceDocument(
        id=name if found.id is None else found.id,
        text=found.text,
        layers=list(LAYERS) if layers is None else layers,
        info=meta,
        place=place,
    )


def _get_extensions(value: Object) -> Object:
    """RETURNS (Object): What a Doc's extensions hold, by names with a "_." before them."""
    extensions = value.get("_")
    if not isinstance(extensions, dict):
        return {}
    return {f"_.{name}": found for name, found in extensions.items()}


class _Annotation:
    """Puts the annotation of one line into its document.

    document (SourceDocument): With its text only.
    problems (Problems): See `read`.
    """

    def __init__(self, document: SourceDocument, problems: Problems):
        self._document, self._problems = document, problems
        self._by_key: dict[_Key, list[SourceMention]] = {}
        self._ids: set[str] = set()

    def read(self, value: Object) -> None:
        mentions, relations = self._document.mentions, self._document.relations
        value, grouped = self._ungroup(value)
        value = {**value, **_get_extensions(value)}
        of_doc = partial(_make_mention, of_doc=True)
        mentions += self._make_all(value, "ents", "span", of_doc)
        mentions += self._make_all(value, "spans", "span", of_doc if grouped else _make_mention)
        mentions += self._make_all(value, "entities", "span", _make_mention)
        for mention in mentions:
            self._by_key.setdefault(_key(mention), []).append(mention)
        for name, wanted in self._make_all(value, "_.concept_mentions", "concept", _read_concept):
            for mention in (m for key in wanted for m in self._by_key.get(key, ())):
                if name not in mention.concepts:
                    mention.concepts.append(name)
        self._ids = {mention.id for mention in mentions}
        for key, make in (
            ("relations", self._make_relation),
            ("_.relation_tuples", self._make_stored),
            ("_.concept_relation_tuples", _make_stored_of_concepts),
        ):
            relations += self._make_all(value, key, "relation", make)
        make_passage = partial(_make, Passage, name="")
        self._document.passages += self._make_all(value, "passages", "passage", make_passage)

    def _make_all(
        self, value: Object, key: str, kind: str, make: Callable[[Any, str], Made]
    ) -> Iterator[Made]:
        """YIELDS (Made): What is made of each item in a list, given it and its place. Those that
        can't be used are problems."""
        place = self._document.place
        items = value.get(key)
        if items is not None and not isinstance(items, list):
            message = f"{key!r} is {name_type(items)}. It must be a list."
            self._problems.add(f"unusable {kind}", place, message)
            return
        for i, item in enumerate(items or ()):
            place = f"{self._document.place}, {key}[{i}]"
            try:
                made = make(item, place)
            except Unusable as error:
                self._problems.add(f"unusable {kind}", place, str(error))
            else:
                yield made

    def _ungroup(self, value: Object) -> tuple[Object, bool]:
        """RETURNS (Tuple[Object, bool]): A line with a list of "spans", and whether they were in a
        group."""
        spans = value.get("spans")
        if not isinstance(spans, dict):
            return value, False
        others = [key for key, group in spans.items() if group and key != SPANS_KEY]
        if others:
            self._problems.add(
                "span groups that aren't read",
                self._document.place,
                f"'spans' has groups that aren't read: {', '.join(others)[:80]}. Name the one to "
                f"be read {SPANS_KEY!r}, and remove the others.",
            )
        return {**value, "spans": spans.get(SPANS_KEY)}, True

    def _make_relation(self, item: Any, place: str) -> SourceRelation:
        of_prodigy = isinstance(item, dict) and "tail" not in item
        if of_prodigy and not {"child", "head_span", "child_span"}.isdisjoint(item):
            found = check(_ProdigyArguments, item)
            return self._relate(item, found.head_span, found.child_span, place)
        return _make(SourceRelation, item, place)

    def _make_stored(self, item: Any, place: str) -> SourceRelation:
        """A relation as `Doc.to_json` writes it: the values of a `RelationTuple`."""
        values = _name_values(item, RelationTuple)
        head, tail = (
            {name: values[f"{side}_{name}"] for name in ("start", "end", "label")}
            for side in ("head", "tail")
        )
        return self._relate(values, head, tail, place)

    def _relate(self, item: Object, head: Object, tail: Object, place: str) -> SourceRelation:
        """RETURNS (SourceRelation): A relation of the mentions that two spans stand for. Nothing is
        added unless all three are usable."""
        relation = _make(SourceRelation, {**item, "head": "", "tail": "", "concepts": None}, place)
        wanted = [_make_mention(span, place) for span in (head, tail)]
        relation.head, relation.tail = map(self._find, wanted)
        return relation

    def _find(self, wanted: SourceMention) -> str:
        """RETURNS (str): The id of the mention with these offsets and this label. It is appended if
        it is missing, and gets an id if it has none."""
        same = self._by_key.setdefault(_key(wanted), [])
        if not same:
            same.append(wanted)
            self._document.mentions.append(wanted)
        mention = same[0]
        if not mention.id:
            number = len(self._ids)
            while f"T{number}" in self._ids:
                number += 1
            mention.id = f"T{number}"
        self._ids.add(mention.id)
        return mention.id


def _key(mention: SourceMention) -> _Key:
    return mention.start, mention.end, mention.label


def _make(kind: type[Made], item: Any, place: str, **defaults: Any) -> Made:
    """RETURNS (Made): An object of our own form. Entries that are null count as missing."""
    if isinstance(item, dict):
        given = {key: value for key, value in item.items() if value is not None}
        item = {**defaults, **given, "place": place}
    return check(kind, item)


def _make_mention(item: Any, place: str, of_doc: bool = False) -> SourceMention:
    if isinstance(item, list):
        if len(item) != 3:
            raise Unusable(f"a list of {len(item)}. It must be [start, end, label].")
        item = dict(zip(("start", "end", "label"), item))
    mention = _make(SourceMention, item, place)
    known = item.get("kb_id")
    if known is not None:
        known = check(Name, known)
    if known and item.get("concepts") is None:
        mention.concepts = split_ids(known) if of_doc else [known]  # a Doc's may join several
    return mention


def _read_concept(item: Any, place: str) -> tuple[str, list[_Key]]:
    """RETURNS (Tuple[str, List[Tuple[int, int, str]]]): A concept as `Doc.to_json` writes it: its
    id and its mentions."""
    if not isinstance(item, list) or [type(part) for part in item] != [str, list]:
        raise Unusable("no list of an id and a list of mentions.")
    name, mentions = item
    return name, [_key(_make_mention(mention, place)) for mention in mentions]


def _make_stored_of_concepts(item: Any, place: str) -> SourceRelation:
    """A relation as `Doc.to_json` writes it: the values of a `ConceptRelationTuple`."""
    found = check(_ConceptTuple, _name_values(item, ConceptRelationTuple))
    ends = (found.head_id, found.tail_id)
    return SourceRelation(*ends, found.label, True, bool(found.negated), place=place)


def _name_values(item: Any, kind: type[RelationTuple] | type[ConceptRelationTuple]) -> Object:
    least, most = len(kind._fields) - len(kind._field_defaults), len(kind._fields)
    if not isinstance(item, list) or not least <= len(item) <= most:
        raise Unusable(f"no list of {least} to {most} values: {', '.join(kind._fields)}.")
    return dict(zip(kind._fields, item))


def write(documents: Iterable[SourceDocument], path: Path) -> None:
    """Write JSON lines in our own form. What is written comes back the same, except places.

    documents (Iterable[SourceDocument]): The documents.
    path (Path): The file; gzipped if its name ends in ".gz".
    RAISES (CorpusError): On an `info` that JSON can't express.
    RAISES (OSError): If the file can't be written.
    """
    write_text_atomically(path, map(_format, documents))


def _format(document: SourceDocument) -> str:
    value: Object = {
        "id": document.id,
        "text": document.text,
        "layers": document.layers,
        "spans": [_given(m, "start end label text", "id concepts fragments info")
                  for m in document.mentions],
        "relations": [_given(r, "head tail label", "concepts negated id info")
                      for r in document.relations],
    }  # fmt: skip
    if document.passages:
        value["passages"] = [_given(p, "name start end", "info") for p in document.passages]
    if document.info:
        value["meta"] = document.info
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False) + "\n"
    except (TypeError, ValueError, RecursionError) as error:
        raise CorpusError(
            f"{document.place or 'document'} ({document.id!r}): JSON can't express it ({error}). "
            f"`info` must hold JSON values only."
        ) from None


def _given(item: Any, always: str, unless_empty: str) -> Object:
    """RETURNS (Dict[str, Any]): Attributes of an object: those of the one list unless they are
    None, those of the other unless they are empty."""
    given = {name: getattr(item, name) for name in (*always.split(), *unless_empty.split())}
    return {
        name: entry
        for name, entry in given.items()
        if entry or (name in always.split() and entry is not None)
    }
