"""An installed pipeline trained further on other labels, with the project's config."""

from pathlib import Path

import pytest
import spacy
from spacy.cli.train import train
from spacy.tokens import DocBin

from spacy_spanmed.doc.layers import ENTITIES, RELATIONS
from tests.conftest import TEXTS, make_reference

CONFIG = Path(__file__).parent.parent / "configs" / "finetune.cfg"
NEW = (
    "Zinc causes fever.",
    [("Zinc", "CHEM"), ("fever", "FINDING")],
    [("Zinc", "fever", "CAUSES", False)],
    [ENTITIES, RELATIONS],
)


@pytest.fixture
def overrides(trained, tmp_path):
    trained.to_disk(tmp_path / "source")
    docs = [make_reference(trained, *item) for item in [*TEXTS, NEW]]
    DocBin(store_user_data=True, docs=docs).to_disk(tmp_path / "corpus.spacy")
    return {
        "paths.source": str(tmp_path / "source"),
        "paths.train": str(tmp_path / "corpus.spacy"),
        "paths.dev": str(tmp_path / "corpus.spacy"),
        "training.max_steps": 60,
        "training.eval_frequency": 60,
        "training.optimizer.learn_rate.initial_rate": 0.003,
        "training.optimizer.learn_rate.warmup_steps": 1,
    }


def test_new_labels_are_learned_and_old_ones_kept(trained, overrides, tmp_path):
    train(CONFIG, tmp_path / "output", overrides=overrides)
    nlp = spacy.load(tmp_path / "output" / "model-last")
    pipes = {name: nlp.get_pipe(name).labels for name in ("span_ner", "relation_extractor")}
    for name, labels in pipes.items():
        known = trained.get_pipe(name).labels
        assert labels[: len(known)] == known  # in the order of the model's outputs
    assert "FINDING" in pipes["span_ner"] and "CAUSES" in pipes["relation_extractor"]
    doc = nlp(NEW[0])
    assert [(e.text, e.label_) for e in doc.ents] == NEW[1]
    assert [(r.head.text, r.tail.text, r.label) for r in doc._.relations] == [
        ("Zinc", "fever", "CAUSES")
    ]
    doc = nlp(TEXTS[0][0])
    assert [(e.text, e.label_) for e in doc.ents] == TEXTS[0][1]


def test_frozen_pipes_get_no_labels(overrides, tmp_path):
    overrides["training.frozen_components"] = ["relation_extractor"]
    overrides["training.max_steps"] = overrides["training.eval_frequency"] = 2
    train(CONFIG, tmp_path / "output", overrides=overrides)
    nlp = spacy.load(tmp_path / "output" / "model-last")
    assert "FINDING" in nlp.get_pipe("span_ner").labels
    assert "CAUSES" not in nlp.get_pipe("relation_extractor").labels
