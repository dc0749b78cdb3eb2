"""Thresholds are chosen on data and saved with the pipeline."""

import numpy as np
import pytest
import spacy
import srsly
from spacy.tokens import DocBin

from spacy_spanmed.corpora.docbin import create_gold_corpus
from spacy_spanmed.doc.layers import set_layers
from spacy_spanmed.doc.relations import set_relation_tuples
from spacy_spanmed.pipeline.relation_extractor.evidence import BIAS, FEATURES
from spacy_spanmed.scoring.calibration import Calibration
from spacy_spanmed.tuning.finalize import finalize
from spacy_spanmed.tuning.thresholds import copy_tuning, tune_pipes
from tests.conftest import make_examples

WEIGHTS = {BIAS: -50.0, **dict.fromkeys(FEATURES, 0.25)}


def read(nlp, path):
    return list(create_gold_corpus(path)(nlp))


def test_tuned_thresholds_are_the_best_and_are_saved(copy, tmp_path):
    docs = [eg.reference for eg in make_examples(copy)]
    DocBin(store_user_data=True, docs=docs).to_disk(tmp_path / "dev.spacy")
    for name in ("span_ner", "relation_extractor"):
        copy.get_pipe(name).threshold = 0.99999
    chosen = tune_pipes(copy, read(copy, tmp_path / "dev.spacy"), grid=(0.3, 0.5, 0.9999999))
    assert chosen["span_ner"]["f"] == 1.0
    assert chosen["relation_extractor"]["given_gold"]["f"] == 1.0
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
    assert set(tune_pipes(copy, read(copy, tmp_path / "dev.spacy"), grid=(0.4,))) == {"span_ner"}
    assert copy.get_pipe("relation_extractor").threshold == 0.5


def test_pipes_of_other_names_are_tuned(copy, tmp_path):
    docs = [eg.reference for eg in make_examples(copy)]
    DocBin(store_user_data=True, docs=docs).to_disk(tmp_path / "dev.spacy")
    copy.rename_pipe("span_ner", "drugs")
    copy.rename_pipe("relation_extractor", "effects")
    assert set(tune_pipes(copy, read(copy, tmp_path / "dev.spacy"), grid=(0.4,))) == {
        "drugs",
        "effects",
    }


def test_calibration_is_saved_and_changes_scores_alone(copy, tmp_path, monkeypatch):
    docs = [eg.reference for eg in make_examples(copy)]
    DocBin(store_user_data=True, docs=docs).to_disk(tmp_path / "dev.spacy")
    fitted = Calibration(0.5, -0.25)
    monkeypatch.setattr("spacy_spanmed.tuning.thresholds.fit_calibration", lambda judged: fitted)
    chosen = tune_pipes(copy, read(copy, tmp_path / "dev.spacy"), grid=(0.4,))
    assert [figures["calibration"] for figures in chosen.values()] == [[0.5, -0.25]] * 2
    copy.to_disk(tmp_path / "model")
    text = docs[0].text
    calibrated = spacy.load(tmp_path / "model")(text)
    plain = {name: {"calibration": [1.0, 0.0], "threshold": fitted.invert(0.4)} for name in chosen}
    raw = spacy.load(tmp_path / "model", config={"components": plain})(text)
    assert [ent.text for ent in calibrated.ents] == [ent.text for ent in raw.ents] != []
    for one, other in zip(calibrated.ents, raw.ents):
        assert one._.score == pytest.approx(fitted.apply(np.float64(other._.score)), abs=1e-4)
    assert len(calibrated._.relations) == len(raw._.relations) > 0
    for one, other in zip(calibrated._.relations, raw._.relations):
        assert one.score == pytest.approx(fitted.apply(np.float64(other.score)), abs=1e-4)


