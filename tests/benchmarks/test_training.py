import json
import sys

import pytest
import spacy
from spacy.tokens import DocBin
from spacy.util import load_config
from typer.testing import CliRunner

from benchmarks import training
from benchmarks.cli import app
from benchmarks.training import Evaluation, first_reaching, make_config, read_log
from benchmarks.training_log import json_lines_logger
from tests import ROOT
from tests.conftest import TEXTS, make_reference

CONFIGS = ROOT / "configs"
BOTH = ["--config", CONFIGS / "pipeline.cfg", "--stock-config", CONFIGS / "stock.cfg"]


def run(*args):
    return CliRunner().invoke(app, ["train", *map(str, [*BOTH, *args])])


def evaluations(*values):
    """Evaluations from (step, F1, seconds), with a start-up of 10 seconds."""
    return [Evaluation(step, f, seconds, seconds - 10) for step, f, seconds in values]


STOCK = evaluations((0, 0.0, 11), (50, 0.4, 60), (100, 0.62, 110), (150, 0.5, 160), (200, 0.6, 210))
OURS = evaluations((0, 0.1, 12), (50, 0.5999, 40), (100, 0.6, 70), (150, 0.7, 100))


@pytest.fixture
def corpus(tmp_path):
    nlp = spacy.blank("en")
    docs = [make_reference(nlp, *item) for item in TEXTS]
    path = tmp_path / "corpus.spacy"
    DocBin(docs=docs, store_user_data=True).to_disk(path)
    return path


@pytest.fixture
def logs(monkeypatch):
    """Hand-made logs in place of trainings. RETURNS (list): What was asked for."""
    asked = []

    def run_training(name, config, *, gpu_id, target):
        asked.append((name, target, config))
        return {"stock": STOCK, "ours": OURS}[name]

    monkeypatch.setattr(training, "run_training", run_training)
    return asked


def test_the_first_evaluation_at_or_above_the_target_counts():
    assert first_reaching(OURS, 0.6).step == 100  # not 50, which is just below; equal is enough
    assert first_reaching(OURS, 0.61).step == 150  # nothing in between
    assert first_reaching(STOCK, 0.6).step == 100  # the first, though it falls again
    assert first_reaching(OURS, 0.71) is None
    assert first_reaching([], 0.1) is None


def test_log_leaves_the_evaluations_out(tmp_path):
    path = tmp_path / "log.jsonl"
    assert read_log(path, 0.0) == []
    lines = [
        {"step": 0, "ents_f": 0.0, "time": 1013.0, "started": 1006.0, "evaluating": 5.0},
        {"step": 50, "ents_f": 0.5, "time": 1050.0, "started": 1006.0, "evaluating": 9.0},
    ]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    path.write_text(text + '{"step": 100, "en', encoding="utf8")  # being written
    assert read_log(path, 1000.0) == [Evaluation(0, 0.0, 8.0, 2.0), Evaluation(50, 0.5, 41.0, 35.0)]
    path.write_text(json.dumps({**lines[0], "ents_f": None}) + "\n", encoding="utf8")
    with pytest.raises(ValueError, match="dev corpus has no entities"):
        read_log(path, 1000.0)


def test_logger_times_evaluations(tmp_path):
    nlp = spacy.blank("en")
    evaluated = []
    nlp.evaluate = lambda examples: evaluated.append(examples) or {"ents_f": 0.5}
    log_step, finish = json_lines_logger(str(tmp_path / "log.jsonl"))(nlp, sys.stdout, sys.stderr)
    log_step(None)
    scores = nlp.evaluate(["example"])
    log_step({"step": 7, "other_scores": scores})
    (line,) = map(json.loads, (tmp_path / "log.jsonl").read_text().splitlines())  # written at once
    finish()
    assert evaluated == [["example"]]
    assert (line["step"], line["ents_f"]) == (7, 0.5)
    assert 0 < line["evaluating"] <= line["time"] - line["started"] + 0.01


def test_config_of_a_side(tmp_path):
    config = make_config(
        CONFIGS / "pipeline.cfg",
        {"paths.encoder": "enc", "system.seed": 3},
        training.OUR_PIPELINE,
        steps=30,
        eval_frequency=10,
        log=tmp_path / "log.jsonl",
    )
    config.to_disk(tmp_path / "config.cfg", interpolate=False)
    settings = load_config(tmp_path / "config.cfg", interpolate=True)
    assert settings["nlp"]["pipeline"] == ["sentencizer", "transformer", "span_ner"]
    assert settings["components"]["transformer"]["model"]["name"] == "enc"
    assert settings["training"]["optimizer"]["learn_rate"]["total_steps"] == 30
    assert settings["training"]["max_steps"] == 30 and settings["training"]["seed"] == 3
    assert settings["training"]["score_weights"] == {"ents_f": 1.0}
    # A number written out is replaced as well
    text = (CONFIGS / "stock.cfg").read_text().replace("${training.max_steps}", "20000")
    (tmp_path / "stock.cfg").write_text(text)
    config = make_config(
        tmp_path / "stock.cfg",
        {},
        training.STOCK_PIPELINE,
        steps=30,
        eval_frequency=10,
        log=tmp_path,
    )
    assert config["training"]["optimizer"]["learn_rate"]["total_steps"] == 30


