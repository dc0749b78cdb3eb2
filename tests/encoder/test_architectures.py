"""The encoder inside the pipeline: precision, batching, errors, and size on disk."""

import shutil

import numpy as np
import pytest
import spacy
import torch
from thinc.types import ArgsKwargs

from spacy_spanmed.encoder import shim as encoder_module
from spacy_spanmed.encoder.cpu import machine
from spacy_spanmed.encoder.torch_layer import dump_state, load_state, round_to_half
from tests.conftest import TEXTS, make_examples, make_nlp
from tests.pipeline.test_pipeline import update


def get_shim(nlp):
    return nlp.get_pipe("transformer").model.layers[0].shims[0]


def test_prediction_is_that_of_transformers(trained, monkeypatch):
    shim = get_shim(trained)
    monkeypatch.setattr(shim, "precision", "float32")
    ids = torch.tensor([[2, 10, 11, 12, 13, 3], [2, 20, 3, 0, 0, 0]])
    mask = torch.tensor([[1, 1, 1, 1, 1, 1], [1, 1, 1, 0, 0, 0]], dtype=torch.float32)
    output = shim.predict(ArgsKwargs((), {"input_ids": ids, "attention_mask": mask}))
    with torch.no_grad():
        expected = shim._model(input_ids=ids, attention_mask=mask).last_hidden_state
    assert torch.allclose(output.last_hidden_state[0], expected[0], atol=1e-5)
    assert torch.allclose(output.last_hidden_state[1, :3], expected[1, :3], atol=1e-5)


def test_result_does_not_depend_on_the_batch(trained, monkeypatch):
    texts = [item[0] for item in TEXTS] * 3
    alone = [trained(text) for text in texts]
    monkeypatch.setitem(encoder_module.PREDICT_PIECES, "cpu", 64)
    for one, other in zip(alone, trained.pipe(texts, batch_size=5)):
        assert [(e.text, e.label_) for e in one.ents] == [(e.text, e.label_) for e in other.ents]
        scores = [e._.score for e in one.ents], [e._.score for e in other.ents]
        np.testing.assert_allclose(*scores, atol=1e-5)


def test_bfloat16_is_close_and_trains(tiny_letters):
    nlp = make_nlp(tiny_letters, precision="bfloat16")
    examples = make_examples(nlp)
    optimizer = nlp.initialize(lambda: examples)
    nlp.update(examples, sgd=optimizer)
    exact = make_nlp(tiny_letters, precision="float32").from_bytes(nlp.to_bytes())
    doc, reference = nlp(TEXTS[0][0]), exact(TEXTS[0][0])
    one, other = (d._.trf_data.model_output.last_hidden_state for d in (doc, reference))
    assert one.dtype == other.dtype == np.float32
    assert not np.array_equal(one, other)  # bf16 did run
    np.testing.assert_allclose(one, other, atol=0.1)


def test_hardware_without_bfloat16(trained, monkeypatch):
    """A pipeline trained where there is bf16 runs where there is none, in float32."""
    monkeypatch.setattr(machine, "bf16_pays", lambda device: False)
    assert get_shim(trained).precision == "auto"
    doc = trained(TEXTS[0][0])
    monkeypatch.setattr(get_shim(trained), "precision", "float32")
    exact = trained(TEXTS[0][0])
    one, other = (d._.trf_data.model_output.last_hidden_state for d in (doc, exact))
    assert np.array_equal(one, other)
    assert [(e.text, e.label_) for e in doc.ents] == TEXTS[0][1]


def test_precision_is_checked(tiny_letters):
    with pytest.raises(ValueError, match="precision must be"):
        make_nlp(tiny_letters, precision="float17")


@pytest.mark.parametrize("name", ["package:no_such_package", "./no/such/folder"])
def test_missing_encoder_is_a_clear_error(name):
    nlp = make_nlp(name)
    with pytest.raises(ValueError, match="not installed|does not exist"):
        nlp.initialize(lambda: make_examples(nlp))


def test_pipeline_does_not_say_where_its_encoder_lay(tiny_letters, tmp_path, monkeypatch):
    """Nor does it need it again: on another machine it isn't there."""
    shutil.copytree(tiny_letters, tmp_path / "site" / "letters" / "model")
    (tmp_path / "site" / "letters" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path / "site")
    nlp = make_nlp("package:letters")
    nlp.initialize(lambda: make_examples(nlp))
    assert nlp.get_pipe("transformer").model.attrs["name"] == "package:letters"
    nlp.to_disk(tmp_path / "pipeline")
    shutil.rmtree(tmp_path / "site")
    again = spacy.load(tmp_path / "pipeline")
    weights = get_shim(again)._model.state_dict()
    again.initialize(lambda: make_examples(again))
    assert all(map(torch.equal, weights.values(), get_shim(nlp)._model.state_dict().values()))
    assert get_shim(again)._model is not None


