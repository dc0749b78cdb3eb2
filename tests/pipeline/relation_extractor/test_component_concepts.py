"""The relation pipe between concepts of documents, on a tiny encoder."""

import json

import pytest
import spacy
from spacy.tokens import Doc, Span
from spacy.training import Example

from spacy_spanmed.corpora.alignment import make_gold_doc
from spacy_spanmed.corpora.docbin import collect_labels
from spacy_spanmed.doc.relations import (
    JSON_EXTENSIONS,
    get_concept_relation_tuples,
    get_relation_tuples,
)
from tests.conftest import make_nlp
from tests.corpora.formats.jsonl_sources import load_one

# The relation is said in another sentence than the one with the long name.
TEXT = "Cisplatin (CP) was given. Then CP led to renal failure. Aspirin was safe. Renal failure is bad."
IDS = {"Cisplatin": "C1", "CP": "C1", "Aspirin": "C2", "renal failure": "D1", "Renal failure": "D1"}
LABELS = {"C": "CHEM", "D": "DIS"}


def make_reference(nlp, relations=(("C1", "D1", "CAUSES"),)):
    kb_ids = {}
    for name, kb_id in IDS.items():
        start = TEXT.find(name)
        while start >= 0:
            kb_ids[(start, start + len(name), LABELS[kb_id[0]])] = kb_id
            start = TEXT.find(name, start + 1)
    return make_gold_doc(
        nlp.tokenizer, TEXT, kb_ids, layers=["entities", "relations"], kb_ids=kb_ids,
        concept_relations=relations,
    )  # fmt: skip


@pytest.fixture(scope="module")
def nlp(tiny_letters):
    spacy.util.fix_random_seed(0)
    nlp = make_nlp(tiny_letters, relation_model={"evidence": True})
    pipe = nlp.get_pipe("relation_extractor")
    pipe.concepts, pipe.typed_pairs = True, True

    def examples():
        return [Example(nlp.make_doc(TEXT), make_reference(nlp))]

    optimizer = nlp.initialize(examples)
    optimizer.learn_rate = 3e-3
    for _ in range(60):
        nlp.update(examples(), sgd=optimizer)
    return nlp


def test_learns_relations_between_concepts(nlp):
    doc = nlp(TEXT)
    assert len(doc.ents) == 6
    (relation,) = doc._.concept_relations
    assert relation.label == "CAUSES" and relation.score > 0.5
    assert len(relation.tail.mentions) == 2
    (pair,) = get_relation_tuples(doc)  # shown between the best pair of mentions
    assert (pair.head_start, pair.head_end, pair.head_label) in relation.head.mentions
    scores = nlp.evaluate([Example(nlp.make_doc(TEXT), make_reference(nlp))])
    assert scores["rel_gold_micro_f"] == scores["rel_micro_f"] == 1.0


def test_looks_only_at_types_that_are_related(nlp):
    assert nlp.get_pipe("relation_extractor").cfg["pair_types"] == [["CHEM", "DIS"]]
    labels = collect_labels([make_reference(nlp)])
    assert labels["span_ner"] == ["CHEM", "DIS"]
    assert labels["relation_extractor"] == nlp.get_pipe("relation_extractor").label_data


def test_unpaired_concepts_of_a_wrong_prediction_are_learned_as_unrelated(nlp):
    """An entity that isn't gold is a candidate, without an id of its own."""
    predicted = nlp.make_doc(TEXT)
    predicted.set_ents([predicted.char_span(19, 24, label="CHEM")])  # "given"
    pipe = nlp.get_pipe("relation_extractor")
    pairs = pipe._training_pairs(Example(predicted, make_reference(nlp)))
    assert ("text:CHEM:given", "D1") in pairs.arguments
    assert {("C1", "D1"), ("C2", "D1")} <= set(pairs.arguments)