def test_target_of_stock(corpus, logs, tmp_path):
    record = tmp_path / "record.json"
    sizes = ("--stock-steps", 200, "--steps", 150)
    result = run("--train", corpus, "--dev", corpus, *sizes, "--json", record)
    assert result.exit_code == 0, result.output
    figures = json.loads(record.read_text())
    assert figures["target"] == 0.6  # after the last step, not the best
    assert [(name, target) for name, target, _ in logs] == [("stock", None), ("ours", 0.6)]
    assert [config["training"]["max_steps"] for *_, config in logs] == [200, 150]
    for config in (logs[0][2], logs[1][2]):
        assert config["paths"]["train"] == config["paths"]["dev"] == str(corpus)
    assert logs[0][2]["paths"]["encoder"] == logs[1][2]["paths"]["encoder"]
    # Stock, too, is timed until it first was that good: 110 s, not 210
    assert (figures["stock"]["seconds"], figures["ours"]["seconds"]) == (110, 70)
    assert figures["ratio"] == round(110 / 70, 3)
    assert figures["loop_ratio"] == round(100 / 60, 3)
    assert [item["step"] for item in figures["ours"]["evaluations"]] == [0, 50, 100, 150]
    assert {"settings", "versions", "commit"} <= figures.keys()
    assert f"{110 / 70:.2f} x" in result.output


def test_target_that_is_not_reached(corpus, logs, tmp_path):
    record = tmp_path / "record.json"
    data = ("--train", corpus, "--dev", corpus)
    result = run(*data, "--target", 0.65, "--json", record)
    assert result.exit_code == 1
    assert "65.00%, was not reached by stock: there is no ratio" in result.output
    figures = json.loads(record.read_text())
    assert figures["ratio"] is None and figures["loop_ratio"] is None
    assert figures["stock"]["seconds"] is None and figures["ours"]["step"] == 150
    result = run(*data, "--target", 0.9)
    assert result.exit_code == 1 and "by stock and ours" in result.output


def test_both_sides_are_trained(corpus, tiny_letters, tmp_path):
    """By `spacy train`, a step each: nobody learns anything from one step."""
    record = tmp_path / "record.json"
    data = ("--train", corpus, "--dev", corpus, "--encoder", tiny_letters, "--target", 0.99)
    result = run(*data, "--stock-steps", 1, "--eval-frequency", 1, "--json", record)
    assert result.exit_code == 1 and "by stock and ours" in result.output, result.output
    figures = json.loads(record.read_text())
    for side in ("stock", "ours"):
        found = figures[side]["evaluations"]
        assert [item["step"] for item in found] == [0, 1]
        assert 0 < found[0]["loop_seconds"] < found[0]["seconds"] < found[1]["seconds"]
        assert all(0 <= item["f"] < 0.99 for item in found)
        assert f"{side}, step 1: F1" in result.output


def test_a_target_that_is_reached_stops_the_training(corpus, tiny_letters, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "PAUSE", 0.05)
    config = make_config(
        CONFIGS / "pipeline.cfg",
        {"paths.train": str(corpus), "paths.dev": str(corpus), "paths.encoder": tiny_letters},
        training.OUR_PIPELINE,
        steps=10_000_000,
        eval_frequency=5,
        log=tmp_path / "ours.jsonl",
    )
    found = training.run_training("ours", config, target=0.0)
    assert found[0].step == 0 and found[-1].step < 10_000


def test_errors_in_one_line(corpus, tiny_letters, tmp_path):
    broken = tmp_path / "broken.spacy"
    broken.write_bytes(b"no corpus")
    none = tmp_path / "none.spacy"
    data = ("--train", corpus, "--dev", corpus)
    for arguments, message in (
        (("--train", none), "No corpus at"),
        (("--train", CONFIGS / "stock.cfg"), "is not .spacy data: convert it first"),
        (("--dev", none), "or give --dev"),
        (("--encoder", tmp_path / "none"), "does not exist"),
        (("--config", tmp_path / "none.cfg"), "none.cfg' does not exist"),
        (("--config", CONFIGS / "stock.cfg"), "has no [components.span_ner]"),
        (("--target", "best"), "--target must be 'stock' or a number, not 'best'"),
        (("--target", "57"), "at most 1, not 57"),
        (("--stock-steps", 120), "--steps 120 must be a multiple of --eval-frequency 50"),
        (("--train", broken, "--encoder", tiny_letters), "stock: spacy train failed"),
    ):
        result = run(*data, *arguments)
        assert result.exit_code == 1, arguments
        assert message in result.output and "Traceback" not in result.output
        assert result.output.splitlines()[-1].startswith("Error: "), result.output
