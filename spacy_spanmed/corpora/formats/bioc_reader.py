"""BioC documents (of the library `bioc`) to SourceDocuments, for BioC's XML and JSON.

Text: the passages' texts joined by a space where their offsets leave a gap of 0 or 1, else by a
line end. A passage without text has the texts of its sentences, joined likewise. BioC's offsets may
start anywhere and have gaps, so an annotation is placed by its distance from its passage's (or
sentence's) offset; one that hangs on the document, by the passage that holds its offset.

Infons become `info`, but for those that mean something here:

- "type" (of relations also "relation") is the label, of passages the name.
- The keys in IDENTIFIER_KEYS (capitals or not) are identifiers: a string is split by
  `pubtator.split_identifiers`, the items of a list are taken as they are. Unless the string is
  "identifier" with "," between identifiers, it also stays in `info` word for word.
- Relations: the pairs of keys in ARGUMENT_KEYS are two concepts; "negated": "true" is a negation.

A relation with nodes is one between mentions. With more than two nodes (events), the first is the
head of one relation to each of the others, and `info["node"]` is [number, how many]. Roles other
than "head" and "tail" are in `info["roles"]`. Annotation ids need only be unique where relations
use them (in a passage, say): a second "T1" of a document becomes "T1#2".
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import chain, count
from typing import Any, NamedTuple

from bioc import BioCAnnotation, BioCDocument, BioCPassage, BioCRelation

from ...util.problems import Problems
from ..documents import Offsets, Passage, SourceDocument, SourceMention, SourceRelation
from .pubtator import split_identifiers

IDENTIFIER_KEYS = frozenset(
    {
        "identifier", "mesh", "omim", "ncbi gene", "ncbi gene identifier", "ncbi taxonomy",
        "ncbi species", "database_id",
    }
)  # fmt: skip
# BioRED; BC5CDR; PubTator3, whose values are objects with an "identifier".
ARGUMENT_KEYS = (("entity1", "entity2"), ("Chemical", "Disease"), ("role1", "role2"))
ROLES = ("head", "tail")

Infons = dict[str, Any]


class _Block(NamedTuple):
    """A piece of text: BioC's offset, its start in the whole text, and its length."""

    offset: int
    start: int
    length: int


# Names of annotations (as BioC has them) and the ids of the mentions made of them.
_Scope = dict[str, list[str]]


def from_bioc(document: BioCDocument, place: str, problems: Problems) -> SourceDocument:
    """Turn a BioC document into a SourceDocument.

    document (BioCDocument): The document; offsets and lengths are whole numbers, texts strings.
    place (str): Where it was read, for messages.
    problems (Problems): Told of relations without two arguments, or with an ambiguous one.
    RETURNS (SourceDocument): The document, with both layers. Mentions come passage by passage.
        `info["offset"]` of a passage is BioC's offset, if it isn't 0 for the first, else 1 (after a
        space) or 2 more than the end of the one before; "infons" its other infons; "sentences" the
        starts, ends and infons of its sentences.
    RAISES (CorpusError): See `Problems`.
    """
    return _Reader(document, place, problems).read()


