"""Two workers on the CPU (gloo) against one: the same losses, and all end when one fails."""

import json
import os
import signal
import subprocess
import sys

import pytest
import torch
from typer.testing import CliRunner

from spacy_spanmed.cli import app
from spacy_spanmed.pretraining import checkpoints, evaluation
from spacy_spanmed.pretraining import distributed as workers
from spacy_spanmed.pretraining import run as run_module
from spacy_spanmed.pretraining.model import PretrainingModel
from spacy_spanmed.pretraining.trainer import PretrainingTrainer
from tests.pretraining.processes import run, start_workers

STEPS = 8
SHORT = {
    "training.total_tokens": STEPS * 8 * 32,
    "training.log_every": 1,
    "training.checkpoint_every": 4,
    "training.dev_blocks": 8,
}
DROPOUT = {**SHORT, "model.dropout": 0.1}


def places(path):
    """Overrides that put all that a run writes under a directory."""
    names = {"output": "encoder", "checkpoints": "checkpoints", "metrics": "record.json"}
    written = {f"paths.{key}": str(path / name) for key, name in names.items()}
    return {**written, "paths.cache": str(path.parent / "cache")}  # texts are tokenized once


def work(rank, config_file, tmp_path):
    """What each of two workers does; it leaves a report."""
    report = {}

    def call(name, overrides, **kwargs):
        try:
            _, output = run(config_file, {**overrides, **places(tmp_path / name)}, **kwargs)
            report[name] = {"output": output}
        except ValueError as err:
            report[name] = {"error": f"{type(err).__name__}: {err}"}
        (tmp_path / f"report_{rank}.json").write_text(json.dumps(report))

    measured = []
    original_evaluate = run_module.evaluate
    waits = []

    def evaluate(*args, **kwargs):
        measured.append(1)
        backend = torch.distributed.group.WORLD._get_backend(torch.device("cpu"))
        waits.append(backend.options._timeout.total_seconds())
        return original_evaluate(*args, **kwargs)

    run_module.evaluate = evaluate
    call("two", {**SHORT, "training.accumulate_gradient": 2})
    report["measured"], report["waits"] = len(measured), waits
    run_module.evaluate = original_evaluate
    call("missing", {**SHORT, "paths.train": str(tmp_path / "none.jsonl")})
    call("unbroken", DROPOUT)

    original_forward = PretrainingModel.forward

    def forward(self, *args, **kwargs):
        output = original_forward(self, *args, **kwargs)
        broken = self.training and rank == 1
        return {**output, "loss": output["loss"] * float("nan")} if broken else output

    PretrainingModel.forward = forward
    call("nan", SHORT)
    PretrainingModel.forward = original_forward

    original_loss = PretrainingTrainer.compute_loss

    def compute_loss(self, *args, **kwargs):
        if rank == 1 and self.state.global_step == 6:
            os.kill(os.getpid(), signal.SIGKILL)
        return original_loss(self, *args, **kwargs)

    PretrainingTrainer.compute_loss = compute_loss
    call("killed", DROPOUT)


def go_on(rank, config_file, tmp_path):
    run(config_file, {**DROPOUT, **places(tmp_path / "killed")})


def read_record(path):
    return json.loads((path / "record.json").read_text())


def test_two_workers(config_file, tmp_path):
    one, _ = run(config_file, {**SHORT, **places(tmp_path / "one")})
    processes = start_workers(work, config_file, tmp_path)
    for process in processes:
        process.join(300)
    assert [p.exitcode for p in processes] == [0, -signal.SIGKILL]
    main, other = (json.loads((tmp_path / f"report_{r}.json").read_text()) for r in (0, 1))

    # the same losses, step by step, though the parts of a batch, two for each worker, have
    # different numbers of targets
    two = read_record(tmp_path / "two")
    assert two["processes"] == 2
    for entry, expected in zip(two["curve"], one["curve"], strict=True):
        for key in ("loss", "mlm_loss", "sbo_loss", "grad_norm", "learning_rate", "tokens"):
            assert entry[key] == pytest.approx(expected[key], rel=1e-5), (entry["step"], key)
    after, expected = (r["heldout"]["after"]["span"]["loss"] for r in (two, one))
    assert after == pytest.approx(expected, rel=1e-5)

    # one of them talks, measures and writes
    assert f"step {STEPS}/{STEPS}" in main["two"]["output"] and other["two"]["output"] == ""
    assert (main["measured"], other["measured"]) == (2, 0)
    assert set(main["waits"]) == {24 * 3600}  # for what may take the main one hours

    # all end together
    assert "none.jsonl' do not exist" in main["missing"]["error"]
    assert other["missing"]["error"].startswith("StoppedByMain: ")
    for report in (main, other):
        assert report["nan"]["error"].startswith("ValueError: The loss became nan at step 1,")
    assert "Worker 0 lost another worker" in main["killed"]["error"]
    assert "killed" not in other

    # and go on exactly where they were
    kept = checkpoints.newest_complete(tmp_path / "killed" / "checkpoints")
    assert kept.name == "checkpoint-4"
    for process in (again := start_workers(go_on, config_file, tmp_path)):
        process.join(300)
    assert [p.exitcode for p in again] == [0, 0]
    whole, resumed = read_record(tmp_path / "unbroken"), read_record(tmp_path / "killed")
    for entry, expected in zip(resumed["curve"], whole["curve"], strict=True):
        for key in ("loss", "mlm_loss", "sbo_loss", "grad_norm"):
            assert entry[key] == expected[key], (entry["step"], key)


def test_one_worker_needs_no_others(monkeypatch):
    assert workers.on_main(lambda: evaluation.EVALUATION_SEED) == evaluation.EVALUATION_SEED
    with pytest.raises(RuntimeError, match="gloo"), workers.lost_worker_explained():
        raise RuntimeError("gloo, but there is nobody to lose")


@pytest.mark.parametrize(
    "error, text",
    [
        (ValueError("The loss became nan."), "Error: [worker 1] The loss became nan.\n"),
        (OSError(28, "No space left", "a.json"), "Error: [worker 1] a.json: No space left.\n"),
        (workers.StoppedByMain("The reason"), ""),  # the main worker tells it
    ],
)
def test_errors_of_a_worker_name_it(config_file, monkeypatch, error, text):
    def fail(*args, **kwargs):
        raise error

    monkeypatch.setenv("RANK", "1")
    monkeypatch.setattr(run_module, "pretrain", fail)
    result = CliRunner().invoke(app, ["pretrain", str(config_file)])
    assert (result.exit_code, result.output) == (1, text)


@pytest.mark.parametrize(
    "launcher",
    [
        ["torch.distributed.run", "--standalone", "--nproc-per-node", "2"],
        ["accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"],
    ],
)
def test_launchers_as_the_readme_gives_them(config_file, tmp_path, launcher):
    overrides = ["--training.total_tokens", "2560", "--training.dev_blocks", "4"]
    command = [sys.executable, "-m", *launcher, "-m", "spacy_spanmed", "pretrain", config_file]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run([*command, *overrides], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    record = json.loads((tmp_path / "metrics" / "pretraining.json").read_text())
    assert record["processes"] == 2 and record["tokens"] == 2560
    assert done.stdout.count("step 10/10") == 1  # one worker speaks for both
