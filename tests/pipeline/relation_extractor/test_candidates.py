"""Pairs, their cut, and the index arrays made of them."""

import time

import numpy as np
import spacy
from hypothesis import given
from hypothesis import strategies as st

from spacy_spanmed.pipeline.relation_extractor.candidates import (
    NO_PAIRS,
    Candidate,
    CandidatePairs,
    align_mentions,
    find_pairs,
)
from spacy_spanmed.pipeline.relation_extractor.model import index_pairs

MENTIONS = st.lists(st.integers(0, 60), max_size=12, unique=True).map(
    lambda starts: [Candidate(s, s + 1, s, s + 1, "X") for s in sorted(starts)]
)


def make_pairs(mentions, pair):
    return CandidatePairs(mentions, [pair], 0, 1, [0], [pair])


@given(MENTIONS, st.integers(1, 40), st.integers(2, 60))
def test_pairs_are_the_closest(mentions, max_distance, max_pairs):
    found = find_pairs(mentions, max_distance, max_pairs)
    near = {
        (i, j)
        for i, one in enumerate(mentions)
        for j, other in enumerate(mentions)
        if i != j and abs(one.start - other.start) <= max_distance
    }
    assert set(found.pairs) <= near and len(set(found.pairs)) == len(found.pairs)
    assert len(found.pairs) + found.cut == len(near)
    assert len(found.pairs) <= max_pairs
    assert {(j, i) for i, j in found.pairs} == set(found.pairs)

    def distance(pair):
        return abs(mentions[pair[0]].start - mentions[pair[1]].start)

    left = near - set(found.pairs)
    if left and found.pairs:
        assert max(map(distance, found.pairs)) <= min(map(distance, left))


def mention(start, label, *concepts):
    return Candidate(start, start + 1, start, start + 1, label, concepts)


def test_concepts_are_paired_through_all_their_mentions():
    mentions = [
        mention(0, "CHEM", "C1"),
        mention(5, "DIS", "D1"),
        mention(9, "CHEM", "C1"),
        mention(20, "DIS", "D1", "D2"),  # composite
        mention(30, "DIS"),  # no concept: no pair
    ]
    found = find_pairs(mentions, 100, 1000, concepts=True, pair_types={("CHEM", "DIS")})
    assert set(found.arguments) == {("C1", "D1"), ("C1", "D2")}
    rows = {}
    for pair, group in zip(found.pairs, found.groups):
        rows.setdefault(found.arguments[group], set()).add(pair)
    assert rows == {("C1", "D1"): {(0, 1), (2, 1), (0, 3), (2, 3)}, ("C1", "D2"): {(0, 3), (2, 3)}}
    near = find_pairs(mentions, 4, 1000, concepts=True, pair_types={("CHEM", "DIS")})
    assert near.arguments == [("C1", "D1")] and near.pairs == [(2, 1)]


def test_pairs_that_say_nothing_take_no_room():
    """Of one concept with itself, or of a mention without one."""
    mentions = [mention(i, "GENE", "G1") for i in range(5)]
    mentions += [mention(5, "GENE"), mention(90, "GENE", "G2")]
    found = find_pairs(mentions, 100, 2, concepts=True)
    assert sorted(found.arguments) == [("G1", "G2"), ("G2", "G1")] and found.pairs == [
        (4, 6),
        (6, 4),
    ]
    assert found.cut == 8


def test_two_labels_at_one_place_keep_their_concepts():
    doc = spacy.blank("en")("alpha beta")
    concepts = {(0, 5, "CHEM"): ["C1"], (0, 5, "GENE"): ["G1"], (6, 10, "DIS"): ["D1"]}
    found = find_pairs(align_mentions(doc, concepts, concepts), 9, 99, concepts=True)
    assert ("G1", "D1") in found.arguments and ("C1", "D1") in found.arguments


def test_many_mentions_in_bounded_time():
    mentions = [mention(5 * i, "GENE", f"G{i % 700}") for i in range(9000)]
    started = time.perf_counter()
    found = find_pairs(mentions, 10000, 10000, concepts=True, directed=False)
    assert len(found.pairs) == 10000 and found.cut > 1_000_000
    assert time.perf_counter() - started < 60


