"""The factory `relation_extractor`, and its defaults."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from spacy.language import Language
from thinc.api import Model

from ..base import LISTENER
from .component import RelationExtractor

DEFAULT_MODEL = {
    "@architectures": "spanmed.PairScorer.v1",
    # With its whole gradient the entity pipe would lose the encoder to this one
    "tok2vec": {**LISTENER, "grad_factor": 0.1},
    "hidden_size": 192,
    "context_margin": 8,
    "context_window": 64,
    "learn_rate_factor": 1.0,
}


@Language.factory(
    "relation_extractor",
    assigns=["doc._.relations", "doc._.concept_relations", "doc._.cut_pairs"],
    requires=["doc.ents", "doc._.trf_data"],
    default_config={
        "model": DEFAULT_MODEL,
        "threshold": 0.5,
        "label_thresholds": {},
        "calibration": [1.0, 0.0],
        "given_gold": {},
        "rivals": {},
        "max_distance": 128,
        "max_pairs": 10000,
        "concepts": False,
        "directed": True,
        "multi_label": True,
        "typed_pairs": False,
        "predicted_share": 0.5,
        "scorer": {"@scorers": "spanmed.relation_scorer.v1"},
    },
    default_score_weights={
        "rel_gold_micro_f": 0.5,
        "rel_micro_f": 0.5,
        "rel_micro_p": 0.0,
        "rel_micro_r": 0.0,
        "rel_per_type": None,
        "rel_gold_per_type": None,
    },
)
def make_relation_extractor(
    nlp: Language,
    name: str,
    model: Model,
    threshold: float,
    label_thresholds: dict[str, float],
    calibration: list[float],
    given_gold: dict[str, Any],
    rivals: dict[str, float],
    max_distance: int,
    max_pairs: int,
    concepts: bool,
    directed: bool,
    multi_label: bool,
    typed_pairs: bool,
    predicted_share: float,
    scorer: Callable | None,
) -> RelationExtractor:
    """Make the pipe. See RelationExtractor for the settings."""
    return RelationExtractor(
        nlp.vocab,
        model,
        name,
        threshold=threshold,
        label_thresholds=label_thresholds,
        calibration=calibration,
        given_gold=given_gold,
        rivals=rivals,
        max_distance=max_distance,
        max_pairs=max_pairs,
        concepts=concepts,
        directed=directed,
        multi_label=multi_label,
        typed_pairs=typed_pairs,
        predicted_share=predicted_share,
        scorer=scorer,
    )
