"""Where a pipe draws the line: scores from probabilities, and which scores are enough.

What held-out data says of it is kept with the pipe as curves, so that users can ask for a precision
instead of a threshold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from .calibration import Calibration, Judged

ALL = ""  # the curve of all labels together
STEPS = np.round(np.arange(0.02, 1.0, 0.02), 2)  # thresholds of the curves
FEWEST_PREDICTED = 10  # below which a precision means little

Curves = Mapping[str, Sequence[Sequence[float]]]


class Operating(NamedTuple):
    """threshold (float): Lowest score of a prediction, in [0, 1]. label_thresholds (Mapping[str,
    float]): Of labels that have their own. calibration (Calibration): From probabilities to scores."""

    threshold: float = 0.5
    label_thresholds: Mapping[str, float] = {}
    calibration: Calibration = Calibration()

    def get_thresholds(self, labels: Sequence[str]) -> np.ndarray:
        """RETURNS (Floats1d): For each label the lowest score."""
        return np.array([self.label_thresholds.get(label, self.threshold) for label in labels])

    def to_settings(self) -> dict[str, Any]:
        """RETURNS (Dict[str, Any]): As settings of a pipe."""
        return {
            "threshold": self.threshold,
            "label_thresholds": dict(self.label_thresholds),
            "calibration": list(self.calibration),
        }


def check_operating(name: str, settings: Mapping[str, Any]) -> Operating:
    """Make an operating point from a pipe's settings.

    name (str): The pipe's, for messages. settings (Mapping[str, Any]): "threshold",
        "label_thresholds" and "calibration"; what is missing has its default.
    RAISES (ValueError): If one is out of range, or unknown.
    """
    unknown = set(settings) - set(Operating._fields)
    if unknown:
        raise ValueError(f"{name}: unknown settings {', '.join(sorted(unknown))}.")
    calibration = settings.get("calibration", (1.0, 0.0))
    if len(calibration) != 2 or not calibration[0] > 0:
        raise ValueError(
            f"{name}: calibration must be a slope above 0 and an offset, not {list(calibration)}."
        )
    threshold = settings.get("threshold", 0.5)
    by_label = dict(settings.get("label_thresholds", {}))
    for value in (threshold, *by_label.values()):
        if not 0.0 <= value <= 1.0:
            raise ValueError(f"{name}: the threshold must be in [0, 1], not {value}.")
    return Operating(threshold, by_label, Calibration(*calibration))


def make_curves(
    judged: Sequence[Judged], support: Mapping[str, int]
) -> dict[str, list[list[float]]]:
    """Precision and recall by threshold and label.

    judged (Sequence[Judged]): Predictions on held-out data, down to a low threshold.
    support (Mapping[str, int]): How many there are in gold, by label.
    RETURNS (Dict[str, List[List[float]]]): For each label, and for ALL, rows of threshold, precision,
        recall and number of predictions, for each of STEPS that has any.
    """
    curves = {}
    for label in (ALL, *sorted(support)):
        own = [item for item in judged if label in (ALL, item.label)]
        total = support[label] if label else sum(support.values())
        if not own or not total:
            continue
        scores = np.array([item.score for item in own])
        hits = np.array([item.hit for item in own])
        rows = []
        for step in STEPS.tolist():
            above = scores > step
            count, right = int(above.sum()), int(hits[above].sum())
            if count:
                rows.append([step, round(right / count, 4), round(right / total, 4), count])
        curves[label] = rows
    return curves


def find_threshold(
    curves: Curves, label: str, precision: float
) -> tuple[float, float, float] | None:
    """The lowest threshold from which on a precision was reached.

    curves (Curves): See `make_curves`. label (str): A label, or ALL. precision (float): In (0, 1].
    RETURNS (Optional[Tuple[float, float, float]]): Threshold, precision and recall there; None if
        it isn't reached with at least FEWEST_PREDICTED predictions.
    """
    for step, reached, recall, count in curves.get(label, ()):
        if count >= FEWEST_PREDICTED and reached >= precision:
            return step, reached, recall
    return None
