"""SourceDocuments to gold Docs and back.

What a Doc has a place for lies there: mentions in `doc.spans["spanmed"]` and `doc.ents`, their
concepts in `span.kb_id_`, relations as tuples in `doc.user_data` (see `spacy_spanmed.doc`). The
rest, which only a writer needs (ids and order of the source, fragments, passages), lies in
`doc.user_data["spanmed_source"]`, keyed by offsets, so that a Doc whose entities were changed is
still written right.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import Any

from spacy.tokens import Doc

from ..doc.concepts import get_related_concepts, join_ids, split_ids
from ..doc.layers import LAYERS_KEY, META_KEY, RELATIONS, SPANS_KEY, get_layers
from ..doc.mentions import Mention
from ..doc.relations import (
    ConceptRelationTuple,
    RelationTuple,
    get_concept_relation_tuples,
    get_relation_tuples,
    has_concept_relations,
)
from ..util.problems import Problems
from .alignment import Tokenize, make_gold_doc, trim_offsets
from .documents import Passage, SourceDocument, SourceMention, SourceRelation

SOURCE_KEY = "spanmed_source"
NOT_A_DOC = "documents that can't become Docs"  # kind of problem


def try_make_doc(tokenize: Tokenize, document: SourceDocument, problems: Problems) -> Doc | None:
    """As `make_doc`, but problems are told of a document that can't become a Doc (checked ones
    should all do). RETURNS (Optional[Doc]): The Doc, or None."""
    try:
        return make_doc(tokenize, document)
    except ValueError as error:
        problems.add(NOT_A_DOC, document.place, str(error))
        return None


def make_doc(tokenize: Tokenize, document: SourceDocument) -> Doc:
    """Build the gold Doc of a document.

    tokenize (Callable[[str], Doc]): The pipeline's tokenizer.
    document (SourceDocument): Checked (see `checks.py`); white space at the ends of mentions is
        trimmed here.
    RETURNS (Doc): With `doc.user_data["spanmed_meta"]["id"]`. Its relations are between concepts
        if any of the document (or, if it has none, those of its source) are.
    RAISES (ValueError): On offsets outside the text or a relation of an unknown mention.
    """
    text = document.text
    mentions: dict[Mention, str] = {}
    by_id: dict[str, Mention] = {}
    extras: list[Any] = []
    for item in document.mentions:
        mention = (*trim_offsets(text, item.start, item.end), item.label)
        mentions[mention] = join_ids(item.concepts)
        if item.id:
            by_id[item.id] = mention
        fragments = [list(fragment) for fragment in item.fragments]
        extras.append([*mention, _filled(id=item.id, fragments=fragments, info=item.info)])
    tuples, concept_tuples = [], []
    relation_extras: list[Any] = []
    for relation in document.relations:
        key: Sequence[Any]
        if relation.concepts:
            key = (relation.head, relation.tail, relation.label)
            concept_tuples.append(ConceptRelationTuple(*key, negated=relation.negated))
        else:
            key = (*_argument(by_id, relation.head), *_argument(by_id, relation.tail))
            key = (*key, relation.label)
            tuples.append(RelationTuple(*key, negated=relation.negated))
        extra = _filled(id=relation.id, info=relation.info)
        relation_extras.append([[*key, relation.negated], extra])
    between_concepts = bool(concept_tuples)
    if not document.relations:
        between_concepts = bool(document.relates_concepts)
        if document.relates_concepts is None:  # not told, but there are identifiers to relate
            between_concepts = any(mentions.values())
    related = RELATIONS in document.layers
    doc = make_gold_doc(
        tokenize,
        text,
        mentions,
        tuples,
        layers=document.layers,
        meta={"id": document.id},
        kb_ids=mentions,
        concept_relations=concept_tuples if related and between_concepts else None,
    )
    doc.user_data[SOURCE_KEY] = _filled(
        mentions=extras,
        relations=relation_extras,
        passages=[[p.name, p.start, p.end, p.info] for p in document.passages],
        info=document.info,
    )
    return doc


def _filled(**entries: Any) -> dict[str, Any]:
    """RETURNS (Dict[str, Any]): The entries that aren't empty."""
    return {key: value for key, value in entries.items() if value}


def _argument(by_id: dict[str, Mention], name: str) -> Mention:
    if name not in by_id:
        raise ValueError(f"A relation refers to the mention {name!r}, which the document lacks.")
    return by_id[name]


