"""What a relation model takes over from the pipeline's encoder when it is initialized."""

from __future__ import annotations

from spacy.language import Language
from thinc.api import Model

from ...encoder.shim import find_encoders
from .argument_scorer import start_layers
from .marker_scorer import start_encoder


def start_from_encoder(model: Model, nlp: Language) -> None:
    """model (Model): Freshly initialized, of either architecture that has layers of its own. nlp
    (Language): Its first encoder is copied; without one the model stays as it is."""
    for encoder in find_encoders(nlp)[:1]:
        if model.name == "marker_scorer":
            start_encoder(model, encoder)
        else:
            start_layers(model, encoder._model)
