"""A tiny BERT with a vocabulary of its own, and texts it can read."""

import json

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertModel, BertTokenizerFast

from spacy_spanmed.pretraining import run as run_module

SYLLABLES = ("ka", "lo", "mi", "ne", "pu", "ra", "so", "ti", "vu", "xe")


def make_texts(count, seed=0):
    """Texts whose words have one to four pieces and follow each other in a pattern."""
    spelling = np.random.default_rng(0)  # the language is the same for every seed
    words = ["".join(spelling.choice(SYLLABLES, size=1 + i % 4)) for i in range(40)]
    rng = np.random.default_rng([seed, 1])
    texts = []
    for _ in range(count):
        place = int(rng.integers(len(words)))
        steps = rng.integers(1, 3, size=int(rng.integers(5, 25)))
        texts.append(" ".join(words[i % len(words)] for i in place + np.cumsum(steps)) + " .")
    return texts


def write_jsonl(path, texts):
    path.write_text("".join(json.dumps({"text": t}) + "\n" for t in texts), encoding="utf-8")


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Threads cost a tiny model more than they bring, above all on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def no_drawing(monkeypatch):
    """Drawing takes longer than training a tiny model."""
    monkeypatch.setattr(run_module, "draw_curves", lambda record: b"<svg/>")


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory):
    """Directory of a randomly initialised BERT: 2 layers, width 32, 64 positions."""
    path = tmp_path_factory.mktemp("encoder")
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "."]
    vocabulary += [*SYLLABLES, *(f"##{s}" for s in SYLLABLES)]
    (path / "vocab.txt").write_text("\n".join(vocabulary), encoding="utf-8")
    BertTokenizerFast(str(path / "vocab.txt")).save_pretrained(path)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=64,
    )
    BertModel(config).save_pretrained(path)
    return path


@pytest.fixture(scope="session")
def tokenizer(tiny_encoder):
    return BertTokenizerFast.from_pretrained(tiny_encoder)


@pytest.fixture
def config_file(tmp_path, tiny_encoder):
    """A config of a 30-step run in ``tmp_path``; the defaults of the schema fill the rest."""
    write_jsonl(tmp_path / "train.jsonl", make_texts(300))
    write_jsonl(tmp_path / "dev.jsonl", make_texts(60, seed=1))
    path = tmp_path / "pretrain.cfg"
    path.write_text(
        f"""
[paths]
train = "{tmp_path}/train.jsonl"
dev = "{tmp_path}/dev.jsonl"
output = "{tmp_path}/encoder"
checkpoints = "{tmp_path}/checkpoints"
metrics = "{tmp_path}/metrics/pretraining.json"

[data]
join_documents = true

[model]
encoder = "{tiny_encoder}"
sbo_position_width = 8

[masker]
@misc = "spanmed.SpanMasker.v1"

[training]
block_length = 32
total_tokens = 7680
batch_size = 8
learn_rate = 3e-3
head_learn_rate = 3e-3
precision = "float32"
log_every = 5
checkpoint_every = 10
""",
        encoding="utf-8",
    )
    return path
