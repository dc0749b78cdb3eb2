"""Choose the pipes' thresholds on held-out data."""

from __future__ import annotations

from pathlib import Path
from typing import Callable, Dict, List, Sequence

from spacy.language import Language
from spacy.training import Example

from .corpora.reader import create_gold_corpus
from .doc import ENTITIES, RELATIONS, get_layers
from .scoring import score_entities

GRID = (0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6, 0.7)
BATCH_SIZE = 64


def tune_thresholds(
    nlp: Language, data: Path, grid: Sequence[float] = GRID
) -> Dict[str, Dict[str, float]]:
    """Set the thresholds of `span_ner` and `relation_extractor` to those with the best F1.

    Each is chosen alone: entities by `ents_f`, relations by `rel_gold_micro_f` (between gold
    entities), so that the second does not make up for errors of the first. A pipe is left as it
    is if the pipeline lacks it or the data lacks its layer. The encoder runs once.

    nlp (Language): Trained pipeline; its pipes and its config are changed.
    data (Path): `.spacy` file or directory: the development set, never the test set.
    grid (Sequence[float]): Thresholds to try, each in [0, 1).
    RETURNS (Dict[str, Dict[str, float]]): For each pipe "threshold" and "f" on the data.
    """
    examples = list(create_gold_corpus(data)(nlp))
    chosen: Dict[str, Dict[str, float]] = {}
    for name, pipe in nlp.pipeline:
        if name == "span_ner":

            def entity_f(batch: List[Example]) -> float:
                annotate(pipe, batch)
                return score_entities(batch)["ents_f"] or 0.0

            _choose(nlp, name, _with_layer(examples, ENTITIES), entity_f, grid, chosen)
        if name == "relation_extractor":

            def relation_f(batch: List[Example]) -> float:
                return pipe.score(batch)["rel_gold_micro_f"] or 0.0

            _choose(nlp, name, _with_layer(examples, RELATIONS), relation_f, grid, chosen)
        annotate(pipe, examples)
    return chosen


def annotate(pipe: Callable, examples: List[Example]) -> None:
    """Run one pipe over the examples' predicted Docs."""
    for start in range(0, len(examples), BATCH_SIZE):
        docs = [eg.predicted for eg in examples[start : start + BATCH_SIZE]]
        if hasattr(pipe, "pipe"):
            list(pipe.pipe(docs, batch_size=BATCH_SIZE))
        else:
            for doc in docs:
                pipe(doc)


def _with_layer(examples: List[Example], layer: str) -> List[Example]:
    return [eg for eg in examples if layer in get_layers(eg.reference)]


def _choose(
    nlp: Language,
    name: str,
    examples: List[Example],
    evaluate: Callable[[List[Example]], float],
    grid: Sequence[float],
    chosen: Dict[str, Dict[str, float]],
) -> None:
    if not examples:
        return
    pipe = nlp.get_pipe(name)
    figures = {}
    for threshold in grid:
        pipe.threshold = threshold
        figures[threshold] = evaluate(examples)
    best = max(figures, key=figures.get)
    pipe.threshold = best
    nlp.get_pipe_config(name)["threshold"] = best  # what is saved with the pipeline
    chosen[name] = {"threshold": best, "f": figures[best]}
