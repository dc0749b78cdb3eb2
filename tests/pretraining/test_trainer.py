"""Switches that are passed on: reports, torch.compile, FSDP."""

import os

import pytest
import torch
from transformers import TrainerCallback, integrations
from transformers.trainer_utils import FSDPOption

from spacy_spanmed.pretraining import trainer
from spacy_spanmed.pretraining.config import load_settings
from spacy_spanmed.pretraining.encoder_files import load_encoder
from spacy_spanmed.pretraining.model import PretrainingModel
from spacy_spanmed.pretraining.trainer import check_arguments, training_arguments
from tests.pretraining.processes import run

SHORT = {"training.total_tokens": 2 * 8 * 32, "training.dev_blocks": 8, "training.log_every": 1}


def report_to(config_file, name):
    text = config_file.read_text()
    config_file.write_text(text + f'\n[logging]\nreport_to = ["{name}"]\n')


class Reports(TrainerCallback):
    found = []

    def on_log(self, args, state, control, logs=None, **kwargs):
        self.found.append(logs)


def test_reports_and_compile_reach_what_they_are_for(config_file, monkeypatch):
    compiled = []
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self: compiled.append(type(self)))
    monkeypatch.setattr(trainer, "find_spec", lambda name: name)
    registered = integrations.integration_utils.INTEGRATION_TO_CALLBACK
    monkeypatch.setitem(registered, "tensorboard", Reports)
    monkeypatch.setattr(Reports, "found", [])
    run(config_file, SHORT)
    assert (Reports.found, compiled) == ([], [])
    report_to(config_file, "tensorboard")
    run(config_file, {**SHORT, "training.compile": True}, restart=True)
    assert [("loss" in logs, "sbo_loss" in logs) for logs in Reports.found[:2]] == [
        (True, True)
    ] * 2
    assert [kind.__name__ for kind in compiled] == ["BertModel"]


@pytest.mark.parametrize("name", ["tensorboard", "wandb"])
def test_missing_package_is_named_before_anything_is_done(config_file, monkeypatch, name):
    monkeypatch.setattr(trainer, "find_spec", lambda package: None)
    report_to(config_file, name)
    with pytest.raises(ValueError, match=f'names "{name}".*pip install {name}'):
        run(config_file, {"paths.train": "none.jsonl"})
    with pytest.raises(ValueError, match="logging -> report_to"):
        load_settings(config_file, {"logging.report_to": ["mlflow"]})


def test_fsdp_reaches_the_trainer(config_file, monkeypatch):
    with monkeypatch.context() as patch:  # the Trainer passes them on through the environment
        patch.setattr(os, "environ", os.environ.copy())
        settings, _ = load_settings(config_file, {"training.fsdp": "full_shard auto_wrap"})
        args = training_arguments(settings, steps=1)
        assert args.fsdp == [FSDPOption.FULL_SHARD, FSDPOption.AUTO_WRAP]
        settings, _ = load_settings(config_file, {"training.fsdp": "half_shard"})
        with pytest.raises(ValueError, match='training.fsdp = "half_shard" cannot be used'):
            training_arguments(settings, steps=1)
    with pytest.raises(ValueError, match="there is one worker"):
        check_arguments(settings, 1)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="there is no GPU"):
        check_arguments(settings, 2)


def test_fsdp_wraps_layers_but_not_the_embeddings(tiny_encoder):
    encoder = load_encoder(str(tiny_encoder), block_length=32).model
    model = PretrainingModel(
        encoder, block_length=32, sbo_weight=1.0, sbo_position_width=8, freeze_encoder=False
    )
    assert model._no_split_modules == ["BertLayer"]
