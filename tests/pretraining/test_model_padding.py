"""Batches of sequences that differ in length."""

import numpy as np
import pytest
import torch
from transformers import AutoModel, BertModel, RobertaConfig, RobertaModel

from spacy_spanmed.pretraining.maskers import SpanMasker
from spacy_spanmed.pretraining.model import PretrainingModel
from spacy_spanmed.pretraining.samples import MaskedSequences, collate, make_vocabulary
from spacy_spanmed.pretraining.texts.packing import pack_texts
from tests.pretraining.conftest import make_texts


@pytest.fixture(scope="module")
def sequences(tokenizer):
    return pack_texts(make_texts(40), tokenizer, 32, join_documents=False)


def make_samples(sequences, tokenizer, **settings):
    vocabulary = make_vocabulary(tokenizer)
    defaults = {"seed": 0, "samples": 3 * len(sequences.input_ids), "batch_size": 4}
    return MaskedSequences(sequences, SpanMasker(), vocabulary, **{**defaults, **settings})


def make_model(kind, tiny_encoder):
    torch.manual_seed(0)
    encoder = AutoModel.from_pretrained(tiny_encoder)
    if kind is RobertaModel:  # counts positions from its padding id, here that of [UNK]
        config = RobertaConfig(
            vocab_size=len(encoder.embeddings.word_embeddings.weight),
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=4,
            intermediate_size=64,
            max_position_embeddings=64,
            pad_token_id=1,
        )
        encoder = RobertaModel(config)
    return PretrainingModel(
        encoder, block_length=32, sbo_weight=1.0, sbo_position_width=8, freeze_encoder=False
    ).eval()


@pytest.mark.parametrize(
    "multiple, limit, expected", [(1, None, 21), (16, None, 32), (16, 30, 30), (16, 20, 21)]
)
def test_length_of_a_batch(multiple, limit, expected, sequences, tokenizer):
    row = next(iter(make_samples(sequences, tokenizer)))
    row = row._replace(input_ids=np.arange(21))
    batch = collate([row, row], multiple=multiple, limit=limit)
    assert batch["input_ids"].shape == (2, expected)
    assert batch["positions"].tolist() == [*row.positions, *(row.positions + expected)]
    if expected == 21:
        assert "attention_mask" not in batch
    else:
        assert batch["attention_mask"].sum(dim=1).tolist() == [21, 21]


@pytest.mark.parametrize("kind", [BertModel, RobertaModel])
def test_padding_changes_no_loss(kind, tiny_encoder, sequences, tokenizer):
    samples = make_samples(sequences, tokenizer)
    rows = [samples[i] for i in range(12)]
    batch = collate(rows)
    assert batch["attention_mask"].sum() == sum(len(row.input_ids) for row in rows)
    assert (batch["input_ids"][batch["attention_mask"] == 0] == 0).all()
    model = make_model(kind, tiny_encoder)
    with torch.inference_mode():
        together = model(**batch)
        alone = [(len(row.labels), model(**collate([row]))) for row in rows if len(row.labels)]
    for name in ("loss", "mlm_loss", "sbo_loss"):
        expected = sum(n * float(out[name]) for n, out in alone) / sum(n for n, _ in alone)
        assert float(together[name]) == pytest.approx(expected, rel=1e-5), name


def test_sequences_of_one_length_need_no_mask(sequences, tokenizer):
    samples = make_samples(sequences, tokenizer)
    assert "attention_mask" not in collate([samples[0], samples[0]])
    full = MaskedSequences(
        pack_texts(make_texts(20), tokenizer, 32),
        SpanMasker(),
        make_vocabulary(tokenizer),
        seed=0,
        samples=4,
    )
    assert "attention_mask" not in collate([full[i] for i in range(4)])


def test_batches_are_about_equally_long_in_every_epoch(sequences, tokenizer):
    """Also where an epoch begins in the middle of a batch."""
    count = len(sequences.input_ids)
    assert count % 5
    samples = make_samples(sequences, tokenizer, batch_size=5)
    lengths = np.array([len(samples[i].input_ids) for i in range(3 * count)])
    spread = np.ptp(lengths[: len(lengths) // 5 * 5].reshape(-1, 5), axis=1)
    assert np.median(spread) <= 3 < np.ptp(lengths)
    for epoch in range(3):
        found = sorted(lengths[epoch * count : (epoch + 1) * count])
        assert found == sorted(sequences.lengths)
