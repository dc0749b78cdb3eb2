import numpy
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spacy_spanmed.relations.context import DocumentContext, make_blocks
from spacy_spanmed.relations.evidence import SIZE
from spacy_spanmed.relations.model import PREDICT_PAIRS, PairClassifier, build_pair_scorer


@given(st.lists(st.integers(0, 40), max_size=6), st.integers(1, 12))
def test_blocks_hold_all_tokens_of_one_document_in_order(lengths, size):
    blocks = make_blocks(lengths, size)
    used = blocks >= 0
    assert blocks[used].tolist() == list(range(sum(lengths)))
    assert blocks.shape[1] <= size
    assert used.any(axis=1).all()
    document = numpy.repeat(numpy.arange(len(lengths)), lengths)
    for row in blocks:
        assert len(set(document[row[row >= 0]])) == 1
    assert len(blocks) == sum(-(-length // size) for length in lengths)


def test_blocks_of_a_document_are_about_equal():
    assert [len(row[row >= 0]) for row in make_blocks([10], 4)] == [3, 3, 4]


def test_a_document_does_not_depend_on_the_batch():
    torch.manual_seed(0)
    layer = DocumentContext(8, 64, 2).eval()
    X, marks = torch.randn(30, 8), torch.randn(30, 64)
    together = layer(X, marks, torch.from_numpy(make_blocks([12, 0, 18])))
    alone = layer(X[12:], marks[12:], torch.from_numpy(make_blocks([18])))
    torch.testing.assert_close(together[12:], alone)
    X[20] += 1  # is seen by the whole document, and by no other
    changed = layer(X, marks, torch.from_numpy(make_blocks([12, 0, 18])))
    torch.testing.assert_close(changed[:12], together[:12])
    assert (changed[12:] != together[12:]).any(dim=1).all()


def test_tokens_are_marked_with_the_labels_of_their_mentions():
    model = PairClassifier(nI=8, nO=1, nL=3, hidden=32, layers=1)
    spans = torch.tensor([[0, 1], [1, 3], [5, 5]])  # first and last token
    marks = model.mark_tokens(6, spans, torch.tensor([1, 2, 1]))
    one, other = model.mark.weight[1], model.mark.weight[2]
    torch.testing.assert_close(marks, torch.stack([one, one + other, other, other, 0 * one, one]))


@pytest.mark.parametrize("layers, evidence", [(0, False), (2, True)])
def test_pairs_in_several_steps_are_scored_the_same(layers, evidence, monkeypatch):
    torch.manual_seed(0)
    model = PairClassifier(nI=8, nO=2, nL=3, hidden=32, layers=layers, evidence=evidence).eval()
    pairs = torch.tensor([[i, j] for i in range(4) for j in range(4) if i != j])
    inputs = (
        torch.randn(9, 8),
        torch.tensor([[0, 1], [3, 3], [4, 6], [8, 8]]),
        torch.tensor([0, 1, 2, 1]),
        pairs,
        torch.arange(9).repeat(len(pairs), 1),
        torch.from_numpy(make_blocks([9])),
        torch.rand(len(pairs), SIZE),
    )
    expected = model(*inputs)
    assert expected.shape == (12, 3)
    monkeypatch.setitem(PREDICT_PAIRS, "cpu", 5)
    torch.testing.assert_close(model(*inputs), expected)


@pytest.mark.parametrize("layers, hidden", [(-1, 64), (1, 100), (1, 16)])
def test_sizes_are_checked(layers, hidden):
    with pytest.raises(ValueError, match="multiple of 32"):
        build_pair_scorer(None, hidden_size=hidden, context_layers=layers)


@pytest.mark.parametrize("margin, window", [(-1, 64), (8, 0)])
def test_context_is_checked(margin, window):
    with pytest.raises(ValueError, match="context_margin must be at least 0"):
        build_pair_scorer(None, context_margin=margin, context_window=window)
