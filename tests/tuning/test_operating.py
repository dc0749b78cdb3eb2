"""Thresholds by label, and the precision that a pipe can be asked for."""

import pytest
import spacy
from spacy.tokens import DocBin

from spacy_spanmed.corpora.docbin import create_gold_corpus
from spacy_spanmed.scoring.calibration import Judged
from spacy_spanmed.scoring.operating import ALL, Operating, find_threshold, make_curves
from spacy_spanmed.tuning.thresholds import GRID, choose_operating, tune_pipes
from tests.conftest import TEXTS, make_examples

SURE = [Judged(0.2 + 0.01 * i, i > 30, "BINDS") for i in range(60)]
# Seldom right, whatever the score: the best F1 is where everything is taken for it
NOISE = [Judged(0.03 + 0.005 * i, i % 9 == 0, "OTHER") for i in range(180)]


def test_labels_have_thresholds_of_their_own_but_none_far_below_that_of_all():
    support = {"BINDS": 30, "OTHER": 25, "RARE": 3}
    operating, figures = choose_operating(SURE, support, GRID, Operating())
    assert operating.threshold == operating.label_thresholds["BINDS"] == 0.5
    both, _ = choose_operating(SURE + NOISE, support, GRID, Operating())
    assert both.label_thresholds["BINDS"] != both.label_thresholds["OTHER"]
    assert both.label_thresholds["OTHER"] >= both.threshold / 2
    assert "RARE" not in both.label_thresholds
    assert 0 < figures["f"] <= 1


def test_curves_give_the_lowest_threshold_that_reaches_a_precision():
    curves = make_curves(SURE, {"BINDS": 40, "NEVER": 2})
    assert set(curves) == {ALL, "BINDS"}
    threshold, precision, recall = find_threshold(curves, "BINDS", 0.9)
    above = [item for item in SURE if item.score > threshold]
    right = sum(item.hit for item in above)
    assert precision == pytest.approx(right / len(above), abs=1e-4) and precision >= 0.9
    assert recall == pytest.approx(right / 40, abs=1e-4)
    lower = [item for item in SURE if item.score > threshold - 0.02]
    assert sum(item.hit for item in lower) / len(lower) < 0.9
    assert find_threshold(curves, "NEVER", 0.1) is None
    assert find_threshold(make_curves(SURE[31:35], {"BINDS": 4}), "BINDS", 0.9) is None  # too few


def test_a_pipe_can_be_asked_for_a_precision(copy, tmp_path, monkeypatch):
    pipe = copy.get_pipe("span_ner")
    with pytest.raises(ValueError, match="isn't known.*spanmed finalize"):
        pipe.set_precision(0.8)
    docs = [eg.reference for eg in make_examples(copy, TEXTS * 4)]
    DocBin(store_user_data=True, docs=docs).to_disk(tmp_path / "dev.spacy")
    tune_pipes(copy, list(create_gold_corpus(tmp_path / "dev.spacy")(copy)))
    copy.to_disk(tmp_path / "model")
    pipe = spacy.load(tmp_path / "model").get_pipe("span_ner")
    monkeypatch.setattr("spacy_spanmed.scoring.operating.FEWEST_PREDICTED", 1)
    found = pipe.set_precision(0.9, labels=["CHEM"])
    threshold, precision, recall = found["CHEM"]
    assert set(found) == {"CHEM"} and precision >= 0.9 and recall == 1.0
    assert pipe.label_thresholds["CHEM"] == threshold
    for wrong in (0.0, 1.5):
        with pytest.raises(ValueError, match="precision must be above 0"):
            pipe.set_precision(wrong)
    with pytest.raises(ValueError, match="unknown label 'NONE'"):
        pipe.set_precision(0.5, labels=["NONE"])
