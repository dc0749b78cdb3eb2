"""What every source must satisfy before it becomes Docs, whatever its format.

Offsets are compared with the text, relations with the mentions; duplicates are merged; and all is
counted, so that nothing is dropped in silence: of mentions, relations and documents, those in the
source are those kept, merged and left out. Stages before the checks (`label_map.py`, layers) that
leave something out count it the same way, with `count_left_out`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from srsly.msgpack import packb

from ..doc.concepts import NO_ID
from ..util.problems import Problems
from .alignment import explain_mismatch, same_string, trim_offsets
from .documents import SourceDocument, SourceMention, SourceRelation

DOCUMENTS, MENTIONS, RELATIONS = "documents", "mentions", "relations"
IN_SOURCE, KEPT, MERGED = "in the source", "kept", "merged into an equal one"
UNUSABLE = "left out as unusable"
# Lists of remarks in a mention's `info` (see `brat_reader.py`), which equal mentions bring together
_JOINED = ("attributes", "events", "normalizations", "notes")

_Fault = tuple[str, str]  # the kind of a problem, and what is wrong and what to do about it


def count_left_out(facts: Counter, what: str, why: str, number: int = 1) -> None:
    """Count annotation that a stage before the checks leaves out.

    facts (Counter): To change.
    what (str): "documents", "mentions" or "relations".
    why (str): Begins with "left out".
    number (int): How many. Defaults to 1.
    """
    if number:
        facts[f"{what} {IN_SOURCE}"] += number
        facts[f"{what} {why}"] += number


def count_document(facts: Counter, document: SourceDocument, fate: str, sign: int = 1) -> None:
    """Count a document, all its mentions and all its relations as of one fate.

    facts (Counter): To change.
    document (SourceDocument): The document.
    fate (str): What became of them: IN_SOURCE, KEPT ...
    sign (int): -1 takes them back. Defaults to 1.
    """
    facts[f"{DOCUMENTS} {fate}"] += sign
    facts[f"{MENTIONS} {fate}"] += sign * len(document.mentions)
    facts[f"{RELATIONS} {fate}"] += sign * len(document.relations)


def check_documents(
    documents: Iterable[SourceDocument], problems: Problems, facts: Counter
) -> Iterator[SourceDocument]:
    """Check documents and merge duplicates in them.

    documents (Iterable[SourceDocument]): As a reader gives them. Of their ids only hashes are
        remembered.
    problems (Problems): Told what can't be used: offsets outside the text; empty mentions;
        another string than the source gives; an empty label; relations of unknown or ambiguous
        mentions or of unknown concepts; an id that an earlier document has; strings or numbers
        that can't be stored. What it lets pass is left out.
    facts (Counter): Counts what is in the documents and what became of it.
    YIELDS (SourceDocument): Documents with offsets that hold.
    RAISES (CorpusError): At the first problem, unless problems are skipped.
    """
    seen: set[int] = set()
    for document in documents:
        count_document(facts, document, IN_SOURCE)
        fault = _find_document_fault(document, seen)
        if fault is not None:
            problems.add(fault[0], document.place, fault[1])
            count_document(facts, document, UNUSABLE)
            continue
        facts[f"{DOCUMENTS} {KEPT}"] += 1
        mentions, names = _check_mentions(document, problems, facts)
        relations = _check_relations(document, mentions, names, problems, facts)
        _count(document, mentions, relations, facts)
        yield replace(document, mentions=mentions, relations=relations)


def _find_document_fault(document: SourceDocument, seen: set[int]) -> _Fault | None:
    try:
        _check_storable(document)
    except (UnicodeError, OverflowError, ValueError, TypeError) as error:
        return (
            "text or values that can't be stored",
            f"Document {document.id!r} can't be stored ({error}). Remove lone surrogates (such as "
            "\\ud800), numbers of more than 64 bits and very deep nesting.",
        )
    key = hash(document.id)
    if document.id and key in seen:
        return (
            "document id used before",
            f"Document {document.id!r} comes a second time. Remove one of the two, or give them "
            "different ids.",
        )
    seen.add(key)
    return None


def _check_storable(document: SourceDocument) -> None:
    """Try the encoding that `.spacy` files have. RAISES (ValueError and others): If it fails."""
    values: list[object] = [document.id, document.text, document.info]
    values += [(m.id, m.label, m.concepts, m.info) for m in document.mentions]
    values += [(r.id, r.head, r.tail, r.label, r.info) for r in document.relations]
    values += [(p.name, p.start, p.end, p.info) for p in document.passages]
    packb(values, use_bin_type=True)


def _check_mentions(
    document: SourceDocument, problems: Problems, facts: Counter
) -> tuple[list[SourceMention], dict[str, str | None]]:
    """RETURNS (Tuple[List[SourceMention], Dict[str, Optional[str]]]): The mentions to keep; and
    for each id that the source uses that of the mention now meant, None if that isn't clear."""
    kept: dict[tuple[int, int, str], SourceMention] = {}
    names: dict[str, str | None] = {}
    for source in document.mentions:
        fault = _find_mention_fault(source, document.text)
        if fault is not None:
            problems.add(fault[0], source.place or document.place, fault[1])
            facts[f"{MENTIONS} {UNUSABLE}"] += 1
            continue
        start, end = trim_offsets(document.text, source.start, source.end)
        facts["mentions trimmed of white space"] += (start, end) != (source.start, source.end)
        mention = replace(
            source,
            start=start,
            end=end,
            fragments=[(max(a, start), min(b, end)) for a, b in source.fragments],
            concepts=[name for name in source.concepts if name and name != NO_ID],
        )
        key = (mention.start, mention.end, mention.label)
        first = kept.get(key)
        if first is None:
            if mention.id in names:  # harmless unless a relation refers to it
                facts["mention ids used twice"] += 1
                names[mention.id] = None
                mention = replace(mention, id="")
            elif mention.id:
                names[mention.id] = mention.id
            kept[key] = mention
            facts[f"{MENTIONS} {KEPT}"] += 1
            continue
        facts[f"{MENTIONS} {MERGED}"] += 1
        facts["merged mentions with other fragments"] += first.fragments != mention.fragments
        new = [name for name in mention.concepts if name not in first.concepts]
        name = first.id or (mention.id if mention.id not in names else "")
        info, whole = _join_info(first.info, mention.info)
        facts["merged mentions with other info"] += not whole
        kept[key] = replace(first, concepts=[*first.concepts, *new], id=name, info=info)
        if mention.id:
            clash = names.get(mention.id, name) != name
            names[mention.id] = None if clash else name
    return list(kept.values()), names


