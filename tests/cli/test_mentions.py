"""`spanmed terms`: gold mentions as terms for an entity masker."""

import gzip

import pytest
from typer.testing import CliRunner

from spacy_spanmed.cli import app
from spacy_spanmed.corpora.convert import convert
from spacy_spanmed.pretraining.maskers.entity import read_terms
from tests.corpora.sources import write_sources

RUN = CliRunner()
PUBTATOR_TERMS = ["5-HT", "Aspirin", "aspirin", "bleeding", "gastric bleeding"]


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    return write_sources(tmp_path_factory.mktemp("sources"))


def run(*args):
    return RUN.invoke(app, ["terms", *map(str, args)])


def fails(*args):
    result = run(*args)
    assert result.exit_code == 1
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("Error")]
    return line


def test_distinct_mentions_of_all_sources(paths, tmp_path):
    gold, output = tmp_path / "gold.spacy", tmp_path / "terms.txt"
    convert([paths["jsonl"]], gold)
    result = run(paths["pubtator"], gold, output)
    assert result.exit_code == 0, result.output
    assert "7 terms, of 7 distinct ones in 4 documents" in result.output
    expected = sorted([*PUBTATOR_TERMS, "Cisplatin", "albumin"])
    assert output.read_text() == "".join(f"{term}\n" for term in expected)
    assert read_terms(output) == expected


def test_rare_terms_can_be_left_out(paths, tmp_path):
    output = tmp_path / "terms.txt.gz"
    assert run(paths["pubtator"], output, "--min-count", 2).exit_code == 0
    assert gzip.decompress(output.read_bytes()).decode().split("\n") == ["5-HT", "bleeding", ""]


def test_errors_leave_no_file(paths, tmp_path):
    output = tmp_path / "terms.txt"
    assert "No term with 9 mentions" in fails(paths["pubtator"], output, "--min-count", 9)
    assert "nowhere" in fails(tmp_path / "nowhere.spacy", output)
    assert "SOURCE... OUT.txt" in fails(output)
    gold = tmp_path / "gold.spacy"
    convert([paths["jsonl"]], gold)
    before = gold.read_bytes()
    assert "must end in .txt" in fails(paths["pubtator"], gold)  # a forgotten output
    assert gold.read_bytes() == before and not output.exists()


def test_help_warns_of_test_data():
    assert "training data only" in " ".join(run("--help").output.split()).replace("│ ", "")
