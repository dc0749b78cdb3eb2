"""Fit the pipes' calibration, and what competing pairs say, and choose thresholds on held-out data.

What competing pairs say of those the network was trained on is too good to learn from (stacked
generalization, Wolpert 1992, doi 10.1016/S0893-6080(05)80023-1).
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping, Sequence
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
from ..scoring.operating import Operating, make_curves
from ..scoring.relations import score_relations

GRID = (0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6, 0.7)
LOWEST = 0.02  # threshold of the predictions that calibration and thresholds are fitted on
FEWEST_OF_LABEL = 15  # in gold, for a threshold of its own
# ... which is at least so much of the one for all. A label that is seldom right has its best F1 where
# nearly everything is taken for it, which nobody wants to read.
LEAST_OF_LABEL = 0.5
COPIED = ("threshold", "label_thresholds", "calibration", "given_gold", "rivals")
BATCH_SIZE = 64
FOLDS = 5

Pipe = SpanNER | RelationExtractor


def tune_pipes(
    nlp: Language, examples: Sequence[Example], grid: Sequence[float] = GRID
) -> dict[str, dict[str, Any]]:
    """Calibrate the scores of `span_ner` and `relation_extractor`, set their thresholds, and keep what
    precision and recall they reach.

    The thresholds are those with the best F1 (if there is one above 0): one for all, and of labels
    that are frequent enough their own. Those of relations are chosen twice, as calibration is: between
    predicted entities, as users get them, and given gold entities. Before that, what competing pairs
    say of a pair is fitted, given gold entities. A pipe is left as it is if the pipeline lacks it
    or the data lacks its layer. The encoder runs once.

    nlp (Language): Trained pipeline; its pipes and its config are changed.
    examples (Sequence[Example]): The development set, never the test set.
    grid (Sequence[float]): Thresholds to try, each in [0, 1), of calibrated scores.
    RETURNS (Dict[str, Dict[str, Any]]): For each pipe "threshold", "label_thresholds", "f" on the
        data, "calibration" (None if there was too little to fit one), and expected calibration
        errors without and with it, "ece_before" and "ece", on the data that it was fitted on; for
        relations also "given_gold", with the same, and "rivals": the weights of what competing pairs
        say (see `fit_competing`).
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
    nlp: Language, name: str, pipe: Pipe, examples: list[Example], grid: Sequence[float]
) -> dict[str, Any]:
    own = pipe.operating
    relations = isinstance(pipe, RelationExtractor)
    if isinstance(pipe, RelationExtractor):
        _set(nlp, name, rivals=fit_competing(pipe, examples) or {}, given_gold={})
    pipe.threshold, pipe.label_thresholds, pipe.calibration = Operating(LOWEST)
    annotate(pipe, examples)
    judged: list[Judged] = []
    if isinstance(pipe, RelationExtractor):
        scores = score_relations(examples, directed=pipe.directed, judged=judged)
    else:
        scores = score_entities(examples, judged=judged)
    support = _count_support(scores, "rel" if relations else "ents")
    operating, figures = choose_operating(judged, support, grid, own)
    if isinstance(pipe, RelationExtractor):
        of_gold: list[Judged] = []
        found = pipe.predict_given_gold(examples)
        scores = score_relations(found, directed=pipe.directed, by_id=True, judged=of_gold)
        support_of_gold = _count_support(scores, "rel")
        given_gold, figures_of_gold = choose_operating(of_gold, support_of_gold, grid, own)
        figures["given_gold"] = {**given_gold.to_settings(), **figures_of_gold}
        _set(nlp, name, given_gold=given_gold.to_settings())
    if not figures["f"]:  # the first of equals would be the most permissive of all
        warnings.warn(
            f"{name}: nothing that it finds in the development set is right, whatever the threshold, "
            f"which stays {own.threshold}. Train it longer, or check that the data has its labels."
        )
    _set(nlp, name, **operating.to_settings())
    calibrated = [j._replace(score=s) for j, s in zip(judged, _calibrate(judged, operating))]
    pipe.cfg["curves"] = make_curves(calibrated, support)
    return {
        **operating.to_settings(),
        **figures,
        **({"rivals": pipe.rivals} if isinstance(pipe, RelationExtractor) else {}),
    }