def _join_info(first: dict[str, Any], second: dict[str, Any]) -> tuple[dict[str, Any], bool]:
    """RETURNS (Tuple[Dict[str, Any], bool]): What two equal mentions say, and whether all of the
    second is in it."""
    joined, whole = dict(first), True
    for key, value in second.items():
        if joined.get(key) == value:
            continue
        old = joined.get(key, [])
        if key in _JOINED and isinstance(value, list) and isinstance(old, list):
            joined[key] = old + [item for item in value if item not in old]
        else:
            whole = False
    return joined, whole


def _find_mention_fault(mention: SourceMention, text: str) -> _Fault | None:
    start, end = mention.start, mention.end
    name = f"Mention {mention.id or mention.text or ''!r} at characters {start} to {end}"
    parts = mention.fragments or [(start, end)]
    if not all(0 <= a <= b <= len(text) for a, b in (*parts, (start, end))):
        return (
            "offsets outside the text",
            f"{name} lies outside the text of {len(text)} characters. Do the offsets count "
            "characters (not bytes) of this very text?",
        )
    if any(not text[a:b].strip() for a, b in parts):
        message = "holds nothing but white space. Remove it, or correct its offsets."
        return "empty mentions", f"{name} {message}"
    first, last = min(parts)[0], max(b for _, b in parts)
    if (first, last) != (start, end):
        message = f"has fragments from {first} to {last}. They must begin and end where it does."
        return "fragments that don't fit", f"{name} {message}"
    if not mention.label:
        return "mentions without label", f"{name} has no label. Give it one."
    found = " ".join(text[a:b] for a, b in parts)
    if mention.text is not None and not same_string(found, mention.text):
        message = explain_mismatch(text, parts, mention.text)
        return "another string than the source gives", f"{name}: {message}"
    return None


