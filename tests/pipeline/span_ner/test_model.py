import pytest
import torch

from spacy_spanmed.pipeline.span_ner import model as model_module
from spacy_spanmed.pipeline.span_ner.model import BiaffineSpans, enumerate_spans


@pytest.mark.parametrize("lengths", [[1], [2, 0, 3], [9, 4, 12], [30]])
@pytest.mark.parametrize("training", [False, True])
def test_scores_and_gradients_are_those_of_single_spans(lengths, training, monkeypatch):
    monkeypatch.setattr(model_module, "PREDICT_TOKENS", 7)
    torch.manual_seed(0)
    model = BiaffineSpans(nI=8, nO=3, hidden=5, max_width=4).train(training)
    torch.nn.init.normal_(model.width.weight)
    torch.nn.init.normal_(model.bilinear)
    X = torch.randn(sum(lengths), 8, requires_grad=True)
    firsts = [torch.from_numpy(first) for first in enumerate_spans(lengths, max_width=4)[2]]
    found = model(X, *firsts)
    starts, ends = torch.nn.functional.gelu(model.project(X)).chunk(2, dim=1)
    expected = torch.stack(
        [
            torch.einsum("i,ioj,j->o", starts[row], model.bilinear, ends[row + width])
            + model.start(starts[row])
            + model.end(ends[row + width])
            + model.width.weight[width]
            for width, first in enumerate(firsts)
            for row in first.tolist()
        ]
    )
    torch.testing.assert_close(found, expected)
    weights = torch.randn_like(found)
    wanted = [X, *model.parameters()]
    torch.testing.assert_close(
        torch.autograd.grad((found * weights).sum(), wanted),
        torch.autograd.grad((expected * weights).sum(), wanted),
    )
