import pytest
import torch
import torch.nn.functional as F

from spacy_spanmed.encoder.cpu.attention import attend


@pytest.mark.parametrize("queries", [7, 3])
@pytest.mark.parametrize("kind", ["none", "end", "hole", "any"])
def test_equals_pytorchs_attention(queries, kind):
    torch.manual_seed(0)
    shapes = [(2, 4, queries, 8), (2, 4, 7, 8), (2, 4, 7, 8)]
    parts = [torch.randn(shape, requires_grad=True) for shape in shapes]
    bias = torch.zeros(2, 1, 7)
    if kind == "none":
        bias = None
    elif kind == "any":
        bias[1] = torch.randn(7)
    else:
        shut = {"end": slice(4, 7), "hole": slice(2, 4)}[kind]
        bias[1, :, shut] = torch.finfo(torch.float32).min
    upstream = torch.randn(2, queries, 32)

    expected = F.scaled_dot_product_attention(*parts, None if bias is None else bias[:, None])
    expected = expected.transpose(1, 2).flatten(2)
    expected_grads = torch.autograd.grad(expected, parts, upstream)
    found = attend(*parts, bias)
    torch.testing.assert_close(found, expected)
    with torch.no_grad():  # keeps no scores
        torch.testing.assert_close(attend(*parts, bias), expected)
    for grad, other in zip(torch.autograd.grad(found, parts, upstream), expected_grads):
        torch.testing.assert_close(grad, other)


def test_a_row_without_keys_stays_finite():
    parts = [torch.randn(2, 4, 7, 8, requires_grad=True) for _ in range(3)]
    bias = torch.zeros(2, 1, 7)
    bias[1] = torch.finfo(torch.float32).min
    found = attend(*parts, bias)
    assert found.isfinite().all()
    assert all(grad.isfinite().all() for grad in torch.autograd.grad(found.sum(), parts))


def test_bfloat16_is_close():
    torch.manual_seed(0)
    parts = [torch.randn(2, 4, 16, 8, dtype=torch.bfloat16, requires_grad=True) for _ in range(3)]
    found = attend(*parts)
    assert found.dtype == torch.bfloat16
    expected = F.scaled_dot_product_attention(*(part.float() for part in parts))
    expected = expected.transpose(1, 2).flatten(2)
    torch.testing.assert_close(found.float(), expected, atol=0.03, rtol=0.03)
    for mine, other in zip(
        torch.autograd.grad(found.float().pow(2).sum(), parts),
        torch.autograd.grad(expected.pow(2).sum(), parts),
    ):
        assert mine.dtype == torch.bfloat16
        assert F.cosine_similarity(mine.flatten().float(), other.flatten().float(), dim=0) > 0.999
