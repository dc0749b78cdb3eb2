"""What competing pairs say of a pair, and what is learned from it."""

import math

import numpy as np
import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st

from spacy_spanmed.pipeline.relation_extractor.candidates import NO_PAIRS, Candidate, find_pairs
from spacy_spanmed.pipeline.relation_extractor.decoding import decode
from spacy_spanmed.pipeline.relation_extractor.evidence import (
    BIAS,
    FEATURES,
    LOWEST,
    apply_weights,
    describe_competing,
)
from spacy_spanmed.pipeline.relation_extractor.losses import MentionPairs
from spacy_spanmed.scoring.calibration import fit_logistic
from spacy_spanmed.tuning.thresholds import fit_weights

ALONE = {BIAS: 0.0, **dict.fromkeys(FEATURES, 0.0), "own": 1.0}


def mention(start, label, *concepts):
    return Candidate(start, start + 1, 5 * start, 5 * start + 4, label, concepts)


def column(described, name):
    return described[:, 0, FEATURES.index(name)].tolist()


def test_by_hand():
    mentions = [
        mention(0, "CHEM", "C1"), mention(10, "DIS", "D1"), mention(14, "CHEM", "C2"),
        mention(40, "DIS", "D2"), mention(42, "DIS", "D1"),
    ]  # fmt: skip
    found = find_pairs(mentions, 1000, 1000, concepts=True, pair_types={("CHEM", "DIS")})
    assert sorted(found.arguments) == [("C1", "D1"), ("C1", "D2"), ("C2", "D1"), ("C2", "D2")]
    logits = {("C1", "D1"): 2.0, ("C1", "D2"): -1.0, ("C2", "D1"): -20.0, ("C2", "D2"): 0.5}
    pooled = np.array([[logits[pair], -30.0] for pair in found.arguments])
    described = describe_competing(found, pooled)
    assert (described[:, 1, 1:] == described[:, 0, 1:]).all() and (described[:, 1, 0] == -30).all()

    def named(name):
        return dict(zip(found.arguments, column(described, name)))

    assert named("own") == logits
    assert [named("best_rival")[pair] for pair in logits] == [0.5, 2.0, 2.0, 2.0]
    # C1 is 10 tokens from D1 and 40 from D2; C2 is 4 and 26.
    assert [named("head_nearer")[pair] for pair in logits] == [0.0, math.log(2), 0.0, math.log(2)]
    assert [named("tail_nearer")[pair] for pair in logits] == [math.log(2), math.log(2), 0.0, 0.0]


@given(
    st.lists(
        st.tuples(st.integers(0, 30), st.sampled_from("AB"), st.sampled_from("uvw")),
        max_size=8, unique_by=lambda item: item[0],
    ),
    st.booleans(), st.booleans(), st.randoms(use_true_random=False),
)  # fmt: skip
def test_as_a_loop_would_count(items, concepts, directed, random):
    mentions = [mention(start, label, label + name) for start, label, name in sorted(items)]
    found = find_pairs(mentions, 1000, 1000, concepts=concepts, directed=directed)
    scores = [round(random.uniform(-10, 10)) for _ in found.arguments]
    described = describe_competing(found, np.array(scores, dtype=float).reshape(-1, 1))
    assert described.shape == (len(scores), 1, len(FEATURES))
    distances = [
        min(
            abs(found.mentions[head].start - found.mentions[tail].start)
            for (head, tail), owner in zip(found.pairs, found.groups)
            if owner == group
        )
        for group in range(len(scores))
    ]
    for group, ends in enumerate(found.arguments):
        others = [other for other in range(len(scores)) if other != group]
        highest = max((scores[other] for other in others), default=LOWEST)
        assert described[group, 0, 1] == max(highest, LOWEST)
        for side, end in zip(("head", "tail"), ends):
            own = [other for other in others if end in found.arguments[other]]
            nearer = sum(distances[other] < distances[group] for other in own)
            assert column(described, f"{side}_nearer")[group] == pytest.approx(math.log1p(nearer))


