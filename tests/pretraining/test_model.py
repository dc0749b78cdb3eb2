import pytest
import torch
import torch.nn.functional as F
from transformers import AutoModel, BertForMaskedLM

from spacy_spanmed.pretraining.encoder_files import load_encoder
from spacy_spanmed.pretraining.maskers import SpanMasker
from spacy_spanmed.pretraining.model import PretrainingModel, SpanBoundaryHead
from spacy_spanmed.pretraining.samples import MaskedSequences, collate, make_vocabulary
from spacy_spanmed.pretraining.texts.packing import pack_texts
from tests.pretraining.conftest import make_texts


@pytest.fixture
def batch(tokenizer):
    sequences = pack_texts(make_texts(40), tokenizer, 32)
    samples = MaskedSequences(
        sequences,
        SpanMasker(),
        make_vocabulary(tokenizer),
        seed=0,
        samples=len(sequences.input_ids),
    )
    return collate([samples[i] for i in range(4)])


def make_model(path, **settings):
    torch.manual_seed(0)
    defaults = {
        "block_length": 32,
        "sbo_weight": 1.0,
        "sbo_position_width": 8,
        "freeze_encoder": False,
    }
    encoder = AutoModel.from_pretrained(
        path, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0
    )
    return PretrainingModel(encoder, **{**defaults, **settings})


def test_mlm_loss_is_that_of_a_masked_language_model_over_all_positions(
    tiny_encoder, tmp_path, batch
):
    """Logits at the targets only give the loss Transformers' own model computes everywhere."""
    torch.manual_seed(1)
    reference = BertForMaskedLM.from_pretrained(tiny_encoder).eval()
    reference.save_pretrained(tmp_path)
    (tmp_path / "vocab.txt").write_bytes((tiny_encoder / "vocab.txt").read_bytes())
    loaded = load_encoder(str(tmp_path), block_length=32)
    model = PretrainingModel(
        loaded.model, block_length=32, sbo_weight=0.0, sbo_position_width=8, freeze_encoder=False
    ).eval()
    assert len(model.load_heads(loaded.heads)) == 5, "the head of the checkpoint was not taken over"
    labels = torch.full((batch["input_ids"].numel(),), -100)
    labels[batch["positions"]] = batch["labels"]
    expected = reference(batch["input_ids"], labels=labels.view_as(batch["input_ids"])).loss
    output = model(**batch)
    assert output["loss"].item() == pytest.approx(expected.item(), rel=1e-5)
    assert "sbo_loss" not in output


def test_loss_is_the_weighted_sum_and_both_heads_learn(tiny_encoder, batch):
    model = make_model(tiny_encoder, sbo_weight=0.5)
    output = model(**batch)
    expected = output["mlm_loss"] + 0.5 * output["sbo_loss"]
    assert output["loss"].item() == pytest.approx(expected.item(), rel=1e-6)
    output["loss"].backward()
    trained = {n for n, p in model.named_parameters() if p.grad is not None and p.grad.abs().sum()}
    frozen = {n for n, _ in model.named_parameters()} - trained
    assert all(n.startswith("encoder.pooler.") for n in frozen), frozen


def test_boundary_head_follows_the_paper():
    torch.manual_seed(0)
    head = SpanBoundaryHead(hidden=6, width=5, positions=4, position_width=3)
    left, right, offsets = torch.randn(2, 6), torch.randn(2, 6), torch.tensor([1, 9])
    place = head.positions.weight[[1, 3]]  # places beyond the table share its last row
    h0 = torch.cat([left, right, place], dim=-1)
    h1 = F.layer_norm(
        F.gelu(h0 @ head.first.dense.weight.T + head.first.dense.bias), (6,), eps=1e-12
    )
    h2 = F.layer_norm(
        F.gelu(h1 @ head.second.dense.weight.T + head.second.dense.bias), (5,), eps=1e-12
    )
    assert torch.allclose(head(left, right, offsets), h2, atol=1e-6)


def test_frozen_encoder_trains_the_heads_only(tiny_encoder, batch):
    model = make_model(tiny_encoder, freeze_encoder=True)
    model(**batch)["loss"].backward()
    assert all(p.grad is None for p in model.encoder.parameters())
    assert all(p.grad is not None for n, p in model.named_parameters() if n[:7] != "encoder")


def test_batch_without_targets_has_zero_loss_and_a_gradient(tiny_encoder, batch):
    model = make_model(tiny_encoder)
    empty = {k: v if k == "input_ids" else v[:0] for k, v in batch.items()}
    output = model(**empty)
    output["loss"].backward()
    assert output["loss"].item() == 0.0


def test_heads_that_do_not_fit_are_left_fresh(tiny_encoder):
    model = make_model(tiny_encoder)
    state = {
        "mlm.dense.weight": torch.ones(32, 32),
        "decoder_bias": torch.ones(7),
        "other": torch.ones(1),
    }
    assert model.load_heads(state) == ["mlm.dense.weight"]
    assert model.mlm.dense.weight.eq(1).all()
