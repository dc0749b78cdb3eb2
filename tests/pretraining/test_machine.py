"""A run that goes on elsewhere, beside another one, or on texts it can't read."""

import json
import re
import shutil
import warnings

import pytest
import torch
from filelock import FileLock
from safetensors.torch import load_file

from spacy_spanmed.encoder.cpu import precision as precision_module
from spacy_spanmed.pretraining import checkpoints, machine
from spacy_spanmed.pretraining.encoder_files import load_encoder
from spacy_spanmed.pretraining.model import PretrainingModel
from tests.pretraining.conftest import make_texts, write_jsonl
from tests.pretraining.processes import run
from tests.pretraining.test_resume import EXACT, Killed, assert_same, kill_in_step


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


def test_number_of_workers_is_compared(tmp_path, config_file):
    settings = type("Settings", (), {"training": type("T", (), {"precision": "float32"})})
    (tmp_path / "checkpoint-5").mkdir()
    (tmp_path / checkpoints.RUN_FILE).write_text(json.dumps({"processes": 2}))
    told = []
    workers = type("Workers", (), {"num_processes": 3})
    assert machine.keep_precision(tmp_path, settings, workers, told.append) == "float32"
    assert len(told) == 1 and "began with 2 worker(s), now it has 3" in told[0]


def test_one_folder_of_checkpoints_is_for_one_run(config_file, tmp_path):
    directory = tmp_path / "checkpoints"
    directory.mkdir()
    with FileLock(directory / machine.LOCK_FILE):
        with pytest.raises(ValueError, match="Another run is at work in .*--paths.checkpoints"):
            run(config_file)
    run(config_file, EXACT)
    assert not list(directory.iterdir())


def test_after_a_broken_loss_the_last_weights_can_be_used(config_file, tmp_path, monkeypatch):
    def forward(self, *args, **kwargs):
        output = model_forward(self, *args, **kwargs)
        calls.append(self.training)
        broken = self.training and sum(calls) == 13
        return {**output, "loss": output["loss"] * float("nan")} if broken else output

    calls, model_forward = [], PretrainingModel.forward
    with monkeypatch.context() as patch:
        patch.setattr(PretrainingModel, "forward", forward)
        with pytest.raises(ValueError, match="became nan at step 13") as error:
            run(config_file, EXACT)
    kept = tmp_path / "checkpoints" / "checkpoint-10"
    assert checkpoints.find_fault(kept) is None
    (name,) = re.findall(r"--model.encoder (\S+) with other --paths.checkpoints", str(error.value))
    assert name == str(kept)
    weights = load_file(kept / "model.safetensors")
    loaded = load_encoder(name, block_length=32)
    for key, value in loaded.model.state_dict().items():
        assert torch.equal(value, weights[f"encoder.{key}"]), key
    assert torch.equal(loaded.heads["decoder_bias"], weights["decoder_bias"])
    again = {"model.encoder": name, "paths.checkpoints": str(tmp_path / "other")}
    result, _ = run(config_file, {**EXACT, **again, "training.learn_rate": 1e-4})
    assert "decoder_bias" in result["head_weights_taken_over"]
    (kept / "model.safetensors").write_bytes(b"torn")
    with pytest.raises(ValueError, match="checkpoint-10' cannot be used: model.safetensors has"):
        load_encoder(name, block_length=32)


def test_checkpoint_alone_does_not_tell_its_encoder(tmp_path):
    checkpoint = tmp_path / "checkpoint-5"
    checkpoint.mkdir()
    (checkpoint / "model.safetensors").write_bytes(b"")
    checkpoints.seal(checkpoint)
    with pytest.raises(ValueError, match="does not tell which encoder it continues"):
        load_encoder(str(checkpoint), block_length=32)


@pytest.mark.parametrize(
    "texts", [["Wörter, die niemand kennt"] * 200, [" ".join(["ka" * 45] * 50)] * 20]
)
def test_texts_the_tokenizer_cannot_read_are_refused(config_file, tmp_path, texts):
    write_jsonl(tmp_path / "train.jsonl", [f"{text} {i}" for i, text in enumerate(texts)])
    with pytest.raises(ValueError, match="train.jsonl' the tokenizer makes words in only"):
        run(config_file)
    assert not (tmp_path / "encoder").exists()


def test_held_out_texts_the_tokenizer_cannot_read_are_refused(config_file, tmp_path):
    write_jsonl(tmp_path / "dev.jsonl", [f"Wörter ohne Sinn Nr. {i}" for i in range(200)])
    with pytest.raises(ValueError, match="Nothing in the held-out text can be masked"):
        run(config_file)


@pytest.mark.parametrize("streaming", [False, True])
def test_held_out_texts_are_not_trained_on(config_file, tmp_path, streaming):
    texts, dev = make_texts(100), make_texts(60, seed=1)
    write_jsonl(tmp_path / "train.jsonl", [*texts, *(f"  {text.upper()}" for text in dev[:20])])
    result, _ = run(config_file, {**EXACT, "data.streaming": streaming, "data.shuffle_buffer": 8})
    report = result["data"]["train"]["texts"]
    assert report["documents_in_dev"] == 20 or (streaming and report["documents_in_dev"] > 0)
    assert result["data"]["dev"]["texts"]["documents_in_dev"] == 0


def test_doubtful_tokenizers_are_warned_of(tiny_encoder, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(tiny_encoder, other)
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps({**config, "pad_token_id": 3}))
    with pytest.warns(UserWarning, match="pads with id 0, the model with 3: if it is not the one"):
        load_encoder(str(other), block_length=32)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        load_encoder(str(tiny_encoder), block_length=32)


def test_head_that_only_guesses_is_warned_of():
    with pytest.warns(UserWarning, match="no better than by guessing"):
        machine.warn_of_untrained({"token": {"loss": 3.2}}, 26, "x")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        machine.warn_of_untrained({"token": {"loss": 2.5}}, 26, "x")
