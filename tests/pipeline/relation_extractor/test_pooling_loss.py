"""The loss of pairs and its gradient are those of PyTorch's losses."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from spacy_spanmed.pipeline.relation_extractor.candidates import Candidate, find_pairs
from spacy_spanmed.pipeline.relation_extractor.losses import MentionPairs

GENES = [Candidate(s, s + 1, s, s + 1, "GENE") for s in (0, 3, 7)]
PAIRS = find_pairs(GENES, 99, 99)  # six ordered pairs
LABELS = ["A", "B"]


def make_gold(*found):
    """found: (number of a pair, label, negated)."""
    return [[(PAIRS.arguments[number], label, negated) for number, label, negated in found]]


def test_loss_and_gradient():
    logits = np.random.default_rng(0).normal(0, 2, (6, 3))
    rows = torch.tensor(logits, requires_grad=True)
    targets = torch.zeros((6, 2), dtype=rows.dtype)
    targets[1, 1] = targets[4, 0] = 1.0
    related = F.binary_cross_entropy_with_logits(rows[:, :2], targets, reduction="sum")
    negated = F.binary_cross_entropy_with_logits(
        rows[[1, 4], 2], torch.tensor([1.0, 0.0], dtype=rows.dtype), reduction="sum"
    )
    expected = (related + negated) / 2  # two pairs with a relation
    expected.backward()
    gold = make_gold((1, "B", True), (4, "A", False))
    loss, gradient = MentionPairs.get_loss(logits, [PAIRS], gold, LABELS)
    assert loss == pytest.approx(expected.item())
    np.testing.assert_allclose(gradient, rows.grad.numpy(), atol=1e-12)


def test_no_overflow():
    logits = np.array([[1000.0, -1000.0, 0.0]] * 6)
    loss, gradient = MentionPairs.get_loss(logits, [PAIRS], make_gold((0, "A", False)), LABELS)
    assert np.isfinite(loss) and np.isfinite(gradient).all()
