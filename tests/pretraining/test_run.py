"""Whole runs of a tiny model: result, record, interruption, refusals."""

import json
import os
import signal
import subprocess
import sys
import time
from io import StringIO

import pytest
import torch
from rich.console import Console
from transformers import AutoModel, AutoTokenizer

from spacy_spanmed.pretraining import checkpoints
from spacy_spanmed.pretraining import run as run_module
from spacy_spanmed.pretraining.config import load_settings
from spacy_spanmed.pretraining.objectives import PretrainingModel
from spacy_spanmed.pretraining.run import pretrain
from spacy_spanmed.pretraining.trainer import PretrainingTrainer


def run(config_file, overrides=None, **kwargs):
    settings, source = load_settings(config_file, overrides)
    out = StringIO()
    result = pretrain(settings, source, console=Console(file=out, width=200), **kwargs)
    return result, out.getvalue()


def losses(result):
    return [(e["step"], e["loss"], e["mlm_loss"], e["sbo_loss"]) for e in result["curve"]]


def test_run_learns_and_publishes_a_hugging_face_directory(config_file, tmp_path, tiny_encoder):
    overrides = {"training.total_tokens": 40_000}
    result, output = run(config_file, overrides)
    before, after = result["heldout"]["before"], result["heldout"]["after"]
    for masker in ("token", "whole_word", "span"):
        assert after[masker]["loss"] < before[masker]["loss"] - 0.05
        assert after[masker]["targets"] > 100
    assert after["span"]["sbo_loss"] < before["span"]["sbo_loss"]
    assert result["steps"] == result["curve"][-1]["step"] == 157
    assert result["tokens"] == 157 * 8 * 32
    assert "tokens/s" in output and "SBO" in output and "left" in output

    assert json.loads((tmp_path / "metrics" / "pretraining.json").read_text()) == result
    encoder = AutoModel.from_pretrained(tmp_path / "encoder")
    start = AutoModel.from_pretrained(tiny_encoder)
    assert set(encoder.state_dict()) == set(start.state_dict())
    assert not torch.equal(
        encoder.get_input_embeddings().weight, start.get_input_embeddings().weight
    )
    assert AutoTokenizer.from_pretrained(tmp_path / "encoder").mask_token == "[MASK]"
    assert not checkpoints.list_checkpoints(tmp_path / "checkpoints")

    # the same config again: finished, and quick
    again, output = run(config_file, overrides)
    assert again == result and "finished" in output

    # another stage takes the heads up
    more, _ = run(
        config_file,
        {
            "model.encoder": str(tmp_path / "encoder"),
            "paths.output": str(tmp_path / "second"),
            "paths.checkpoints": str(tmp_path / "second_checkpoints"),
        },
    )
    assert "mlm.dense.weight" in more["head_weights_taken_over"]
    assert more["heldout"]["before"]["span"]["loss"] == pytest.approx(
        after["span"]["loss"], abs=1e-4
    )


@pytest.mark.parametrize("masker", ["TokenMasker", "WholeWordMasker"])
def test_other_maskers_run_without_the_boundary_objective(config_file, masker):
    text = config_file.read_text().replace("SpanMasker", masker)
    config_file.write_text(text.replace("sbo_position_width = 8", "sbo_weight = 0.0"))
    result, _ = run(config_file)
    assert "sbo_loss" not in result["heldout"]["after"]["span"]
    assert "sbo_loss" not in result["curve"][-1]


def test_frozen_encoder_stays_as_it_was(config_file, tmp_path, tiny_encoder):
    result, _ = run(config_file, {"training.freeze_encoder": True})
    assert result["trained"] == "heads"
    start, end = (
        AutoModel.from_pretrained(p).state_dict() for p in (tiny_encoder, tmp_path / "encoder")
    )
    assert all(torch.equal(start[key], end[key]) for key in start)
    assert result["heldout"]["after"]["span"]["loss"] != result["heldout"]["before"]["span"]["loss"]


class Killed(Exception):
    pass


def kill_in_step(monkeypatch, step):
    """Let the training of one run end without warning in a step."""
    original = PretrainingTrainer.compute_loss

    def compute_loss(self, *args, **kwargs):
        if self.state.global_step + 1 == step:
            raise Killed
        return original(self, *args, **kwargs)

    monkeypatch.setattr(PretrainingTrainer, "compute_loss", compute_loss)


