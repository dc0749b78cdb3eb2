"""The loss of pairs and its gradient are those of PyTorch's losses."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from spacy_spanmed.pipeline.relation_extractor.candidates import NO_PAIRS, Candidate, find_pairs
from spacy_spanmed.pipeline.relation_extractor.losses import (
    MOST_UNRELATED,
    ArgumentPairs,
    MentionPairs,
    share_weights,
)

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


def test_loss_and_gradient_of_arguments():
    output = np.random.default_rng(0).normal(0, 2, (6, 4))
    rows = torch.tensor(output, requires_grad=True)
    related = torch.tensor([0.0, 1.0, 0.0, 0.0, 1.0, 0.0], dtype=rows.dtype)
    types = torch.tensor([[0.5, 0.5], [1.0, 0.0]], dtype=rows.dtype)  # the first has both
    negated = torch.tensor([1.0, 0.0], dtype=rows.dtype)
    expected = (
        F.binary_cross_entropy_with_logits(rows[:, 2], related, reduction="sum") / 2  # related ones
        + F.cross_entropy(rows[[1, 4], :2], types)
        + F.binary_cross_entropy_with_logits(rows[[1, 4], 3], negated)
    )
    expected.backward()
    gold = make_gold((1, "B", True), (1, "A", True), (4, "A", False))
    loss, gradient = ArgumentPairs.get_loss(output, [PAIRS], gold, LABELS)
    assert loss == pytest.approx(expected.item(), rel=1e-6)
    np.testing.assert_allclose(gradient, rows.grad.numpy(), atol=1e-7)


def test_docs_count_by_their_arguments_and_unrelated_pairs_up_to_a_limit():
    few = find_pairs(GENES[:2], 99, 99)  # two ordered pairs
    many = find_pairs([Candidate(s, s + 1, s, s + 1, "GENE") for s in range(9)], 99, 99)
    counts = [len(few.arguments), len(many.arguments)]
    weights = share_weights([few, many], 1)
    assert weights.sum() == pytest.approx(MOST_UNRELATED)
    first, second = np.split(weights, counts[:1])
    assert first.sum() / second.sum() == pytest.approx((counts[0] / counts[1]) ** 0.5)
    assert share_weights([few], 2).sum() == pytest.approx(1.0)


def test_nothing_related_and_no_pairs():
    output = np.ones((6, 4), dtype="float32")
    loss, gradient = ArgumentPairs.get_loss(output, [PAIRS], [[]], LABELS)
    assert loss == pytest.approx(6 * np.log1p(np.e)) and not gradient[:, [0, 1, 3]].any()
    loss, gradient = ArgumentPairs.get_loss(output[:0], [NO_PAIRS], [[]], LABELS)
    assert loss == 0 and gradient.shape == (0, 4)
    assert ArgumentPairs.read(NO_PAIRS, output[:0]).logits.shape == (0, 3)


def test_probabilities_of_arguments_are_products():
    output = np.array([[1.0, 0.0, 2.0, -1.0], [50.0, -50.0, 90.0, 0.0]] * 3, dtype="float32")
    scores = ArgumentPairs.read(PAIRS, output)
    probabilities = 1 / (1 + np.exp(-scores.logits.astype("float64")))
    related, first = 1 / (1 + np.exp(-2)), 1 / (1 + np.exp(-1))
    expected = [related * first, related * (1 - first), 1 / (1 + np.e)]
    np.testing.assert_allclose(probabilities[0], expected, rtol=1e-5)
    assert np.isfinite(scores.logits).all() and probabilities[1, 0] > 0.99999
    assert scores.rows.tolist() == [[i, i] for i in range(6)]


def test_a_pair_of_concepts_is_shown_at_its_nearest_mentions():
    mentions = [
        Candidate(0, 1, 0, 1, "CHEM", ("C",)),
        Candidate(9, 10, 9, 10, "CHEM", ("C",)),
        Candidate(12, 13, 12, 13, "DIS", ("D",)),
    ]
    pairs = find_pairs(mentions, 99, 99, concepts=True, pair_types={("CHEM", "DIS")})
    assert ArgumentPairs.count(pairs) == 1 and MentionPairs.count(pairs) == 2
    row = ArgumentPairs.read(pairs, np.zeros((1, 3), dtype="float32")).rows[0, 0]
    assert pairs.pairs[row] == (1, 2)
