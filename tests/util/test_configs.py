"""Configs are found wherever the package is, and those that should agree do."""

import pytest
from spacy.util import load_config

from spacy_spanmed.util import configs
from spacy_spanmed.util.configs import find_config
from tests import ROOT

# What document.cfg has in place of pipeline.cfg's: all that tells them apart
DOCUMENT = {
    "corpora.train.@readers": "spanmed.Corpus.v1",
    "corpora.train.path": "${paths.train}",
    "components.relation_extractor.multi_label": True,
    "components.relation_extractor.predicted_share": 1.0,
    "components.transformer.model.piece_dropout": 0.1,
    "components.transformer.model.transformer_config.hidden_dropout_prob": 0.1,
    "components.relation_extractor.max_distance": 10000,
    "components.relation_extractor.typed_pairs": True,
    "components.relation_extractor.model.evidence": True,
    "components.relation_extractor.model.learn_rate_factor": 3.0,
    "components.relation_extractor.model.tok2vec.grad_factor": 0.015,
}


def flatten(section, prefix=""):
    found = {}
    for name, value in section.items():
        if isinstance(value, dict) and value:
            found.update(flatten(value, f"{prefix}{name}."))
        else:
            found[prefix + name] = value
    return found


def test_document_config_differs_in_these_settings_alone():
    sides = [
        flatten(load_config(ROOT / "configs" / f"{name}.cfg", interpolate=False))
        for name in ("pipeline", "document")
    ]
    # Documents needn't be joined to be long
    assert all(name.startswith("corpora.train.") for name in set(sides[0]) - set(sides[1]))
    changed = {name: v for name, v in sides[1].items() if sides[0].get(name, "none") != v}
    assert changed == DOCUMENT


def test_found_in_a_checkout():
    assert find_config("pipeline.cfg") == find_config("pipeline") == ROOT / "configs/pipeline.cfg"
    with pytest.raises(ValueError, match="no config 'pipe.cfg': .*document.cfg"):
        find_config("pipe")


def test_found_in_an_installed_wheel(tmp_path, monkeypatch):
    folder = tmp_path / "spacy_spanmed" / "configs"
    folder.mkdir(parents=True)
    (folder / "own.yml").write_text("")
    monkeypatch.setattr(configs.resources, "files", lambda package: tmp_path / package)
    assert find_config("own.yml") == folder / "own.yml"
