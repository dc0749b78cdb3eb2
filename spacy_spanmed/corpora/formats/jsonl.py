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

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ...doc.concepts import split_ids
from ...doc.layers import LAYERS, SPANS_KEY
from ...doc.relations import ConceptRelationTuple, RelationTuple
from ...util.problems import Problems
from ...util.text_files import file_stem, read_lines
from ..documents import Passage, SourceDocument, SourceMention, SourceRelation
from .jsonl_writer import write
from .strict_json import Object, Unusable, get, get_info, get_name, name_type, parse_object

REJECTED = "rejected in Prodigy"

__all__ = ["read", "write"]


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
                _count_rejected(value["answer"], place, problems)
                continue
            document = _make_document(value, f"{file_stem(path)}-{number}", place)
        except Unusable as error:
            problems.add("line that is no document", place, str(error))
            continue
        _add_annotation(value, document, problems)
        yield document


def _count_rejected(answer: str, place: str, problems: Problems) -> None:
    # Legal, so never an error; but nothing is left out in silence.
    problems.counts[REJECTED] += 1
    examples = problems.examples.setdefault(REJECTED, [])
    if not examples:
        examples.append(f"{place}: its answer is {answer!r}.")


# -------------------------------------------------------------------------- documents


def _make_document(value: Object, name: str, place: str) -> SourceDocument:
    text = get(value, "text", str)
    meta = get_info(value, "meta")
    for key in ("pmid", "id"):
        if type(meta.get(key)) in (str, int):
            name = str(meta[key])
    name = get_name(value, "id", name)
    stored = get(_get_extensions(value), "_.annotation_layers", list, list(LAYERS))
    layers = get(value, "layers", list, stored)
    if any(layer not in LAYERS for layer in layers):
        raise Unusable(f"'layers' holds an unknown layer. Known are {list(LAYERS)}.")
    return SourceDocument(id=name, text=text, layers=layers, info=meta, place=place)


def _add_annotation(value: Object, document: SourceDocument, problems: Problems) -> None:
    mentions = document.mentions

    def add(key: str, kind: str, use: Callable[[Any, str], None]) -> None:
        try:
            items = get(value, key, list, [])
        except Unusable as error:
            problems.add(f"unusable {kind}", document.place, str(error))
            return
        for i, item in enumerate(items):
            place = f"{document.place}, {key}[{i}]"
            try:
                use(item, place)
            except Unusable as error:
                problems.add(f"unusable {kind}", place, str(error))

    value, grouped = _ungroup(value, document.place, problems)
    add("ents", "span", lambda item, place: mentions.append(_make_mention(item, place, True)))
    add("spans", "span", lambda item, place: mentions.append(_make_mention(item, place, grouped)))
    add("entities", "span", lambda item, place: mentions.append(_make_mention(item, place)))
    value = {**value, **_get_extensions(value)}
    by_offsets: dict[tuple, list[SourceMention]] = {}
    for mention in mentions:
        by_offsets.setdefault((mention.start, mention.end, mention.label), []).append(mention)
    add("_.concept_mentions", "concept", lambda *each: _add_concept(*each, by_offsets))
    arguments = _Arguments(mentions)
    add(
        "relations",
        "relation",
        lambda item, place: document.relations.append(_make_relation(item, place, arguments)),
    )
    add(
        "_.relation_tuples",
        "relation",
        lambda item, place: document.relations.append(_make_stored(item, place, arguments)),
    )
    add(
        "_.concept_relation_tuples",
        "relation",
        lambda item, place: document.relations.append(_make_stored(item, place, None)),
    )
    add("passages", "passage", lambda item, _: document.passages.append(_make_passage(item)))


def _ungroup(value: Object, place: str, problems: Problems) -> tuple[Object, bool]:
    """RETURNS (Tuple[Object, bool]): A line with a list of "spans", and whether they were in a
    group."""
    spans = value.get("spans")
    if not isinstance(spans, dict):
        return value, False
    others = [key for key, group in spans.items() if group and key != SPANS_KEY]
    if others:
        problems.add(
            "span groups that aren't read",
            place,
            f"'spans' has groups that aren't read: {', '.join(others)[:80]}. Name the one to be "
            f"read {SPANS_KEY!r}, and remove the others.",
        )
    return {**value, "spans": spans.get(SPANS_KEY)}, True


def _get_extensions(value: Object) -> Object:
    """RETURNS (Object): What a Doc's extensions hold, by names with a "_." before them."""
    extensions = value.get("_")
    if not isinstance(extensions, dict):
        return {}
    return {f"_.{name}": found for name, found in extensions.items()}


def _check_object(item: Any) -> Object:
    if not isinstance(item, dict):
        raise Unusable(f"{name_type(item)} instead of an object.")
    return item


