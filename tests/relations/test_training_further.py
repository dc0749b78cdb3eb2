"""configs/relations.cfg trains the relation pipe of a trained pipeline and leaves the rest alone."""

from pathlib import Path

import pytest
import spacy
import torch
from spacy.cli.train import train
from spacy.tokens import DocBin

from tests.conftest import make_examples

CONFIG = Path(__file__).parents[2] / "configs" / "relations.cfg"


@pytest.fixture()
def trained(copy, tmp_path):
    """Folder of a trained pipeline with the names of pipes that pipeline.cfg gives them."""
    copy.rename_pipe("spanmed_abbreviations", "abbreviations")
    copy.to_disk(tmp_path / "pipeline")
    docs = [eg.reference for eg in make_examples(copy)]
    DocBin(store_user_data=True, docs=docs).to_disk(tmp_path / "train.spacy")
    return tmp_path


def get_weights(model):
    shims = [shim for node in model.walk() for shim in node.shims]
    return {
        (i, key): value
        for i, shim in enumerate(shims)
        for key, value in shim._model.state_dict().items()
    }


def test_relations_alone_learn(trained):
    overrides = {
        "paths.pipeline": str(trained / "pipeline"),
        "paths.train": str(trained / "train.spacy"),
        "paths.dev": str(trained / "train.spacy"),
        "training.max_steps": 3,
        "training.eval_frequency": 3,
        "training.optimizer.learn_rate.warmup_steps": 1,
    }
    train(CONFIG, trained / "further", overrides=overrides)
    before, after = (spacy.load(trained / name) for name in ("pipeline", "further/model-last"))
    assert before.pipe_names == after.pipe_names
    labels = [nlp.get_pipe("relation_extractor").labels for nlp in (before, after)]
    assert labels[0] == labels[1]
    for name in ("transformer", "span_ner", "relation_extractor"):
        old, new = (get_weights(nlp.get_pipe(name).model) for nlp in (before, after))
        assert old.keys() == new.keys() and old
        same = all(torch.equal(old[key], new[key]) for key in old)
        assert same == (name != "relation_extractor")
    doc = after("Cisplatin inhibits p53 in renal cells.")
    assert doc.ents and doc._.relations
