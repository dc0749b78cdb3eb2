from __future__ import annotations

import pytest
from spacy.tokens import Doc
from spacy.training import Example

from spacy_spanmed.doc.relations import set_relation_tuples
from spacy_spanmed.scoring.relations import score_relations
from tests.scoring.relation_examples import NLP, TEXT, rel, rel_pair


def test_relations_by_hand() -> None:
    examples = [
        rel_pair(
            [rel(0, 1, "BINDS"), rel(1, 2, "BINDS"), rel(2, 3, "CAUSES"), rel(3, 4, "BINDS")],
            # right; reversed; wrong label; right but negated
            [rel(0, 1, "BINDS"), rel(2, 1, "BINDS"), rel(2, 3, "IS_A"),
             rel(3, 4, "BINDS", negated=True)],
        ),
        rel_pair([rel(0, 1, "CAUSES")], [rel(0, 1, "CAUSES", tail_label="X")]),
    ]  # fmt: skip
    scores = score_relations(examples)
    # tp: BINDS 2, CAUSES 1; fp: BINDS 1, IS_A 1; fn: BINDS 1, CAUSES 1
    assert scores["rel_micro_p"] == pytest.approx(3 / 5)
    assert scores["rel_micro_r"] == pytest.approx(3 / 5)
    assert scores["rel_micro_f"] == pytest.approx(3 / 5)
    assert scores["rel_per_type"]["BINDS"]["f"] == pytest.approx(2 / 3)
    assert scores["rel_per_type"]["CAUSES"]["f"] == pytest.approx(2 / 3)
    assert scores["rel_per_type"]["IS_A"]["support"] == 0
    assert scores["rel_macro_f"] == pytest.approx(2 / 3)
    # without BINDS: tp 1, fp 1, fn 1
    assert scores["rel_majority_label"] == "BINDS"
    assert scores["rel_minority_micro_p"] == 0.5
    assert scores["rel_minority_micro_r"] == 0.5
    assert scores["rel_minority_micro_f"] == 0.5
    assert scores["rel_negation_accuracy"] == pytest.approx(2 / 3)
    assert scores["rel_negated_micro_f"] == pytest.approx(2 / 5)
    assert scores["rel_typed_micro_f"] == pytest.approx(2 / 5)
    assert scores["rel_docs"] == 2


def test_duplicates_count_once_and_the_surest_is_judged() -> None:
    gold = [rel(0, 1, "BINDS")]
    guess = [rel(0, 1, "BINDS", score=0.4, negated=True), rel(0, 1, "BINDS", score=0.9)]
    for predicted in (guess, guess[::-1]):
        scores = score_relations([rel_pair(gold, predicted)])
        assert scores["rel_micro_p"] == 1.0
        assert scores["rel_negation_accuracy"] == 1.0
        assert scores["rel_negated_micro_f"] == 1.0


def test_prefix_names_every_key() -> None:
    examples = [rel_pair([rel(0, 1, "BINDS")], [])]
    plain = score_relations(examples)
    gold = score_relations(examples, prefix="rel_gold")
    assert {key.replace("rel_", "rel_gold_", 1): value for key, value in plain.items()} == gold
    assert gold["rel_gold_micro_f"] == 0.0
    assert gold["rel_gold_negation_accuracy"] is None


def test_relations_of_docs_without_the_layer_are_not_scored() -> None:
    example = Example(NLP.make_doc(TEXT), NLP.make_doc(TEXT))
    set_relation_tuples(example.predicted, [rel(0, 1, "BINDS")])
    scores = score_relations([example])
    assert scores.pop("rel_docs") == 0
    assert set(scores.values()) == {None}
    set_relation_tuples(example.reference, [])
    scores = score_relations([example])
    assert (scores["rel_micro_p"], scores["rel_docs"]) == (0.0, 1)
    assert scores["rel_majority_label"] is None


def test_relations_match_across_tokenizations() -> None:
    example = rel_pair([rel(0, 1, "BINDS")], [])
    words = TEXT.split(" ")
    coarse = Doc(NLP.vocab, words=[" ".join(words[:2])] + words[2:], spaces=[True] * 8 + [False])
    set_relation_tuples(coarse, [rel(0, 1, "BINDS")])
    example.predicted = coarse
    assert score_relations([example])["rel_micro_f"] == 1.0
