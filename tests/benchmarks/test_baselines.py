from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import spacy
from hypothesis import given, settings
from hypothesis import strategies as st
from spacy.tokens import Doc, DocBin, Span
from typer.testing import CliRunner

from benchmarks.baselines import DictionaryBaseline, Entry, MajorityRelations, score_baselines
from benchmarks.cli import app
from spacy_spanmed.doc.layers import SPANS_KEY, set_layers
from spacy_spanmed.doc.mentions import get_mentions
from spacy_spanmed.doc.relations import set_relation_tuples

NLP = spacy.blank("en")


def entity_doc(text: str, *mentions: tuple[str, str]) -> Doc:
    """A Doc in which the first occurrence of each given string is a mention."""
    doc = NLP.make_doc(text)
    spans = []
    for string, label in mentions:
        start = text.index(string)
        span = doc.char_span(start, start + len(string), label=label, alignment_mode="expand")
        spans.append(span)
    doc.spans[SPANS_KEY] = spans
    set_layers(doc, ["entities"])
    return doc


def relation_doc(
    text: str, mentions: Sequence[tuple[str, str]], *relations: tuple[int, int, str]
) -> Doc:
    doc = entity_doc(text, *mentions)
    spans = list(doc.spans[SPANS_KEY])
    set_relation_tuples(
        doc,
        [
            (spans[h].start_char, spans[h].end_char, spans[h].label_,
             spans[t].start_char, spans[t].end_char, spans[t].label_, label)
            for h, t, label in relations
        ],
    )  # fmt: skip
    set_layers(doc, ["relations"])
    return doc


def found(baseline: DictionaryBaseline, text: str) -> list[tuple[str, str]]:
    return [(ent.text, ent.label_) for ent in baseline(NLP.make_doc(text)).ents]


def fitted(*docs: Doc, min_share: float = 0.5) -> DictionaryBaseline:
    baseline = DictionaryBaseline(NLP, min_share)
    baseline.fit(docs)
    return baseline


def test_forms_ignore_case_and_take_the_majority_label() -> None:
    baseline = fitted(
        entity_doc("Insulin helps", ("Insulin", "CHEMICAL")),
        entity_doc("insulin binds", ("insulin", "GENE")),
        entity_doc("INSULIN rises", ("INSULIN", "GENE")),
    )
    assert baseline.entries == {("insulin",): Entry("GENE", 1.0)}
    assert found(baseline, "No insulin, no inSULIN.") == [("insulin", "GENE"), ("inSULIN", "GENE")]


def test_share_counts_all_occurrences() -> None:
    baseline = fitted(
        entity_doc("was found", ("was", "GENE")),  # WAS is a gene, too
        entity_doc("it was what it was"),
        entity_doc("p53 was p53", ("p53", "GENE")),
    )
    assert baseline.entries[("was",)].share == pytest.approx(1 / 4)
    assert baseline.entries[("p53",)].share == pytest.approx(1 / 2)
    assert found(baseline, "p53 was") == [("p53", "GENE")]
    baseline.min_share = 0.2
    assert found(baseline, "p53 was") == [("p53", "GENE"), ("was", "GENE")]


def test_two_labels_at_one_place_count_once() -> None:
    baseline = fitted(entity_doc("p53 p53", ("p53", "B"), ("p53", "A")))
    assert baseline.entries[("p53",)] == Entry("A", 0.5)


def test_longest_match_wins() -> None:
    baseline = fitted(
        entity_doc("breast cancer", ("breast cancer", "DISEASE"), ("breast", "ANATOMY"))
    )
    assert found(baseline, "breast cancer of the breast") == [
        ("breast cancer", "DISEASE"), ("breast", "ANATOMY")
    ]  # fmt: skip


def test_a_filtered_form_does_not_hide_a_shorter_one() -> None:
    baseline = fitted(
        entity_doc("p53 was", ("p53 was", "X"), ("p53", "GENE")),
        entity_doc("p53 was, p53 was", ("p53", "GENE")),
        entity_doc("p53", ("p53", "GENE")),
    )
    assert baseline.entries[("p53", "was")].share == pytest.approx(1 / 3)
    assert found(baseline, "p53 was") == [("p53", "GENE")]


def test_docs_without_entities_layer_teach_nothing() -> None:
    doc = entity_doc("p53 binds", ("p53", "GENE"))
    set_layers(doc, ["relations"])
    baseline = fitted(doc)
    assert baseline.entries == {}
    assert found(baseline, "p53 binds") == []


def test_threshold_is_tuned_on_development_data() -> None:
    baseline = fitted(
        entity_doc("cold was here", ("cold", "DISEASE")),
        entity_doc("a cold day"),
        entity_doc("flu came", ("flu", "DISEASE")),
    )
    dev = [entity_doc("a cold flu day", ("flu", "DISEASE"))]
    results = baseline.tune(dev, shares=(0.4, 0.6, 0.8))
    assert results == {0.4: pytest.approx(2 / 3), 0.6: 1.0, 0.8: 1.0}
    assert baseline.min_share == 0.8
    assert baseline.tune([], shares=(0.1,)) == {0.1: None}
    assert baseline.min_share == 0.8


