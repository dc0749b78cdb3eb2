"""How far scores can be read as probabilities, and how they are made so.

A network that has been trained for long is surer than it is right. A pipe's scores go through a
curve of two parameters, fitted on held-out data: Platt scaling (Platt 1999, "Probabilistic Outputs
for Support Vector Machines"). It keeps their order, so the same predictions are there at the
threshold that it turns the old one into.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

BINS = 10  # of equal width, of the expected calibration error
FEWEST = 50  # predictions right, and as many wrong, below which there is nothing to fit


class Judged(NamedTuple):
    """A prediction: its score (float), whether it is right (bool), and its label (str)."""

    score: float
    hit: bool
    label: str = ""


class Calibration(NamedTuple):
    """score = sigmoid(slope x logit(probability) + offset); the defaults change nothing.

    slope (float): Above 0. offset (float).
    """

    slope: float = 1.0
    offset: float = 0.0

    def apply(self, probabilities: np.ndarray) -> np.ndarray:
        """RETURNS (np.ndarray): Scores, in [0, 1]."""
        if self == (1.0, 0.0):
            return probabilities
        return sigmoid(self.slope * _logit(probabilities) + self.offset)

    def invert(self, score: float) -> float:
        """RETURNS (float): The probability that has this score."""
        if self == (1.0, 0.0) or not 0.0 < score < 1.0:
            return score
        return float(sigmoid((_logit(np.array(score)) - self.offset) / self.slope))

    def invert_all(self, scores: float | np.ndarray, count: int) -> np.ndarray:
        """RETURNS (Floats1d): The probabilities that have these scores; of one, count times the
        same."""
        return np.array([self.invert(float(score)) for score in np.broadcast_to(scores, count)])


def fit_calibration(predictions: Sequence[Judged]) -> Calibration | None:
    """Find the curve with the lowest log loss on Platt's smoothed targets.

    predictions (Sequence[Judged]): Of held-out data, uncalibrated, down to a low threshold.
    RETURNS (Optional[Calibration]): None with too few predictions (see FEWEST), with a single
        score, or if higher scores aren't more often right.
    """
    if not predictions:
        return None
    scores, hits = _split(predictions)
    right, wrong = hits.sum(), (1 - hits).sum()
    if min(right, wrong) < FEWEST or scores.min() == scores.max():
        return None
    targets = np.where(hits > 0, (right + 1) / (right + 2), 1 / (wrong + 2))
    inputs = _logit(scores)[:, None]
    weights = fit_logistic(inputs, targets)
    slope, offset = (round(float(weight), 4) for weight in weights)
    return Calibration(slope, offset) if slope > 0 else None


def fit_logistic(inputs: np.ndarray, targets: np.ndarray, penalty: float = 0.0) -> np.ndarray:
    """Logistic regression: the weights with the lowest log loss.

    inputs (np.ndarray): (rows, inputs). targets (np.ndarray): (rows,), in [0, 1].
    penalty (float): Half of it times each weight's square, the bias's not, adds to the loss.
        Defaults to 0.
    RETURNS (np.ndarray): A weight for each input, then the bias.
    """
    from sklearn.linear_model import LogisticRegression  # pipelines load faster without

    # scikit-learn takes classes: a target between 0 and 1 is a row of each, so much of it
    classes = np.repeat([1, 0], len(targets))
    shares = np.concatenate([targets, 1 - targets])
    model = LogisticRegression(
        C=1 / penalty if penalty else np.inf, solver="newton-cholesky", tol=1e-8
    )
    model.fit(np.tile(inputs, (2, 1)), classes, sample_weight=shares)
    return np.append(model.coef_[0], model.intercept_)


def expected_calibration_error(predictions: Sequence[Judged]) -> float | None:
    """Expected calibration error (Guo et al. 2017, arXiv 1706.04599): the mean distance between
    the score of the predictions of a bin and the share of them that is right, weighted by size.

    predictions (Sequence[Judged]): Scores in [0, 1].
    RETURNS (Optional[float]): In [0, 1]; None without predictions.
    """
    if not predictions:
        return None
    scores, hits = _split(predictions)
    numbers = np.minimum((scores * BINS).astype("int64"), BINS - 1)
    gaps = np.bincount(numbers, weights=scores - hits, minlength=BINS)
    return float(np.abs(gaps).sum() / len(scores))


def _split(predictions: Sequence[Judged]) -> tuple[np.ndarray, np.ndarray]:
    """RETURNS (Tuple[Floats1d, Floats1d]): Scores, and 1.0 where a prediction is right."""
    scores, hits, *_ = zip(*predictions)
    return np.array(scores, dtype="float64"), np.array(hits, dtype="float64")


def _logit(probabilities: np.ndarray) -> np.ndarray:
    """Of probabilities kept off 0 and 1, which have none."""
    kept = np.clip(np.asarray(probabilities, dtype="float64"), 1e-9, 1 - 1e-9)
    return np.log(kept) - np.log1p(-kept)


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """RETURNS (np.ndarray): Probabilities; without overflow, however small they are."""
    return 0.5 * (1 + np.tanh(0.5 * logits))
