import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacy_spanmed.scoring.calibration import (
    FEWEST,
    Calibration,
    expected_calibration_error,
    fit_calibration,
)


def test_by_hand():
    assert expected_calibration_error([]) is None
    assert expected_calibration_error([(1.0, True)] * 3) == 0.0
    assert expected_calibration_error([(1.0, False)]) == 1.0
    # One bin: mean score 0.75, 2 of 4 right; another: 0.2 and 0 of 1
    predictions = [(0.72, True), (0.78, True), (0.75, False), (0.75, False), (0.2, False)]
    assert expected_calibration_error(predictions) == pytest.approx((4 * 0.25 + 0.2) / 5)


def test_gaps_of_different_bins_do_not_cancel():
    assert expected_calibration_error([(0.95, False), (0.05, True)]) == pytest.approx(0.95)


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1))
def test_bounds(predictions):
    assert 0.0 <= expected_calibration_error(predictions) <= 1.0


def draw(slope, offset, count=4000, seed=0):
    """Predictions whose true probability is the calibrated one."""
    rng = np.random.default_rng(seed)
    scores = rng.uniform(0.02, 0.999, count)
    hits = rng.uniform(size=count) < Calibration(slope, offset).apply(scores)
    return list(zip(scores.tolist(), hits.tolist()))


@pytest.mark.parametrize("slope, offset", [(0.4, -0.5), (1.0, 0.0), (2.5, 1.0)])
def test_fit_finds_the_curve(slope, offset):
    predictions = draw(slope, offset)
    found = fit_calibration(predictions)
    assert found == pytest.approx((slope, offset), abs=0.15)
    scores = found.apply(np.array([score for score, _ in predictions]))
    calibrated = list(zip(scores.tolist(), (hit for _, hit in predictions)))
    assert expected_calibration_error(calibrated) < 0.03


def test_little_or_useless_data_gives_none():
    assert fit_calibration([]) is None
    assert fit_calibration([(0.9, True)] * 1000 + [(0.1, False)] * (FEWEST - 1)) is None
    assert fit_calibration([(0.1, True)] * 100 + [(0.9, False)] * 100) is None  # upside down
    assert fit_calibration([(0.7, True)] * 100 + [(0.7, False)] * 100) is None  # one score


def test_separable_data_stays_finite():
    found = fit_calibration([(1.0, True)] * 100 + [(0.0, False)] * 100)
    assert found is not None and np.isfinite(found).all()


@given(st.floats(0, 1), st.floats(0.1, 5), st.floats(-3, 3))
def test_scores_are_in_bounds_and_can_be_inverted(probability, slope, offset):
    calibration = Calibration(slope, offset)
    score = float(calibration.apply(np.float64(probability)))
    assert 0.0 <= score <= 1.0
    if 0.001 < probability < 0.999 and 0.001 < score < 0.999:
        assert calibration.invert(score) == pytest.approx(probability, abs=1e-6)


def test_default_changes_nothing():
    scores = np.array([0.0, 0.3, 1.0])
    assert Calibration().apply(scores) is scores
    assert Calibration().invert(0.3) == 0.3
