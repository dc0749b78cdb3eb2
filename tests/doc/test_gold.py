import pytest
import spacy

from spacy_spanmed.doc.gold import collect_labels, get_gold_relations, get_pair_types
from spacy_spanmed.doc.layers import SPANS_KEY
from spacy_spanmed.doc.relations import Relation


@pytest.fixture
def reference():
    """Gold Doc whose relation is between slices, which have no label."""
    doc = spacy.blank("en")("Cisplatin inhibits p53 in cells .")
    doc.set_ents([doc.char_span(0, 9, label="CHEM"), doc.char_span(19, 22, label="GENE")])
    doc._.relations = [
        Relation(doc[0:1], doc[2:3], "INHIBITS", 1.0, False),
        Relation(doc[2:3], doc[4:5], "IN", 1.0, False),
    ]
    return doc


def test_arguments_without_a_label_have_that_of_their_mention(reference):
    assert get_pair_types(reference) == {("CHEM", "GENE"), ("GENE", "")}
    labels = collect_labels([reference])
    assert labels["labels"] == ["IN", "INHIBITS"]
    assert labels["entity_labels"] == ["CHEM", "GENE"]


def test_nested_mentions_name_arguments_too(reference):
    reference.spans[SPANS_KEY] = [
        *reference.ents,
        reference.char_span(26, 31, label="CELL"),
    ]
    assert get_pair_types(reference) == {("CHEM", "GENE"), ("GENE", "CELL")}


def test_of_mentions_with_the_same_offsets_the_first_names_the_argument(reference):
    reference.spans[SPANS_KEY] = [*reference.ents, reference.char_span(0, 9, label="DRUG")]
    assert get_pair_types(reference) == {("CHEM", "GENE"), ("GENE", "")}


def test_relations_of_arguments_without_a_label_are_between_their_concepts(reference):
    found = get_gold_relations(reference, concepts=True, directed=True)
    assert (("text:CHEM:cisplatin", "text:GENE:p53"), "INHIBITS", False) in found
    assert len(found) == 2


@pytest.mark.parametrize("directed, count", [(True, 2), (False, 4)])
def test_relations_between_mentions_are_by_offsets(reference, directed, count):
    found = get_gold_relations(reference, concepts=False, directed=directed)
    assert ((0, 9), (19, 22)) in [pair for pair, _, _ in found]
    assert len(found) == count
