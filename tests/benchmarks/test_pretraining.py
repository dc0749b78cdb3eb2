import json

import numpy as np
import pytest
from typer.testing import CliRunner

from benchmarks import cli as bench
from benchmarks import pretraining, stock_mlm
from benchmarks.cli import app
from benchmarks.pretraining import Clock
from spacy_spanmed.pretraining.config import Training
from tests.pretraining.conftest import make_texts, write_jsonl

SIZES = ["--block-length", "32", "--batch-size", "4", "--steps", "2", "--rounds", "2"]


def run(*args):
    return CliRunner().invoke(app, ["pretrain", *map(str, args)])


def test_stock_blocks_are_the_joined_texts(tokenizer):
    texts = make_texts(10)
    blocks = stock_mlm.group_texts(texts, tokenizer, 32)
    stream = [i for text in texts for i in tokenizer(text)["input_ids"]]
    assert len(blocks) == len(stream) // 32
    joined = [i for row in blocks for i in row["input_ids"]]
    assert joined == stream[: len(joined)]
    special = [i for row in blocks for i in row["special_tokens_mask"]]
    assert np.array_equal(np.isin(joined, tokenizer.all_special_ids), np.array(special) == 1)


def test_both_recipes_are_measured_by_the_same_code(tiny_encoder):
    model = stock_mlm.load_stock_model(str(tiny_encoder))
    ours = stock_mlm.as_pretraining_model(model, 32)
    assert ours.encoder is model.bert
    state = model.state_dict()
    assert ours.mlm.dense.weight.equal(state["cls.predictions.transform.dense.weight"])
    assert ours.decoder_bias.equal(state["cls.predictions.bias"])


def test_stock_takes_our_optimizer_if_told(tiny_encoder, tokenizer, tmp_path):
    def make(**settings):
        model = stock_mlm.load_stock_model(str(tiny_encoder))
        blocks = stock_mlm.group_texts(make_texts(10), tokenizer, 32)
        sizes = {"collator": "token", "batch_size": 2, "steps": 20, "seed": 0}
        return model, stock_mlm.make_stock_trainer(
            model, tokenizer, blocks, output=str(tmp_path), **sizes, **settings
        )

    _, trainer = make()
    assert trainer.optimizer is None and trainer.args.learning_rate == 5e-5
    assert trainer.args.warmup_steps == 0
    training = Training(total_tokens=1, learn_rate=0.25, head_learn_rate=0.5, warmup=0.1)
    model, trainer = make(optimize_like=training)
    assert trainer.args.warmup_steps == 2
    groups = trainer.create_optimizer().param_groups
    rates = {id(p): group["lr"] for group in groups for p in group["params"]}
    assert len(rates) == len(list(model.parameters()))
    for name, parameter in model.named_parameters():
        assert rates[id(parameter)] == (0.25 if name.startswith("bert.") else 0.5), name


def test_clock_leaves_the_warm_up_out():
    clock = Clock()
    clock.ends = [0.0, 9.0, 10.0, 12.0, 13.0]
    assert clock.seconds() == 1.0


def test_bench_pretrain(config_file, tmp_path):
    record = tmp_path / "bench.json"
    result = run(config_file, *SIZES, "--loss-tokens", "500", "--seeds", "1", "--json", record)
    assert result.exit_code == 0, result.output
    figures = json.loads(record.read_text())
    ratios = [row["ours"] / row["stock"] for row in figures["rounds"]]
    assert figures["ratio"] == pytest.approx(np.median(ratios), rel=0.01)
    assert len(ratios) == 2
    assert 0 < figures["masking_share"] < 1
    assert figures["masking"]["ratio"] > 0
    costs = [row["ours_token"] / row["ours"] for row in figures["rounds"]]
    assert figures["to_token_masks"] == pytest.approx(np.median(costs), rel=0.01)
    # One untrained model, measured by the same masks: neither can be far from the other.
    losses = figures["losses"]["1"]
    assert losses.keys() == {"ours", "ours_token", "stock", "stock_rates"}
    assert losses["ours"].keys() == losses["stock"].keys() == {"token", "whole_word", "span"}
    assert losses["ours"]["token"] == pytest.approx(losses["stock"]["token"], abs=1.5)
    assert f"{figures['ratio']:.2f} x" in result.output


def test_stock_is_timed_in_a_process_of_its_own(config_file, monkeypatch):
    def fail(*args, **kwargs):
        raise AssertionError("stock ran in the process of ours")

    monkeypatch.setattr(stock_mlm, "make_stock_trainer", fail)
    result = run(config_file, *SIZES[:-1], "1")
    assert result.exit_code == 0, result.output


def test_the_commit_is_that_of_the_start(config_file, tmp_path, monkeypatch):
    commits = iter(["first", "checked out meanwhile"])
    monkeypatch.setattr(bench, "git_commit", lambda: next(commits))
    figures = {"ours": 2.0, "stock": 1.0, "ratio": 2.0, "masking_share": 0.1, "to_token_masks": 1.0}
    monkeypatch.setattr(
        pretraining, "run_benchmark", lambda *args, **kwargs: {**figures, "masking": {"ratio": 1}}
    )
    record = tmp_path / "bench.json"
    result = run(config_file, "--json", record)
    assert result.exit_code == 0, result.output
    assert json.loads(record.read_text())["commit"] == "first"


def test_errors_in_one_line(config_file, tmp_path):
    few = tmp_path / "few.jsonl"
    write_jsonl(few, make_texts(19))
    for arguments, message in (
        ((tmp_path / "none.cfg",), "does not exist"),
        ((config_file, "--collator", "letters"), "No stock collator 'letters'"),
        ((config_file, "--batch-size", "100000"), "less than one step"),
        ((config_file, "--text", tmp_path / "none"), "none"),
        ((config_file, "--text", few, "--loss-tokens", "500"), "0 held-out texts"),
    ):
        result = run(*SIZES, *arguments)
        assert result.exit_code == 1
        assert message in result.output and "Traceback" not in result.output
