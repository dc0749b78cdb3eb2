"""Killed, torn and full: the same command again gives what an uninterrupted run gives."""

import errno
import json
import os
import resource
import signal
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from spacy_spanmed.encoder.cpu import machine as precision_module
from spacy_spanmed.pretraining import checkpoints
from spacy_spanmed.pretraining import run as run_module
from spacy_spanmed.pretraining.model import PretrainingModel
from spacy_spanmed.pretraining.trainer import PretrainingTrainer
from tests.pretraining.processes import run, start

EXACT = {
    "model.dropout": 0.1,
    "training.total_tokens": 20 * 8 * 32,
    "training.log_every": 1,
    "training.checkpoint_every": 5,
    "training.dev_blocks": 8,
}


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


def assert_same(result, whole, encoder, whole_encoder):
    """Bit for bit: every logged figure of every step but the time, and the weights."""
    assert [e["step"] for e in result["curve"]] == [e["step"] for e in whole["curve"]]
    for entry, expected in zip(result["curve"], whole["curve"], strict=True):
        for key in ("loss", "mlm_loss", "sbo_loss", "grad_norm", "learning_rate", "tokens"):
            assert entry[key] == expected[key], (entry["step"], key)
    assert result["heldout"] == whole["heldout"]
    for name in ("model.safetensors", "pretraining_heads.safetensors"):
        ours, theirs = load_file(encoder / name), load_file(whole_encoder / name)
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[key], theirs[key]) for key in ours), name


def die(*args, **kwargs):
    os.kill(os.getpid(), signal.SIGKILL)


