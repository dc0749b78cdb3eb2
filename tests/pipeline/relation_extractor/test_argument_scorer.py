"""Pairs of arguments: their arrays, and that their scores depend on their own Doc alone."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spacy_spanmed.pipeline.relation_extractor import model as model_module
from spacy_spanmed.pipeline.relation_extractor.argument_scorer import (
    ArgumentClassifier,
    build_argument_scorer,
    pool_members,
)
from spacy_spanmed.pipeline.relation_extractor.arguments import cut_windows, index_arguments
from spacy_spanmed.pipeline.relation_extractor.candidates import NO_PAIRS, Candidate, find_pairs

WIDTH = 16


def mention(start, label, *concepts, length=1):
    return Candidate(start, start + length, 5 * start, 5 * (start + length) - 1, label, concepts)


def make_doc(n_mentions, n_tokens, concepts=False, directed=True, seed=0):
    """RETURNS: Candidates of a Doc with mentions at random."""
    random = np.random.default_rng(seed)
    starts = np.sort(random.choice(n_tokens, n_mentions, replace=False)).tolist()
    mentions = [
        mention(start, "AB"[i % 2], *([f"{'AB'[i % 2]}{i % 3}"] if concepts else []))
        for i, start in enumerate(starts)
    ]
    return find_pairs(mentions, 10**6, 10**6, concepts=concepts, directed=directed)


def make_model(**settings):
    torch.manual_seed(0)
    sizes = {"nI": WIDTH, "nO": 2, "nL": 3, "hidden": 16, "heads": 2, "block": 4}
    own = {"layers": 2, "evidence": True, "layer_heads": 2, "layer_wide": 32}
    return ArgumentClassifier(**{**sizes, **own, **settings}).eval()


def score(model, vectors, candidates, window=64):
    batch = index_arguments(
        [len(x) for x in vectors], candidates, ["A", "B"], window, model.evidence is not None
    )
    with torch.inference_mode():
        return model(torch.cat(vectors), *map(torch.from_numpy, batch))


@pytest.mark.parametrize("concepts, directed", [(False, True), (True, True), (True, False)])
@pytest.mark.parametrize("at_once", [3, 256])
def test_scores_of_a_doc_do_not_depend_on_its_batch(concepts, directed, at_once, monkeypatch):
    monkeypatch.setitem(model_module.PAIRS_AT_ONCE, "cpu", at_once)
    model = make_model()
    model.layers.precision = "float32"
    sizes = [(5, 30), (4, 700), (0, 3), (6, 12)]
    candidates = [make_doc(*size, concepts, directed, seed=i) for i, size in enumerate(sizes)]
    torch.manual_seed(1)
    vectors = [torch.randn(n, WIDTH) for _, n in sizes]
    together = score(model, vectors, candidates)
    alone = [score(model, [x], [c]) for x, c in zip(vectors, candidates) if c.pairs]
    assert together.shape == (sum(len(c.arguments) for c in candidates), 4)
    torch.testing.assert_close(together, torch.cat(alone), atol=2e-5, rtol=1e-4)


def test_a_pair_sees_its_context_alone():
    model = make_model(layers=0)
    candidate = find_pairs([mention(10, "A"), mention(14, "B")], 99, 99)
    vectors = torch.randn(300, WIDTH)
    before = score(model, [vectors], [candidate])
    vectors[70:] += 1  # behind the window of 64 around the pair
    assert torch.equal(score(model, [vectors], [candidate]), before)
    vectors[40] += 1
    assert not torch.equal(score(model, [vectors], [candidate]), before)


@pytest.mark.parametrize("layers", [0, 2])
def test_marks_tell_what_else_is_an_entity(layers):
    model = make_model(layers=layers, evidence=False)
    vectors = [torch.randn(20, WIDTH)]
    two = [mention(3, "A"), mention(9, "B")]
    few, many = (find_pairs(m, 99, 99) for m in (two, [*two, mention(15, "A")]))
    rows = [many.arguments.index(arguments) for arguments in few.arguments]
    change = (score(model, vectors, [many])[rows] - score(model, vectors, [few])).abs().max()
    assert change > 1e-4 if layers else change < 1e-5


@given(st.lists(st.integers(0, 2000), max_size=6), st.integers(1, 600))
def test_windows_cover_all_tokens_once(lengths, limit):
    windows = cut_windows(lengths, limit)
    covered = [token for start, end in windows for token in range(start, end)]
    assert covered == list(range(sum(lengths)))
    edges = {0, *np.cumsum(lengths).tolist()}
    assert all(0 < end - start <= limit for start, end in windows)
    assert edges - {0} <= {int(end) for _, end in windows} | {0}


def test_members_are_pooled_by_logsumexp():
    rows = torch.randn(4, 3, requires_grad=True)
    members = torch.tensor([[0, 1], [1, 0], [2, 1], [3, 1], [0, 0]])
    expected = torch.stack([rows[[1, 0]].logsumexp(0), rows[[0, 2, 3]].logsumexp(0)])
    pooled = pool_members(rows, members)
    torch.testing.assert_close(pooled, expected)
    torch.testing.assert_close(
        torch.autograd.grad(pooled.sum(), rows), torch.autograd.grad(expected.sum(), rows)
    )
    torch.testing.assert_close(pool_members(rows, members[:2]), rows[[1, 0]])


def test_no_pairs_and_no_docs():
    batch = index_arguments([4, 0], [NO_PAIRS, NO_PAIRS], ["A"], 64, evidence=True)
    assert batch.pairs.shape == (0, 2) and batch.windows.tolist() == [[0, 4]]


@pytest.mark.parametrize(
    "settings, match",
    [
        ({"attention_heads": 5}, "attention_heads must divide hidden_size"),
        ({"bilinear_block": 0}, "bilinear_block must divide hidden_size"),
        ({"own_layers": -1}, "own_layers must be at least 0"),
        ({"context_window": 0}, "context_window at least 1"),
        ({"precision": "float8"}, "precision must be"),
    ],
)
def test_settings_are_checked(settings, match):
    with pytest.raises(ValueError, match=match):
        build_argument_scorer(None, **settings)
