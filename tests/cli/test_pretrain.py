"""The command: overrides, and errors of one line without a traceback."""

import json
import shutil

import pytest
import typer
from typer.testing import CliRunner

from spacy_spanmed.cli.common import CONTEXT_SETTINGS
from spacy_spanmed.cli.pretrain import pretrain

app = typer.Typer()
app.command("pretrain", context_settings=CONTEXT_SETTINGS)(pretrain)


def call(*arguments):
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    return result.exit_code, result.output


def test_run_with_overrides(config_file, tmp_path):
    output = tmp_path / "elsewhere"
    code, text = call(config_file, "--training.total_tokens", "2560", "--output", output)
    assert code == 0, text
    assert "step 10/10" in text and "Held-out loss" in text and str(output) in text
    assert (output / "model.safetensors").is_file()
    record = json.loads((tmp_path / "metrics" / "pretraining.json").read_text())
    assert record["tokens"] == 2560


@pytest.mark.parametrize(
    "overrides, message",
    [
        (["--training.totl", "1"], "totl"),
        (["--restrt"], "--restrt"),
        (["--training.total_tokens"], "total_tokens: needs a value"),
        (["--training.block_length", "100"], "at most 64"),
        (["--model.encoder", "package:no_such_encoder"], "pip install no-such-encoder"),
        (["--paths.train", "missing.jsonl"], "missing.jsonl"),
        (["--masker.@misc", "nope.v1"], "nope.v1"),
    ],
)
def test_faults_end_with_one_line(config_file, overrides, message):
    code, text = call(config_file, *overrides)
    assert code == 1
    assert text.startswith("Error: ") and message in text
    assert text.count("\n") == 1


def test_encoder_without_tokenizer_ends_with_one_line(config_file, tiny_encoder, tmp_path):
    bare = tmp_path / "bare"
    bare.mkdir()
    for name in ("config.json", "model.safetensors"):
        shutil.copy(tiny_encoder / name, bare)
    code, text = call(config_file, "--model.encoder", bare)
    assert code == 1 and "has no tokenizer" in text and text.count("\n") == 1