class _Reader:
    """Reads one document: see `from_bioc`."""

    def __init__(self, document: BioCDocument, place: str, problems: Problems):
        self._bioc, self._place, self._problems = document, place, problems
        self._text = ""
        self._mentions: list[SourceMention] = []
        self._ids: set[str] = set()

    def read(self) -> SourceDocument:
        whole: _Scope = {}
        blocks: list[_Block] = []
        passages: list[Passage] = []
        relations: list[tuple[BioCRelation, Sequence[_Scope]]] = []
        end = written = 0  # where the passage before ends, in BioC's offsets; as `to_bioc` would
        for source in self._bioc.passages:
            text, inner = _passage_text(source)
            separator = make_separator(source.offset - end) if passages else ""
            expected = written + {"": 0, " ": 1, "\n": 2}[separator]
            offset = source.offset
            if passages and make_separator(offset - written) != separator:
                offset = expected  # sentences with gaps: in the text the passage is shorter
            self._text += separator
            start = len(self._text)
            self._text += text
            end = source.offset + len(text)
            if inner:
                end = max(end, inner[-1].offset + inner[-1].length)
            written = offset + len(text)
            inner = [block._replace(start=start + block.start) for block in inner]
            blocks += inner
            passage = _make_passage(source, start, len(self._text), inner)
            if offset != expected:
                passage.info["offset"] = offset
            passages.append(passage)
            scope: _Scope = {}
            scopes = [whole, scope]
            for annotation in source.annotations:
                self._add_mention(annotation, inner, scopes)
            for number, sentence in enumerate(source.sentences):
                own: _Scope = {}
                inside = inner if source.text else inner[number : number + 1]
                for annotation in sentence.annotations:
                    self._add_mention(annotation, inside, [*scopes, own])
                relations += [(relation, [*scopes, own]) for relation in sentence.relations]
            relations += [(relation, scopes) for relation in source.relations]
        for annotation in self._bioc.annotations:
            self._add_mention(annotation, blocks, [whole])
        relations += [(relation, [whole]) for relation in self._bioc.relations]
        starts = [passage.start for passage in passages]
        self._mentions.sort(key=lambda mention: bisect_right(starts, mention.start))
        return SourceDocument(
            id=self._bioc.id,
            text=self._text,
            mentions=self._mentions,
            relations=[made for item in relations for made in self._make_relations(*item)],
            # One passage of which nothing is said is only where BioC keeps the text.
            passages=[] if passages == [Passage("", 0, len(self._text))] else passages,
            info=dict(self._bioc.infons),
            place=self._place,
        )

    def _add_mention(
        self, annotation: BioCAnnotation, blocks: list[_Block], scopes: Sequence[_Scope]
    ) -> None:
        place = f"{self._place}, annotation {annotation.id!r}"
        parts = [_find(blocks, where.offset, where.length) for where in annotation.locations]
        if not parts:
            message = "it has no location. Give it one, or remove it."
            self._problems.add("annotation without location", place, message)
            return
        label, concepts, info = _read_infons(annotation.infons)
        name = self._name(annotation.id, scopes)
        start, end = min(parts)[0], max(end for _, end in parts)
        fragments = parts if len(parts) > 1 else []
        self._mentions.append(
            SourceMention(
                start, end, label, concepts, fragments, name, annotation.text, info, place
            )
        )

    def _name(self, name: str, scopes: Sequence[_Scope]) -> str:
        if not name:
            return ""
        numbered = (f"{name}#{number}" for number in count(2))
        own = next(item for item in chain([name], numbered) if item not in self._ids)
        self._ids.add(own)
        for scope in scopes:
            scope.setdefault(name, []).append(own)
        return own

    def _make_relations(
        self, relation: BioCRelation, scopes: Sequence[_Scope]
    ) -> Iterator[SourceRelation]:
        place = f"{self._place}, relation {relation.id!r}"
        info = dict(relation.infons)
        name = relation.id or ""
        negated = str(info.get("negated")).casefold() == "true"
        if negated:
            del info["negated"]
        label = next(
            (info.pop(k) for k in ("type", "relation") if isinstance(info.get(k), str)), ""
        )
        pair = _find_arguments(info)
        if len(relation.nodes) >= 2 and not (pair and pair[0] == "role1"):
            found = [self._resolve(node.refid, scopes, place) for node in relation.nodes]
            roles = [node.role or "" for node in relation.nodes]
            refs = [ref for ref in found if ref is not None]
            if len(refs) < len(found):
                return
            for i, (ref, role) in enumerate(zip(refs[1:], roles[1:]), start=1):
                own = dict(info)
                if (roles[0], role) != ROLES:
                    own["roles"] = [roles[0], role]
                if len(refs) > 2:
                    own["node"] = [i, len(refs) - 1]
                yield SourceRelation(refs[0], ref, label, False, negated, name, own, place)
        elif pair:
            head, tail = (_identifier(info[key]) or "" for key in pair)
            for key in pair:
                if not isinstance(info[key], dict):
                    del info[key]
            yield SourceRelation(head, tail, label, True, negated, name, info, place)
        else:
            self._problems.add(
                "relation without two arguments",
                place,
                "it has neither two nodes nor two concepts in its infons (known keys: "
                f"{', '.join('/'.join(keys) for keys in ARGUMENT_KEYS)}). Complete or remove it.",
            )

    def _resolve(self, name: str, scopes: Sequence[_Scope], place: str) -> str | None:
        for scope in reversed(scopes):
            ids = scope.get(name, ())
            if len(ids) == 1:
                return ids[0]
            if ids:
                message = f"{len(ids)} annotations have the id {name!r} to which it refers."
                self._problems.add("ambiguous reference", place, f"{message} Give each its own.")
                return None
        return name  # unknown: told by the checks


