"""Pooling of rows: its values, its gradient, and what is decoded from it."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spacy_spanmed.pipeline.relation_extractor.candidates import Candidate, find_pairs
from spacy_spanmed.pipeline.relation_extractor.decoding import decode
from spacy_spanmed.pipeline.relation_extractor.losses import MentionPairs
from spacy_spanmed.pipeline.relation_extractor.pooling import pool, unpool


@given(st.lists(st.integers(0, 3), min_size=1, max_size=12), st.integers(0, 1000))
def test_pooling_and_its_gradient_are_those_of_logsumexp(draws, seed):
    names = sorted(set(draws))
    groups = np.array([names.index(draw) for draw in draws])
    logits = np.random.default_rng(seed).normal(0, 30, (len(draws), 2))
    rows = torch.tensor(logits, requires_grad=True)
    expected = torch.stack(
        [rows[torch.tensor(groups == g)].logsumexp(dim=0) for g in range(len(names))]
    )
    pooled = pool(logits, groups, len(names))
    assert np.allclose(pooled, expected.detach().numpy())
    d_pooled = np.random.default_rng(seed + 1).normal(size=pooled.shape)
    expected.backward(torch.tensor(d_pooled))
    assert np.allclose(unpool(d_pooled, logits, pooled, groups), rows.grad.numpy())


def test_one_row_stays_as_it_is():
    logits = np.array([[-200.0, 3.0]], dtype="float32")
    assert np.array_equal(pool(logits, np.array([0]), 1), logits)


CHEMICAL = [Candidate(s, s + 1, s, s + 1, "CHEM", ("C1",)) for s in (0, 4)]
DISEASE = [Candidate(8, 9, 8, 9, "DIS", ("D1",))]
PAIRS = find_pairs(CHEMICAL + DISEASE, 99, 99, concepts=True, pair_types={("CHEM", "DIS")})


def test_relation_of_concepts_is_shown_at_its_best_pair():
    logits = np.full((2, 3), -9.0)
    logits[PAIRS.pairs.index((0, 2)), 0] = 2.0
    logits[PAIRS.pairs.index((1, 2)), 0] = 1.0
    found = decode(
        PAIRS, MentionPairs.read(PAIRS, logits), ["X", "Y"], threshold=0.5, concepts=True
    )
    (relation,), (concept,) = found.relations, found.concept_relations
    assert found.cut == 0
    assert found.mentions == [("C1", [(0, 1, "CHEM"), (4, 5, "CHEM")]), ("D1", [(8, 9, "DIS")])]
    assert relation[:7] == (0, 1, "CHEM", 8, 9, "DIS", "X")
    assert concept[:3] == ("C1", "D1", "X")
    pooled = np.log(np.exp(2) + np.exp(1))
    assert concept.score == relation.score == pytest.approx(1 / (1 + np.exp(-pooled)))


def test_one_label_or_several():
    logits = np.array([[2.0, 3.0, -9.0]] * 2)
    both = decode(PAIRS, MentionPairs.read(PAIRS, logits), ["X", "Y"], threshold=0.5, concepts=True)
    assert [item.label for item in both.concept_relations] == ["X", "Y"]
    one = decode(
        PAIRS,
        MentionPairs.read(PAIRS, logits),
        ["X", "Y"],
        threshold=0.5,
        concepts=True,
        multi_label=False,
    )
    assert [item.label for item in one.concept_relations] == ["Y"]