def die_at(moment, config_file, output):
    """Run, and be killed at a moment."""
    if moment == "in step 3":
        original_loss = PretrainingTrainer.compute_loss

        def compute_loss(self, *args, **kwargs):
            return die() if self.state.global_step == 2 else original_loss(self, *args, **kwargs)

        PretrainingTrainer.compute_loss = compute_loss
    elif moment == "while checkpoint 10 is written":
        original_save = torch.save

        def save(value, path, *args, **kwargs):
            original_save(value, path, *args, **kwargs)
            if str(path).endswith("checkpoint-10/optimizer.pt"):
                os.truncate(path, os.path.getsize(path) // 2)
                die()

        torch.save = save
    elif moment == "while checkpoint 5 is deleted":
        original_delete = checkpoints.delete

        def delete(path):
            if path.name == "checkpoint-5":
                os.truncate(path / "model.safetensors", 100)
                die()
            original_delete(path)

        checkpoints.delete = delete
    elif moment == "before the result is in place":
        run_module.publish = die
    elif moment == "before the record is written":
        run_module.write_results = die
    with output.open("w") as out:
        run(config_file, EXACT, output=out)


def test_run_killed_at_every_kind_of_moment_equals_an_unbroken_one(config_file, tmp_path):
    whole, _ = run(config_file, {**EXACT, "paths.output": str(tmp_path / "whole")})
    record, directory = tmp_path / "metrics" / "pretraining.json", tmp_path / "checkpoints"
    record.unlink()
    output = tmp_path / "output.txt"
    for moment, kept in (
        ("in step 3", []),
        ("at any time", None),
        ("while checkpoint 10 is written", [5]),
        ("while checkpoint 5 is deleted", [15, 10]),
        ("before the result is in place", [20, 15]),
        ("before the record is written", [20, 15]),
    ):
        process = start(die_at, moment, config_file, output)
        if moment == "at any time":
            while process.is_alive() and not (directory / "checkpoint-5").exists():
                process.join(0.005)
            process.kill()
        process.join(300)
        assert process.exitcode == -signal.SIGKILL, moment
        found = checkpoints.list_checkpoints(directory)
        good = [p.name for p in found if checkpoints.find_fault(p) is None]
        assert kept is None or good == [f"checkpoint-{step}" for step in kept], moment
        assert (tmp_path / "encoder").exists() == (moment == "before the record is written")
        if moment == "while checkpoint 5 is deleted":
            weights = directory / "checkpoint-15" / "model.safetensors"
            weights.write_bytes(weights.read_bytes()[:-10])
            (directory / "checkpoint-9999").mkdir()
        elif moment == "before the result is in place":
            text = output.read_text()
            assert "checkpoint-9999 cannot be used: it was not written to its end." in text
            assert "checkpoint-15 cannot be used: model.safetensors has" in text
            assert "Going on from checkpoint-10." in text
    result, text = run(config_file, EXACT)
    assert "finished result" in text
    assert json.loads(record.read_text()) == result
    assert_same(result, whole, tmp_path / "encoder", tmp_path / "whole")
    assert not list(directory.iterdir())
    assert not [p.name for p in tmp_path.iterdir() if p.name.endswith((".tmp", ".old"))]


@pytest.fixture
def file_size_limit():
    """Let files grow to a limit only, which is what a full disk looks like to a writer."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("part", ["model.safetensors", "optimizer.pt", "manifest.json"])
def test_full_disk_stops_with_the_last_checkpoint_whole(
    config_file, tmp_path, monkeypatch, file_size_limit, part
):
    directory = tmp_path / "checkpoints"
    original = PretrainingTrainer._save_checkpoint
    sizes = {"model.safetensors": 20_000, "optimizer.pt": 150_000, "manifest.json": 10**9}

    def save_checkpoint(self, *args):
        if self.state.global_step == 10:
            file_size_limit(sizes[part])
            if part == "manifest.json":
                patch.setattr(checkpoints, "write_json", full)
        return original(self, *args)

    def full(path, value):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    with monkeypatch.context() as patch:
        patch.setattr(PretrainingTrainer, "_save_checkpoint", save_checkpoint)
        with pytest.raises(ValueError, match="checkpoint-10' could not be written: ") as error:
            run(config_file, EXACT)
    file_size_limit(resource.RLIM_INFINITY)
    assert "Free some space" in str(error.value) and "from checkpoint-5, " in str(error.value)
    reason = {"model.safetensors": "File too large", "manifest.json": "No space left"}
    assert reason.get(part, "disk full?") in str(error.value)
    assert [p.name for p in checkpoints.list_checkpoints(directory)] == ["checkpoint-5"]
    assert checkpoints.find_fault(directory / "checkpoint-5") is None


def test_full_disk_at_the_end_costs_no_training(config_file, tmp_path, monkeypatch):
    def full(*args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(run_module, "save_encoder", full)
        with pytest.raises(ValueError, match="No space left.*Free some space"):
            run(config_file, EXACT)
    assert not [p for p in tmp_path.iterdir() if p.name.endswith(".tmp")]
    _, output = run(config_file, EXACT)
    assert "Going on from checkpoint-20." in output and "step 20" not in output


def test_checkpoints_of_another_config_are_refused_until_restart(
    config_file, tmp_path, monkeypatch
):
    with monkeypatch.context() as patch:
        kill_in_step(patch, 15)
        with pytest.raises(Killed):
            run(config_file)
    with pytest.raises(ValueError, match="--restart") as error:
        run(config_file, {"training.learn_rate": 1e-3, "model.dropout": 0.5})
    message = str(error.value)
    assert "training.learn_rate = 0.003 instead of 0.001" in message
    assert "model.dropout" in message and "head_learn_rate" not in message
    texts = Path(tmp_path / "train.jsonl")
    texts.write_text(texts.read_text() + '{"text": "ka lo"}\n')
    with pytest.raises(ValueError, match="with other content of train: go on"):
        run(config_file)
    result, output = run(config_file, restart=True)
    assert result["steps"] == 30 and "Going on" not in output


@pytest.mark.parametrize("value", ["nan", "inf"])
def test_loss_that_is_not_a_number_stops_the_run(config_file, tmp_path, monkeypatch, value):
    original = PretrainingModel.forward

    def forward(self, *args, **kwargs):
        output = original(self, *args, **kwargs)
        return {**output, "loss": output["loss"] * float(value)} if self.training else output

    monkeypatch.setattr(PretrainingModel, "forward", forward)
    with pytest.raises(ValueError, match=f"became {value} at step 1.*learn_rate"):
        run(config_file)
    assert not (tmp_path / "encoder").exists()


def test_broken_weights_are_not_saved(config_file, tmp_path, monkeypatch):
    """A finite loss can have a gradient that is not."""
    original = PretrainingTrainer.training_step

    def training_step(self, model, *args, **kwargs):
        loss = original(self, model, *args, **kwargs)
        if self.state.global_step + 1 == 20:
            model.decoder_bias.grad[0] = float("inf")
        return loss

    monkeypatch.setattr(PretrainingTrainer, "training_step", training_step)
    with pytest.raises(ValueError, match="weights are no finite numbers after step 20"):
        run(config_file)
    kept = checkpoints.list_checkpoints(tmp_path / "checkpoints")
    assert [p.name for p in kept] == ["checkpoint-10"]


def test_log_between_checkpoints_does_not_depend_on_the_interruption(
    config_file, tmp_path, monkeypatch
):
    overrides = {**EXACT, "training.log_every": 3}
    whole, _ = run(config_file, {**overrides, "paths.output": str(tmp_path / "whole")})
    assert [e["step"] for e in whole["curve"]] == [3, 5, 6, 9, 10, 12, 15, 18, 20]
    with monkeypatch.context() as patch:
        kill_in_step(patch, 14)
        with pytest.raises(Killed):
            run(config_file, overrides)
    result, _ = run(config_file, overrides)
    assert_same(result, whole, tmp_path / "encoder", tmp_path / "whole")


def test_precision_stays_that_of_the_beginning(config_file, tmp_path, monkeypatch):
    """Where "auto" means another one."""
    overrides = {**EXACT, "training.precision": "auto"}
    monkeypatch.setattr(precision_module, "bf16_pays", lambda device: False)
    whole, _ = run(config_file, {**overrides, "paths.output": str(tmp_path / "whole")})
    assert whole["precision"] == "float32"
    with monkeypatch.context() as patch:
        kill_in_step(patch, 14)
        with pytest.raises(Killed):
            run(config_file, overrides)
    monkeypatch.setattr(precision_module, "bf16_pays", lambda device: True)
    result, text = run(config_file, overrides)
    assert "Going on in float32, in which the run began; bfloat16 would be faster here." in text
    assert result["precision"] == "float32"
    assert_same(result, whole, tmp_path / "encoder", tmp_path / "whole")
    other, text = run(config_file, overrides, restart=True)
    assert other["precision"] == "bfloat16" and "Going on" not in text


@pytest.mark.parametrize("threads, precision", [(1, "bfloat16"), (2, "float32")])
def test_interrupted_run_by_documents_is_exact(
    config_file, tmp_path, monkeypatch, threads, precision
):
    overrides = {**EXACT, "data.join_documents": False, "training.precision": precision}
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        whole, _ = run(config_file, {**overrides, "paths.output": str(tmp_path / "whole")})
        with monkeypatch.context() as patch:
            kill_in_step(patch, 13)
            with pytest.raises(Killed):
                run(config_file, overrides)
        result, text = run(config_file, overrides)
    finally:
        torch.set_num_threads(before)
    assert "Going on from checkpoint-10." in text
    assert_same(result, whole, tmp_path / "encoder", tmp_path / "whole")


def test_rhythm_is_that_of_the_settings(config_file, monkeypatch):
    with monkeypatch.context() as patch:
        kill_in_step(patch, 14)
        with pytest.raises(Killed):
            run(config_file, {**EXACT, "training.log_every": 5})
    saved = []
    original = checkpoints.seal
    monkeypatch.setattr(checkpoints, "seal", lambda path: (saved.append(path.name), original(path)))
    rhythm = {"training.log_every": 3, "training.checkpoint_every": 4}
    result, _ = run(config_file, {**EXACT, **rhythm})
    assert [entry["step"] for entry in result["curve"]] == [5, 10, 12, 15, 16, 18, 20]
    assert saved == ["checkpoint-12", "checkpoint-16", "checkpoint-20"]
