from __future__ import annotations

import json
import pickle
from typing import Any

import pytest
import spacy
from hypothesis import given, settings
from hypothesis import strategies as st
from spacy.tokens import Doc, DocBin, Span
from spacy.vocab import Vocab

from spacy_spanmed.doc.layers import LAYERS_KEY, RELATIONS_KEY, SPANS_KEY, get_layers, set_layers
from spacy_spanmed.doc.mentions import get_mentions
from spacy_spanmed.doc.relations import (
    JSON_EXTENSIONS,
    Relation,
    RelationTuple,
    get_relation_tuples,
    install_extensions,
    set_relation_tuples,
)

NLP = spacy.blank("en")
TEXT = "p53 does not bind MDM2 😀 in vitro."
TUPLE = RelationTuple(0, 3, "GENE", 18, 22, "GENE", "BINDS", 0.75, True)


def make_doc() -> Doc:
    doc = NLP.make_doc(TEXT)
    set_relation_tuples(doc, [TUPLE])
    set_layers(doc, ["relations"])
    return doc


# Module level, so that a worker process finds it.
@spacy.Language.component("spanmed_test_binds")
def _binds(doc: Doc) -> Doc:
    doc._.relations = [Relation(doc[0:1], doc[2:3], "BINDS", 0.5, True)]
    return doc


def test_relations_are_spans_with_labels() -> None:
    (relation,) = make_doc()._.relations
    assert isinstance(relation, Relation)
    assert isinstance(relation.head, Span)
    assert (relation.head.text, relation.head.label_) == ("p53", "GENE")
    assert (relation.tail.text, relation.label) == ("MDM2", "BINDS")
    assert (relation.score, relation.negated) == (0.75, True)
    assert relation.to_tuple() == TUPLE


def test_setter_round_trip_and_defaults() -> None:
    doc = NLP.make_doc("A binds B")
    doc._.relations = [Relation(Span(doc, 0, 1, "X"), Span(doc, 2, 3, "Y"), "BINDS")]
    assert get_relation_tuples(doc) == [(0, 1, "X", 8, 9, "Y", "BINDS", 1.0, False)]
    assert type(doc.user_data[RELATIONS_KEY][0]) is tuple
    doc._.relations = []
    assert doc._.relations == []
    assert get_layers(doc) == {"relations"}


def test_setter_refuses_other_text_and_non_spans() -> None:
    doc, other = NLP.make_doc("A binds B"), NLP.make_doc("C binds D")
    with pytest.raises(ValueError, match="another text"):
        doc._.relations = [Relation(doc[0:1], other[2:3], "BINDS")]
    with pytest.raises(ValueError, match="Span objects"):
        doc._.relations = [("A", "B", "BINDS")]
    assert get_relation_tuples(doc) == []


def test_setter_takes_spans_of_another_tokenization() -> None:
    doc = NLP.make_doc("A-B binds C")
    other = Doc(NLP.vocab, words=["A-B", "binds", "C"], spaces=[True, True, False])
    doc._.relations = [Relation(other[0:1], other[2:3], "BINDS")]
    assert get_relation_tuples(doc)[0][:2] == (0, 3)


def test_offsets_count_code_points() -> None:
    text = "😀 p53 ↔ MDM2 𝛃-catenin"
    doc = NLP.make_doc(text)
    start = text.index("𝛃")
    set_relation_tuples(doc, [(2, 5, "", start, start + 9, "", "BINDS", 1, 0)])
    (relation,) = doc._.relations
    assert relation.head.text == "p53"
    assert relation.tail.text == "𝛃-catenin"


def test_another_tokenization_expands() -> None:
    doc = Doc(NLP.vocab, words=["p53-binding", "to", "MDM2"], spaces=[True, True, False])
    set_relation_tuples(doc, [(0, 3, "G", 15, 19, "G", "BINDS")])
    (relation,) = doc._.relations
    assert relation.head.text == "p53-binding"
    assert get_relation_tuples(doc)[0].head_end == 3  # the offsets themselves stay exact


@pytest.mark.parametrize(
    "bad",
    [
        (0, 99, "G", 4, 5, "G", "BINDS", 1.0, False),
        (-1, 2, "G", 4, 5, "G", "BINDS", 1.0, False),
        (3, 3, "G", 4, 5, "G", "BINDS", 1.0, False),
        (0, 2, "G", 5, 4, "G", "BINDS", 1.0, False),
        (0, 2.5, "G", 4, 5, "G", "BINDS", 1.0, False),
        (0, 2, "G", 4, 5, "G", "BINDS", float("nan"), False),
        (0, 2, "G", 3, 4, "G", "BINDS", 1.0, False),  # a space
        (0, 2, None, 4, 5, "G", "BINDS", 1.0, False),
        (0, 2, "G"),
        "nonsense",
    ],
)
def test_bad_tuples_are_named(bad: Any) -> None:
    doc = make_doc()
    with pytest.raises(ValueError) as error:
        set_relation_tuples(doc, [TUPLE, bad])
    assert (repr(bad)) in str(error.value)
    assert get_relation_tuples(doc) == [TUPLE]
    doc.user_data[RELATIONS_KEY] = [bad]
    with pytest.raises(ValueError):
        get_relation_tuples(doc)


