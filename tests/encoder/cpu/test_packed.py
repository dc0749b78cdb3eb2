import copy
import pickle

import pytest
import spacy
import torch
from transformers import AutoModel, BertConfig, RobertaConfig

from spacy_spanmed.encoder.cpu import packed as packed_layers
from spacy_spanmed.encoder.cpu.layers import FastLayers
from spacy_spanmed.encoder.cpu.packed import PackedLayers, can_pack
from tests.conftest import make_examples, make_nlp
from tests.encoder.cpu.test_layers import SIZES


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    return AutoModel.from_config(BertConfig(**SIZES)).eval()


def make_inputs(padded=False):
    ids = torch.arange(1, 61).view(3, 20)
    mask = torch.ones_like(ids)
    if padded:
        mask[1, 9:] = 0
        mask[2, 15:] = 0
    return {"input_ids": ids, "attention_mask": mask}


def run(encoder, padded=False):
    """RETURNS (Tensor): What it says in bfloat16, without gradients."""
    inputs = make_inputs(padded)
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        hidden = encoder(**inputs).last_hidden_state.float()
    return hidden[inputs["attention_mask"].bool()]


@pytest.mark.parametrize("config", [BertConfig, RobertaConfig])
@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("operators", [False, True])
@pytest.mark.parametrize("amx", [False, True])
def test_is_as_close_to_float32_as_autocast(config, padded, operators, amx, monkeypatch):
    if operators and not packed_layers._find_operators():
        pytest.skip("no oneDNN for bfloat16 here")
    monkeypatch.setattr(packed_layers, "_find_operators", lambda: operators)
    monkeypatch.setattr("spacy_spanmed.encoder.cpu.attention.has_amx", lambda: amx)
    torch.manual_seed(0)
    encoder = AutoModel.from_config(config(**SIZES)).eval()
    inputs = make_inputs(padded)
    with torch.no_grad():
        exact = encoder(**inputs).last_hidden_state[inputs["attention_mask"].bool()]
    layers = FastLayers(encoder)
    monkeypatch.setattr("spacy_spanmed.encoder.cpu.layers.can_pack", lambda *args: False)
    plain = run(encoder, padded=padded)
    monkeypatch.setattr("spacy_spanmed.encoder.cpu.layers.can_pack", can_pack)
    found = run(encoder, padded=padded)
    assert len(layers.packed._layers) == SIZES["num_hidden_layers"]
    assert (found - exact).abs().mean() < 1.5 * (plain - exact).abs().mean()
    torch.testing.assert_close(found, exact, atol=0.1, rtol=0.1)


@pytest.mark.parametrize("how", ["step", "in place", "loaded", "replaced"])
def test_weights_that_changed_count(encoder, how):
    FastLayers(encoder)
    before = run(encoder)
    other = AutoModel.from_config(encoder.config).eval()
    if how == "step":
        # Of the layers alone: what the embeddings say changes in any case
        optimizer = torch.optim.AdamW(encoder.encoder.parameters(), lr=0.1, fused=True)
        encoder(input_ids=torch.ones((1, 3), dtype=torch.long)).last_hidden_state.sum().backward()
        optimizer.step()
    elif how == "in place":
        with torch.no_grad():
            encoder.encoder.layer[1].output.dense.weight += 1
    elif how == "loaded":
        encoder.load_state_dict(other.state_dict())
    else:
        dense = encoder.encoder.layer[1].output.dense
        dense.weight = torch.nn.Parameter(dense.weight + 1)
    found = run(encoder)
    assert not torch.equal(before, found)
    fresh = copy.deepcopy(encoder)
    torch.testing.assert_close(run(fresh), found)


def test_copies_and_pickles_start_empty(encoder):
    layers = FastLayers(encoder)
    expected = run(encoder)
    assert layers.packed._layers
    for other in (copy.deepcopy(layers), pickle.loads(pickle.dumps(layers))):
        assert isinstance(other.packed, PackedLayers) and not other.packed._layers
        torch.testing.assert_close(run(other.encoder), expected)


def test_only_where_nothing_is_learned(encoder):
    layer, hidden = encoder.encoder.layer[0], torch.zeros(1, 2, 32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert not can_pack(layer, hidden)  # gradients
        with torch.no_grad():
            assert can_pack(layer, hidden)
            assert not can_pack(layer.train(), hidden)
            layer.eval().intermediate.intermediate_act_fn = torch.nn.ReLU()
            assert not can_pack(layer, hidden)
    layer = encoder.encoder.layer[1]
    with torch.no_grad():
        assert not can_pack(layer, hidden)  # float32
        with torch.autocast("cpu", dtype=torch.bfloat16):
            layer.output.dense = torch.nn.Sequential(layer.output.dense)
            assert not can_pack(layer, hidden)  # an adapter, say


def test_predictions_between_a_batch_and_its_step(tiny_letters):
    """The usual order clears what was packed before a step; here it is packed again before it."""
    nlp = make_nlp(tiny_letters, precision="bfloat16")
    examples = make_examples(nlp)
    optimizer = nlp.initialize(lambda: examples)
    optimizer.learn_rate = 0.1
    text = examples[0].reference.text
    before = nlp(text)._.trf_data.model_output.last_hidden_state
    nlp.update(examples, sgd=None)
    nlp(text)
    for _, pipe in nlp.pipeline:
        if hasattr(pipe, "finish_update"):
            pipe.finish_update(optimizer)
    found = nlp(text)._.trf_data.model_output.last_hidden_state
    fresh = spacy.blank("en").from_config(nlp.config).from_bytes(nlp.to_bytes())
    expected = fresh(text)._.trf_data.model_output.last_hidden_state
    assert abs(found - before).max() > 1
    assert abs(found - expected).max() < 0.1