def _check_relations(
    document: SourceDocument,
    mentions: list[SourceMention],
    names: dict[str, str | None],
    problems: Problems,
    facts: Counter,
) -> list[SourceRelation]:
    concepts = {name for mention in mentions for name in mention.concepts}
    kept: dict[tuple[object, ...], SourceRelation] = {}
    for r in document.relations:
        fault = _find_relation_fault(r, document.id, concepts, names)
        if fault is not None:
            problems.add(fault[0], r.place or document.place, fault[1])
            facts[f"{RELATIONS} {UNUSABLE}"] += 1
            continue
        if not r.concepts:
            r = replace(r, head=names[r.head] or "", tail=names[r.tail] or "")
        # One that is denied and one that is stated are not the same, nor are parts of two events
        # (brat's "event") or of two relations of more than two mentions (BioC's "node").
        whole = [repr(r.info.get("event"))]
        if "node" in r.info:
            whole += [r.id, repr(r.info["node"])]
        key = (r.concepts, r.head, r.tail, r.label, r.negated, *whole)
        if key in kept:
            facts[f"{RELATIONS} {MERGED}"] += 1
            continue
        kept[key] = r
        facts[f"{RELATIONS} {KEPT}"] += 1
    return list(kept.values())


def _find_relation_fault(
    relation: SourceRelation, document: str, concepts: set[str], names: dict[str, str | None]
) -> _Fault | None:
    name = f"Relation {relation.label!r} of {relation.head!r} and {relation.tail!r}"
    if not relation.label:
        return "relations without label", f"{name} has no label. Give it one."
    for end in (relation.head, relation.tail):
        if relation.concepts and not (end in concepts or _is_composite(end, concepts)):
            return (
                "relations of unknown concepts",
                f"{name}: no mention of document {document!r} that is kept has the identifier "
                f"{end!r}. Remove the relation, or give a mention that identifier.",
            )
        if not relation.concepts and names.get(end) is None:
            problem, remedy = "has no mention that is kept with", "Add the mention, or remove"
            if end in names:
                problem, remedy = "has several mentions with", "Rename them, or remove"
            return (
                "relations of unknown or ambiguous mentions",
                f"{name}: document {document!r} {problem} the id {end!r}. {remedy} the relation.",
            )
    return None


def _is_composite(argument: str, concepts: set[str]) -> bool:
    """RETURNS (bool): Whether a relation's argument joins several known concepts, as in BioRED's
    "D017180|D014693". It stays as it is: such a relation isn't learned, and counts as missed."""
    parts = split_composite(argument)
    return len(parts) > 1 and concepts.issuperset(parts)


def split_composite(argument: str) -> list[str]:
    """RETURNS (List[str]): The identifiers that a relation's argument may join."""
    return re.split(r"[|,;]", argument)


def _count(
    document: SourceDocument,
    mentions: list[SourceMention],
    relations: list[SourceRelation],
    facts: Counter,
) -> None:
    known = {name for mention in mentions for name in mention.concepts}
    facts["documents without text"] += not document.text
    facts["discontinuous mentions"] += sum(bool(m.fragments) for m in mentions)
    facts["composite mentions (several concepts)"] += sum(len(m.concepts) > 1 for m in mentions)
    facts["mentions without identifier"] += sum(not m.concepts for m in mentions)
    facts["mentions that overlap another"] += _count_overlapping(mentions)
    facts["relations with a composite argument"] += sum(
        any(end not in known and _is_composite(end, known) for end in (r.head, r.tail))
        for r in relations
        if r.concepts
    )
    if any(r.concepts for r in relations):
        facts["relations between mentions beside relations between concepts (not learned)"] += sum(
            not r.concepts for r in relations
        )
    facts["relations of something with itself"] += sum(r.head == r.tail for r in relations)


def _count_overlapping(mentions: list[SourceMention]) -> int:
    ordered = sorted((mention.start, mention.end) for mention in mentions)
    overlapping, furthest = set(), -1  # the furthest-reaching mention so far
    for i, (start, _) in enumerate(ordered):
        if furthest >= 0 and start < ordered[furthest][1]:
            overlapping |= {i, furthest}
        if furthest < 0 or ordered[i][1] > ordered[furthest][1]:
            furthest = i
    return len(overlapping)