def test_what_competing_pairs_say_is_fitted_saved_and_used(copy, tmp_path, monkeypatch):
    docs = [eg.reference for eg in make_examples(copy)]
    DocBin(store_user_data=True, docs=docs).to_disk(tmp_path / "dev.spacy")
    copy.get_pipe("relation_extractor").rivals = WEIGHTS
    chosen = tune_pipes(copy, read(copy, tmp_path / "dev.spacy"), grid=(0.4,))
    assert chosen["relation_extractor"]["rivals"] == {}  # too little data
    seen = []

    def fit(described, targets):
        seen.extend(int(hits.sum()) for hits in targets)
        return WEIGHTS

    monkeypatch.setattr("spacy_spanmed.tuning.thresholds.fit_weights", fit)
    chosen = tune_pipes(copy, read(copy, tmp_path / "dev.spacy"), grid=(0.4,))
    assert chosen["relation_extractor"]["rivals"] == WEIGHTS
    assert sum(seen) == sum(len(doc._.relations) for doc in docs) > 0
    copy.to_disk(tmp_path / "model")
    for nlp in (copy, spacy.load(tmp_path / "model")):
        assert nlp.get_pipe("relation_extractor").rivals == WEIGHTS
        assert not nlp(docs[0].text)._.relations


def test_nothing_right_leaves_the_threshold(copy, tmp_path):
    doc = copy.make_doc("Cisplatin binds p53.")
    set_layers(doc, ["entities", "relations"])
    set_relation_tuples(doc, [])
    DocBin(store_user_data=True, docs=[doc]).to_disk(tmp_path / "dev.spacy")
    own = {name: copy.get_pipe(name).threshold for name in ("span_ner", "relation_extractor")}
    with pytest.warns(UserWarning, match="nothing that it finds in the development set is right"):
        chosen = tune_pipes(copy, read(copy, tmp_path / "dev.spacy"))
    for name, threshold in own.items():
        assert chosen[name]["threshold"] == copy.get_pipe(name).threshold == threshold
        assert copy.get_pipe_config(name)["threshold"] == threshold
        assert chosen[name]["f"] == 0


@pytest.mark.parametrize("calibration", [[0.0, 0.0], [1.0], [-1.0, 0.0]])
def test_calibration_is_checked(calibration):
    with pytest.raises(ValueError, match="slope above 0"):
        spacy.blank("en").add_pipe("span_ner", config={"calibration": calibration})


def test_tuning_is_copied_from_a_tuned_pipeline(copy, tmp_path):
    thresholds = {
        "span_ner": {"threshold": 0.35, "calibration": [0.5, -0.25], "f": 0.9},
        "relation_extractor": {
            "threshold": 0.2, "calibration": None, "f": 0.8, "rivals": WEIGHTS,
        },
    }  # fmt: skip
    (tmp_path / "tuned").mkdir()
    srsly.write_json(tmp_path / "tuned" / "meta.json", {"thresholds": thresholds})
    copied = copy_tuning(copy, tmp_path / "tuned")
    assert copied["span_ner"] == {"threshold": 0.35, "calibration": [0.5, -0.25]}
    copy.to_disk(tmp_path / "model")
    for nlp in (copy, spacy.load(tmp_path / "model")):
        entities, relations = nlp.get_pipe("span_ner"), nlp.get_pipe("relation_extractor")
        assert (entities.threshold, entities.calibration) == (0.35, (0.5, -0.25))
        assert (relations.threshold, relations.calibration) == (0.2, (1.0, 0.0))
        assert relations.rivals == WEIGHTS


def test_only_tuning_that_fits_is_copied(copy, tmp_path):
    with pytest.raises(ValueError, match="spanmed finalize --dev"):
        copy_tuning(copy, tmp_path / "none")
    for number, tuned in enumerate(({}, {"ner": {"threshold": 0.5, "calibration": None}})):
        folder = tmp_path / str(number)
        folder.mkdir()
        srsly.write_json(folder / "meta.json", {"thresholds": tuned})
        with pytest.raises(ValueError, match="has thresholds tuned for"):
            copy_tuning(copy, folder)


def test_thresholds_have_one_source(tmp_path):
    with pytest.raises(ValueError, match="give one of them"):
        finalize(tmp_path, tmp_path, name="x", version="0", sources=[], dev=tmp_path, like=tmp_path)