def test_survives_bytes(nlp):
    config = nlp.config.copy()
    config["components"]["relation_extractor"].update(concepts=True, typed_pairs=True)
    copy = spacy.blank("en").from_config(config).from_bytes(nlp.to_bytes())
    doc = copy(TEXT)
    assert get_concept_relation_tuples(doc)[0][:3] == get_concept_relation_tuples(nlp(TEXT))[0][:3]
    again = spacy.tokens.Doc(copy.vocab).from_bytes(doc.to_bytes())
    assert get_concept_relation_tuples(again) == get_concept_relation_tuples(doc)


def test_result_does_not_depend_on_the_batch(nlp):
    alone = get_concept_relation_tuples(nlp(TEXT))
    assert alone
    for doc in nlp.pipe([TEXT, "Zinc.", f"{TEXT} {TEXT}", "", TEXT]):
        if doc.text == TEXT:
            (found,) = get_concept_relation_tuples(doc)
            assert found[:3] == alone[0][:3]
            assert found.score == pytest.approx(alone[0].score, abs=1e-4)


def texts(concept):
    return concept.label, [TEXT[start:end] for start, end, _ in concept.mentions]


def test_identifiers_that_come_later(nlp):
    """Of an entity linker behind the relation pipe, whose place is the end of the pipeline."""
    doc = nlp(TEXT)
    (before,) = doc._.concept_relations
    doc.set_ents(
        [Span(doc, e.start, e.end, e.label_, kb_id=f"X{i}") for i, e in enumerate(doc.ents)]
    )
    (relation,) = doc._.concept_relations
    assert relation.head.id == "X0" and relation.tail.id.startswith("X")
    assert relation.label == before.label and relation.score == before.score
    assert texts(relation.head) == ("CHEM", ["Cisplatin"])
    doc.set_ents([ent for ent in doc.ents if ent.label_ != "CHEM"])
    assert doc._.concept_relations == []
    assert get_concept_relation_tuples(doc)


def test_json_keeps_concepts(nlp, tmp_path):
    doc = nlp(TEXT)
    value = json.loads(json.dumps(doc.to_json(underscore=JSON_EXTENSIONS)))
    again = Doc(nlp.vocab).from_json(value)
    (relation,), (expected,) = again._.concept_relations, doc._.concept_relations
    assert texts(expected.head) == ("CHEM", ["Cisplatin", "CP", "CP"])
    assert texts(relation.head)[1][0] == "Cisplatin" and relation[2:] == expected[2:]
    document = load_one(tmp_path, value)
    assert [(r.head, r.tail, r.label) for r in document.relations if r.concepts] == [
        get_concept_relation_tuples(doc)[0][:3]
    ]
    owned = [m.start for m in document.mentions if expected.head.id in m.concepts]
    assert set(owned) == {start for start, _, _ in expected.head.mentions}


def test_relations_of_concepts_are_refused_between_mentions(tiny_letters):
    nlp = make_nlp(tiny_letters)
    example = Example(nlp.make_doc(TEXT), make_reference(nlp))
    optimizer = nlp.initialize(lambda: [example])
    with pytest.raises(ValueError, match="concepts = true"):
        nlp.update([example], sgd=optimizer)


def test_relations_between_mentions_train_concepts(nlp):
    """Without identifiers, mentions of the same string are one concept."""
    cp, failure = TEXT.index("CP led"), TEXT.index("renal")
    mentions = [(0, 9, "CHEM"), (cp, cp + 2, "CHEM"), (failure, failure + 13, "DIS")]
    reference = make_gold_doc(
        nlp.tokenizer, TEXT, mentions, [(*mentions[1], *mentions[2], "CAUSES")],
        layers=["entities", "relations"],
    )  # fmt: skip
    pipe = nlp.get_pipe("relation_extractor")
    example = Example(nlp.make_doc(TEXT), reference)
    pairs = pipe._training_pairs(example)
    wanted = ("text:CHEM:cp", "text:DIS:renal failure")
    assert wanted in pairs.arguments
    logits = pipe.model.ops.alloc2f(len(pairs.pairs), len(pipe.labels) + 1)
    _, gradient = pipe.get_loss([example], logits, [pairs])
    assert gradient[pairs.groups.index(pairs.arguments.index(wanted)), 0] < 0