def _count_support(scores: Mapping[str, Any], prefix: str) -> dict[str, int]:
    per_type = scores[f"{prefix}_per_type"] or {}
    return {label: own["support"] for label, own in per_type.items() if own["support"]}


def _calibrate(judged: Sequence[Judged], operating: Operating) -> list[float]:
    return operating.calibration.apply(np.array([item.score for item in judged])).tolist()


def choose_operating(
    judged: Sequence[Judged], support: Mapping[str, int], grid: Sequence[float], own: Operating
) -> tuple[Operating, dict[str, Any]]:
    """Choose calibration and thresholds from predictions that were made with LOWEST.

    judged (Sequence[Judged]): Those, uncalibrated. support (Mapping[str, int]): How many there are in
        gold, by label. grid (Sequence[float]): Thresholds to try. own (Operating): What stays if
        nothing is right.
    RETURNS (Tuple[Operating, Dict[str, Any]]): What was chosen, and "calibration" (None if there
        wasn't enough), "f", "ece_before" and "ece".
    """
    fitted = fit_calibration(judged)
    operating = Operating(calibration=fitted or Calibration())
    scores = np.array(_calibrate(judged, operating))
    hits = np.array([item.hit for item in judged], dtype=bool)
    labels = np.array([item.label for item in judged], dtype=object)
    limits = np.full(len(judged), own.threshold)

    def choose(rows: np.ndarray, total: int, lowest: float = 0.0) -> tuple[float, float]:
        """RETURNS (Tuple[float, float]): The best F1, and its threshold."""
        found = {}
        for threshold in (step for step in grid if step >= lowest):
            above = rows & (scores > threshold)
            found[threshold] = 2 * int(hits[above].sum()) / max(int(above.sum()) + total, 1)
        best = max(found, key=lambda threshold: found[threshold])
        return found[best], best

    total = sum(support.values())
    best, threshold = choose(np.ones(len(judged), dtype=bool), total)
    by_label = {}
    if best:
        limits[:] = threshold
        for label, count in support.items():
            lowest = LEAST_OF_LABEL * threshold
            best_of_label, own_threshold = choose(labels == label, count, lowest)
            if count >= FEWEST_OF_LABEL and best_of_label:
                by_label[label] = own_threshold
                limits[labels == label] = own_threshold
        operating = operating._replace(threshold=threshold, label_thresholds=by_label)
    else:
        operating = operating._replace(threshold=own.threshold)
    above = scores > limits
    kept = [item for item, is_above in zip(judged, above) if is_above]
    after = [j._replace(score=s) for j, s in zip(kept, scores[above].tolist())]
    return operating, {
        "calibration": None if fitted is None else list(fitted),
        "f": 2 * int(hits[above].sum()) / max(int(above.sum()) + total, 1) if best else 0.0,
        "ece_before": expected_calibration_error(kept),
        "ece": expected_calibration_error(after),
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
    RETURNS (Dict[str, Dict[str, Any]]): For each pipe what was copied, of COPIED.
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
        kept = {key: figures[key] for key in COPIED if key in figures}
        calibration = list(Calibration(*(figures["calibration"] or ())))
        settings = {**kept, "calibration": calibration}
        if "given_gold" in kept:
            settings["given_gold"] = _as_settings(kept["given_gold"])
        _set(nlp, name, **settings)
        curves = _read_curves(source / name)
        if curves:
            nlp.get_pipe(name).cfg["curves"] = curves  # type: ignore[attr-defined]
        copied[name] = kept
    return copied


def _as_settings(figures: Mapping[str, Any]) -> dict[str, Any]:
    """RETURNS (Dict[str, Any]): What a pipe takes of an operating point that was chosen."""
    return {
        "threshold": figures["threshold"],
        "label_thresholds": figures["label_thresholds"],
        "calibration": list(Calibration(*(figures["calibration"] or ()))),
    }


def _read_curves(folder: Path) -> dict[str, Any]:
    """folder (Path): A saved pipe."""
    path = folder / "cfg"
    return json.loads(path.read_text(encoding="utf8")).get("curves", {}) if path.is_file() else {}


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
