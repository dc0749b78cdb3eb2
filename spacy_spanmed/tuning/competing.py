"""Fit what the competing pairs of a pair say of it, on documents that the network was not trained on.

What it says of those it was trained on is too good to learn from (stacked generalization, Wolpert
1992, doi 10.1016/S0893-6080(05)80023-1).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from spacy.training import Example

from ..doc.gold import get_gold_relations
from ..pipeline.relation_extractor.competing_pairs import BIAS, FEATURES, describe_competing
from ..pipeline.relation_extractor.component import RelationExtractor
from ..pipeline.relation_extractor.given_gold import BATCH_SIZE, get_gold
from ..pipeline.relation_extractor.pooling import pool
from ..scoring.calibration import FEWEST, fit_logistic

FOLDS = 5


def fit_competing(pipe: RelationExtractor, examples: list[Example]) -> dict[str, float] | None:
    """Fit the setting `rivals` of a pipe, given gold entities. It isn't set yet.

    pipe (RelationExtractor): Trained. examples (List[Example]): Held out; the transformer ran on
        their predicted Docs.
    RETURNS (Optional[Dict[str, float]]): See `fit_weights`.
    """
    described, targets = [], []
    for start in range(0, len(examples), BATCH_SIZE):
        batch = examples[start : start + BATCH_SIZE]
        docs = [eg.predicted for eg in batch]
        scored = pipe.score_pairs(docs, [get_gold(pipe, eg.reference) for eg in batch])
        for eg, (candidate, logits) in zip(batch, scored):
            groups = np.array(candidate.groups, dtype="int64")
            pooled = pool(logits, groups, len(candidate.arguments))[:, :-1]
            described.append(describe_competing(candidate, pooled))
            relations = get_gold_relations(eg.reference, pipe.concepts, pipe.directed)
            related = {(pair, label) for pair, label, _ in relations}
            targets.append(
                np.array(
                    [
                        [(pair, label) in related for label in pipe.labels]
                        for pair in candidate.arguments
                    ],
                    dtype="float64",
                ).reshape(pooled.shape)
            )
    return fit_weights(described, targets)


def fit_weights(
    described: Sequence[np.ndarray], targets: Sequence[np.ndarray]
) -> dict[str, float] | None:
    """Fit the weights on Docs that the network was not trained on.

    described (Sequence[np.ndarray]): For each Doc, from `describe_competing`.
    targets (Sequence[np.ndarray]): For each Doc, (groups, labels): 1.0 where the relation is.
    RETURNS (Optional[Dict[str, float]]): For "bias" and all FEATURES; None with too few relations
        or a single Doc, or if they predict those of Docs left out of the fit no better than the
        pairs' own scores.
    """
    rows = [part.reshape(-1, len(FEATURES)) for part in described]
    if not rows:
        return None
    inputs, hits = np.concatenate(rows), np.concatenate([part.ravel() for part in targets])
    folds = np.repeat(np.arange(len(rows)) % FOLDS, [len(part) for part in rows])
    if min(hits.sum(), (1 - hits).sum()) < FEWEST or len(np.unique(folds)) < 2:
        return None
    if _validate(inputs, hits, folds) >= _validate(inputs[:, :1], hits, folds):
        return None
    *weights, bias = (round(float(weight), 4) for weight in _fit(inputs, hits))
    return {BIAS: bias, **dict(zip(FEATURES, weights))}


def _fit(inputs: np.ndarray, hits: np.ndarray) -> np.ndarray:
    """RETURNS (np.ndarray): A weight for each input, then the bias. The penalty is the same for
    all of them, whatever their units."""
    means, scales = inputs.mean(axis=0), inputs.std(axis=0)
    scales[scales < 1e-9] = 1.0
    weights = fit_logistic((inputs - means) / scales, hits, penalty=1.0)
    slopes = weights[:-1] / scales
    return np.append(slopes, weights[-1] - slopes @ means)


def _validate(inputs: np.ndarray, hits: np.ndarray, folds: np.ndarray) -> float:
    """RETURNS (float): Log loss on each fold, of weights fitted on the others, summed up."""
    total = 0.0
    for fold in np.unique(folds):
        left_out = folds == fold
        *weights, bias = _fit(inputs[~left_out], hits[~left_out])
        logits = inputs[left_out] @ np.array(weights) + bias
        total += float((np.logaddexp(0, logits) - hits[left_out] * logits).sum())
    return total
