import pytest
import torch

from spacy_spanmed.pipeline.relation_extractor import model as model_module
from spacy_spanmed.pipeline.relation_extractor.evidence import SIZE
from spacy_spanmed.pipeline.relation_extractor.model import PairClassifier, build_pair_scorer

WIDTH, TOKENS, HIDDEN = 8, 40, 32


def make_inputs(seed):
    """Pairs of five mentions, with contexts of one range and of two."""
    torch.manual_seed(seed)
    pairs = torch.tensor([[i, j] for i in range(5) for j in range(5) if i != j])
    context = torch.randint(0, TOKENS + 1, (len(pairs), 4)).sort(dim=1).values
    context[::3, 1:3] = context[::3, 3:]  # the second one empty
    context[:, 0] = context[:, 0].clamp(max=TOKENS - 1)
    context[:, 1] = context[:, 1].clamp(min=context[:, 0] + 1)
    context[:, 2:] = context[:, 2:].clamp(min=context[:, 1:2])
    return (
        torch.randn(TOKENS, WIDTH, requires_grad=True),
        torch.tensor([[0, 1], [3, 3], [4, 6], [38, 39], [20, 21]]),
        torch.tensor([0, 1, 2, 1, 2]),
        pairs,
        context,
        torch.rand(len(pairs), SIZE),
    )


def score_one_by_one(model, X, spans, labels, pairs, context, evidence):
    """The layers as they are described, pair by pair."""
    F = torch.nn.functional
    scores = []
    for pair, (start, end, start_2, end_2), described in zip(pairs, context, evidence):
        ends = torch.cat([X[spans[pair, 0]], X[spans[pair, 1]]], dim=1)
        head, tail = F.gelu(model.mention(ends)) + model.label(labels[pair])
        around = torch.cat([X[start:end], X[start_2:end_2]])
        keys, values = model.key_value(around).chunk(2, dim=1)
        weights = (keys @ model.query(torch.cat([head, tail])) / HIDDEN**0.5).softmax(dim=0)
        parts = [head, tail, head * tail, weights @ values]
        parts.append(model.distance(model.bucket(spans, pair[None]))[0])
        if model.evidence is not None:
            parts.append(F.gelu(model.evidence(described)))
        scores.append(model.output(F.gelu(model.combine(torch.cat(parts)))))
    return torch.stack(scores)


@pytest.mark.parametrize("at_once, far", [(4, 512), (4, 12), (256, 512), (256, 12)])
@pytest.mark.parametrize("evidence", [False, True])
def test_scores_and_gradients_are_those_of_single_pairs(evidence, at_once, far, monkeypatch):
    monkeypatch.setitem(model_module.PAIRS_AT_ONCE, "cpu", at_once)
    monkeypatch.setattr(model_module, "FAR", far)
    inputs = make_inputs(seed=0)
    model = PairClassifier(nI=WIDTH, nO=2, nL=3, hidden=HIDDEN, evidence=evidence)
    wanted = [inputs[0], *model.parameters()]
    found, expected = model(*inputs), score_one_by_one(model, *inputs)
    assert found.shape == (20, 3)
    torch.testing.assert_close(found, expected)
    weights = torch.randn_like(found)
    torch.testing.assert_close(
        torch.autograd.grad((found * weights).sum(), wanted),
        torch.autograd.grad((expected * weights).sum(), wanted),
    )


@pytest.mark.parametrize("margin, window", [(-1, 64), (8, 0)])
def test_context_is_checked(margin, window):
    with pytest.raises(ValueError, match="context_margin must be at least 0"):
        build_pair_scorer(None, context_margin=margin, context_window=window)
