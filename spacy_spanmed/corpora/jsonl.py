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
import math
from collections import Counter
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple

from ..concepts import split_ids
from ..doc import LAYERS, SPANS_KEY, ConceptRelationTuple, RelationTuple
from .jsonl_writer import write
from .problems import Problems
from .source import Passage, SourceDocument, SourceMention, SourceRelation
from .text_files import file_stem, read_lines

REJECTED = "rejected in Prodigy"
MAX_DEPTH = 100  # levels of lists and objects in `info`: deeper ones can't be stored everywhere

_Object = Dict[str, Any]

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
            value = _parse(line)
            if value.get("answer") in ("reject", "ignore"):
                _count_rejected(value["answer"], place, problems)
                continue
            document = _make_document(value, f"{file_stem(path)}-{number}", place)
        except _Unusable as error:
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


# ---------------------------------------------------------------------------- parsing


class _Unusable(ValueError):
    """What is wrong and what to do about it."""


def _parse(line: str) -> _Object:
    try:
        value = json.loads(
            line,
            parse_constant=_refuse_constant,
            parse_float=_finite,
            object_pairs_hook=_without_duplicates,
        )
        if "\\u" in line:  # an escape may stand for half a character
            json.dumps(value, ensure_ascii=False).encode("utf8")
    except _Unusable:
        raise
    except UnicodeEncodeError:
        raise _Unusable(
            "an escape such as \\ud800 stands for half a character. Write both halves or none."
        ) from None
    except RecursionError:
        raise _Unusable("JSON that is nested too deeply. Remove what no document needs.") from None
    except ValueError as error:
        raise _Unusable(
            f"not JSON ({error}). Each line must be one JSON object; a file that is one JSON "
            f"list has to be written as lines first."
        ) from None
    if not isinstance(value, dict):
        raise _Unusable(f"{_name_type(value)} instead of a JSON object with a 'text'.")
    return value


def _refuse_constant(name: str) -> None:
    raise _Unusable(f"{name} is not JSON. Use null, or leave it out.")


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise _Unusable(f"the number {text[:40]} is too large. Use a smaller one.")
    return value


def _without_duplicates(pairs: List[Any]) -> _Object:
    value = dict(pairs)
    if len(value) != len(pairs):
        name = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise _Unusable(f"the key {name[:40]!r} occurs twice in one object. Remove one of them.")
    return value


def _name_type(value: Any) -> str:
    if value is None:
        return "null"
    names = {bool: "true or false", int: "a number", float: "a number", str: "a string"}
    return {**names, list: "a list", dict: "an object"}[type(value)]


_KINDS = {str: "a string", int: "a whole number", bool: "true or false"}
_KINDS.update({list: "a list", dict: "an object"})
_MISSING = object()


def _get(item: _Object, key: str, kind: type, default: Any = _MISSING) -> Any:
    """RETURNS (Any): An entry of the right type; the default where it is missing or null."""
    value = item.get(key)
    if value is None and default is not _MISSING:
        return default
    if type(value) is not kind:  # True is no number
        found = _name_type(value) if key in item else "missing"
        raise _Unusable(f"{key!r} is {found}. It must be {_KINDS[kind]}.")
    if kind is int and not -(2**63) <= value < 2**63:
        raise _Unusable(f"{key!r} is too large for an offset. Correct it.")
    return value


def _get_name(item: _Object, key: str, default: Any = _MISSING) -> str:
    """RETURNS (str): An id, which may be written as a number."""
    if type(item.get(key)) is int:
        return str(item[key])
    return _get(item, key, str, default)


def _get_info(item: _Object, key: str = "info") -> _Object:
    info = _get(item, key, dict, {})
    level: List[Any] = [info]
    for _ in range(MAX_DEPTH):
        inner = (v.values() if isinstance(v, dict) else v for v in level)
        level = [v for values in inner for v in values if isinstance(v, (dict, list))]
        if not level:
            return info
    raise _Unusable(
        f"{key!r} holds lists and objects of more than {MAX_DEPTH} levels. Remove what no "
        f"document needs."
    )


# -------------------------------------------------------------------------- documents


def _make_document(value: _Object, name: str, place: str) -> SourceDocument:
    text = _get(value, "text", str)
    meta = _get_info(value, "meta")
    for key in ("pmid", "id"):
        if type(meta.get(key)) in (str, int):
            name = str(meta[key])
    name = _get_name(value, "id", name)
    stored = _get(_get_extensions(value), "_.annotation_layers", list, list(LAYERS))
    layers = _get(value, "layers", list, stored)
    if any(layer not in LAYERS for layer in layers):
        raise _Unusable(f"'layers' holds an unknown layer. Known are {list(LAYERS)}.")
    return SourceDocument(id=name, text=text, layers=layers, info=meta, place=place)


def _add_annotation(value: _Object, document: SourceDocument, problems: Problems) -> None:
    mentions = document.mentions

    def add(key: str, kind: str, use: Callable[[Any, str], None]) -> None:
        try:
            items = _get(value, key, list, [])
        except _Unusable as error:
            problems.add(f"unusable {kind}", document.place, str(error))
            return
        for i, item in enumerate(items):
            place = f"{document.place}, {key}[{i}]"
            try:
                use(item, place)
            except _Unusable as error:
                problems.add(f"unusable {kind}", place, str(error))

    value, grouped = _ungroup(value, document.place, problems)
    add("ents", "span", lambda item, place: mentions.append(_make_mention(item, place, True)))
    add("spans", "span", lambda item, place: mentions.append(_make_mention(item, place, grouped)))
    add("entities", "span", lambda item, place: mentions.append(_make_mention(item, place)))
    value = {**value, **_get_extensions(value)}
    by_offsets: Dict[tuple, List[SourceMention]] = {}
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


