"""Decoding: greedy by score, never crossing, never overlapping in doc.ents."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacy_spanmed.doc.mentions import select_flat
from spacy_spanmed.pipeline.span_ner.decoding import ScoredSpan, decode, drop_crossing
from spacy_spanmed.pipeline.span_ner.model import SpanScores, enumerate_spans

SPANS = st.lists(
    st.builds(
        lambda start, width, score: ScoredSpan(start, start + width, 1, score),
        st.integers(0, 12),
        st.integers(1, 6),
        st.floats(0, 1),
    ),
    max_size=25,
).map(lambda spans: sorted(set(spans), key=lambda s: -s.score))


def crosses(a, b):
    return a.start < b.start < a.end < b.end or b.start < a.start < b.end < a.end


def overlaps(a, b):
    return a.start < b.end and b.start < a.end


@given(SPANS)
def test_drop_crossing_is_greedy(spans):
    expected = []
    for span in spans:
        if not any(crosses(span, other) for other in expected):
            expected.append(span)
    assert drop_crossing(spans) == expected


@given(SPANS)
def test_select_flat_is_greedy(spans):
    expected = []
    for span in spans:
        if not any(overlaps(span, other) for other in expected):
            expected.append(span)
    assert select_flat(spans) == sorted(expected)


@given(st.lists(st.integers(0, 9), max_size=6), st.integers(1, 5))
def test_enumerate_spans_lists_each_once(lengths, max_width):
    owner, offsets, firsts = enumerate_spans(lengths, max_width)
    found = {
        (int(owner[row]), int(row - offsets[owner[row]]), width)
        for width, rows in enumerate(firsts)
        for row in rows
    }
    expected = {
        (doc, start, width)
        for doc, length in enumerate(lengths)
        for start in range(length)
        for width in range(min(max_width, length - start))
    }
    assert found == expected
    assert sum(len(rows) for rows in firsts) == len(expected)


@pytest.mark.parametrize("threshold", [0.05, 0.3, 0.5, 0.9])
def test_decode_keeps_what_exceeds_the_threshold(threshold):
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(40, 4)).astype("float32") * 3
    starts = np.arange(40) * 2  # apart, so that nothing crosses
    docs, widths = np.repeat([0, 1], 20), np.zeros(40, dtype=int)
    found = decode(SpanScores(docs, starts, widths, logits), 2, threshold)
    probs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    for doc in range(2):
        expected = {
            (int(starts[i]), int(probs[i, 1:].argmax() + 1))
            for i in np.flatnonzero(docs == doc)
            if probs[i, 1:].max() > threshold
        }
        assert {(span.start, span.label) for span in found[doc]} == expected
        assert [s.score for s in found[doc]] == sorted((s.score for s in found[doc]), reverse=True)


def test_nothing_to_decode():
    empty = np.zeros(0, dtype=int)
    assert decode(SpanScores(empty, empty, empty, np.zeros((0, 3))), 2, 0.5) == [[], []]
