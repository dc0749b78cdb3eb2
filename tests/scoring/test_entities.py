from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import spacy
from hypothesis import given, settings
from hypothesis import strategies as st
from spacy.language import Language
from spacy.scorer import PRFScore
from spacy.tokens import Doc, DocBin, Span
from spacy.training import Example
from spacy.util import filter_spans, registry

from spacy_spanmed.doc.layers import SPANS_KEY, set_layers
from spacy_spanmed.doc.mentions import get_mentions
from spacy_spanmed.doc.relations import set_relation_tuples
from spacy_spanmed.scoring.entities import make_entity_scorer, score_entities, to_figures
from spacy_spanmed.scoring.relations import gold_label_counts, make_relation_scorer, score_relations
from tests.scoring.relation_examples import NLP, TEXT, rel, rel_pair

Mention = tuple[int, int, str]  # token offsets in these tests


def doc_of(mentions: Sequence[Mention] = (), text: str = TEXT, nested: bool = False) -> Doc:
    doc = NLP.make_doc(text)
    spans = [Span(doc, *mention) for mention in mentions]
    if nested:
        doc.spans[SPANS_KEY] = spans
    doc.ents = filter_spans(spans)
    return doc


def pair(gold: Sequence[Mention], predicted: Sequence[Mention], text: str = TEXT) -> Example:
    return Example(doc_of(predicted, text), doc_of(gold, text, nested=True))


# -------------------------------------------------------------------------- entities


def test_entities_by_hand() -> None:
    examples = [
        # A: 1 right, 1 with the wrong label (boundary right), 1 missed; B: 1 invented
        pair([(0, 1, "A"), (2, 3, "A"), (4, 5, "A")], [(0, 1, "A"), (2, 3, "B")]),
        # B: 1 right; C: only the boundary is off
        pair([(0, 2, "B"), (3, 5, "C")], [(0, 2, "B"), (3, 4, "C")]),
    ]
    scores = score_entities(examples)
    # tp 2 (A, B), fp 2 (B, C), fn 3 (A, A, C)
    assert scores["ents_p"] == pytest.approx(2 / 4)
    assert scores["ents_r"] == pytest.approx(2 / 5)
    assert scores["ents_f"] == pytest.approx(4 / 9)
    per_type = scores["ents_per_type"]
    assert per_type["A"] == {
        "p": 1.0, "r": pytest.approx(1 / 3), "f": 0.5, "tp": 1, "fp": 0, "fn": 2, "support": 3
    }  # fmt: skip
    assert per_type["B"]["f"] == pytest.approx(2 / 3)
    assert per_type["C"]["f"] == 0.0
    assert scores["ents_macro_f"] == pytest.approx((0.5 + 2 / 3 + 0) / 3)
    # boundaries: 3 of 4 predicted, 3 of 5 gold
    assert scores["ents_boundary_f"] == pytest.approx(6 / 9)
    assert scores["ents_gold_inexpressible"] == 0.0
    assert scores["ents_docs"] == 2
    assert scores["ents_nested_f"] is None


def test_macro_leaves_out_labels_that_gold_lacks() -> None:
    scores = score_entities([pair([(0, 1, "A")], [(0, 1, "A"), (2, 3, "Z")])])
    assert scores["ents_macro_f"] == 1.0
    assert scores["ents_per_type"]["Z"]["support"] == 0
    assert scores["ents_per_type"]["Z"]["f"] == 0.0


def test_nested_gold_is_missed_by_flat_predictions() -> None:
    gold = [(0, 3, "A"), (1, 2, "B")]
    example = pair(gold, [(0, 3, "A")])
    scores = score_entities([example])
    assert (scores["ents_p"], scores["ents_r"]) == (1.0, 0.5)
    assert scores["ents_nested_r"] is None
    example.predicted.spans[SPANS_KEY] = [Span(example.predicted, *item) for item in gold]
    example.predicted.spans[SPANS_KEY].append(Span(example.predicted, 4, 5, "B"))
    scores = score_entities([example])
    assert scores["ents_r"] == 0.5
    assert scores["ents_nested_p"] == pytest.approx(2 / 3)
    assert scores["ents_nested_r"] == 1.0
    assert scores["ents_nested_f"] == pytest.approx(0.8)


