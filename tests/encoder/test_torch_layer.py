"""The optimizer inside PyTorch."""

import pytest
import torch
from thinc.api import Adam

from spacy_spanmed.encoder.torch_layer import ModuleShim


def make_shim():
    shim = ModuleShim(lambda **settings: torch.nn.Linear(2, 1), {}, 1.0)
    shim.create()
    return shim


def step(shim, optimizer):
    shim._model(torch.ones(3, 2)).sum().backward()
    shim.finish_update(optimizer)
    return shim._model.weight.detach().clone()


def test_averages_by_hand():
    shim, optimizer = make_shim(), Adam(0.1, use_averages=True)
    weights = [step(shim, optimizer) for _ in range(3)]
    assert not torch.equal(weights[0], weights[1])
    expected = weights[0]
    for number, weight in enumerate(weights[1:], start=2):
        decay = (1 + number) / (10 + number)
        expected = decay * expected + (1 - decay) * weight
    with shim.use_params(optimizer.averages):
        torch.testing.assert_close(shim._model.weight.detach(), expected)
    torch.testing.assert_close(shim._model.weight.detach(), weights[-1])


def test_parameters_are_back_after_an_error():
    shim, optimizer = make_shim(), Adam(0.1, use_averages=True)
    step(shim, optimizer)
    last = step(shim, optimizer)
    with pytest.raises(RuntimeError), shim.use_params(optimizer.averages):
        raise RuntimeError
    torch.testing.assert_close(shim._model.weight.detach(), last)


def test_no_averages_unless_wanted():
    shim, optimizer = make_shim(), Adam(0.1, use_averages=False)
    step(shim, optimizer)
    assert optimizer.averages is None


def test_a_pipeline_is_evaluated_and_saved_with_averages(copy, tmp_path):
    """As `spacy train` does it: through nlp.use_params."""
    import spacy

    from tests.conftest import make_examples

    optimizer = copy.resume_training()
    optimizer.averages = {}
    for _ in range(2):
        copy.update(make_examples(copy), sgd=optimizer)
    shims = [
        shim
        for name in ("transformer", "span_ner", "relation_extractor")
        for node in copy.get_pipe(name).model.walk()
        for shim in node.shims
    ]
    assert all(any(f"_{shim.id}_" in key for key in optimizer.averages) for shim in shims)
    with copy.use_params(optimizer.averages):
        copy.to_disk(tmp_path / "model")
    saved = spacy.load(tmp_path / "model").get_pipe("span_ner").model.shims[0]._model
    shim = copy.get_pipe("span_ner").model.shims[0]
    for name, parameter in saved.named_parameters():
        torch.testing.assert_close(parameter, optimizer.averages[shim._average_key(name)])
