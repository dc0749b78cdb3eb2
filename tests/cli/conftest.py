"""Pretraining's tiny encoder and run, for the commands that pretrain."""

from tests.pretraining.conftest import config_file, no_drawing, tiny_encoder, tokenizer

__all__ = ["config_file", "no_drawing", "tiny_encoder", "tokenizer"]