def test_mention_lost_by_tokenization_counts_as_missed() -> None:
    text = "p53-dependent loss"
    reference = Doc(NLP.vocab, words=["p53", "-", "dependent", "loss"],
                    spaces=[False, False, True, False])  # fmt: skip
    reference.ents = [Span(reference, 0, 1, "G"), Span(reference, 3, 4, "P")]
    predicted = Doc(NLP.vocab, words=["p53-dependent", "loss"], spaces=[True, False])
    predicted.ents = [Span(predicted, 0, 1, "G"), Span(predicted, 1, 2, "P")]
    assert reference.text == predicted.text == text
    scores = score_entities([Example(predicted, reference)])
    assert (scores["ents_p"], scores["ents_r"]) == (0.5, 0.5)
    assert scores["ents_gold_inexpressible"] == 0.5
    assert scores["ents_per_type"]["G"]["fn"] == 1


def test_docs_without_the_layer_are_not_scored() -> None:
    example = pair([(0, 1, "A")], [(0, 1, "A")])
    other = pair([(0, 1, "A")], [(2, 3, "A")])
    set_layers(other.reference, ["relations"])
    scores = score_entities([example, other])
    assert (scores["ents_f"], scores["ents_docs"]) == (1.0, 1)
    scores = score_entities([other])
    assert scores.pop("ents_docs") == 0
    assert set(scores.values()) == {None}


def test_layer_with_nothing_in_it_makes_predictions_wrong() -> None:
    scores = score_entities([pair([], [(0, 1, "A")])])
    assert (scores["ents_p"], scores["ents_r"], scores["ents_f"]) == (0.0, 0.0, 0.0)
    assert scores["ents_macro_f"] is None
    scores = score_entities([pair([], [])])
    assert scores["ents_f"] is None
    assert scores["ents_docs"] == 1


def test_predictions_on_unknown_tokens_are_ignored() -> None:
    example = pair([(0, 1, "A")], [(0, 1, "A"), (3, 4, "B"), (6, 7, "B")])
    reference = example.reference
    reference.set_ents([], missing=[reference[3:5]], default="unmodified")
    scores = score_entities([example])
    assert scores["ents_per_type"]["B"]["fp"] == 1  # the one on token 6
    assert scores["ents_p"] == 0.5


def test_different_texts_are_refused() -> None:
    reference = doc_of([(0, 1, "A")], text="aa bb")
    example = Example(NLP.make_doc("aa bb"), reference)
    example.predicted = NLP.make_doc("aa bc")
    for function in (score_entities, score_relations):
        with pytest.raises(ValueError, match="character 4"):
            function([example])


# ------------------------------------------------------------------------ properties

mention_sets = st.lists(
    st.tuples(st.integers(0, 9), st.integers(1, 3), st.sampled_from("ABC")).map(
        lambda m: (m[0], min(10, m[0] + m[1]), m[2])
    ),
    max_size=6,
)
relation_sets = st.lists(
    st.builds(
        lambda h, t, label, score, negated: rel(h, t, label, score=score, negated=negated),
        st.integers(0, 4), st.integers(0, 4), st.sampled_from(["X", "Y", "Z"]),
        st.sampled_from([0.5, 1.0]), st.booleans(),
    ),
    max_size=6,
)  # fmt: skip
cases = st.lists(
    st.tuples(mention_sets, mention_sets, relation_sets, relation_sets), min_size=1, max_size=4
)


def build(case: Any) -> Example:
    gold, guess, gold_relations, guess_relations = case
    reference, predicted = doc_of(gold, nested=True), doc_of(guess, nested=True)
    set_relation_tuples(reference, gold_relations)
    set_relation_tuples(predicted, guess_relations)
    return Example(predicted, reference)


