import copy
import pickle

import pytest
import torch
from transformers import (
    AutoModel,
    BertConfig,
    DistilBertConfig,
    ElectraConfig,
    RobertaConfig,
)

from spacy_spanmed.encoder.cpu.layers import FastLayers, dropout, find_rows

SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "vocab_size": 100,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
}


def test_find_rows():
    rows, place = find_rows(2, 40, (torch.tensor([2, 0, 2]), torch.tensor([41])))
    assert rows.shape == (2, 16)
    assert rows[0, :2].tolist() == [0, 2]
    assert rows[1, 0] == 1
    assert place[[0, 2, 41]].tolist() == [0, 1, 16]
    rows, place = find_rows(1, 3, (torch.tensor([2]),))  # no more than there are
    assert rows.shape == (1, 3)
    assert rows[0, place[2]] == 2


@pytest.mark.parametrize("config", [BertConfig, RobertaConfig, ElectraConfig])
@pytest.mark.parametrize("padded", [True, False])
def test_rows_that_are_read_are_the_same(config, padded):
    torch.manual_seed(0)
    encoder = AutoModel.from_config(config(**SIZES)).eval()
    assert FastLayers.supports(encoder)
    names = set(encoder.state_dict())
    inputs = {"input_ids": torch.randint(1, 100, (4, 30))}
    if padded:
        inputs["attention_mask"] = torch.ones(4, 30, dtype=torch.long)
        inputs["attention_mask"][1, 20:] = 0
    whole = encoder(**inputs).last_hidden_state.flatten(0, 1)
    read = torch.tensor([3, 5, 35, 36, 40, 100])
    rows, place = find_rows(4, 30, (read,))

    last = FastLayers(encoder)
    part = last.run(rows, **inputs)
    assert part.shape == (4, 16, 32)
    torch.testing.assert_close(part.flatten(0, 1)[place[read]], whole[read])
    assert set(encoder.state_dict()) == names
    # Without rows, as others call the encoder, all of it is computed.
    torch.testing.assert_close(encoder(**inputs).last_hidden_state.flatten(0, 1), whole)


@pytest.mark.parametrize("rate", [0.001, 0.1, 0.5, 1.0])
def test_dropout(rate):
    torch.manual_seed(0)
    hidden = torch.ones(300, 1001, requires_grad=True)
    dropped = dropout(hidden, rate)
    share = (dropped == 0).float()
    exact = round(256 * rate) / 256 or rate
    assert share.mean() == pytest.approx(exact, abs=0.003)
    # of each of the eight numbers that share a draw
    assert share.flatten()[: 1001 * 296].view(-1, 8).mean(dim=0).tolist() == pytest.approx(
        [exact] * 8, abs=0.01
    )
    if rate < 1:
        assert dropped.mean().item() == pytest.approx(1, abs=0.01)
    dropped.sum().backward()
    torch.testing.assert_close(hidden.grad, dropped.detach())
    assert not torch.equal(dropped, dropout(hidden, rate)) or rate == 1
    torch.manual_seed(0)
    torch.testing.assert_close(dropped, dropout(hidden, rate))


def test_no_dropout():
    hidden = torch.ones(3)
    assert torch.equal(dropout(hidden, 0.0), hidden)


def test_gradients_are_the_same():
    torch.manual_seed(0)
    encoder = AutoModel.from_config(BertConfig(**SIZES)).eval()
    ids, read = torch.randint(1, 100, (2, 30)), torch.tensor([3, 4, 31, 50])

    def gradients(vectors):
        encoder.zero_grad()
        vectors.pow(2).sum().backward()
        return {n: p.grad.clone() for n, p in encoder.named_parameters() if p.grad is not None}

    expected = gradients(encoder(input_ids=ids).last_hidden_state.flatten(0, 1)[read])
    rows, place = find_rows(2, 30, (read,))
    part = FastLayers(encoder).run(rows, input_ids=ids).flatten(0, 1)
    found = gradients(part[place[read]])
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, atol=1e-4, rtol=1e-4)


def test_other_layers_are_not_supported():
    config = DistilBertConfig(dim=32, n_layers=1, n_heads=4, hidden_dim=64, vocab_size=100)
    assert not FastLayers.supports(AutoModel.from_config(config))


@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_training_with_padding_has_the_same_gradients(dropout):
    torch.manual_seed(0)
    config = BertConfig(**SIZES, hidden_dropout_prob=0.0, attention_probs_dropout_prob=dropout)
    encoder = AutoModel.from_config(config, attn_implementation="sdpa").train()
    ids = torch.randint(1, 100, (3, 20))
    mask = torch.ones_like(ids)
    mask[1, 12:] = 0
    mask[2, 1:] = 0

    def gradients():
        encoder.zero_grad()
        torch.manual_seed(1)  # attention dropout, where there is any, comes from PyTorch's kernel
        hidden = encoder(input_ids=ids, attention_mask=mask).last_hidden_state
        hidden[mask.bool()].pow(2).sum().backward()
        return {n: p.grad.clone() for n, p in encoder.named_parameters() if p.grad is not None}

    expected = gradients()
    FastLayers(encoder)
    found = gradients()
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, atol=1e-4, rtol=1e-3)


def test_copies_and_pickles_are_independent():
    encoder = AutoModel.from_config(BertConfig(**SIZES)).eval()
    FastLayers(encoder)
    ids = torch.randint(1, 100, (2, 9))
    for other in (copy.deepcopy(encoder), pickle.loads(pickle.dumps(encoder))):
        before = other(input_ids=ids).last_hidden_state
        torch.testing.assert_close(before, encoder(input_ids=ids).last_hidden_state)
        torch.nn.init.zeros_(other.encoder.layer[0].attention.self.query.weight)
        assert not torch.equal(before, other(input_ids=ids).last_hidden_state)
        torch.testing.assert_close(before, encoder(input_ids=ids).last_hidden_state)


def test_attention_weights_can_still_be_had():
    encoder = AutoModel.from_config(BertConfig(**SIZES), attn_implementation="eager").eval()
    ids = torch.randint(1, 100, (2, 9))
    expected = encoder(input_ids=ids, output_attentions=True)
    FastLayers(encoder)
    found = encoder(input_ids=ids, output_attentions=True)
    assert len(found.attentions) == 3
    torch.testing.assert_close(found.attentions, expected.attentions)
