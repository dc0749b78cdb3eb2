import json
import re

import pytest
import spacy
from spacy.tokens import DocBin
from typer.testing import CliRunner

from scripts.nero import rows as nero_rows
from scripts.nero.__main__ import app
from spacy_spanmed.doc.layers import get_layers
from tests.scripts.nero_tsv import row_bytes, statement_bytes, write_tsv

RUN = CliRunner()
NAMES = "train.spacy dev.spacy test.spacy pretrain.jsonl pretrain_dev.jsonl report.json report.md labels"


@pytest.fixture(scope="module")
def tsv(tmp_path_factory):
    rows = []
    for i in range(120):
        # Letters from the number's digits, so that no two sentences are alike.
        name = "".join(chr(ord("a") + int(d)) * 6 for d in f"{i:03}") + "in"
        rows.append(row_bytes(i, f"{name} heals {name[::-1]} pain", name, sdocId=str(1000 + i)))
        rows.append(
            statement_bytes(500 + i, f"{name[3:]}X binds Y{name[::-1]}", f"{name[3:]}X", "bind",
                            f"Y{name[::-1]}", sdocId=str(2000 + i), pmid=str(i))
        )  # fmt: skip
    rows.append(row_bytes(999, "A left-out text with human and canine NC1", "human NC1"))
    return write_tsv(tmp_path_factory.mktemp("nero") / "nero.tsv", rows)


def read(path):
    return list(DocBin().from_disk(path).get_docs(spacy.blank("en").vocab))


@pytest.fixture(scope="module")
def built(tsv, tmp_path_factory):
    output = tmp_path_factory.mktemp("corpus")
    result = RUN.invoke(app, ["--tsv", str(tsv), "--output", str(output)])
    assert result.exit_code == 0, result.output
    return output, result


def test_files_and_report(built):
    output, result = built
    assert sorted(p.name for p in output.iterdir()) == sorted(NAMES.split())
    report = json.loads((output / "report.json").read_text())
    assert report["rows"] == sum(report["fates"].values()) == 241
    documents = {name: len(read(output / f"{name}.spacy")) for name in ("train", "dev", "test")}
    assert {k: v["documents"] for k, v in report["splits"].items()} == documents
    assert sum(documents.values()) == 240
    assert "| mention kept | 120 |" in (output / "report.md").read_text()
    assert "Mentions by label" in result.output


def test_left_out_texts_are_for_pretraining(built):
    output, _ = built
    lines = [json.loads(line) for line in (output / "pretrain.jsonl").read_text().splitlines()]
    assert "A left-out text with human and canine NC1" in {line["text"] for line in lines}
    held_out = {d.text for s in ("dev", "test") for d in read(output / f"{s}.spacy")}
    assert not held_out & {line["text"] for line in lines}
    assert all(line["meta"]["document"] for line in lines)


def test_limit_keeps_layers_and_splits_and_is_reproducible(tsv, tmp_path):
    bytes_ = []
    for name in ("a", "b"):
        args = ["--tsv", str(tsv), "--output", str(tmp_path / name), "--limit", "30"]
        assert RUN.invoke(app, args).exit_code == 0
        bytes_.append((tmp_path / name / "train.spacy").read_bytes())
    assert bytes_[0] == bytes_[1]
    total = 0
    for split in ("dev", "test"):
        docs = read(tmp_path / "a" / f"{split}.spacy")
        assert {layer for doc in docs for layer in get_layers(doc)} == {"entities", "relations"}
        total += len(docs)
    assert total + len(read(tmp_path / "a" / "train.spacy")) <= 36


def fails(args, *words):
    result = RUN.invoke(app, args)
    output = re.sub(r"\s+", " ", result.output)
    assert result.exit_code == 1
    assert "Traceback" not in output
    assert not isinstance(result.exception, ValueError)
    for word in words:
        assert word in output


def test_missing_wheel(monkeypatch, tmp_path):
    monkeypatch.setattr(nero_rows, "PACKAGE", "no_such_package_here")
    fails(["--output", str(tmp_path)], "pip install NERO-nlp")


def test_truncated_file(tmp_path):
    path = write_tsv(tmp_path / "cut.tsv", [b"1\t2"])
    fails(["--tsv", str(path), "--output", str(tmp_path)], "cut.tsv, line 2: 2 fields")
    assert not (tmp_path / "train.spacy").exists()


def test_unknown_class(tmp_path):
    path = write_tsv(tmp_path / "odd.tsv", [row_bytes(1, "A b", "A", "Gizmo")])
    fails(["--tsv", str(path), "--output", str(tmp_path)], "line 2", "'Gizmo'", "Add a line")


def test_output_that_is_a_file(tsv, tmp_path):
    (tmp_path / "x").write_text("")
    fails(["--tsv", str(tsv), "--output", str(tmp_path / "x")], "another output")
