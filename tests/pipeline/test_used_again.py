"""Docs that come with annotation, and pipelines that are trained, evaluated or taken apart again."""

import numpy as np
import pytest
import torch
from spacy.tokens import DocBin
from spacy.training import Example

from spacy_spanmed.doc.layers import SPANS_KEY
from spacy_spanmed.doc.mentions import get_mentions
from spacy_spanmed.pipeline.span_ner import model as entity_model
from tests.conftest import TEXTS, make_examples, make_nlp, make_reference
from tests.pipeline.test_pipeline import found

TEXT = "Aspirin (ASP) reached Cisplatin. " + TEXTS[0][0]


def test_processing_a_doc_again_changes_nothing(trained):
    once = trained(TEXT)
    stored = list(DocBin(docs=[once], store_user_data=True).get_docs(trained.vocab))[0]
    first, abbreviations = found(once), list(once._.abbreviations)
    nested, scores = list(once.spans[SPANS_KEY]), list(once.spans[SPANS_KEY].attrs["scores"])
    assert first[0] and len(abbreviations) == 1
    for doc in (once, stored):
        doc = trained(doc)
        assert found(doc) == first
        assert [dict(item) for item in doc._.abbreviations] == abbreviations
        assert [(s.start, s.end) for s in doc.spans[SPANS_KEY]] == [
            (s.start, s.end) for s in nested
        ]
        assert doc.spans[SPANS_KEY].attrs["scores"] == pytest.approx(scores)


def test_another_threshold_counts_when_a_doc_is_processed_again(copy):
    expected = found(copy(TEXT))
    ner = copy.get_pipe("span_ner")
    threshold, ner.threshold = ner.threshold, 0.0
    doc = copy(TEXT)
    assert len(doc.ents) > len(expected[0])
    ner.threshold = threshold
    assert found(copy(doc)) == expected


def test_entities_of_an_earlier_pipe_stay(copy):
    text = TEXTS[0][0]
    without = found(copy(text))
    ruler = copy.add_pipe("entity_ruler", before="span_ner")
    ruler.add_patterns([{"label": "VERB", "pattern": "inhibits"}])
    first = copy(text)
    for doc in (first, copy(first)):
        ents, relations = found(doc)
        assert set(ents) == {*without[0], ("inhibits", "VERB")}
        assert set(without[1]) <= set(relations)
        assert doc.ents[1]._.score is None and doc.spans[SPANS_KEY].attrs["scores"][0] == 1.0
    # Nothing that shares a part with them becomes an entity.
    ruler.add_patterns([{"label": "DRUGS", "pattern": "Cisplatin inhibits p53"}])
    ents = [e.text for e in copy(text).ents]
    assert "Cisplatin inhibits p53" in ents and "p53" not in ents


def test_corrected_entities_are_what_counts(trained):
    doc = trained(TEXTS[0][0])
    assert len(get_mentions(doc)) == len(doc.spans[SPANS_KEY]) > 1
    doc.set_ents(doc.ents[:1])
    assert get_mentions(doc) == [(0, 9, "CHEM")]
    verb = doc.char_span(10, 18, label="VERB")
    doc.set_ents([verb])
    assert get_mentions(doc) == [(10, 18, "VERB")]
    again = list(DocBin(docs=[doc], store_user_data=True).get_docs(trained.vocab))[0]
    assert get_mentions(again) == [(10, 18, "VERB")]


def test_missing_annotation_is_neither_learned_nor_unlearned(copy):
    ner = copy.get_pipe("span_ner")
    text, entities = TEXTS[0][:2]
    reference = copy.make_doc(text)
    first, second = (
        reference.char_span(text.index(name), text.index(name) + len(name), label=label)
        for name, label in entities[:2]
    )
    reference.set_ents([first], missing=[second], default="outside")
    example = Example(copy(text), reference)
    scores = ner.model.predict([example.predicted])
    _, gradient = ner.get_loss([example], scores)
    ends = scores.starts + scores.widths
    touches = (scores.starts < second.end) & (ends >= second.start)
    # What overlaps a mention, in part, is no entity, whatever the rest of it is
    crosses = (scores.starts < first.end) & (ends >= first.start)
    assert (touches & crosses).sum() > 2 and gradient[crosses].any(axis=1).all()
    touches &= ~crosses
    assert touches.sum() > 5 and not gradient[touches].any()
    assert gradient[~touches].any(axis=1).all()
    # A gold mention around it is known.
    wide = reference[first.start : second.end]
    wide.label_ = "CHEM"
    reference.spans[SPANS_KEY] = [wide]
    _, gradient = ner.get_loss([example], scores)
    row = (scores.starts == wide.start) & (scores.widths == len(wide) - 1)
    assert gradient[row].any() and not gradient[touches & ~row].any()


