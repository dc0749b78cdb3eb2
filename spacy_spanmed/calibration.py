"""How far scores can be read as probabilities."""

from __future__ import annotations

from typing import Optional, Sequence, Tuple

import numpy


def expected_calibration_error(
    predictions: Sequence[Tuple[float, bool]], bins: int = 10
) -> Optional[float]:
    """Expected calibration error (Guo et al. 2017, arXiv 1706.04599): the mean distance between
    the score of the predictions of a bin and the share of them that is right, weighted by size.

    predictions (Sequence[Tuple[float, bool]]): Score in [0, 1], and whether it is right.
    bins (int): Of equal width. Defaults to 10.
    RETURNS (Optional[float]): In [0, 1]; None without predictions.
    """
    if not predictions:
        return None
    scores, hits = (numpy.array(part, dtype="float64") for part in zip(*predictions))
    numbers = numpy.minimum((scores * bins).astype("int64"), bins - 1)
    gaps = numpy.bincount(numbers, weights=scores - hits, minlength=bins)
    return float(numpy.abs(gaps).sum() / len(scores))