def test_nothing_to_compare():
    assert describe_competing(NO_PAIRS, np.zeros((0, 3))).shape == (0, 3, len(FEATURES))


def draw_documents(seed=0, size=200, weight=-1.0):
    """Documents of 5 pairs whose relations depend on the best competing pair with a weight."""
    random = np.random.default_rng(seed)
    described = random.normal(size=(size, 5, 1, len(FEATURES)))
    described[:, :, 0, 0] *= 2
    logits = described[:, :, 0, 0] + weight * described[:, :, 0, 1] - 0.5
    targets = random.random((size, 5)) < 1 / (1 + np.exp(-logits))
    return list(described), [part[:, None].astype(float) for part in targets]


def test_weights_are_found_if_competing_pairs_matter():
    described, targets = draw_documents()
    weights = fit_weights(described, targets)
    assert weights.keys() == {BIAS, *FEATURES}
    assert weights["own"] == pytest.approx(1.0, abs=0.2)
    assert weights["best_rival"] == pytest.approx(-1.0, abs=0.3)
    assert weights[BIAS] == pytest.approx(-0.5, abs=0.3)
    assert abs(weights["tail_nearer"]) < 0.3
    logits = apply_weights(weights, described[0])
    assert logits.shape == (5, 1)


def test_no_weights_without_use_or_data():
    assert fit_weights(*draw_documents(weight=0.0)) is None
    assert fit_weights(*draw_documents(size=15)) is None
    assert fit_weights([], []) is None


def test_no_weights_of_a_single_document():
    """There is none left to see on whether they help."""
    described, targets = draw_documents()
    described, targets = np.concatenate(described), np.concatenate(targets)
    assert fit_weights([described], [targets]) is None
    assert fit_weights([described, described[:0]], [targets, targets[:0]]) is None


def test_logistic_regression_is_at_its_minimum():
    random = np.random.default_rng(1)
    inputs = random.normal(size=(300, 3)) * [1.0, 50.0, 0.1]
    targets = (random.random(300) < 0.3).astype(float)

    def loss(weights):
        logits = inputs @ weights[:-1] + weights[-1]
        return (np.logaddexp(0, logits) - targets * logits).sum() + (weights[:-1] ** 2).sum()

    weights = fit_logistic(inputs, targets, penalty=2.0)
    for change in np.eye(4) * 1e-3:
        assert loss(weights) <= loss(weights + change) and loss(weights) <= loss(weights - change)


def test_relations_are_chosen_by_the_final_score():
    mentions = [mention(0, "CHEM", "C1"), mention(5, "DIS", "D1"), mention(30, "DIS", "D2")]
    found = find_pairs(mentions, 1000, 1000, concepts=True, pair_types={("CHEM", "DIS")})
    scores = MentionPairs.read(found, np.array([[3.0, -9.0], [1.0, -9.0]]))
    assert found.arguments == [("C1", "D1"), ("C1", "D2")]

    def chosen(weights):
        result = decode(
            found, scores, ["CAUSES"], threshold=0.5, concepts=True,
            rescore=lambda pooled: apply_weights(weights, describe_competing(found, pooled)),
        )  # fmt: skip
        return [(item.tail_id, round(item.score, 4)) for item in result.concept_relations]

    plain = decode(found, scores, ["CAUSES"], threshold=0.5, concepts=True).concept_relations
    assert chosen(ALONE) == [(item.tail_id, round(item.score, 4)) for item in plain]
    assert len(plain) == 2
    # 3 - 0.5 x 1, and 1 - 0.5 x 3
    assert chosen({**ALONE, "best_rival": -0.5}) == [("D1", round(1 / (1 + math.exp(-2.5)), 4))]


def test_weights_are_checked():
    with pytest.raises(ValueError, match="rivals must be empty or have bias, own"):
        spacy.blank("en").add_pipe("relation_extractor", config={"rivals": {"own": 1.0}})
