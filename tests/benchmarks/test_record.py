"""Results are taken over on purpose, and only if one can say where they come from."""

import json

import pytest
from typer.testing import CliRunner

from benchmarks.cli import app
from spacy_spanmed.util.provenance import DIRTY, git_commit
from tests import ROOT

COMMIT, DATE = "abcdef0123456789abcdef0123456789abcdef01", "2026-01-02T03:04:05+00:00"
SCORES = {"ents_f": 0.5, "meta": {"commit": COMMIT, "seed": 3, "date": DATE}}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "metrics" / "seed1").mkdir(parents=True)
    return tmp_path


def record(folder, name, content, *options):
    source = folder / "metrics" / name
    source.write_text(content if isinstance(content, str) else json.dumps(content))
    command = ["record", str(source), "--results", str(folder / "results"), *options]
    return CliRunner().invoke(app, command)


def read(folder, name):
    return json.loads((folder / "results" / name).read_text())


def test_names_are_those_below_metrics(folder):
    result = record(folder, "seed1/bc5cdr.json", SCORES)
    assert result.exit_code == 0 and "in place" not in result.output
    assert read(folder, "seed1/bc5cdr.json") == SCORES
    newer = {**SCORES, "ents_f": 0.6}
    result = record(folder, "test.json", newer, "--as", "seed1/bc5cdr")
    assert f"in place of that of commit {COMMIT}, seed 3, {DATE}" in result.output
    assert read(folder, "seed1/bc5cdr.json") == newer
    assert [path.name for path in (folder / "results").iterdir()] == ["seed1"]


def test_several_at_once(folder):
    files = [folder / "metrics" / f"{name}.json" for name in "ab"]
    for file in files:
        file.write_text(json.dumps(SCORES))
    command = ["record", *map(str, files), "--results", str(folder / "results")]
    result = CliRunner().invoke(app, [*command, "--as", "c"])
    assert result.exit_code == 1 and "give one file" in result.output
    assert CliRunner().invoke(app, command).exit_code == 0
    assert read(folder, "a.json") == read(folder, "b.json") == SCORES


@pytest.mark.parametrize(
    "change, message",
    [
        ({"commit": None}, "no commit"),
        ({"commit": COMMIT + DIRTY}, "changes that were not committed"),
        ({"seed": None}, "no seed"),
        ({"date": None}, "no date"),
    ],
)
def test_origin_must_be_known(folder, change, message):
    scores = {**SCORES, "meta": {**SCORES["meta"], **change}}
    result = record(folder, "test.json", scores)
    assert result.exit_code == 1 and message in result.output
    assert not (folder / "results").exists()
    assert record(folder, "test.json", scores, "--force").exit_code == 0
    assert read(folder, "test.json") == scores


@pytest.mark.parametrize(
    "content, message",
    [("{", "is no JSON"), ([1], "is no result file"), ({"ents_f": 0.5}, "is no result file")],
)
def test_files_that_are_no_results(folder, content, message):
    result = record(folder, "test.json", content)
    assert result.exit_code == 1 and message in result.output
    result = record(folder, "test.json", SCORES, "--force")
    assert result.exit_code == 0
    (folder / "metrics" / "test.json").unlink()
    command = ["record", str(folder / "metrics" / "test.json")]
    assert "There is no result file" in CliRunner().invoke(app, command).output


def test_other_kinds(folder):
    pretrained = {"git_commit": COMMIT, "seed": 0, "heldout": {}, "curve": [{"loss": 1}]}
    assert record(folder, "pretraining.json", pretrained).exit_code == 0
    written = read(folder, "pretraining.json")
    assert "curve" not in written and "curve" in written["excerpt"] and written["date"]
    run = {"seed": 0, "commit": COMMIT, "scores": {}}
    comparison = {"plan": "a.yml", "scores": [], "runs": [run, {**run, "commit": None}]}
    comparison["other_runs"] = [run]
    assert "no commit" in record(folder, "ablation.json", comparison).output
    comparison["runs"].pop()
    assert record(folder, "ablation.json", comparison).exit_code == 0
    assert read(folder, "ablation.json")["runs"] == [run]
    assert "other_runs" not in read(folder, "ablation.json")
    timed = {"ratio": 2.0, "versions": {}, "commit": COMMIT, "date": DATE}
    assert record(folder, "inference.json", timed).exit_code == 0
    drawn = {**SCORES, "meta": {**SCORES["meta"], "name": "dictionary", "seed": None}}
    assert record(folder, "baseline_dictionary.json", drawn).exit_code == 0


def test_commits_tell_changes(tmp_path, monkeypatch):
    import subprocess

    monkeypatch.chdir(tmp_path)
    assert git_commit() is None
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]

    def git(*arguments):
        subprocess.run(["git", *identity, *arguments], check=True, capture_output=True)

    git("init")
    (tmp_path / "file").write_text("one")
    git("add", "file")
    git("commit", "-m", "first")
    git("tag", "v1")
    commit = git_commit()
    assert len(commit) == 40
    (tmp_path / "untracked").write_text("one")
    assert git_commit() == commit
    (tmp_path / "file").write_text("two")
    assert git_commit() == commit + DIRTY


def test_what_runs_write_is_ignored():
    ignored = (ROOT / ".gitignore").read_text().split("\n")
    assert {"/metrics/", "/site/", "/training/", "/dist/", "build/", "*.egg-info/"} <= set(ignored)
