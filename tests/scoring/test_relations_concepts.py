"""Scores of relations between concepts, on cases worked out by hand.

By id these are the rules of the BC5CDR evaluation: a set of (document, chemical, disease), so
repeated predictions count once, and any pair of ids that isn't annotated is wrong.
"""

import pytest
import spacy
from spacy.training import Example

from spacy_spanmed.corpora.alignment import make_gold_doc
from spacy_spanmed.doc.relations import set_concept_relation_tuples, set_relation_tuples
from spacy_spanmed.scoring.relations import score_relations

NLP = spacy.blank("en")
TEXT = "aa bb cc dd ee ff"
A, B, C, D = (0, 2, "CHEM"), (3, 5, "DIS"), (6, 8, "CHEM"), (9, 11, "DIS")
E = (12, 14, "DIS")
IDS = {A: "C1", B: "D1", C: "C1", D: "D2", E: "D1,D2"}


def gold(*relations, ids=IDS):
    return make_gold_doc(
        NLP.tokenizer, TEXT, ids, layers=["entities", "relations"], kb_ids=ids,
        concept_relations=relations,
    )  # fmt: skip


def predict(mentions, relations):
    """Relations between the concepts of single words, whose ids are "text:LABEL:word"."""
    doc = NLP.make_doc(TEXT)
    doc.set_ents([doc.char_span(s, e, label=label) for s, e, label in mentions])
    ids = [tuple(f"text:{m[2]}:{TEXT[m[0] : m[1]]}" for m in pair) for pair in relations]
    set_concept_relation_tuples(doc, [(*pair, "CID") for pair in ids])
    return doc


def by_id(reference, *predicted, directed=True):
    doc = NLP.make_doc(TEXT)
    set_concept_relation_tuples(doc, predicted)
    return score_relations([Example(doc, reference)], by_id=True, directed=directed)


def counts(scores):
    rows = (scores["rel_per_type"] or {}).values()
    return tuple(sum(row[name] for row in rows) for name in ("tp", "fp", "fn"))


def test_by_id_counts_pairs_of_ids_once():
    reference = gold(("C1", "D1", "CID"), ("C1", "D2", "CID"))
    scores = by_id(reference, ("C1", "D1", "CID"), ("C1", "D1", "CID", 0.3), ("C1", "D9", "CID"))
    assert counts(scores) == (1, 1, 1)
    assert scores["rel_micro_f"] == 0.5
    assert scores["rel_typed_micro_f"] == 0.5


def test_order_matters_only_if_directed():
    reference = gold(("C1", "D1", "CID"))
    assert by_id(reference, ("D1", "C1", "CID"))["rel_micro_f"] == 0.0
    assert by_id(reference, ("D1", "C1", "CID"), directed=False)["rel_micro_f"] == 1.0


def test_pairs_without_labels():
    scores = by_id(gold(("C1", "D1", "X")), ("C1", "D1", "Y"), ("C1", "D2", "X"))
    assert scores["rel_micro_f"] == 0.0
    assert (scores["rel_pair_p"], scores["rel_pair_r"]) == (0.5, 1.0)


def test_end_to_end_any_mention_of_a_concept_will_do():
    reference = gold(("C1", "D1", "CID"))
    for head in (A, C):
        for tail in (B, E):  # E is a mention of D1 and of D2
            doc = predict([head, tail], [(head, tail)])
            assert counts(score_relations([Example(doc, reference)])) == (1, 0, 0)


def test_end_to_end_split_concepts_count_once():
    doc = predict([A, B, C], [(A, B), (C, B)])
    assert counts(score_relations([Example(doc, gold(("C1", "D1", "CID")))])) == (1, 0, 0)


def test_end_to_end_wrong_boundaries_or_types_do_not_match():
    reference = gold(("C1", "D1", "CID"))
    wrong_type = (0, 2, "DIS")
    wrong_end = (3, 8, "DIS")
    for mentions in ([wrong_type, B], [A, wrong_end], [A, D]):
        doc = predict(mentions, [tuple(mentions)])
        assert counts(score_relations([Example(doc, reference)])) == (0, 1, 1)


def test_end_to_end_a_string_is_no_id():
    """A predicted concept whose own id looks like a gold id still needs a mention."""
    ids = {A: "text:CHEM:ff", B: "D1"}
    doc = predict([(15, 17, "CHEM"), B], [((15, 17, "CHEM"), B)])
    scores = score_relations([Example(doc, gold(("text:CHEM:ff", "D1", "CID"), ids=ids))])
    assert counts(scores) == (0, 1, 1)


def test_relations_between_mentions_are_judged_as_concepts_of_one():
    doc = NLP.make_doc(TEXT)
    set_relation_tuples(doc, [(*A, *B, "CID"), (*C, *B, "CID"), (*A, *D, "CID")])
    assert counts(score_relations([Example(doc, gold(("C1", "D1", "CID")))])) == (1, 1, 0)


def test_end_to_end_pairs_whatever_the_label():
    scores = score_relations([Example(predict([A, B], [(A, B)]), gold(("C1", "D1", "X")))])
    assert (scores["rel_micro_f"], scores["rel_pair_f"]) == (0.0, 1.0)
    doc = predict([A, D], [(A, D)])
    assert score_relations([Example(doc, gold(("C1", "D1", "CID")))])["rel_pair_f"] == 0.0


def test_gold_between_mentions_is_compared_as_concepts():
    """Two mentions of one string on each side: one relation between concepts, found once."""
    text = "ab cd. ab cd."
    a1, c1, a2, c2 = (0, 2, "X"), (3, 5, "Y"), (7, 9, "X"), (10, 12, "Y")
    reference = make_gold_doc(
        NLP.tokenizer, text, [a1, c1, a2, c2], [(*a1, *c1, "R"), (*a2, *c2, "R")],
        layers=["entities", "relations"],
    )  # fmt: skip
    doc = NLP.make_doc(text)
    doc.set_ents([doc.char_span(s, e, label=label) for s, e, label in (a1, c1, a2, c2)])
    set_relation_tuples(doc, [(*a1, *c2, "R")])  # the best pair of the concepts
    set_concept_relation_tuples(doc, [("text:X:ab", "text:Y:cd", "R")])
    for by_id in (False, True):
        assert counts(score_relations([Example(doc, reference)], by_id=by_id)) == (1, 0, 0)


def test_gold_relation_without_mentions_is_missed():
    doc = predict([A, B], [(A, B)])
    scores = score_relations([Example(doc, gold(("C1", "D1", "CID"), ("C1", "D7", "CID")))])
    assert counts(scores) == (1, 0, 1)


@pytest.mark.parametrize("empty", [(), (("C1", "D1", "CID"),)])
def test_no_predictions(empty):
    assert counts(by_id(gold(*empty))) == (0, 0, len(empty))