def test_layers_are_derived_when_not_stated() -> None:
    doc = NLP.make_doc("A binds B")
    assert get_layers(doc) == frozenset()
    doc.spans[SPANS_KEY] = []
    assert get_layers(doc) == {"entities"}
    doc = NLP.make_doc("A binds B")
    doc.ents = []  # annotated, with nothing in it
    set_relation_tuples(doc, [])
    assert get_layers(doc) == {"entities", "relations"}
    set_layers(doc, {"relations"})
    assert get_layers(doc) == {"relations"}
    assert doc.user_data[LAYERS_KEY] == ["relations"]
    set_layers(doc, [])
    assert get_layers(doc) == frozenset()


def test_layers_are_checked() -> None:
    doc = NLP.make_doc("A")
    with pytest.raises(ValueError, match="entity"):
        set_layers(doc, ["entity"])
    with pytest.raises(ValueError, match="string"):
        set_layers(doc, "entities")
    doc.user_data[LAYERS_KEY] = ["syntax"]
    with pytest.raises(ValueError, match="syntax"):
        get_layers(doc)


def test_mentions_sorted_unique_and_from_spans_first() -> None:
    doc = NLP.make_doc("A binds B")
    doc.ents = [Span(doc, 2, 3, "Y")]
    assert get_mentions(doc) == [(8, 9, "Y")]
    doc.spans[SPANS_KEY] = [Span(doc, 2, 3, "Y"), Span(doc, 0, 3, "X"), Span(doc, 2, 3, "Y")]
    assert get_mentions(doc) == [(0, 9, "X"), (8, 9, "Y")]


def test_install_extensions_is_idempotent_and_replaces_others() -> None:
    install_extensions()
    Doc.set_extension("relations", default=None, force=True)
    with pytest.warns(UserWarning, match="relations"):
        install_extensions()
    assert make_doc()._.relations[0].label == "BINDS"


def _docbin(doc: Doc) -> Doc:
    data = DocBin(store_user_data=True, docs=[doc]).to_bytes()
    return next(iter(DocBin().from_bytes(data).get_docs(Vocab())))


def _json(doc: Doc) -> Doc:
    data = json.loads(json.dumps(doc.to_json(underscore=JSON_EXTENSIONS)))
    return Doc(Vocab()).from_json(data)


ROUND_TRIPS = {
    "bytes": lambda doc: Doc(Vocab()).from_bytes(doc.to_bytes()),
    "pickle": lambda doc: pickle.loads(pickle.dumps(doc)),
    "copy": lambda doc: doc.copy(),
    "docbin": _docbin,
    "json": _json,
}


@pytest.mark.parametrize("name", ROUND_TRIPS)
def test_round_trips(name: str) -> None:
    doc = make_doc()
    copy = ROUND_TRIPS[name](doc)
    assert copy is not doc
    assert get_relation_tuples(copy) == [TUPLE]
    assert type(get_relation_tuples(copy)[0]) is RelationTuple
    assert get_layers(copy) == {"relations"}
    assert [r.to_tuple() for r in copy._.relations] == [TUPLE]
    copy._.relations = []
    assert get_relation_tuples(doc) == [TUPLE]


@st.composite
def annotated(draw: Any) -> tuple[str, list[RelationTuple]]:
    text = draw(st.text(st.sampled_from("aB3 -,.()\n\té😀𝛃́\u200d"), min_size=1, max_size=20))
    text += "a"  # so that some span has more than whitespace in it
    offset = st.sampled_from(
        [
            (start, end)
            for start in range(len(text))
            for end in range(start + 1, len(text) + 1)
            if not text[start:end].isspace()
        ]
    )
    label = st.text(max_size=5)
    relation = st.builds(
        lambda h, hl, t, tl, label, score, negated: RelationTuple(
            *h, hl, *t, tl, label, score, negated
        ),
        offset, label, offset, label, label, st.floats(0, 1), st.booleans(),
    )  # fmt: skip
    return text, draw(st.lists(relation, max_size=4))


@settings(max_examples=60, deadline=None)
@given(annotated(), st.sampled_from(sorted(ROUND_TRIPS)))
def test_any_relations_round_trip(case: tuple[str, list[RelationTuple]], name: str) -> None:
    text, tuples = case
    doc = NLP.make_doc(text)
    set_relation_tuples(doc, tuples)
    copy = ROUND_TRIPS[name](doc)
    assert copy.text == text
    assert get_relation_tuples(copy) == tuples
    assert get_layers(copy) == get_layers(doc)
    for relation, item in zip(copy._.relations, tuples):
        covered = text[item.head_start : item.head_end].strip(" ")
        assert covered in relation.head.text_with_ws
        assert relation.head.label_ == item.head_label


def test_processes_bring_relations_back() -> None:
    nlp = spacy.blank("en")
    nlp.add_pipe("spanmed_test_binds")
    docs = list(nlp.pipe(["A binds B", "C binds D"], n_process=2, batch_size=1))
    for doc in docs:
        (relation,) = doc._.relations
        assert relation.tail is not None and relation.tail.text in ("B", "D")
        assert relation[2:] == ("BINDS", 0.5, True)


def test_as_doc_drops_relations() -> None:
    doc = make_doc()
    doc.spans[SPANS_KEY] = [Span(doc, 0, 1, "GENE")]
    cut = doc[0:5].as_doc()
    assert get_relation_tuples(cut) == []
    assert "relations" not in get_layers(cut)
    # With the user data copied, offsets past the new end are caught.
    with pytest.raises(ValueError, match="18, 22"):
        get_relation_tuples(doc[0:3].as_doc(copy_user_data=True))
