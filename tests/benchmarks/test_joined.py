"""Joined sentences: none is lost, and they are scored as documents."""

import json

from spacy.tokens import DocBin
from typer.testing import CliRunner

from benchmarks.cli import app
from benchmarks.joined import join_by
from spacy_spanmed.doc.layers import get_layers
from tests.conftest import TEXTS, make_reference


def test_every_sentence_is_in_one_document_with_its_kind(trained):
    docs = [make_reference(trained, *item) for item in TEXTS * 3]
    joined = list(join_by(docs, 4))
    assert sorted(" ".join(d.text for d in joined).split()) == sorted(
        " ".join(d.text for d in docs).split()
    )
    assert {get_layers(doc) for doc in joined} == {get_layers(doc) for doc in docs}
    assert len(joined) == 2 + 1 + 1  # six with both layers, three with each one
    assert list(join_by(docs, 1)) == docs


def test_scores_by_size(trained, tmp_path):
    trained.to_disk(tmp_path / "model")
    docs = [make_reference(trained, *item) for item in TEXTS]
    DocBin(store_user_data=True, docs=docs).to_disk(tmp_path / "dev.spacy")
    command = ["joined", "--model", str(tmp_path / "model"), "--size", "1", "--size", "3"]
    command += ["--corpus", str(tmp_path / "dev.spacy"), "--json", str(tmp_path / "j.json")]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    sizes = json.loads((tmp_path / "j.json").read_text())["sizes"]
    assert sizes["1"]["ents_f"] == sizes["1"]["rel_gold_micro_f"] == 1.0
    assert set(sizes) == {"1", "3"} and sizes["3"]["ents_f"] > 0
