"""Fit the pipes' calibration and choose their thresholds on held-out data."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from spacy.language import Language
from spacy.training import Example

from ..doc.layers import ENTITIES, RELATIONS, get_layers
from ..pipeline.base import LabelledPipe
from ..pipeline.relation_extractor.component import RelationExtractor
from ..pipeline.relation_extractor.given_gold import predict_given_gold
from ..pipeline.span_ner.component import SpanNER
from ..scoring.calibration import Calibration, Judged, expected_calibration_error, fit_calibration
from ..scoring.entities import score_entities
from ..scoring.relations import score_relations
from .competing import fit_competing

GRID = (0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6, 0.7)
LOWEST = 0.02  # threshold of the predictions that a calibration is fitted on
BATCH_SIZE = 64


def tune_pipes(
    nlp: Language, examples: Sequence[Example], grid: Sequence[float] = GRID
) -> dict[str, dict[str, Any]]:
    """Calibrate the scores of `span_ner` and `relation_extractor`, and set their thresholds.

    The thresholds are those with the best F1 (if there is one above 0), each chosen alone: entities
    by `ents_f`, relations by `rel_gold_micro_f` (given gold entities), so that the second does not
    make up for errors of the first. Before that, what competing pairs say of a pair is fitted, given
    gold entities too (see `competing.py`). Relations' scores are calibrated between predicted entities, as users
    get them. A pipe is left as it is if the pipeline lacks it or the data lacks its layer. The
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
        if isinstance(pipe, SpanNER):
            some = _with_layer(examples, ENTITIES)
            if some:
                chosen[name] = _tune_entities(nlp, name, pipe, some, grid)
        elif isinstance(pipe, RelationExtractor):
            some = _with_layer(examples, RELATIONS)
            if some:
                chosen[name] = _tune_relations(nlp, name, pipe, some, grid)
        annotate(pipe, examples)
    return chosen


def _tune_entities(
    nlp: Language, name: str, pipe: SpanNER, examples: list[Example], grid: Sequence[float]
) -> dict[str, Any]:
    def judge(judged: list[Judged]) -> None:
        annotate(pipe, examples)
        score_entities(examples, judged=judged)

    def evaluate() -> float:
        annotate(pipe, examples)
        return score_entities(examples)["ents_f"] or 0.0

    return _tune(nlp, name, pipe, judge, evaluate, grid)


def _tune_relations(
    nlp: Language,
    name: str,
    pipe: RelationExtractor,
    examples: list[Example],
    grid: Sequence[float],
) -> dict[str, Any]:
    def judge(judged: list[Judged]) -> None:
        annotate(pipe, examples)
        score_relations(examples, directed=pipe.directed, judged=judged)

    def evaluate() -> float:
        found = predict_given_gold(pipe, examples)
        return score_relations(found, directed=pipe.directed, by_id=True)["rel_micro_f"] or 0.0

    _set(nlp, name, rivals=fit_competing(pipe, examples) or {})
    return {**_tune(nlp, name, pipe, judge, evaluate, grid), "rivals": pipe.rivals}


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


def _with_layer(examples: list[Example], layer: str) -> list[Example]:
    return [eg for eg in examples if layer in get_layers(eg.reference)]


def _tune(
    nlp: Language,
    name: str,
    pipe: LabelledPipe,
    judge: Callable[[list[Judged]], None],
    evaluate: Callable[[], float],
    grid: Sequence[float],
) -> dict[str, Any]:
    """judge (Callable): Predicts, and takes up what it predicts. evaluate (Callable): F1."""
    own = pipe.threshold
    pipe.threshold, pipe.calibration = LOWEST, Calibration()
    judged: list[Judged] = []
    judge(judged)
    fitted = fit_calibration(judged)
    pipe.calibration = calibration = fitted or Calibration()
    figures = {}
    for threshold in grid:
        pipe.threshold = threshold
        figures[threshold] = evaluate()
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
    }


def _set(nlp: Language, name: str, **settings: Any) -> None:
    """Change settings of a pipe, and what is saved of them with the pipeline."""
    for key, value in settings.items():
        setattr(nlp.get_pipe(name), key, Calibration(*value) if key == "calibration" else value)
    nlp.get_pipe_config(name).update(settings)