def make_source_document(doc: Doc) -> SourceDocument:
    """What a Doc says, for a writer: of a gold Doc all that the source said; of a predicted one
    its entities and relations, the concepts of which get their ids into their mentions.

    doc (Doc): Gold (with stored layers) or predicted. Of a predicted one the mentions are
        `doc.ents`, so that nested candidates aren't exported.
    RETURNS (SourceDocument): Mentions that have no id get one ("T1") if a relation needs it.
    """
    source = _to_lists(doc.user_data.get(SOURCE_KEY, {}))
    layers = get_layers(doc)
    document = SourceDocument(
        id=str(doc.user_data.get(META_KEY, {}).get("id", "")),
        text=doc.text,
        layers=sorted(layers),
        relates_concepts=has_concept_relations(doc) if RELATIONS in layers else None,
        passages=[Passage(*item) for item in source.get("passages", ())],
        info=dict(source.get("info", {})),
    )
    is_gold = LAYERS_KEY in doc.user_data
    found = _collect_mentions(doc, is_gold)
    known: dict[Mention, dict[str, Any]] = {}
    for *mention, extra in source.get("mentions", ()):
        if tuple(mention) in found:
            known.setdefault(tuple(mention), extra)
    for mention in (*known, *sorted(found.keys() - known.keys())):
        extra = known.get(mention, {})
        document.mentions.append(
            SourceMention(
                *mention,
                concepts=found[mention],
                fragments=[tuple(f) for f in extra.get("fragments", ())],
                id=extra.get("id", ""),
                info=dict(extra.get("info", {})),
            )
        )
    _add_relations(doc, document, source, is_gold)
    return document


def _to_lists(value: Any) -> Any:
    """What a source said were lists; DocBin and bytes give tuples."""
    if isinstance(value, dict):
        return {key: _to_lists(item) for key, item in value.items()}
    return [_to_lists(item) for item in value] if isinstance(value, (tuple, list)) else value


def _collect_mentions(doc: Doc, is_gold: bool) -> dict[Mention, list[str]]:
    """RETURNS (Dict[Mention, List[str]]): The mentions to write, with the ids of their concepts."""
    found: dict[Mention, list[str]] = {}
    nested = doc.spans[SPANS_KEY] if is_gold and SPANS_KEY in doc.spans else ()
    for span in (*doc.ents, *nested):
        mention = (span.start_char, span.end_char, span.label_)
        found[mention] = found.get(mention) or split_ids(span.kb_id_)
    tuples = get_concept_relation_tuples(doc)
    if tuples:  # some may be between concepts by their strings: say which mention is whose
        related = get_related_concepts(doc)
        for name in sorted(related):
            for mention in related[name].mentions:
                if mention in found and name not in found[mention]:
                    found[mention].append(name)
    for item in get_relation_tuples(doc) if is_gold or not tuples else ():
        for mention in (item[:3], item[3:6]):
            found.setdefault(mention, [])
    return found


def _add_relations(
    doc: Doc, document: SourceDocument, source: dict[str, Any], is_gold: bool
) -> None:
    # The same relation may come twice, in two events
    extras: dict[tuple[Any, ...], list[tuple[int, Any]]] = {}
    for i, (key, extra) in enumerate(source.get("relations", ())):
        extras.setdefault(tuple(key), []).append((i, extra))
    last = len(source.get("relations", ()))
    concept_tuples = get_concept_relation_tuples(doc)
    made: list[tuple[tuple[Any, ...], SourceRelation]] = [
        ((*item[:3], item.negated), SourceRelation(*item[:3], concepts=True, negated=item.negated))
        for item in concept_tuples
    ]
    # A predicted Doc holds each concept relation also between its best pair of mentions.
    mention_tuples = get_relation_tuples(doc) if not concept_tuples or is_gold else []
    ids = _name_mentions(document) if mention_tuples else {}
    for item in mention_tuples:
        ends = ids[item[:3]], ids[item[3:6]]
        relation = SourceRelation(*ends, item.label, negated=item.negated)
        made.append(((*item[:7], item.negated), relation))
    ordered: list[tuple[int, SourceRelation]] = []
    for key, relation in made:
        order, extra = extras[key].pop(0) if extras.get(key) else (last, {})
        relation.id, relation.info = extra.get("id", ""), dict(extra.get("info", {}))
        ordered.append((order, relation))
    document.relations = [relation for _, relation in sorted(ordered, key=lambda pair: pair[0])]


def _name_mentions(document: SourceDocument) -> dict[Mention, str]:
    """Give every mention an id. RETURNS (Dict[Mention, str]): The id of each."""
    taken = {item.id for item in document.mentions}
    free = (name for name in map("T{}".format, count(1)) if name not in taken)
    for item in document.mentions:
        item.id = item.id or next(free)
    return {(m.start, m.end, m.label): m.id for m in document.mentions}
