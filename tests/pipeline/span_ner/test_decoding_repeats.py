"""Spans with the same text share their evidence."""

import numpy as np
import pytest
import spacy
from hypothesis import given, settings
from hypothesis import strategies as st

from spacy_spanmed.pipeline.span_ner.decoding import pool_repeats, softmax
from spacy_spanmed.pipeline.span_ner.model import SpanScores, enumerate_spans

NLP = spacy.blank("en")


def make_scores(texts, probabilities, labels=2, max_width=3):
    """All spans of the texts, no entity but for the given (Doc, start, width): probabilities."""
    docs = [NLP.make_doc(text) for text in texts]
    owner, offsets, firsts = enumerate_spans([len(doc) for doc in docs], max_width)
    first = np.concatenate(firsts)
    widths = np.repeat(np.arange(len(firsts)), [len(f) for f in firsts])
    scores = SpanScores(owner[first], first - offsets[owner[first]], widths, None)
    probs = np.full((len(first), labels + 1), 1e-5)
    probs[:, 0] = 1 - labels * 1e-5
    keys = list(zip(scores.docs.tolist(), scores.starts.tolist(), scores.widths.tolist()))
    for key, values in probabilities.items():
        probs[keys.index(key)] = [1 - sum(values), *values]
    scores.logits = np.log(probs + 1e-12)
    return docs, scores, keys


def pool(texts, probabilities, weight=1.0):
    docs, scores, keys = make_scores(texts, probabilities)
    before = scores.logits.copy()
    given_logits = scores.logits
    pool_repeats(scores, docs, weight)
    assert np.array_equal(before, given_logits)  # the model's own array
    return dict(zip(keys, softmax(scores.logits).round(4).tolist())), dict(
        zip(keys, softmax(before).round(4).tolist())
    )


def test_repeats_get_their_mean():
    texts = ["TD and TD but", "TD alone"]
    found, before = pool(texts, {(0, 0, 0): [0.9, 0.0], (0, 2, 0): [0.2, 0.3], (1, 0, 0): [0.4, 0]})
    for key in ((0, 0, 0), (0, 2, 0)):
        assert found[key] == pytest.approx([0.3, 0.55, 0.15], abs=1e-3)
    assert found[1, 0, 0] == before[1, 0, 0]  # another document
    changed = {key for key in found if found[key] != before[key]}
    assert changed == {(0, 0, 0), (0, 2, 0)}


def test_weight_says_how_far():
    probabilities = {(0, 0, 0): [0.8, 0.0], (0, 2, 0): [0.4, 0.0]}
    found, _ = pool(["TD and TD"], probabilities, 0.5)
    assert found[0, 0, 0][1] == pytest.approx(0.7, abs=1e-3)
    assert found[0, 2, 0][1] == pytest.approx(0.5, abs=1e-3)
    found, before = pool(["TD and TD"], probabilities, 0.0)
    assert found == before


def test_unlikely_repeats_count_too():
    found, _ = pool(["pain and pain"], {(0, 0, 0): [0.9, 0.0]})
    assert found[0, 0, 0][1] == found[0, 2, 0][1] == pytest.approx(0.45, abs=1e-3)


def test_longer_repeats():
    texts = ["liver cancer is liver cancer , not liver"]
    found, _ = pool(texts, {(0, 0, 1): [0.9, 0.0], (0, 3, 1): [0.3, 0.0]})
    assert found[0, 0, 1][1] == found[0, 3, 1][1] == pytest.approx(0.6, abs=1e-3)


def test_nothing_to_pool():
    for texts in (["a b c"], ["", "a"]):
        found, before = pool(texts, {})
        assert found == before
    empty = SpanScores(*(np.zeros(0, dtype="int64"),) * 3, np.zeros((0, 3)))
    pool_repeats(empty, [NLP.make_doc("")], 1.0)
    assert empty.logits.shape == (0, 3)


@settings(max_examples=60, deadline=None)
@given(
    texts=st.lists(
        st.lists(st.sampled_from("ab"), max_size=7).map(" ".join), min_size=1, max_size=3
    ),
    seed=st.integers(0, 1000),
    weight=st.floats(0.1, 1.0),
)
def test_equals_the_plain_way(texts, seed, weight):
    rng = np.random.default_rng(seed)
    docs, scores, keys = make_scores(texts + ["a"], {})
    scores.logits = rng.normal(0, 3, scores.logits.shape)
    probs = softmax(scores.logits)
    likely = np.flatnonzero(1 - probs[:, 0] >= 0.02)

    def text(i):
        d, s, w = keys[i]
        return d, docs[d][s : s + w + 1].text

    expected = probs.copy()
    wanted = {text(j) for j in likely}
    for i in range(len(keys)):
        same = [j for j in range(len(keys)) if text(i) == text(j)]
        if len(same) > 1 and text(i) in wanted:
            expected[i] = (1 - weight) * probs[i] + weight * probs[same].mean(axis=0)
    pool_repeats(scores, docs, weight)
    np.testing.assert_allclose(softmax(scores.logits), expected, atol=1e-6)
