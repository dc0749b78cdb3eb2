import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scripts.nero.splits import (
    MAX_HELD_OUT_CLUSTER,
    assign_splits,
    cluster,
    near_duplicate_pairs,
    normalize_text,
    proportional,
)
from spacy_spanmed.corpora.convert import stable_hash


def shingles(text):
    text = normalize_text(text).ljust(5)
    return {text[i : i + 5] for i in range(len(text) - 4)}


def near(a, b):
    a, b = sorted((shingles(a), shingles(b)), key=len)
    common = len(a & b)
    return common >= 0.7 * len(a | b) - 1e-9 or (len(a) >= 20 and common >= 0.9 * len(a) - 1e-9)


WORDS = [
    "alpha",
    "beta",
    "gamma",
    "binds",
    "the",
    "receptor",
    "kinase",
    "of",
    "DNA",
    "in",
    "cells",
    "and",
    "mice",
    "not",
    "p53",
]


@given(st.lists(st.lists(st.sampled_from(WORDS), max_size=12).map(" ".join), max_size=14))
@settings(max_examples=150, deadline=None)
def test_near_duplicates_equal_brute_force(texts):
    expected = [
        (i, j)
        for i in range(len(texts))
        for j in range(i + 1, len(texts))
        if near(texts[i], texts[j])
    ]
    assert near_duplicate_pairs(texts) == expected


def test_near_duplicates_ignore_spacing_and_case():
    assert near_duplicate_pairs(["( Ca2+ ) binds X .", "(ca2+)  Binds x", "other"]) == [(0, 1)]
    assert near_duplicate_pairs([]) == []


def test_cluster_joins_over_others():
    assert cluster(6, [(0, 3), (3, 5), (1, 2)]) == [0, 1, 1, 0, 4, 0]


@given(st.dictionaries(st.text(max_size=3), st.integers(0, 50), max_size=6), st.integers(0, 200))
def test_proportional_adds_up(sizes, total):
    shares = proportional(total, sizes)
    assert sum(shares.values()) == min(total, sum(sizes.values()))
    assert all(0 <= shares[name] <= sizes[name] for name in sizes)


def sample(n=600):
    rng = random.Random(0)
    clusters = [rng.randrange(n // 2) for _ in range(n)]
    strata = [rng.choice(["e by 5", "e by 7", "r by 5", ""]) for _ in range(n)]
    return clusters, strata, [f"text {i}" for i in range(n)]


def test_splits_keep_clusters_whole_and_meet_each_stratum():
    clusters, strata, keys = sample()
    splits = assign_splits(clusters, strata, keys, dev=40, test=80)
    assert all(
        len({s for c, s in zip(clusters, splits) if c == name}) == 1 for name in set(clusters)
    )
    for stratum in set(strata) - {""}:
        size = strata.count(stratum)
        for name, total in (("dev", 40), ("test", 80)):
            got = sum(a == stratum and b == name for a, b in zip(strata, splits))
            assert abs(got - total * size / len([s for s in strata if s])) < 3


def test_splits_depend_on_seed_alone_not_on_order():
    clusters, strata, keys = sample()
    splits = assign_splits(clusters, strata, keys, dev=40, test=80, seed=1)
    order = list(range(len(keys)))
    random.Random(1).shuffle(order)
    renamed = [1000 - clusters[i] for i in order]
    again = assign_splits(
        renamed, [strata[i] for i in order], [keys[i] for i in order], dev=40, test=80, seed=1
    )
    assert [splits[i] for i in order] == again
    assert splits != assign_splits(clusters, strata, keys, dev=40, test=80, seed=2)


def test_large_clusters_go_to_train():
    n = MAX_HELD_OUT_CLUSTER + 1
    splits = assign_splits([0] * n, ["a"] * n, ["x"] * n, dev=n, test=n)
    assert set(splits) == {"train"}


def test_stable_hash_is_stable():
    assert stable_hash(0, "text") == stable_hash(0, "text") != stable_hash(1, "text")
    assert stable_hash(0, "a") == pytest.approx(stable_hash(0, "a"))