def test_encoder_without_tokenizer(tiny_letters, tmp_path):
    for file in ("config.json", "model.safetensors"):
        shutil.copy(f"{tiny_letters}/{file}", tmp_path)
    nlp = make_nlp(str(tmp_path))
    with pytest.raises(ValueError, match="Can't load the encoder"):
        nlp.initialize(lambda: make_examples(nlp))


def test_rounded_weights_take_half_the_room_and_lose_nothing():
    torch.manual_seed(0)
    module = torch.nn.Linear(200, 200)
    full = dump_state(module)
    round_to_half(module)
    half = dump_state(module)
    assert len(half) < 0.6 * len(full)
    other = torch.nn.Linear(200, 200)
    load_state(other, half)
    assert torch.equal(other.weight, module.weight)
    assert other.weight.dtype == torch.float32
    unrounded = torch.nn.Linear(200, 200)
    load_state(other, dump_state(unrounded))
    assert torch.equal(other.weight, unrounded.weight)


def test_damaged_or_malicious_weights_are_refused():
    import io

    module = torch.nn.Linear(2, 2)
    with pytest.raises(ValueError, match="damaged"):
        load_state(module, dump_state(module)[:50])

    class Evil:
        def __reduce__(self):
            return (print, ("executed",))

    buffer = io.BytesIO()
    torch.save({"weight": Evil()}, buffer)
    with pytest.raises(ValueError, match="Can't load the weights"):
        load_state(module, buffer.getvalue())


def test_too_large_for_half():
    module = torch.nn.Linear(1, 1)
    with torch.no_grad():
        module.weight.fill_(1e6)
    with pytest.raises(ValueError, match="too large for half"):
        round_to_half(module)


def test_piece_dropout_hides_text_and_only_while_training(tiny_letters):
    nlp = make_nlp(tiny_letters, piece_dropout=0.25)
    optimizer = nlp.initialize(lambda: make_examples(nlp))
    shim, tokenizer = get_shim(nlp), nlp.get_pipe("transformer").model.tokenizer
    ordinary = next(i for i in range(len(tokenizer)) if i not in tokenizer.all_special_ids)
    ids = torch.full((20, 100), ordinary)
    ids[:, 0] = tokenizer.cls_token_id
    torch.manual_seed(0)
    hidden = shim._hide_pieces(ids)
    assert torch.equal(hidden[:, 0], ids[:, 0])
    assert set(hidden[:, 1:].unique().tolist()) == {ordinary, tokenizer.mask_token_id}
    assert 0.2 < (hidden != ids).float().mean() < 0.3
    nlp.update(make_examples(nlp), sgd=optimizer)
    first, second = (nlp(TEXTS[0][0])._.trf_data.model_output.last_hidden_state for _ in "ab")
    np.testing.assert_array_equal(first, second)


def test_piece_dropout_is_checked(tiny_letters):
    with pytest.raises(ValueError, match="piece_dropout must be"):
        make_nlp(tiny_letters, piece_dropout=1.0)


def test_lower_layers_learn_more_slowly(tiny_letters):
    """By hand: with Adam's first step every parameter moves by its learning rate."""
    nlp = make_nlp(tiny_letters)
    examples = make_examples(nlp)
    optimizer = nlp.initialize(lambda: examples)
    optimizer.learn_rate, optimizer.L2 = 1e-3, 0.0
    shim = nlp.get_pipe("transformer").model.layers[0].shims[0]
    shim.layer_decay = 0.5
    before = {name: p.detach().clone() for name, p in shim._model.named_parameters()}
    update(nlp, examples, optimizer)
    moved = {
        name: float((p.detach() - before[name]).abs().max())
        for name, p in shim._model.named_parameters()
    }
    assert moved["encoder.layer.1.output.dense.weight"] == pytest.approx(1e-3, rel=0.05)
    assert moved["encoder.layer.0.output.dense.weight"] == pytest.approx(5e-4, rel=0.05)
    assert moved["embeddings.position_embeddings.weight"] == pytest.approx(2.5e-4, rel=0.05)


def test_layer_decay_is_checked(tiny_letters):
    for value in (0.0, 1.5):
        with pytest.raises(ValueError, match="layer_decay must be above 0"):
            make_nlp(tiny_letters, layer_decay=value)