def _ungroup(value: _Object, place: str, problems: Problems) -> Tuple[_Object, bool]:
    """RETURNS (Tuple[_Object, bool]): A line with a list of "spans", and whether they were in a
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


def _get_extensions(value: _Object) -> _Object:
    """RETURNS (_Object): What a Doc's extensions hold, by names with a "_." before them."""
    extensions = value.get("_")
    if not isinstance(extensions, dict):
        return {}
    return {f"_.{name}": found for name, found in extensions.items()}


def _check_object(item: Any) -> _Object:
    if not isinstance(item, dict):
        raise _Unusable(f"{_name_type(item)} instead of an object.")
    return item


def _make_mention(item: Any, place: str, of_doc: bool = False) -> SourceMention:
    if isinstance(item, list):
        if len(item) != 3:
            raise _Unusable(f"a list of {len(item)}. It must be [start, end, label].")
        item = dict(zip(("start", "end", "label"), item))
    item = _check_object(item)
    knowledge = _get_name(item, "kb_id", "")
    # That of a Doc may join several.
    known = split_ids(knowledge) if of_doc else [knowledge] if knowledge else []
    concepts = _get(item, "concepts", list, known)
    if not all(isinstance(concept, str) for concept in concepts):
        raise _Unusable("'concepts' must be a list of strings.")
    return SourceMention(
        _get(item, "start", int),
        _get(item, "end", int),
        _get(item, "label", str),
        concepts=concepts,
        fragments=[_make_offsets(pair) for pair in _get(item, "fragments", list, [])],
        id=_get_name(item, "id", ""),
        text=_get(item, "text", str, None),
        info=_get_info(item),
        place=place,
    )


def _add_concept(item: Any, place: str, by_offsets: Dict[tuple, List[SourceMention]]) -> None:
    """A concept as `Doc.to_json` writes it, [id, [[start, end, label], ...]]: its mentions get the
    id."""
    if not isinstance(item, list) or [type(part) for part in item] != [str, list]:
        raise _Unusable("no list of an id and a list of mentions.")
    name, mentions = item
    for wanted in [_make_mention(mention, place) for mention in mentions]:
        for mention in by_offsets.get((wanted.start, wanted.end, wanted.label), ()):
            if name not in mention.concepts:
                mention.concepts.append(name)


def _make_offsets(pair: Any) -> tuple:
    if not isinstance(pair, list) or len(pair) != 2:
        raise _Unusable("'fragments' must be a list of [start, end].")
    offsets = dict(zip(("start", "end"), pair))
    return _get(offsets, "start", int), _get(offsets, "end", int)


def _make_passage(item: Any) -> Passage:
    item = _check_object(item)
    start, end = _get(item, "start", int), _get(item, "end", int)
    return Passage(_get(item, "name", str, ""), start, end, _get_info(item))


# -------------------------------------------------------------------------- relations


class _Arguments:
    """Finds the mentions that Prodigy's relations name by offsets and label.

    mentions (List[SourceMention]): The document's mentions. Those that relations refer to get an
        id if they have none, and missing ones are appended.
    """

    def __init__(self, mentions: List[SourceMention]):
        self.mentions = mentions
        self._by_offsets: Optional[Dict[tuple, SourceMention]] = None
        self._ids = {mention.id for mention in mentions}

    def find_pair(self, head: _Object, tail: _Object, place: str) -> Tuple[str, str]:
        """RETURNS (Tuple[str, str]): The ids of the mentions that two spans stand for. Nothing is
        added unless both are usable."""
        for span in (head, tail):
            _make_mention(span, place)
        return self.find(head, place), self.find(tail, place)

    def find(self, span: _Object, place: str) -> str:
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
    label = _get(item, "label", str)
    rest = {
        "negated": _get(item, "negated", bool, False),
        "id": _get_name(item, "id", ""),
        "info": _get_info(item),
        "place": place,
    }
    if "tail" not in item and ("child" in item or "head_span" in item or "child_span" in item):
        spans = [_get(item, key, dict) for key in ("head_span", "child_span")]
        return SourceRelation(*arguments.find_pair(*spans, place), label, **rest)
    concepts = _get(item, "concepts", bool, False)
    return SourceRelation(_get_name(item, "head"), _get_name(item, "tail"), label, concepts, **rest)


def _make_stored(item: Any, place: str, arguments: Optional[_Arguments]) -> SourceRelation:
    """A relation as `Doc.to_json` writes it: the values of a `RelationTuple`, whose arguments
    are found among the mentions, or without `arguments` of a `ConceptRelationTuple`."""
    kind = ConceptRelationTuple if arguments is None else RelationTuple
    least, most = len(kind._fields) - len(kind._field_defaults), len(kind._fields)
    if not isinstance(item, list) or not least <= len(item) <= most:
        raise _Unusable(f"no list of {least} to {most} values: {', '.join(kind._fields)}.")
    values = dict(zip(kind._fields, item))
    label, negated = _get(values, "label", str), _get(values, "negated", bool, False)
    if arguments is None:
        head, tail = _get(values, "head_id", str), _get(values, "tail_id", str)
        return SourceRelation(head, tail, label, True, negated=negated, place=place)
    spans = [
        {key: values[f"{side}_{key}"] for key in ("start", "end", "label")}
        for side in ("head", "tail")
    ]
    pair = arguments.find_pair(*spans, place)
    return SourceRelation(*pair, label, negated=negated, place=place)
