import pytest
import torch

from spacy_spanmed.relations.evidence import SIZE
from spacy_spanmed.relations.model import PREDICT_PAIRS, PairClassifier, build_pair_scorer


@pytest.mark.parametrize("evidence", [False, True])
def test_pairs_in_several_steps_are_scored_the_same(evidence, monkeypatch):
    torch.manual_seed(0)
    model = PairClassifier(nI=8, nO=2, nL=3, hidden=32, evidence=evidence).eval()
    pairs = torch.tensor([[i, j] for i in range(4) for j in range(4) if i != j])
    inputs = (
        torch.randn(9, 8),
        torch.tensor([[0, 1], [3, 3], [4, 6], [8, 8]]),
        torch.tensor([0, 1, 2, 1]),
        pairs,
        torch.arange(9).repeat(len(pairs), 1),
        torch.rand(len(pairs), SIZE),
    )
    expected = model(*inputs)
    assert expected.shape == (12, 3)
    monkeypatch.setitem(PREDICT_PAIRS, "cpu", 5)
    torch.testing.assert_close(model(*inputs), expected)


@pytest.mark.parametrize("margin, window", [(-1, 64), (8, 0)])
def test_context_is_checked(margin, window):
    with pytest.raises(ValueError, match="context_margin must be at least 0"):
        build_pair_scorer(None, context_margin=margin, context_window=window)