@pytest.mark.parametrize("step", [7, 17, 30])
def test_interrupted_run_has_the_curve_of_an_unbroken_one(config_file, tmp_path, monkeypatch, step):
    whole, _ = run(config_file, {"paths.output": str(tmp_path / "whole")})
    with monkeypatch.context() as patch:
        kill_in_step(patch, step)
        with pytest.raises(Killed):
            run(config_file)
    assert not (tmp_path / "encoder").exists()
    resumed, output = run(config_file)
    kept = (step - 1) // 10 * 10
    assert (f"Going on from checkpoint-{kept}" in output) == (kept > 0)
    assert resumed["steps"] == whole["steps"] == 30
    for ours, expected in zip(losses(resumed), losses(whole), strict=True):
        assert ours == pytest.approx(expected, abs=2e-4)
    first, second = (
        AutoModel.from_pretrained(tmp_path / n).state_dict() for n in ("whole", "encoder")
    )
    assert all(torch.allclose(first[key], second[key], atol=1e-5) for key in first)


def test_sigkill_and_torn_checkpoint(config_file, tmp_path):
    overrides = {"training.total_tokens": 25_600, "training.checkpoint_every": 5}
    code = (
        "import sys; from pathlib import Path\n"
        "from spacy_spanmed.pretraining.config import load_settings\n"
        "from spacy_spanmed.pretraining.run import pretrain\n"
        f"pretrain(*load_settings(Path(sys.argv[1]), {overrides!r}))\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(config_file)],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    directory = tmp_path / "checkpoints"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        sealed = [
            p for p in checkpoints.list_checkpoints(directory) if (p / "manifest.json").exists()
        ]
        if len(sealed) == 2:
            break
        time.sleep(0.01)
    running = process.poll() is None
    process.send_signal(signal.SIGKILL)
    _, errors = process.communicate()
    assert running, errors.decode()[-2000:]
    assert not (tmp_path / "encoder").exists()

    sealed = [p for p in checkpoints.list_checkpoints(directory) if checkpoints.is_complete(p)]
    newest, good = sealed[:2]
    weights = newest / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-10])
    (directory / "checkpoint-9999").mkdir()
    resumed, output = run(config_file, overrides)
    assert f"Going on from {good.name}." in output
    whole, _ = run(config_file, {**overrides, "paths.output": str(tmp_path / "whole")})
    assert resumed["steps"] == whole["steps"] == 100
    for ours, expected in zip(losses(resumed), losses(whole), strict=True):
        assert ours == pytest.approx(expected, abs=2e-3)


def test_checkpoints_of_another_config_are_refused_until_restart(config_file, monkeypatch):
    with monkeypatch.context() as patch:
        kill_in_step(patch, 15)
        with pytest.raises(Killed):
            run(config_file)
    other = {"training.learn_rate": 1e-3}
    with pytest.raises(ValueError, match="another config.*--restart"):
        run(config_file, other)
    result, output = run(config_file, other, restart=True)
    assert result["steps"] == 30 and "Going on" not in output


def test_loss_that_is_not_a_number_stops_the_run(config_file, tmp_path, monkeypatch):
    original = PretrainingModel.forward

    def forward(self, *args, **kwargs):
        output = original(self, *args, **kwargs)
        return {**output, "loss": output["loss"] * float("nan")} if self.training else output

    monkeypatch.setattr(PretrainingModel, "forward", forward)
    with pytest.raises(ValueError, match="became nan at step 1.*learn_rate"):
        run(config_file)
    assert not (tmp_path / "encoder").exists()


def test_kill_between_training_and_publishing(config_file, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(run_module, "publish", lambda *args: (_ for _ in ()).throw(Killed()))
        with pytest.raises(Killed):
            run(config_file)
    result, output = run(config_file)
    assert "Going on from checkpoint-30" in output
    assert result["steps"] == 30 and result["curve"][-1]["step"] == 30
    assert (tmp_path / "encoder" / "model.safetensors").is_file()
    leftovers = [p.name for p in tmp_path.iterdir() if p.name.endswith((".tmp", ".old"))]
    assert leftovers == []


@pytest.mark.parametrize("content", ["", '{"text": "ka lo"}\n'])
def test_too_little_text(config_file, tmp_path, content):
    (tmp_path / "train.jsonl").write_text(content)
    with pytest.raises(ValueError, match="train.jsonl.*less than one block"):
        run(config_file)


def test_uneven_batch(config_file):
    with pytest.raises(ValueError, match="multiple of 3"):
        run(config_file, {"training.accumulate_gradient": 3})


def test_accumulated_batch_learns_the_same(config_file, tmp_path):
    whole, _ = run(config_file)
    parts, _ = run(config_file, {"training.accumulate_gradient": 2}, restart=True)
    ends = [r["heldout"]["after"]["span"]["loss"] for r in (whole, parts)]
    assert ends[0] == pytest.approx(ends[1], abs=0.05)
