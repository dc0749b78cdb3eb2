"""SourceDocuments through Docs and back."""

import spacy
from hypothesis import given, settings
from hypothesis import strategies as st
from spacy.tokens import DocBin

from spacy_spanmed.corpora.docs import make_doc, make_source_document
from spacy_spanmed.corpora.documents import Passage, SourceDocument, SourceMention, SourceRelation
from spacy_spanmed.doc.layers import SPANS_KEY
from spacy_spanmed.doc.relations import (
    has_concept_relations,
    set_concept_relation_tuples,
    set_relation_tuples,
)
from spacy_spanmed.pipeline.tokenizer import create_tokenizer

NLP = spacy.blank("en")
TOKENIZE = create_tokenizer(NLP)
INFO = st.dictionaries(st.text(max_size=3), st.one_of(st.integers(0, 9), st.text(max_size=3)))


@st.composite
def documents(draw):
    text = draw(st.text(st.sampled_from("ab-(1) \u00e9\U0001f9ec\n"), min_size=1, max_size=40))
    spans = draw(
        st.lists(
            st.tuples(st.integers(0, len(text)), st.integers(0, len(text)), st.sampled_from("XY")),
            unique=True,
            max_size=6,
        )
    )
    spans = [s for s in spans if s[0] < s[1] and text[s[0] : s[1]] == text[s[0] : s[1]].strip()]
    mentions = [
        SourceMention(
            *span,
            concepts=draw(st.lists(st.sampled_from(["D1", "c|DEL||3", "a,b %"]), unique=True)),
            fragments=draw(st.sampled_from([[], [(span[0], span[0] + 1), (span[1] - 1, span[1])]])),
            id=f"T{i}",
            info=draw(INFO),
        )
        for i, span in enumerate(spans)
    ]
    relations = []
    if mentions:
        ids = st.sampled_from([mention.id for mention in mentions])
        for i, pair in enumerate(draw(st.lists(st.tuples(ids, ids), unique=True, max_size=3))):
            info = draw(INFO)
            relations.append(
                SourceRelation(*pair, "R", negated=draw(st.booleans()), id=f"R{i}", info=info)
            )
        names = st.sampled_from(["D1", "D2"])
        for pair in draw(st.lists(st.tuples(names, names), unique=True, max_size=3)):
            relations.append(SourceRelation(*pair, "CID", concepts=True, info=draw(INFO)))
    relations = draw(st.permutations(relations))
    passages = [Passage("title", 0, len(text), draw(INFO))]
    return SourceDocument("1", text, mentions, relations, passages=passages, info=draw(INFO))


@settings(max_examples=150, deadline=None)
@given(documents())
def test_nothing_is_lost(document):
    doc = make_doc(TOKENIZE, document)
    assert make_source_document(doc) == document
    stored = DocBin(
        attrs=["ORTH", "SPACY", "ENT_IOB", "ENT_TYPE", "ENT_KB_ID"],
        store_user_data=True,
        docs=[doc],
    ).to_bytes()
    (copy,) = DocBin().from_bytes(stored).get_docs(spacy.blank("en").vocab)
    assert make_source_document(copy) == document


TEXT = "Aspirin eases pain. Aspirin may harm."


def test_predicted_relations_between_mentions():
    doc = NLP(TEXT)
    doc.set_ents([doc.char_span(0, 7, label="C"), doc.char_span(14, 18, label="D")])
    doc.spans[SPANS_KEY] = [*doc.ents, doc.char_span(8, 18, label="D")]  # a nested candidate
    set_relation_tuples(doc, [(0, 7, "C", 14, 18, "D", "TREATS", 0.8)])
    found = make_source_document(doc)
    assert [(m.start, m.end, m.label, m.id) for m in found.mentions] == [
        (0, 7, "C", "T1"),
        (14, 18, "D", "T2"),
    ]
    assert found.relations == [SourceRelation("T1", "T2", "TREATS")]


def test_predicted_relations_between_concepts():
    doc = NLP(TEXT)
    doc.set_ents([doc.char_span(*span) for span in ((0, 7, "C"), (14, 18, "D"), (20, 27, "C"))])
    set_relation_tuples(doc, [(0, 7, "C", 14, 18, "D", "TREATS", 0.8)])
    set_concept_relation_tuples(doc, [("text:C:aspirin", "text:D:pain", "TREATS", 0.8)])
    found = make_source_document(doc)
    assert [m.concepts for m in found.mentions] == [
        ["text:C:aspirin"],
        ["text:D:pain"],
        ["text:C:aspirin"],
    ]
    assert found.relations == [
        SourceRelation("text:C:aspirin", "text:D:pain", "TREATS", concepts=True)
    ]


def test_changed_entities_are_what_is_written():
    document = SourceDocument("1", TEXT, [SourceMention(0, 7, "C", ["C1"], info={"a": 1})])
    doc = make_doc(TOKENIZE, document)
    doc.set_ents([doc.char_span(14, 18, label="D")])
    doc.spans[SPANS_KEY] = list(doc.ents)
    assert [(m.start, m.label) for m in make_source_document(doc).mentions] == [(14, "D")]


def test_the_documents_own_relations_tell_what_they_connect():
    mentions = [SourceMention(0, 1, "X", ["D1"], id="T1"), SourceMention(2, 3, "X", id="T2")]
    between_mentions = SourceRelation("T1", "T2", "R")
    between_concepts = SourceRelation("D1", "D1", "R", concepts=True)
    for relations, of_source, expected in (
        ([between_mentions], True, False),
        ([between_concepts], False, True),
        ([between_mentions, between_concepts], None, True),
        ([], True, True),
        ([], False, False),
        ([], None, True),
    ):
        document = SourceDocument("1", "a b", mentions, relations, relates_concepts=of_source)
        assert has_concept_relations(make_doc(TOKENIZE, document)) is expected