def _make_mention(item: Any, place: str, of_doc: bool = False) -> SourceMention:
    if isinstance(item, list):
        if len(item) != 3:
            raise Unusable(f"a list of {len(item)}. It must be [start, end, label].")
        item = dict(zip(("start", "end", "label"), item))
    item = _check_object(item)
    knowledge = get_name(item, "kb_id", "")
    # That of a Doc may join several.
    known = split_ids(knowledge) if of_doc else [knowledge] if knowledge else []
    concepts = get(item, "concepts", list, known)
    if not all(isinstance(concept, str) for concept in concepts):
        raise Unusable("'concepts' must be a list of strings.")
    return SourceMention(
        get(item, "start", int),
        get(item, "end", int),
        get(item, "label", str),
        concepts=concepts,
        fragments=[_make_offsets(pair) for pair in get(item, "fragments", list, [])],
        id=get_name(item, "id", ""),
        text=get(item, "text", str, None),
        info=get_info(item),
        place=place,
    )


def _add_concept(item: Any, place: str, by_offsets: dict[tuple, list[SourceMention]]) -> None:
    """A concept as `Doc.to_json` writes it, [id, [[start, end, label], ...]]: its mentions get the
    id."""
    if not isinstance(item, list) or [type(part) for part in item] != [str, list]:
        raise Unusable("no list of an id and a list of mentions.")
    name, mentions = item
    for wanted in [_make_mention(mention, place) for mention in mentions]:
        for mention in by_offsets.get((wanted.start, wanted.end, wanted.label), ()):
            if name not in mention.concepts:
                mention.concepts.append(name)


def _make_offsets(pair: Any) -> tuple:
    if not isinstance(pair, list) or len(pair) != 2:
        raise Unusable("'fragments' must be a list of [start, end].")
    offsets = dict(zip(("start", "end"), pair))
    return get(offsets, "start", int), get(offsets, "end", int)


def _make_passage(item: Any) -> Passage:
    item = _check_object(item)
    start, end = get(item, "start", int), get(item, "end", int)
    return Passage(get(item, "name", str, ""), start, end, get_info(item))


# -------------------------------------------------------------------------- relations


class _Arguments:
    """Finds the mentions that Prodigy's relations name by offsets and label.

    mentions (List[SourceMention]): The document's mentions. Those that relations refer to get an
        id if they have none, and missing ones are appended.
    """

    def __init__(self, mentions: list[SourceMention]):
        self.mentions = mentions
        self._by_offsets: dict[tuple, SourceMention] | None = None
        self._ids = {mention.id for mention in mentions}

    def find_pair(self, head: Object, tail: Object, place: str) -> tuple[str, str]:
        """RETURNS (Tuple[str, str]): The ids of the mentions that two spans stand for. Nothing is
        added unless both are usable."""
        for span in (head, tail):
            _make_mention(span, place)
        return self.find(head, place), self.find(tail, place)

    def find(self, span: Object, place: str) -> str:
        """RETURNS (str): The id of the mention that the span stands for."""
        wanted = _make_mention(span, place)
        if self._by_offsets is None:
            self._by_offsets = {}
            for mention in self.mentions:
                self._by_offsets.setdefault((mention.start, mention.end, mention.label), mention)
        key = (wanted.start, wanted.end, wanted.label)
        mention = self._by_offsets.get(key)
        if mention is None:
            mention = self._by_offsets[key] = wanted
            self.mentions.append(wanted)
        if not mention.id:
            number = len(self._ids)
            while f"T{number}" in self._ids:
                number += 1
            mention.id = f"T{number}"
        self._ids.add(mention.id)
        return mention.id


def _make_relation(item: Any, place: str, arguments: _Arguments) -> SourceRelation:
    item = _check_object(item)
    label = get(item, "label", str)
    rest = {
        "negated": get(item, "negated", bool, False),
        "id": get_name(item, "id", ""),
        "info": get_info(item),
        "place": place,
    }
    if "tail" not in item and ("child" in item or "head_span" in item or "child_span" in item):
        spans = [get(item, key, dict) for key in ("head_span", "child_span")]
        return SourceRelation(*arguments.find_pair(*spans, place), label, **rest)
    concepts = get(item, "concepts", bool, False)
    return SourceRelation(get_name(item, "head"), get_name(item, "tail"), label, concepts, **rest)


def _make_stored(item: Any, place: str, arguments: _Arguments | None) -> SourceRelation:
    """A relation as `Doc.to_json` writes it: the values of a `RelationTuple`, whose arguments
    are found among the mentions, or without `arguments` of a `ConceptRelationTuple`."""
    kind = ConceptRelationTuple if arguments is None else RelationTuple
    least, most = len(kind._fields) - len(kind._field_defaults), len(kind._fields)
    if not isinstance(item, list) or not least <= len(item) <= most:
        raise Unusable(f"no list of {least} to {most} values: {', '.join(kind._fields)}.")
    values = dict(zip(kind._fields, item))
    label, negated = get(values, "label", str), get(values, "negated", bool, False)
    if arguments is None:
        head, tail = get(values, "head_id", str), get(values, "tail_id", str)
        return SourceRelation(head, tail, label, True, negated=negated, place=place)
    spans = [
        {key: values[f"{side}_{key}"] for key in ("start", "end", "label")}
        for side in ("head", "tail")
    ]
    pair = arguments.find_pair(*spans, place)
    return SourceRelation(*pair, label, negated=negated, place=place)