def score_all(examples: list[Example]) -> dict[str, Any]:
    return {**score_entities(examples), **score_relations(examples)}


@settings(max_examples=80, deadline=None)
@given(cases, st.randoms(use_true_random=False))
def test_order_does_not_matter_and_values_are_in_range(batch: Any, rng: random.Random) -> None:
    examples = [build(case) for case in batch]
    scores = score_all(examples)
    shuffled = []
    for case in batch:
        parts = [list(part) for part in case]
        for part in parts:
            rng.shuffle(part)
        # doc.ents is a flat choice that depends on the order, so it stays as it was
        example = build(parts)
        example.predicted.ents = build(case).predicted.ents
        shuffled.append(example)
    rng.shuffle(shuffled)
    assert score_all(shuffled) == scores
    for key, value in scores.items():
        if isinstance(value, float):
            assert 0.0 <= value <= 1.0, key


@settings(max_examples=80, deadline=None)
@given(cases)
def test_perfect_predictions_score_one(batch: Any) -> None:
    examples = [build((gold, gold, rels, rels)) for gold, _, rels, _ in batch]
    scores = score_all(examples)
    mentions = [m for eg in examples for m in get_mentions(eg.reference)]
    relations = [r for _, _, rels, _ in batch for r in rels]
    for key in ("ents_nested_p", "ents_nested_r", "ents_nested_f"):
        assert scores[key] == (1.0 if mentions else None)
    assert scores["ents_p"] == (1.0 if mentions else None)  # flat: no more than precise
    for key in ("micro_p", "micro_r", "micro_f", "macro_f", "negation_accuracy",
                "negated_micro_f", "typed_micro_f"):  # fmt: skip
        assert scores[f"rel_{key}"] == (1.0 if relations else None)


@settings(max_examples=80, deadline=None)
@given(cases)
def test_micro_is_the_sum_over_types(batch: Any) -> None:
    scores = score_all([build(case) for case in batch])
    for per_type, f in (("ents_per_type", "ents_f"), ("rel_per_type", "rel_micro_f")):
        rows = (scores[per_type] or {}).values()
        total = PRFScore(**{key: sum(row[key] for row in rows) for key in ("tp", "fp", "fn")})
        assert to_figures(total)["f"] == scores[f]
        for row in rows:
            assert row["support"] == row["tp"] + row["fn"]
    majority = scores["rel_majority_label"]
    rest = [row for label, row in (scores["rel_per_type"] or {}).items() if label != majority]
    total = PRFScore(**{key: sum(row[key] for row in rest) for key in ("tp", "fp", "fn")})
    assert to_figures(total)["f"] == scores["rel_minority_micro_f"]


# -------------------------------------------------------------------- spaCy's own CLI


@Language.factory("spanmed_test_all", default_config={})
class EverythingPipe:
    """Finds "p53 ... MDM2" and relates them; scored by both registered scorers."""

    def __init__(self, nlp: Language, name: str) -> None:
        self.labels = ("GENE", "BINDS")

    def __call__(self, doc: Doc) -> Doc:
        doc.ents = [Span(doc, t.i, t.i + 1, "GENE") for t in doc if t.text in ("p53", "MDM2")]
        if len(doc.ents) == 2:
            a, b = doc.ents
            set_relation_tuples(
                doc,
                [(a.start_char, a.end_char, "GENE", b.start_char, b.end_char, "GENE", "BINDS")],
            )
        return doc

    def score(self, examples: list[Example], **kwargs: Any) -> dict[str, Any]:
        return {
            **registry.scorers.get("spanmed.entity_scorer.v1")()(examples, **kwargs),
            **registry.scorers.get("spanmed.relation_scorer.v1")()(examples, **kwargs),
        }


