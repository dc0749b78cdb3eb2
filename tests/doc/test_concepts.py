"""Concepts, by identifier and by string."""

import pytest
import spacy
from hypothesis import example, given
from hypothesis import strategies as st
from spacy.tokens import DocBin, Span

from spacy_spanmed.corpora.alignment import make_gold_doc
from spacy_spanmed.corpora.docs import make_source_document
from spacy_spanmed.doc.concepts import get_concepts, join_ids, normalize, split_ids
from spacy_spanmed.doc.layers import SPANS_KEY, get_layers, set_layers
from spacy_spanmed.doc.relations import (
    get_concept_relation_tuples,
    has_concept_relations,
    set_concept_relation_tuples,
)
from spacy_spanmed.pipeline.relation_extractor.candidates import get_entities

NLP = spacy.blank("en")
TEXT = "Iodide transport defect (ITD) and goitres; ITD or a goitre."
LAYERS = ["entities", "relations"]


def offsets(text, label, start=0):
    at = TEXT.index(text, start)
    return (at, at + len(text), label)


DEFECT, ITD, ITD2 = (
    offsets("Iodide transport defect", "D"),
    offsets("ITD", "D"),
    offsets("ITD", "D", 40),
)
GOITRES, GOITRE = offsets("goitres", "D"), offsets("goitre", "D", 50)
MENTIONS = [DEFECT, ITD, GOITRES, ITD2, GOITRE]


@given(st.lists(st.text(min_size=1)))
@example(["NIL", "D1"])
def test_ids_survive_joining(ids):
    joined = join_ids(ids)
    assert split_ids(joined) == ids
    assert " " not in joined and joined.isascii()


def test_readable_ids_stay_readable():
    assert join_ids(["c|DEL||32", "MESH:D001"]) == "c|DEL||32,MESH:D001"


def test_mentions_with_an_id_in_common_are_one_concept():
    ids = {DEFECT: "D1", ITD: "D1", GOITRES: "D2,D3", ITD2: "D1"}
    doc = make_gold_doc(NLP.tokenizer, TEXT, MENTIONS, layers=LAYERS, kb_ids=ids)
    concepts = get_concepts(doc)
    assert list(concepts) == ["D1", "D2", "D3"]  # GOITRE has no id, so no concept
    assert concepts["D1"].mentions == [DEFECT, ITD, ITD2]
    assert concepts["D2"].mentions == concepts["D3"].mentions == [GOITRES]
    assert [span.text for span in concepts["D1"].spans(doc)][1] == "ITD"


def test_without_ids_strings_and_abbreviations_decide():
    doc = make_gold_doc(NLP.tokenizer, TEXT, MENTIONS, layers=LAYERS)
    assert len(get_concepts(doc)) == 3
    short, long = (doc.char_span(*mention[:2]) for mention in (ITD, DEFECT))
    assert (short.text, long.text) == ("ITD", "Iodide transport defect")
    offsets = (short.start, short.end, long.start, long.end)
    forms = [dict(zip(("short_start", "short_end", "long_start", "long_end"), offsets))]
    doc.user_data[("._.", "abbreviations", None, None)] = forms  # `doc._.abbreviations`
    assert [item.mentions for item in get_concepts(doc).values()] == [
        [DEFECT, ITD, ITD2],
        [GOITRES, GOITRE],
    ]


@pytest.mark.parametrize(
    "one, other",
    [("Renal-cell", "renal cell"), ("goitres", "Goitre"), ("\u03b2  cells", "\u03b2 cell")],
)
def test_normalized_alike(one, other):
    assert normalize(one) == normalize(other)


@pytest.mark.parametrize("text", ["sepsis", "virus", "AIDS", "gas", "''", "s"])
def test_never_empty_and_never_another_word(text):
    assert normalize(text) and normalize(normalize(text)) == normalize(text)


@pytest.mark.parametrize("linked, first", [("NIL", "text:C:aspirin"), ("C1", "C1")])
@pytest.mark.parametrize("left_open", ["NIL", ""])
def test_what_an_entity_linker_left_open_is_a_concept_by_its_string(linked, first, left_open):
    doc = NLP("Aspirin eases pain")
    doc.set_ents([Span(doc, 0, 1, "C", kb_id=linked), Span(doc, 2, 3, "D", kb_id=left_open)])
    assert list(get_concepts(doc)) == [first, "text:D:pain"]
    candidates = get_entities(doc, concepts=True)
    assert candidates == {(0, 7, "C"): [first], (14, 18, "D"): ["text:D:pain"]}


def test_separators_in_strings_are_encoded():
    doc = NLP("1,25|D3 helps")
    doc.set_ents([doc.char_span(0, 7, label="C", alignment_mode="expand")])
    (name,) = get_concepts(doc)
    assert "," not in name and "|" not in name


def test_relations_of_concepts_survive_storage():
    ids = {DEFECT: "D1", ITD: "D1", GOITRES: "D2"}
    doc = make_gold_doc(
        NLP.tokenizer, TEXT, MENTIONS, layers=LAYERS, kb_ids=ids,
        concept_relations=[("D1", "D2", "CAUSES")],
    )  # fmt: skip
    stored = DocBin(
        attrs=["ORTH", "SPACY", "ENT_IOB", "ENT_TYPE", "ENT_KB_ID"],
        store_user_data=True,
        docs=[doc],
    ).to_bytes()
    (copy,) = DocBin().from_bytes(stored).get_docs(spacy.blank("en").vocab)
    for each in (doc, copy, doc.copy()):
        assert has_concept_relations(each) and get_layers(each) == set(LAYERS)
        (relation,) = each._.concept_relations
        assert (relation.head.id, relation.tail.id, relation.label) == ("D1", "D2", "CAUSES")
        assert relation.head.mentions == [DEFECT, ITD]
        assert [span.kb_id_ for span in each.spans[SPANS_KEY]] == ["D1", "D1", "D2", "", ""]


@pytest.mark.parametrize(
    "bad", [("a", "b"), ("a", "", "X"), ("a", 1, "X"), ("a", "b", "X", "1"), 3]
)
def test_malformed_relations_are_refused(bad):
    doc = NLP("a b")
    with pytest.raises(ValueError, match="[Rr]elation"):
        set_concept_relation_tuples(doc, [bad])
    assert not has_concept_relations(doc) and get_concept_relation_tuples(doc) == []


def test_relations_of_what_was_left_open_survive_layers_and_export():
    doc = NLP("Aspirin eases pain")
    doc.set_ents([Span(doc, 0, 1, "C", kb_id="C1"), Span(doc, 2, 3, "D", kb_id="NIL")])
    set_concept_relation_tuples(doc, [("C1", "text:D:pain", "EASES", 0.9)])
    assert len(doc._.concept_relations) == 1
    document = make_source_document(doc)
    set_layers(doc, LAYERS)  # as one that is read again has them
    assert [item.tail.id for item in doc._.concept_relations] == ["text:D:pain"]
    assert [mention.concepts for mention in document.mentions] == [["C1"], ["text:D:pain"]]
