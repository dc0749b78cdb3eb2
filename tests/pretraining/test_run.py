"""Whole runs of a tiny model: result, record, refusals."""

import json
from datetime import datetime, timedelta, timezone

import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from spacy_spanmed.pretraining import checkpoints
from spacy_spanmed.pretraining.run import keep_precision
from spacy_spanmed.util.files import write_json
from tests.pretraining.conftest import make_texts, write_jsonl
from tests.pretraining.processes import run
from tests.pretraining.test_resume import EXACT


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
    age = datetime.now(timezone.utc) - datetime.fromisoformat(result["date"])
    assert timedelta(0) <= age < timedelta(minutes=10) and result["date"].endswith("+00:00")
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


@pytest.mark.parametrize(
    "output, message",
    [
        ("folder", "is not the result of a pretraining"),
        ("folder/notes.txt", "is not the result of a pretraining"),
        (".", "paths.checkpoints"),
        ("checkpoints", "paths.checkpoints"),
        ("cache/..", "paths.checkpoints"),
    ],
)
def test_output_must_be_a_folder_of_its_own(config_file, tmp_path, monkeypatch, output, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "notes.txt").write_text("dear")
    with pytest.raises(ValueError, match=message):
        run(config_file, {"paths.output": output})
    assert (tmp_path / "folder" / "notes.txt").read_text() == "dear"
    assert not (tmp_path / "checkpoints").exists()


def test_cache_inside_the_output(config_file, tmp_path):
    with pytest.raises(ValueError, match="paths.cache"):
        run(config_file, {"paths.cache": str(tmp_path / "encoder" / "cache")})


@pytest.mark.parametrize("content", ["", '{"text": "ka lo"}\n'])
def test_too_little_text(config_file, tmp_path, content):
    (tmp_path / "train.jsonl").write_text(content)
    with pytest.raises(ValueError, match="train.jsonl.*less than one sequence"):
        run(config_file)


def test_uneven_batch(config_file):
    with pytest.raises(ValueError, match="multiple of 3"):
        run(config_file, {"training.accumulate_gradient": 3})


def test_accumulated_batch_learns_the_same(config_file):
    """The parts of a batch have different numbers of targets, and count by them."""
    short = {"training.total_tokens": 10 * 8 * 32, "training.log_every": 1}
    whole, _ = run(config_file, short)
    split, _ = run(config_file, {**short, "training.accumulate_gradient": 4}, restart=True)
    for entry, expected in zip(split["curve"], whole["curve"], strict=True):
        for key in ("loss", "mlm_loss", "sbo_loss", "grad_norm"):
            assert entry[key] == pytest.approx(expected[key], rel=1e-5), (entry["step"], key)


def test_precision_of_an_earlier_run_does_not_stay(config_file):
    short = {"training.total_tokens": 2 * 8 * 32, "training.log_every": 1}
    first, _ = run(config_file, {**short, "training.precision": "float32"})
    run(config_file, {**short, "training.precision": "bfloat16"}, restart=True)
    again, _ = run(config_file, {**short, "training.precision": "float32"}, restart=True)
    losses = [[entry["loss"] for entry in result["curve"]] for result in (first, again)]
    assert losses[0] == losses[1]


def test_held_out_share_of_the_training_texts(config_file):
    overrides = {"paths.dev": [], "data.held_out": 0.2, "training.total_tokens": 1000}
    result, output = run(config_file, overrides)
    train, dev = (result["data"][role]["texts"] for role in ("train", "dev"))
    read = train["documents_read"] - train["documents_duplicate"]
    assert train["documents_kept"] == dev["documents_other_side"] > 100
    assert dev["documents_kept"] == train["documents_other_side"] > 20
    assert train["documents_kept"] + dev["documents_kept"] == read
    assert "on the other side of the split" in " ".join(output.split())
    assert result["heldout"]["after"]["span"]["loss"] > 0


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


def test_number_of_workers_is_compared(tmp_path):
    (tmp_path / "checkpoint-5").mkdir()
    write_json(tmp_path / checkpoints.RUN_FILE, {"processes": 2})
    told = []
    assert keep_precision(tmp_path, "float32", 3, told.append) == "float32"
    assert len(told) == 1 and "began with 2 worker(s), now it has 3" in told[0]
