"""Hours from tokens a second; a measurement that leaves nothing behind."""

import json

import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

from spacy_spanmed.cli.common import CONTEXT_SETTINGS
from spacy_spanmed.cli.estimate import describe
from spacy_spanmed.cli.estimate import estimate as command
from spacy_spanmed.pretraining.config import load_settings
from spacy_spanmed.pretraining.maskers import PMIMasker
from spacy_spanmed.pretraining.reporting import Speed, measure_speed, read_speed

app = typer.Typer()
app.command("estimate", context_settings=CONTEXT_SETTINGS)(command)


def call(*arguments):
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    return result.exit_code, result.output


def test_arithmetic():
    speed = Speed(1000.0, "as given", {})
    assert speed.of_all(1, efficiency=0.5) == 1000  # alone it waits for nobody
    assert speed.of_all(4, efficiency=0.5) == 2000
    assert [line.split() for line in describe(speed, 3.6e6, 4, 0.5)[2:4]] == [
        ["1", "1,000.0", "3,600,000", "1.00"],
        ["4", "2,000.0", "900,000", "0.50"],
    ]


def test_speed_of_a_record_is_that_of_one_worker(tmp_path):
    path = tmp_path / "record.json"
    path.write_text(
        json.dumps({"tokens_per_second": 3000.0, "processes": 3, "peak_memory_mb": {"cpu": 5.0}})
    )
    assert read_speed(path) == Speed(1000.0, f"from {path}", {"cpu": 5.0})
    path.write_text(json.dumps({"tokens_per_second": 3000.0}))  # an older one
    assert read_speed(path).tokens_per_second == 3000.0


@pytest.mark.parametrize("content", [None, "{", "[]", "{}", '{"tokens_per_second": null}'])
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / "record.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ValueError, match="record.json' is not the record of a pretraining run"):
        read_speed(path)


def test_given_speed(config_file):
    code, text = call(
        config_file, "--tokens", "1e9", "--workers", 16, "--tokens-per-second", 1000,
        "--efficiency", 0.8,
    )  # fmt: skip
    assert code == 0, text
    alone, together = (line.split() for line in text.splitlines()[2:4])
    assert alone == ["1", "1,000.0", "1,000,000,000", "277.78"]
    assert together == ["16", "12,800.0", "62,500,000", "21.70"]
    assert "each keeps 0.8 of the speed" in text
    assert "batch_size is 8, which cannot be split over 16 workers" in text


def test_measured_here_leaves_nothing(config_file, tmp_path):
    before = sorted(p.name for p in tmp_path.iterdir())
    code, text = call(config_file, "--measure", "--steps", 3, "--training.batch_size", 4)
    assert code == 0, text
    assert "measured here: 3 steps of 4 sequences of 32 tokens" in text
    assert "Peak memory of a worker: " in text and "MB (cpu)" in text
    row = next(line.split() for line in text.splitlines() if line.split()[:1] == ["1"])
    speed, tokens, hours = (float(cell.replace(",", "")) for cell in row[1:])
    assert tokens == 7680 and speed > 0
    assert hours == pytest.approx(tokens / speed / 3600, abs=0.005)
    assert "Assumed" not in text
    assert sorted(p.name for p in tmp_path.iterdir()) == before


def test_a_masker_that_counts_phrases_needs_no_more_text(config_file):
    settings, _ = load_settings(config_file, {})
    settings = settings.model_copy(update={"masker": PMIMasker(min_count=10**6)})
    assert measure_speed(settings, 1, Console(quiet=True)).tokens_per_second > 0


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--measure", "--tokens-per-second", 5], "Give one of"),
        (["--tokens-per-second", 0], "--tokens-per-second is 0.0"),
        (["--tokens", "nan", "--tokens-per-second", 5], "--tokens is nan"),
        (["--efficiency", 1.5, "--tokens-per-second", 5], "--efficiency is 1.5"),
        (["--record", "none.json"], "'none.json' is not the record"),
        (["--training.batch_sise", 5], "batch_sise"),
    ],
)
def test_faults_end_with_one_line(config_file, arguments, message):
    code, text = call(config_file, *arguments)
    assert code == 1 and text.startswith("Error: ") and message in text
    assert text.count("\n") == 1
