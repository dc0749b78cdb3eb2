"""SourceDocuments to the BioC documents of the library `bioc`. Rules: see `bioc_reader.py`."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence

from bioc import (
    BioCAnnotation,
    BioCDocument,
    BioCLocation,
    BioCNode,
    BioCPassage,
    BioCRelation,
    BioCSentence,
)

from ..documents import Passage, SourceDocument, SourceMention, SourceRelation, get_strings
from .bioc_reader import (
    ARGUMENT_KEYS,
    IDENTIFIER_KEYS,
    ROLES,
    join_identifiers,
    make_separator,
    read_identifiers,
)


def to_bioc(document: SourceDocument) -> BioCDocument:
    """Turn a SourceDocument into a BioC document.

    Annotations hang on the passage in which they start, relations on the document; sentences only
    repeat the passage's text. Reading this again gives the same document, with these limits:

    - Left out: layers, and what a passage's `info` holds beside "offset", "infons", "sentences".
    - Passages that are not the whole text but for one space or line end between them are left out:
      the text is then one passage without infons, as it is if there are none.
    - Mentions come passage by passage, otherwise in their order. Ids used twice are renamed.
    - Keys of `info` that mean something here ("type", "identifier" ...; see above) are not kept.

    document (SourceDocument): The document.
    RETURNS (BioCDocument): The same for the library `bioc`.
    """
    result = BioCDocument()
    result.id, result.infons = document.id, dict(document.info)
    offsets = _passage_offsets(document)
    if offsets is None:
        passages, offsets = [Passage("", 0, len(document.text))], [0]
    else:
        passages = document.passages
    for passage, offset in zip(passages, offsets):
        result.add_passage(_write_passage(passage, offset, document.text))
    starts = [passage.start for passage in passages]
    for mention in document.mentions:
        number = max(0, bisect_right(starts, mention.start) - 1)
        shift = offsets[number] - starts[number]
        result.passages[number].add_annotation(_write_mention(mention, shift, document.text))
    for group in _group(document.relations):
        result.add_relation(_write_relation(group))
    return result


def _passage_offsets(document: SourceDocument) -> list[int] | None:
    """RETURNS (Optional[List[int]]): Offsets of the passages; None if they aren't the text."""
    offsets: list[int] = []
    end, position = 0, 0
    for passage in document.passages:
        between = document.text[position : passage.start]
        expected = end + (1 if between == " " else 2) if offsets else 0
        offset = passage.info.get("offset", expected)
        if not isinstance(offset, int) or not position <= passage.start <= passage.end:
            return None
        if between != (make_separator(offset - end) if offsets else ""):
            return None
        offsets.append(offset)
        end, position = offset + passage.end - passage.start, passage.end
    return offsets if offsets and position == len(document.text) else None


def _write_passage(passage: Passage, offset: int, text: str) -> BioCPassage:
    result = BioCPassage.of_text(text[passage.start : passage.end], offset)
    infons = passage.info.get("infons")
    result.infons = dict(infons) if isinstance(infons, dict) else {}
    if passage.name:
        result.infons["type"] = passage.name
    sentences = passage.info.get("sentences")
    for item in sentences if isinstance(sentences, list) else ():
        # Other formats may use the key otherwise.
        if isinstance(item, dict) and all(type(item.get(key)) is int for key in ("start", "end")):
            own = text[item["start"] : item["end"]]
            sentence = BioCSentence.of_text(own, offset + item["start"] - passage.start)
            infons = item.get("infons")
            sentence.infons = dict(infons) if isinstance(infons, dict) else {}
            result.add_sentence(sentence)
    return result


def _write_mention(mention: SourceMention, shift: int, text: str) -> BioCAnnotation:
    result = BioCAnnotation()
    result.id, result.infons = mention.id, dict(mention.info)
    if mention.label or "type" not in mention.info:
        result.infons["type"] = mention.label
    if read_identifiers(mention.info) != mention.concepts:
        for key in mention.info:
            if key.casefold() in IDENTIFIER_KEYS:
                del result.infons[key]
        if mention.concepts:
            result.infons["identifier"] = join_identifiers(mention.concepts)
    parts = mention.fragments or [(mention.start, mention.end)]
    for start, end in parts:
        result.add_location(BioCLocation(start + shift, end - start))
    result.text = " ".join(text[max(0, start) : max(0, end)] for start, end in parts)
    return result


def _group(relations: list[SourceRelation]) -> Iterator[list[SourceRelation]]:
    """Bring together the relations of which `from_bioc` made several."""
    i = 0
    while i < len(relations):
        node = relations[i].info.get("node")
        size = node[1] if isinstance(node, list) and len(node) == 2 else 0
        group = relations[i : i + size] if isinstance(size, int) and size > 1 else []
        same = {_shared(relation) for relation in group}
        numbers = [relation.info.get("node") for relation in group]
        expected = [[k, size] for k in range(1, len(group) + 1)]
        if len(group) != size or numbers != expected or len(same) != 1:
            group = relations[i : i + 1]
        yield group
        i += len(group)


def _shared(relation: SourceRelation) -> tuple:
    rest = {key: value for key, value in relation.info.items() if key not in ("roles", "node")}
    return (
        relation.id, relation.head, relation.label, relation.negated, relation.concepts,
        _roles(relation)[0], repr(rest),
    )  # fmt: skip


def _roles(relation: SourceRelation) -> Sequence[str]:
    return get_strings(relation.info, "roles", 2) or ROLES


def _write_relation(group: list[SourceRelation]) -> BioCRelation:
    first = group[0]
    result = BioCRelation()
    result.id, result.infons = first.id, dict(first.info)
    if first.label or "type" not in first.info:
        result.infons["type"] = first.label
    if first.negated:
        result.infons["negated"] = "true"
    if first.concepts:
        result.infons.update(zip(ARGUMENT_KEYS[0], (first.head, first.tail)))
        return result
    if get_strings(first.info, "roles", 2):
        del result.infons["roles"]
    if len(group) > 1:
        del result.infons["node"]
    result.add_node(BioCNode(first.head, _roles(first)[0]))
    for relation in group:
        result.add_node(BioCNode(relation.tail, _roles(relation)[1]))
    return result