def make_separator(gap: int) -> str:
    """RETURNS (str): What stands between two texts whose offsets leave such a gap."""
    return " " if gap in (0, 1) else "\n"


def _passage_text(passage: BioCPassage) -> tuple[str, list[_Block]]:
    """RETURNS: The passage's text and its blocks, whose starts count from the passage's."""
    if passage.text or not passage.sentences:
        text = passage.text or ""
        return text, [_Block(passage.offset, 0, len(text))]
    text, blocks = "", list[_Block]()
    for sentence in passage.sentences:
        if blocks:
            last = blocks[-1]
            text += make_separator(sentence.offset - last.offset - last.length)
        own = sentence.text or ""
        blocks.append(_Block(sentence.offset, len(text), len(own)))
        text += own
    return text, blocks


def _make_passage(source: BioCPassage, start: int, end: int, blocks: list[_Block]) -> Passage:
    infons = dict(source.infons)
    name = infons.pop("type") if isinstance(infons.get("type"), str) and infons["type"] else ""
    info: dict[str, Any] = {}
    if infons:
        info["infons"] = infons
    sentences = []
    for number, sentence in enumerate(source.sentences):
        block = blocks[0] if source.text else blocks[number]
        first = block.start + sentence.offset - block.offset
        own = {"start": first, "end": first + len(sentence.text or "")}
        if start <= first and own["end"] <= end:
            sentences.append({**own, "infons": sentence.infons} if sentence.infons else own)
    if sentences:
        info["sentences"] = sentences
    return Passage(name, start, end, info)


def _find(blocks: list[_Block], offset: int, length: int) -> Offsets:
    """RETURNS (Tuple[int, int]): A location in the whole text."""
    if len(blocks) == 1:  # not cut to it: the location of a mention may go beyond its passage
        start = blocks[0].start + offset - blocks[0].offset
        return start, start + length
    start = _position(blocks, offset)
    return start, _position(blocks, offset + length - 1) + 1 if length > 0 else start + length


def _position(blocks: list[_Block], offset: int) -> int:
    chosen = _Block(0, 0, 0)
    for block in blocks:
        if block.offset <= offset:
            chosen = block
            if offset < block.offset + block.length:
                break
    return chosen.start + offset - chosen.offset


def _read_infons(infons: Infons) -> tuple[str, list[str], Infons]:
    """RETURNS: An annotation's label, its identifiers, and its other infons."""
    info = dict(infons)
    label = info.pop("type") if isinstance(info.get("type"), str) else ""
    concepts = read_identifiers(info)
    keys = [key for key in info if key.casefold() in IDENTIFIER_KEYS]
    if concepts and keys == ["identifier"] and info["identifier"] == join_identifiers(concepts):
        del info["identifier"]
    return label, concepts, info


def read_identifiers(infons: Infons) -> list[str]:
    """RETURNS (List[str]): The identifiers that infons hold."""
    found: list[str] = []
    for key, value in infons.items():
        if key.casefold() not in IDENTIFIER_KEYS:
            continue
        if isinstance(value, str):
            own = split_identifiers(value)
        else:
            values = value if isinstance(value, list) else [value]
            own = [item for item in map(_identifier, values) if item is not None]
        known = set(found)
        found += [item for item in own if item not in known]
    return found


def _identifier(value: Any) -> str | None:
    if isinstance(value, dict):
        value = value.get("identifier")
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value if isinstance(value, str) else None


def _find_arguments(infons: Infons) -> tuple[str, str] | None:
    for pair in ARGUMENT_KEYS:
        if all(_identifier(infons.get(key)) is not None for key in pair):
            return pair
    return None


def join_identifiers(concepts: list[str]) -> Any:
    """RETURNS: The identifiers as one string; as a list if it wouldn't be split as they are."""
    text = ",".join(concepts)
    return text if split_identifiers(text) == concepts else concepts
