import json
from pathlib import Path

import pytest
import srsly
from spacy.util import load_config
from typer.testing import CliRunner

from benchmarks import ablation
from benchmarks.ablation import read_plan, read_records, summarise
from benchmarks.cli import app
from tests import ROOT

PLAN = {
    "seeds": [0, 1],
    "scores": ["ents_f", "rel_micro_f"],
    "settings": {"training.max_steps": 5, "training.dropout": 0.1},
    "corpora": {"one": {"paths.train": "one.spacy"}, "two": {"training.max_steps": 7}},
    "variants": {"plain": None, "wide": {"training.max_steps": 9}},
}
CONFIG = "[paths]\ntrain = null\n\n[training]\nmax_steps = 1\ndropout = 0.0\n"


@pytest.fixture
def plan(tmp_path):
    config = tmp_path / "config.cfg"
    config.write_text(CONFIG)
    path = tmp_path / "plan.yml"
    srsly.write_yaml(path, {**PLAN, "config": str(config)})
    return path


@pytest.fixture
def trained(monkeypatch):
    """Scores in place of trainings. RETURNS (list): The runs that were asked for."""
    runs = []

    def train(config, run, gpu_id, tuned):
        runs.append(run)
        better = 0.1 if run.variant == "wide" else 0.0
        return {"ents_f": 0.5 + better + run.seed / 100, "rel_micro_f": None}

    monkeypatch.setattr(ablation, "_train", train)
    return runs


def test_settings_of_a_variant_win(plan):
    runs = read_plan(plan).runs
    assert len(runs) == 8
    assert [run.seed for run in runs[:4]] == [0] * 4  # each variant once before the next seed
    steps = {(run.corpus, run.variant): run.settings["training.max_steps"] for run in runs}
    assert steps == {
        ("one", "plain"): 5, ("one", "wide"): 9, ("two", "plain"): 7, ("two", "wide"): 9,
    }  # fmt: skip
    assert all(run.settings["training.dropout"] == 0.1 for run in runs)


@pytest.mark.parametrize(
    "name, variant", [("ablation", "no_repeats"), ("ablation_nero", "gradient_1")]
)
def test_plans_of_the_project(monkeypatch, name, variant):
    monkeypatch.chdir(ROOT)
    plan = read_plan(Path(f"configs/{name}.yml"))
    assert {"workflow", variant} < {run.variant for run in plan.runs}
    for run in plan.runs:
        load_config(plan.config, overrides=run.settings)  # names no section that the config lacks


def test_what_has_a_result_is_not_run_again(plan, trained, tmp_path, monkeypatch):
    saved = []
    write = ablation.write_json
    monkeypatch.setattr(
        ablation, "write_json", lambda path, data: (saved.append(data), write(path, data))
    )

    def compare(*options):
        command = ["ablation", str(plan), "--json", str(tmp_path / "out.json"), *options]
        result = CliRunner().invoke(app, command)
        assert result.exit_code == 0, result.output
        return read_records(tmp_path / "out.json")

    compare("--variant", "wide")
    assert [len(data["runs"]) for data in saved] == [1, 2, 3, 4]
    assert {run.variant for run in trained} == {"wide"}
    records = compare()
    assert len(trained) == len(records) == 8
    assert compare() == records
    assert len(trained) == 8
    # A comment, and a setting that the plan overrides, make no difference
    config = read_plan(plan).config
    config.write_text(CONFIG.replace("dropout = 0.0", "# of all\ndropout = 0.5"))
    assert compare() == records
    config.write_text(CONFIG + "patience = 3\n")  # another config is another comparison
    assert len(compare()) == 16  # no result is lost
    assert len(trained) == 16
    assert len(saved[-1]["runs"]) == len(saved[-1]["other_runs"]) == 8


