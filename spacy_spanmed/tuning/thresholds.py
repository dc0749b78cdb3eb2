"""Fit the pipes' calibration, and what competing pairs say, and choose thresholds on held-out data.

What competing pairs say of those the network was trained on is too good to learn from (stacked
generalization, Wolpert 1992, doi 10.1016/S0893-6080(05)80023-1).
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from spacy.language import Language
from spacy.training import Example

from ..doc.gold import get_gold_relations
from ..doc.layers import ENTITIES, RELATIONS, get_layers
from ..pipeline.relation_extractor.component import RelationExtractor
from ..pipeline.relation_extractor.evidence import BIAS, FEATURES, describe_competing
from ..pipeline.span_ner.component import SpanNER
from ..scoring.calibration import (
    FEWEST,
    Calibration,
    Judged,
    expected_calibration_error,
    fit_calibration,
    fit_logistic,
)
from ..scoring.entities import score_entities
from ..scoring.relations import score_relations

GRID = (0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6, 0.7)
LOWEST = 0.02  # threshold of the predictions that a calibration is fitted on
BATCH_SIZE = 64
FOLDS = 5


def tune_pipes(
    nlp: Language, examples: Sequence[Example], grid: Sequence[float] = GRID
) -> dict[str, dict[str, Any]]:
    """Calibrate the scores of `span_ner` and `relation_extractor`, and set their thresholds.

    The thresholds are those with the best F1 (if there is one above 0), each chosen alone: entities
    by `ents_f`, relations by `rel_gold_micro_f` (given gold entities), so that the second does not
    make up for errors of the first. Before that, what competing pairs say of a pair is fitted, given
    gold entities too. Relations' scores are calibrated between predicted entities, as users get
    them. A pipe is left as it is if the pipeline lacks it or the data lacks its layer. The
    encoder runs once.

    nlp (Language): Trained pipeline; its pipes and its config are changed.
    examples (Sequence[Example]): The development set, never the test set.
    grid (Sequence[float]): Thresholds to try, each in [0, 1), of calibrated scores.
    RETURNS (Dict[str, Dict[str, Any]]): For each pipe "threshold" and "f" on the data,
        "calibration" (None if there was too little to fit one), and expected calibration errors
        without and with it, "ece_before" and "ece", on the data that it was fitted on; for
        relations also "rivals": the weights of what competing pairs say (see `fit_competing`).
    """
    examples = list(examples)
    chosen: dict[str, dict[str, Any]] = {}
    for name, pipe in nlp.pipeline:
        if isinstance(pipe, (SpanNER, RelationExtractor)):
            layer = ENTITIES if isinstance(pipe, SpanNER) else RELATIONS
            some = [eg for eg in examples if layer in get_layers(eg.reference)]
            if some:
                chosen[name] = _tune(nlp, name, pipe, some, grid)
        annotate(pipe, examples)
    return chosen


def _tune(
    nlp: Language,
    name: str,
    pipe: SpanNER | RelationExtractor,
    examples: list[Example],
    grid: Sequence[float],
) -> dict[str, Any]:
    if isinstance(pipe, RelationExtractor):
        _set(nlp, name, rivals=fit_competing(pipe, examples) or {})
    own = pipe.threshold
    pipe.threshold, pipe.calibration = LOWEST, Calibration()
    annotate(pipe, examples)
    judged: list[Judged] = []
    if isinstance(pipe, RelationExtractor):
        score_relations(examples, directed=pipe.directed, judged=judged)
    else:
        score_entities(examples, judged=judged)
    fitted = fit_calibration(judged)
    pipe.calibration = calibration = fitted or Calibration()
    figures = {}
    for threshold in grid:
        pipe.threshold = threshold
        if isinstance(pipe, RelationExtractor):
            found = pipe.predict_given_gold(examples)
            scores = score_relations(found, directed=pipe.directed, by_id=True)
            figures[threshold] = scores["rel_micro_f"] or 0.0
        else:
            annotate(pipe, examples)
            figures[threshold] = score_entities(examples)["ents_f"] or 0.0
    best = max(figures, key=lambda threshold: figures[threshold])
    if not figures[best]:  # the first of equals would be the most permissive of all
        warnings.warn(
            f"{name}: nothing that it finds in the development set is right, whatever the threshold, "
            f"which stays {own}. Train it longer, or check that the data has its labels."
        )
        best = own
    _set(nlp, name, threshold=best, calibration=list(calibration))
    before = [(score, hit) for score, hit in judged if score > calibration.invert(best)]
    after = [(float(calibration.apply(np.array(score))), hit) for score, hit in before]
    return {
        "threshold": best,
        "f": figures.get(best, 0.0),
        "calibration": None if fitted is None else list(fitted),
        "ece_before": expected_calibration_error(before),
        "ece": expected_calibration_error(after),
        **({"rivals": pipe.rivals} if isinstance(pipe, RelationExtractor) else {}),
    }


def _set(nlp: Language, name: str, **settings: Any) -> None:
    """Change settings of a pipe, and what is saved of them with the pipeline."""
    for key, value in settings.items():
        setattr(nlp.get_pipe(name), key, Calibration(*value) if key == "calibration" else value)
    nlp.get_pipe_config(name).update(settings)


def copy_tuning(nlp: Language, source: Path) -> dict[str, dict[str, Any]]:
    """Set calibration and thresholds as another pipeline's, tuned on data that it was not trained
    on. For a pipeline of the same settings that has seen that data, and looks better on it than it
    is.

    nlp (Language): Trained pipeline; its pipes and its config are changed.
    source (Path): Pipeline as written by `spanmed finalize --dev`.
    RETURNS (Dict[str, Dict[str, Any]]): For each pipe "threshold", "calibration" (or None), for
        relations also "rivals".
    RAISES (ValueError): If the source has not been tuned, or has other pipes to tune.
    """
    meta = source / "meta.json"
    if not meta.is_file():
        raise ValueError(f"No pipeline at {source}: make one with `spanmed finalize --dev` first.")
    tuned = json.loads(meta.read_text(encoding="utf8")).get("thresholds") or {}
    if not tuned or not set(tuned) <= set(nlp.pipe_names):
        raise ValueError(
            f"{source} has thresholds tuned for {', '.join(sorted(tuned)) or 'no pipe'}; this "
            f"pipeline has {', '.join(nlp.pipe_names)}: tune one like it on dev first (`spanmed "
            "finalize --dev`)."
        )
    copied = {}
    for name, figures in tuned.items():
        kept = {
            key: figures[key] for key in ("threshold", "calibration", "rivals") if key in figures
        }
        calibration = list(Calibration(*(figures["calibration"] or ())))
        _set(nlp, name, **{**kept, "calibration": calibration})
        copied[name] = kept
    return copied


def annotate(pipe: Callable, examples: list[Example]) -> None:
    """Run one pipe over the examples' predicted Docs."""
    for start in range(0, len(examples), BATCH_SIZE):
        docs = [eg.predicted for eg in examples[start : start + BATCH_SIZE]]
        if hasattr(pipe, "pipe"):
            list(pipe.pipe(docs, batch_size=BATCH_SIZE))
        else:
            for doc in docs:
                pipe(doc)


def fit_competing(pipe: RelationExtractor, examples: list[Example]) -> dict[str, float] | None:
    """Fit the setting `rivals` of a pipe, given gold entities. It isn't set yet.

    pipe (RelationExtractor): Trained. examples (List[Example]): Held out; the transformer ran on
        their predicted Docs.
    RETURNS (Optional[Dict[str, float]]): See `fit_weights`.
    """
    described, targets = [], []
    for eg, candidate, scores in pipe.score_given_gold(examples):
        pooled = scores.logits[:, :-1]
        described.append(describe_competing(candidate, pooled))
        relations = get_gold_relations(eg.reference, pipe.concepts, pipe.directed)
        related = {(pair, label) for pair, label, _ in relations}
        hits = [(pair, label) in related for pair in candidate.arguments for label in pipe.labels]
        targets.append(np.array(hits, dtype="float64").reshape(pooled.shape))
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