def test_registered_scorers() -> None:
    assert registry.scorers.get("spanmed.entity_scorer.v1") is make_entity_scorer
    assert registry.scorers.get("spanmed.relation_scorer.v1") is make_relation_scorer
    scorer = make_relation_scorer(prefix="rel_gold")
    assert scorer([], labels=("BINDS",))["rel_gold_docs"] == 0
    assert make_entity_scorer()([], labels=("A",))["ents_f"] is None


def test_spacy_evaluate_prints_and_writes_these_scores(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from spacy.cli.evaluate import evaluate as spacy_evaluate

    gold = NLP.make_doc("p53 binds MDM2")
    gold.ents = [Span(gold, 0, 1, "GENE"), Span(gold, 2, 3, "PROTEIN")]
    set_relation_tuples(gold, [(0, 3, "GENE", 10, 14, "GENE", "BINDS")])
    empty = NLP.make_doc("nothing is annotated here")
    DocBin(docs=[gold, empty], store_user_data=True).to_disk(tmp_path / "test.spacy")
    nlp = spacy.blank("en")
    nlp.add_pipe("spanmed_test_all")
    nlp.to_disk(tmp_path / "model")
    data = spacy_evaluate(
        str(tmp_path / "model"), tmp_path / "test.spacy",
        output=tmp_path / "metrics.json", silent=False,
    )  # fmt: skip
    assert data["ents_f"] == 0.5
    assert data["ents_docs"] == 1
    assert data["rel_micro_f"] == 1.0
    assert "PROTEIN" in capsys.readouterr().out
    assert (tmp_path / "metrics.json").exists()


def test_stock_component_takes_the_scorer_by_config(tmp_path: Path) -> None:
    nlp = spacy.blank("en")
    scorer = {"@scorers": "spanmed.entity_scorer.v1"}
    ruler = nlp.add_pipe("entity_ruler", config={"scorer": scorer})
    ruler.add_patterns([{"label": "GENE", "pattern": "p53"}])
    nlp.add_pipe("ner", config={"scorer": scorer})
    nlp.remove_pipe("ner")
    nlp.to_disk(tmp_path)
    nlp = spacy.load(tmp_path)
    gold = NLP.make_doc("p53 binds MDM2")
    gold.ents = [Span(gold, 0, 1, "GENE")]
    scores = nlp.evaluate([Example(nlp.make_doc(gold.text), gold)])
    assert scores["ents_f"] == 1.0
    assert scores["ents_gold_inexpressible"] == 0.0


def test_spacy_train_takes_these_scores(capsys: pytest.CaptureFixture[str]) -> None:
    from spacy.training.loggers import console_logger
    from spacy.training.loop import create_evaluation_callback

    scorer = {"@scorers": "spanmed.entity_scorer.v1"}
    nlp = spacy.blank("en")
    nlp.add_pipe("entity_ruler", config={"scorer": scorer}).add_patterns(
        [{"label": "GENE", "pattern": "p53"}]
    )
    weights = {"ents_f": 1.0, "ents_per_type": None, "ents_macro_f": 0.0, "rel_micro_f": 0.0}
    nlp.config["training"]["score_weights"] = weights
    gold = NLP.make_doc("p53 binds MDM2")
    gold.ents = [Span(gold, 0, 1, "GENE"), Span(gold, 2, 3, "GENE")]

    def read(nlp: Language) -> list[Example]:
        return [Example(nlp.make_doc(gold.text), gold)]

    score, others = create_evaluation_callback(nlp, read, weights)()
    assert score == pytest.approx(2 / 3)
    log_step, finalize = console_logger()(nlp)
    log_step({"epoch": 0, "step": 1, "losses": {}, "score": score, "other_scores": others})
    finalize()
    assert "66.67" in capsys.readouterr().out


def test_gold_label_counts() -> None:
    entities = pair([(0, 1, "A"), (2, 3, "A"), (4, 5, "B")], [])
    relations = rel_pair([rel(0, 1, "BINDS"), rel(0, 1, "BINDS")], [])
    assert gold_label_counts([entities, relations]) == ({"A": 2, "B": 1}, {"BINDS": 1})
