"""Thresholds are chosen on data and saved with the pipeline."""

import spacy
from spacy.tokens import DocBin

from spacy_spanmed.tuning import tune_thresholds
from tests.conftest import make_examples


def test_tuned_thresholds_are_the_best_and_are_saved(copy, tmp_path):
    docs = [eg.reference for eg in make_examples(copy)]
    DocBin(store_user_data=True, docs=docs).to_disk(tmp_path / "dev.spacy")
    for name in ("span_ner", "relation_extractor"):
        copy.get_pipe(name).threshold = 0.99999
    chosen = tune_thresholds(copy, tmp_path / "dev.spacy", grid=(0.3, 0.5, 0.9999999))
    assert chosen["span_ner"]["f"] == 1.0
    assert chosen["relation_extractor"]["f"] == 1.0
    assert copy.evaluate(make_examples(copy))["ents_f"] == 1.0
    copy.to_disk(tmp_path / "model")
    loaded = spacy.load(tmp_path / "model")
    for name, figures in chosen.items():
        assert (
            loaded.get_pipe(name).threshold == figures["threshold"] == copy.get_pipe(name).threshold
        )


def test_data_without_relations_leaves_that_threshold(copy, tmp_path):
    docs = [
        eg.reference
        for eg in make_examples(copy)
        if "relations" not in eg.reference.user_data["spanmed_layers"]
    ]
    DocBin(store_user_data=True, docs=docs).to_disk(tmp_path / "dev.spacy")
    assert set(tune_thresholds(copy, tmp_path / "dev.spacy", grid=(0.4,))) == {"span_ner"}
    assert copy.get_pipe("relation_extractor").threshold == 0.5
