import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacy_spanmed.calibration import expected_calibration_error


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