def test_evaluation_without_the_output_of_the_encoder(copy):
    examples = make_examples(copy)
    whole = copy.evaluate(examples)
    copy.add_pipe("doc_cleaner")
    with pytest.warns(UserWarning, match="Evaluate without that pipe"):
        scores = copy.evaluate(make_examples(copy))
    assert whole["rel_gold_micro_f"] is not None and scores["rel_gold_micro_f"] is None
    for key in ("ents_f", "rel_micro_f"):
        assert scores[key] == whole[key]


def test_initializing_again_keeps_what_is_known(copy):
    relations = copy.get_pipe("relation_extractor")
    expected, known = found(copy(TEXTS[0][0])), list(relations.label_data["entity_labels"])
    item = (
        "Silver harms lungs.",
        [("Silver", "METAL"), ("lungs", "TISSUE")],
        [("Silver", "lungs", "HARMS", False)],
        TEXTS[0][3],
    )
    examples = [Example(copy.make_doc(item[0]), make_reference(copy, *item))]
    optimizer = copy.initialize(lambda: examples)
    assert found(copy(TEXTS[0][0])) == expected
    assert relations.label_data["entity_labels"] == [*known, "METAL", "TISSUE"]
    assert "HARMS" in relations.labels and "INHIBITS" in relations.labels
    copy.update(examples, sgd=optimizer)
    again = make_nlp(copy.get_pipe("transformer").model.attrs["name"])
    again.from_bytes(copy.to_bytes())
    assert again.get_pipe("relation_extractor").label_data == relations.label_data


def test_new_entity_labels_start_as_unknown_ones(tiny_letters):
    nlp = make_nlp(tiny_letters)
    nlp.initialize(lambda: make_examples(nlp))
    relations = nlp.get_pipe("relation_extractor")
    old = {k: v.clone() for k, v in relations.model.shims[0]._model.state_dict().items()}
    relations._add_entity_labels(["METAL"])
    new = relations.model.shims[0]._model.state_dict()
    for name, value in old.items():
        assert torch.equal(new[name][: len(value)], value)
    assert torch.equal(new["label.weight"][-1], old["label.weight"][0])


def test_entity_labels_after_none(tiny_letters):
    """A pipe that was built without any gets rows for them later."""
    nlp = make_nlp(tiny_letters)
    labels = {"labels": ["BINDS", "INHIBITS"], "entity_labels": []}
    nlp.config["initialize"]["components"]["relation_extractor"] = {"labels": labels}
    nlp.initialize(lambda: make_examples(nlp))
    shim = nlp.get_pipe("relation_extractor").model.shims[0]
    assert len(shim._model.label.weight) == 1
    nlp.get_pipe("relation_extractor")._add_entity_labels(["CHEM", "GENE"])
    assert len(shim._model.label.weight) == shim.settings["nL"] == 3
    nlp.update(make_examples(nlp), sgd=nlp.resume_training())


def test_a_frozen_pipe_keeps_its_encoder_under_averages(copy):
    copy.replace_listeners("transformer", "span_ner", ["model.tok2vec"])
    frozen = copy.get_pipe("span_ner").model
    shims = [shim.id for node in copy.get_pipe("transformer").model.walk() for shim in node.shims]
    own = [shim for node in frozen.walk() for shim in node.shims]
    assert not set(shims) & {shim.id for shim in own}
    before = [p.detach().clone() for shim in own for p in shim._model.parameters()]
    optimizer = copy.resume_training()
    optimizer.averages = {}
    for _ in range(3):
        copy.update(make_examples(copy), sgd=optimizer, exclude=["span_ner"])
    assert optimizer.averages
    with copy.use_params(optimizer.averages):
        after = [p.detach().clone() for shim in own for p in shim._model.parameters()]
    assert all(torch.equal(one, other) for one, other in zip(before, after))


def test_averages_of_another_shape_are_left_out(copy):
    optimizer = copy.resume_training()
    optimizer.averages = {}
    copy.update(make_examples(copy), sgd=optimizer)
    copy.get_pipe("span_ner").add_label("METAL")
    with copy.use_params(optimizer.averages):
        copy(TEXTS[0][0])


def test_spans_are_scored_block_by_block(trained, monkeypatch):
    docs = [trained(text) for text, *_ in TEXTS]
    model = trained.get_pipe("span_ner").model
    whole = model.predict(docs)
    for size in (1, 7, sum(map(len, docs))):
        monkeypatch.setattr(entity_model, "PREDICT_TOKENS", size)
        parts = model.predict(docs)
        assert np.array_equal(parts.starts, whole.starts)
        np.testing.assert_allclose(parts.logits, whole.logits, atol=1e-4)