MENTIONS = [("p53", "GENE"), ("MDM2", "GENE")]


def test_relations_by_majority_order_and_distance() -> None:
    relations = MajorityRelations()
    relations.fit(
        [
            relation_doc("p53 binds MDM2", MENTIONS, (0, 1, "BINDS")),
            relation_doc("p53 eats MDM2", MENTIONS, (0, 1, "BINDS")),
            relation_doc("p53 stops MDM2", MENTIONS, (0, 1, "INHIBITS")),
            relation_doc("p53 is far, really quite far away, from MDM2", MENTIONS),
        ]
    )
    (relation,) = relations.predict([(0, 3, "GENE"), (10, 13, "GENE")])
    assert relation == (0, 3, "GENE", 10, 13, "GENE", "BINDS", pytest.approx(2 / 3), False)
    assert relations.predict([(0, 3, "GENE"), (50, 53, "GENE")]) == []
    # labels never seen: order and distance decide
    (relation,) = relations.predict([(0, 3, "CELL"), (10, 13, "DRUG")])
    assert (relation.label, relation.head_label) == ("BINDS", "CELL")
    # a distance never seen: nothing to go by
    assert relations.predict([(0, 3, "GENE"), (300, 303, "GENE")]) == []


def test_no_relation_wins_a_draw() -> None:
    relations = MajorityRelations()
    relations.fit(
        [
            relation_doc("p53 binds MDM2", MENTIONS, (0, 1, "BINDS")),
            relation_doc("p53 or MDM2", MENTIONS),
        ]
    )
    assert relations.predict([(0, 3, "GENE"), (10, 13, "GENE")]) == []


def test_docs_without_relations_layer_are_no_negatives() -> None:
    plain = entity_doc("p53 or MDM2", *MENTIONS)
    relations = MajorityRelations()
    relations.fit([relation_doc("p53 binds MDM2", MENTIONS, (0, 1, "BINDS")), plain, plain])
    assert len(relations.predict([(0, 3, "GENE"), (10, 13, "GENE")])) == 1


def corpus() -> list[Doc]:
    return [
        entity_doc("p53 and MDM2 are here", *MENTIONS),
        relation_doc("p53 binds MDM2", MENTIONS, (0, 1, "BINDS")),
    ]


def test_scores_of_both_layers() -> None:
    baseline, relations = fitted(*corpus()), MajorityRelations()
    relations.fit(corpus())
    scores = score_baselines(baseline, relations, corpus())
    assert scores["ents_f"] == 1.0
    assert scores["ents_docs"] == 1
    assert scores["rel_gold_micro_f"] == 1.0
    assert scores["rel_micro_f"] == 1.0
    # unknown to the dictionary: still found given the gold mentions
    scores = score_baselines(DictionaryBaseline(NLP), relations, corpus())
    assert (scores["ents_r"], scores["rel_gold_micro_f"], scores["rel_micro_f"]) == (0.0, 1.0, 0.0)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from(["", "X", "Y"])), min_size=1),
        min_size=1, max_size=5,
    )
)  # fmt: skip
def test_shares_and_predictions_are_sound(sentences: Any) -> None:
    docs = []
    for sentence in sentences:
        doc = NLP.make_doc(" ".join(word for word, _ in sentence))
        doc.spans[SPANS_KEY] = [
            Span(doc, i, i + 1, label) for i, (_, label) in enumerate(sentence) if label
        ]
        set_layers(doc, ["entities"])
        docs.append(doc)
    baseline = fitted(*docs, min_share=0.0)
    for form, entry in baseline.entries.items():
        words = [pair for sentence in sentences for pair in sentence if pair[0] == form[0]]
        assert entry.share == sum(bool(label) for _, label in words) / len(words)
    for doc in docs:
        ends = {(s, e) for s, e, _ in get_mentions(doc)}
        guess = baseline(NLP.make_doc(doc.text))
        assert ends <= {(ent.start_char, ent.end_char) for ent in guess.ents}


def test_command_line(tmp_path: Path) -> None:
    path = tmp_path / "all.spacy"
    DocBin(docs=corpus(), store_user_data=True).to_disk(path)
    spacy.blank("en").to_disk(tmp_path / "model")
    output = tmp_path / "metrics" / "baseline.json"
    arguments = ["baseline", "dictionary", "--train", path, "--dev", path, "--test", path,
                 "--output", output, "--tokenizer-from", tmp_path / "model"]  # fmt: skip
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    assert "2 forms" in result.output
    written = json.loads(output.read_text("utf8"))
    assert written["ents_f"] == 1.0
    assert written["rel_gold_micro_f"] == 1.0
    assert written["meta"]["min_share"] == 0.9
    arguments[3] = tmp_path / "missing.spacy"
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 1
    assert result.output.startswith("Error: No such file")
