"""What gold Docs teach and what predictions are held against: mentions, concepts, relations."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from spacy.tokens import Doc

from .concepts import Concept, get_concepts, make_text_ids
from .layers import RELATIONS, get_layers
from .mentions import Mention, get_mentions
from .relations import (
    RelationTuple,
    get_concept_relation_tuples,
    get_relation_tuples,
    has_concept_relations,
)

Arguments = tuple[Any, Any]  # offsets of two mentions, or ids of two concepts


def order_arguments(head: Any, tail: Any) -> tuple[Any, Any]:
    """RETURNS (Tuple): Both in the one order that undirected relations between concepts have."""
    return (head, tail) if head <= tail else (tail, head)


def get_gold_mentions(reference: Doc) -> list[Mention]:
    """RETURNS (List[Mention]): All annotated mentions, arguments of relations included."""
    mentions: set[Mention] = set(get_mentions(reference))
    offsets = {mention[:2] for mention in mentions}
    for item in get_relation_tuples(reference):
        for mention in (item[:3], item[3:6]):
            if mention[:2] not in offsets:
                offsets.add(mention[:2])
                mentions.add(mention)
    return sorted(mentions)


def get_gold_concepts(reference: Doc) -> dict[Mention, list[str]]:
    """RETURNS (Dict[Mention, List[str]]): For each annotated mention the ids of its concepts. If
    the Doc relates mentions, each has one, by its string if it has no identifier."""
    ids = invert_concepts(get_concepts(reference))
    if has_concept_relations(reference):
        return ids
    missing = [mention for mention in get_gold_mentions(reference) if mention not in ids]
    return {**ids, **{m: [name] for m, name in make_text_ids(reference, missing).items()}}


def invert_concepts(concepts: Mapping[str, Concept]) -> dict[Mention, list[str]]:
    """RETURNS (Dict[Mention, List[str]]): For each mention of some concepts their ids."""
    ids: dict[Mention, list[str]] = {}
    for name, concept in concepts.items():
        for mention in concept.mentions:
            ids.setdefault(mention, []).append(name)
    return ids


def get_labelled_tuples(reference: Doc) -> Iterator[RelationTuple]:
    """The relations between mentions of a gold Doc. Arguments without a label, as slices of a Doc are
    (`Relation(doc[0:1], doc[3:4], "BINDS")`), get that of the mention with their offsets.

    reference (Doc): The gold Doc.
    YIELDS (RelationTuple): In the order in which they were set.
    """
    # Of several with the same offsets the first, as candidates are
    labels = {mention[:2]: mention[2] for mention in reversed(get_gold_mentions(reference))}
    for item in get_relation_tuples(reference):
        yield item._replace(
            head_label=item.head_label or labels[item[:2]],
            tail_label=item.tail_label or labels[item[3:5]],
        )


def get_gold_relations(
    reference: Doc, concepts: bool, directed: bool
) -> list[tuple[Arguments, str, bool]]:
    """The relations of a gold Doc, with the arguments that candidates have.

    reference (Doc): The gold Doc.
    concepts (bool): Whether the arguments are concepts; a relation between mentions is then one
        between their concepts.
    directed (bool): Whether head and tail must not be exchanged.
    RETURNS (List[Tuple[Arguments, str, bool]]): Arguments, label, negated.
    RAISES (ValueError): If relations between mentions are asked for and the Doc relates concepts.
    """
    if not concepts and has_concept_relations(reference):
        raise ValueError(
            "The training data relates the concepts of documents. Set concepts = true in the "
            "config of the relation pipe ([components.relation_extractor]); in the workflow "
            "'custom', --vars.concepts true."
        )
    found: list[tuple[Arguments, str, bool]] = []
    if not concepts:
        for item in get_relation_tuples(reference):
            found.append(((item[:2], item[3:5]), item.label, item.negated))
            if not directed:  # candidates are ordered by label, which the gold ones needn't be
                found.append(((item[3:5], item[:2]), item.label, item.negated))
        return found
    if has_concept_relations(reference):
        for relation in get_concept_relation_tuples(reference):
            found.append(((relation.head_id, relation.tail_id), relation.label, relation.negated))
    else:
        ids = get_gold_concepts(reference)
        for item in get_labelled_tuples(reference):
            for head in ids.get(item[:3], ()):
                for tail in ids.get(item[3:6], ()):
                    found.append(((head, tail), item.label, item.negated))
    if not directed:
        found = [(order_arguments(*pair), label, negated) for pair, label, negated in found]
    return found


def get_pair_types(reference: Doc) -> set[tuple[str, str]]:
    """RETURNS (Set[Tuple[str, str]]): The entity labels (head, tail) of what is related in a gold
    Doc; of a concept the labels of all its mentions."""
    pairs = {(item.head_label, item.tail_label) for item in get_labelled_tuples(reference)}
    tuples = get_concept_relation_tuples(reference)
    if tuples:
        concepts = get_concepts(reference)
        labels = {name: {m[2] for m in item.mentions} for name, item in concepts.items()}
        for relation in tuples:
            for head in labels.get(relation.head_id, ()):
                pairs |= {(head, tail) for tail in labels.get(relation.tail_id, ())}
    return pairs


def collect_labels(references: Iterable[Doc]) -> dict[str, list[Any]]:
    """RETURNS (Dict[str, List]): What `RelationExtractor.initialize` takes as `labels`."""
    relations: set[str] = set()
    entities: set[str] = set()
    pair_types: set[tuple[str, str]] = set()
    for reference in references:
        entities.update(label for _, _, label in get_gold_mentions(reference))
        if RELATIONS in get_layers(reference):
            relations.update(item.label for item in get_relation_tuples(reference))
            relations.update(item.label for item in get_concept_relation_tuples(reference))
            pair_types |= get_pair_types(reference)
    return {
        "labels": sorted(relations),
        "entity_labels": sorted(entities - {""}),
        "pair_types": [list(pair) for pair in sorted(pair_types)],
    }