def test_mentions_of_many_concepts_take_room_for_each_pair():
    many = [mention(5 * i, "GENE", *(f"G{i}.{k}" for k in range(10))) for i in range(200)]
    found = find_pairs(many, 10_000, 10_000, concepts=True)
    assert len(found.pairs) == 10_000 and len(set(found.pairs)) == 100  # of mentions
    assert found.total == 200 * 199 and found.cut == found.total - 100
    assert max(abs(head - tail) for head, tail in found.pairs) == 1
    few = find_pairs(many[:3], 10_000, 600, concepts=True)
    assert len(few.pairs) == 600 and few.cut == 0
    assert find_pairs(many[:3], 10_000, 599, concepts=True).cut == 2


def test_undirected_pairs_come_once():
    mentions = [mention(0, "B", "y"), mention(3, "A", "z"), mention(7, "A", "x")]
    found = find_pairs(mentions, 100, 1000, concepts=True, directed=False)
    assert sorted(found.arguments) == [("x", "y"), ("x", "z"), ("y", "z")]
    assert set(found.pairs) == {(1, 0), (2, 0), (1, 2)}  # by label, then by position


def test_mentions_widen_to_tokens_and_keep_their_offsets():
    doc = spacy.blank("en")("alpha-2 beta")
    (first, second) = align_mentions(doc, [(8, 12, "B"), (2, 5, "A")])
    assert (first.start_char, first.end_char, first.label) == (2, 5, "A")
    assert first.start == 0 and doc[first.start : first.end].text.startswith("alpha")
    assert (second.start, second.label) == (len(doc) - 1, "B")


def test_context_covers_the_pair_and_its_margin():
    far = [Candidate(s, s + 1, s, s + 1, "X") for s in (5, 50)]
    batch = index_pairs([3, 100], [NO_PAIRS, make_pairs(far, (0, 1))], ["X"], 2, 10)
    assert batch.pairs.tolist() == [[0, 1]]
    assert batch.spans.tolist() == [[8, 8], [53, 53]]
    # Wider than the window: half from either end, in rows of the concatenated Docs
    assert batch.context.tolist() == [[6, 11, 51, 56]]
    batch = index_pairs([100], [make_pairs(far, (0, 1))], ["X"], 2, 1)
    assert batch.context.tolist() == [[3, 4, 53, 53]]
    near = [Candidate(s, s + 1, s, s + 1, "Y") for s in (0, 1)]
    batch = index_pairs([3], [make_pairs(near, (1, 0))], ["X"], 2, 10)
    assert batch.context.tolist() == [[0, 3, 3, 3]]
    assert batch.labels.tolist() == [0, 0]  # unknown label


def test_no_pairs():
    batch = index_pairs([3, 0], [NO_PAIRS] * 2, [], 2, 10)
    assert batch.pairs.shape == (0, 2) and batch.context.shape == (0, 4)
    assert isinstance(batch.spans, np.ndarray)


CONCEPTS = st.lists(
    st.tuples(
        st.integers(0, 40), st.sampled_from(["A", "B"]), st.sampled_from(["", "x", "y", "z"])
    ),
    max_size=14,
).map(lambda found: [mention(s, label, *(c and [label + c])) for s, label, c in sorted(found)])


@given(CONCEPTS, st.integers(1, 40), st.integers(2, 30), st.booleans(), st.booleans())
def test_each_pair_of_concepts_keeps_its_closest(mentions, distance, max_pairs, directed, typed):
    settings = {"concepts": True, "directed": directed}
    settings["pair_types"] = {("A", "B")} if typed else None
    everything = find_pairs(mentions, distance, 10_000, **settings)
    found = find_pairs(mentions, distance, max_pairs, **settings)
    assert found.total == len(everything.pairs) == len(found.pairs) + found.cut
    assert set(found.pairs) <= set(everything.pairs)
    assert len(found.pairs) == len(set(found.pairs)) <= max_pairs

    def nearest(candidates):
        best = {}
        for (head, tail), group in zip(candidates.pairs, candidates.groups):
            arguments = candidates.arguments[group]
            apart = abs(mentions[head].start - mentions[tail].start)
            best[arguments] = min(best.get(arguments, apart), apart)
        return best

    kept, expected = nearest(found), nearest(everything)
    assert all(expected[arguments] == apart for arguments, apart in kept.items())
    if len(expected) <= max_pairs - directed:
        assert kept == expected
    elif set(expected) - set(kept):
        left = min(expected[arguments] for arguments in set(expected) - set(kept))
        assert all(apart <= left for apart in kept.values())
