"""Losses on held-out text, and what they say of a head."""

import warnings

import pytest

from spacy_spanmed.pretraining.evaluation import warn_of_untrained


def test_head_that_only_guesses_is_warned_of():
    with pytest.warns(UserWarning, match="no better than by guessing"):
        warn_of_untrained({"token": {"loss": 3.2}}, 26, "x")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_untrained({"token": {"loss": 2.5}}, 26, "x")