def test_results_of_other_settings_stay_apart(plan, trained, tmp_path):
    output = tmp_path / "out.json"
    command = ["ablation", str(plan), "--json", str(output)]
    assert CliRunner().invoke(app, command).exit_code == 0
    srsly.write_yaml(plan, {**srsly.read_yaml(plan), "settings": {"training.dropout": 0.2}})
    assert CliRunner().invoke(app, [*command, "--variant", "plain"]).exit_code == 0
    written = json.loads(output.read_text())
    assert all(run["settings"]["training.dropout"] == 0.2 for run in written["runs"])
    assert len(written["runs"]) == 4 and len(written["other_runs"]) == 8


def test_table():
    records = [
        {"corpus": "one", "variant": "plain", "seed": seed, "scores": {"ents_f": f}}
        for seed, f in enumerate((0.8, 0.82, 0.84))
    ]
    wide = {**records[1], "variant": "wide", "scores": {"ents_f": 0.8}}
    deep = {**records[1], "variant": "deep", "seed": 7}
    table = summarise([*records, wide, deep], ["ents_f", "rel_f"], {"ents_f": "entities"})
    assert table.startswith("| corpus | variant | entities | rel_f | seeds |\n")
    assert table.split("\n")[2:] == [
        "| one | plain | 82.0 ± 2.0 | - | 3 |",
        "| one | wide | 80.0 (-2.0) | - | 1 |",
        "| one | deep | 82.0 | - | 1 |",
    ]


def test_command_goes_on(plan, trained, tmp_path):
    output = tmp_path / "out.json"
    command = ["ablation", str(plan), "--json", str(output)]
    result = CliRunner().invoke(app, [*command, "--variant", "plain"])
    assert result.exit_code == 0, result.output
    assert len(json.loads(output.read_text())["runs"]) == 4
    result = CliRunner().invoke(app, command)
    assert "there is a result already" in result.output
    assert "| two | wide | 60.5 ± 0.7 (+10.0) | - | 2 |" in result.output
    assert all("commit" in run for run in json.loads(output.read_text())["runs"])


@pytest.mark.parametrize(
    "change, message",
    [
        ({"variants": {}}, "variants: Dictionary should have at least 1 item"),
        ({"seeds": 3}, "seeds: Input should be a valid list"),
        ({"seeds": []}, "seeds: List should have at least 1 item"),
        ({"seeds": ["first"]}, "seeds.0: Input should be a valid integer"),
        ({"config": None}, "config: Input is not a valid path"),
        ({"settings": [1]}, "settings: Input should be a valid dictionary"),
        ({"corpora": {"one": 3}}, "corpora.one: Input should be a valid dictionary"),
        ({"config": "missing.cfg"}, "config: Path does not point to a file, not 'missing.cfg'"),
        ({"more": 1}, "more: Extra inputs are not permitted"),
    ],
)
def test_plan_that_is_none(change, message, plan):
    srsly.write_yaml(plan, {**srsly.read_yaml(plan), **change})
    result = CliRunner().invoke(app, ["ablation", str(plan)])
    assert result.exit_code == 1
    assert message in result.stderr


@pytest.mark.parametrize("text", [None, "a: [", "- 1"])
def test_file_that_is_no_plan(text, tmp_path):
    path = tmp_path / "plan.yml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ValueError, match=r"plan\.yml"):
        read_plan(path)


def test_unknown_variant_and_failed_training(plan, tmp_path):
    result = CliRunner().invoke(app, ["ablation", str(plan), "--variant", "tall"])
    assert result.exit_code == 1 and "no variant tall" in result.stderr
    output = tmp_path / "out.json"
    result = CliRunner().invoke(app, ["ablation", str(plan), "--json", str(output)])
    assert result.exit_code == 1 and "spacy train failed" in result.stderr
    assert not output.exists()
    for text in ("{}", "[1]", "{"):
        output.write_text(text)
        result = CliRunner().invoke(app, ["ablation", str(plan), "--json", str(output)])
        assert result.exit_code == 1 and "choose another file" in result.stderr
        assert output.read_text() == text
