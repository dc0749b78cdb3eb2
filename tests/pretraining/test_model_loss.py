import pytest
import torch
import torch.nn.functional as F

from spacy_spanmed.pretraining import model as tied_loss
from spacy_spanmed.pretraining.model import tied_cross_entropy


def make(targets, width=8, vocabulary=50, scale=1.0):
    torch.manual_seed(0)
    vectors = torch.randn(targets, width).mul_(scale).requires_grad_()
    decoder = torch.randn(vocabulary, width, requires_grad=True)
    bias = torch.randn(vocabulary, requires_grad=True)
    return (vectors, decoder, bias), torch.randint(0, vocabulary, (targets,))


@pytest.mark.parametrize("targets", [1, 40, 150])
def test_losses_and_gradients_equal_the_stock_ones(targets, monkeypatch):
    monkeypatch.setattr(tied_loss, "ROWS", 64)  # several parts, the last ones smaller
    parameters, labels = make(targets)
    weights = torch.rand(targets)
    vectors, decoder, bias = parameters
    logits = F.linear(vectors, decoder, bias)
    expected = F.cross_entropy(logits, labels, reduction="none")
    total = (expected * weights).sum()

    found = tied_cross_entropy(*parameters, labels, weights)
    torch.testing.assert_close(found.total, total)
    torch.testing.assert_close(found.losses, expected)
    assert torch.equal(found.hits, logits.argmax(dim=-1) == labels)
    expected_grads = torch.autograd.grad(total * 3, parameters)
    for grad, other in zip(torch.autograd.grad(found.total * 3, parameters), expected_grads):
        torch.testing.assert_close(grad, other)


def test_no_targets():
    parameters, labels = make(0)
    found = tied_cross_entropy(*parameters, labels, torch.zeros(0))
    assert found.total == 0.0
    for grad, parameter in zip(torch.autograd.grad(found.total, parameters), parameters):
        assert grad.shape == parameter.shape
        assert not grad.any()


def test_far_off_targets_have_exact_losses():
    parameters, _ = make(20, scale=300.0)
    logits = F.linear(*parameters)
    labels = logits.argmin(dim=-1)  # of probability 0 in float32
    found = tied_cross_entropy(*parameters, labels, torch.ones(20))
    assert found.losses.min() > 200
    torch.testing.assert_close(found.losses, F.cross_entropy(logits, labels, reduction="none"))


def test_nan_stays_visible():
    (vectors, decoder, bias), labels = make(5)
    vectors = vectors.detach().clone()
    vectors[2, 0] = float("nan")
    found = tied_cross_entropy(vectors, decoder, bias, labels, torch.ones(5))
    assert found.total.isnan()


def test_frozen_decoder():
    (vectors, decoder, bias), labels = make(5)
    fixed = decoder.detach()
    expected = F.cross_entropy(F.linear(vectors, fixed, bias), labels, reduction="sum")
    found = tied_cross_entropy(vectors, fixed, bias, labels, torch.ones(5))
    expected_grads = torch.autograd.grad(expected * 2, (vectors, bias))
    for grad, other in zip(torch.autograd.grad(found.total * 2, (vectors, bias)), expected_grads):
        torch.testing.assert_close(grad, other)


def test_without_gradients():
    parameters, labels = make(30)
    with torch.inference_mode():
        found = tied_cross_entropy(*parameters, labels, torch.ones(30))
    torch.testing.assert_close(
        found.losses, F.cross_entropy(F.linear(*parameters), labels, reduction="none").detach()
    )


def test_autocast_is_close():
    parameters, labels = make(60)
    weights = torch.full((60,), 1 / 60)
    expected = torch.autograd.grad(F.cross_entropy(F.linear(*parameters), labels), parameters)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = tied_cross_entropy(*parameters, labels, weights)
    assert found.total.dtype == torch.float32
    for grad, other, parameter in zip(
        torch.autograd.grad(found.total, parameters), expected, parameters
    ):
        assert grad.dtype == parameter.dtype
        assert F.cosine_similarity(grad.flatten(), other.flatten(), dim=0) > 0.999
