"""What runs at fixed moments of a training, from a config."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from spacy.language import Language
from spacy.training import Example

from .base import LabelledPipe


def make_label_adder(
    corpus: Callable[[Language], Iterable[Example]],
) -> Callable[[Language], Language]:
    """Callback `spanmed.AddLabels.v1`, for `[initialize.after_init]`: pipes that `source` takes from
    a trained pipeline get the labels of the new training data, beside those they know. (`spacy
    train` initializes new pipes alone.)

    corpus (Callable[[Language], Iterable[Example]]): The reader of the training data.
    """

    def add_labels(nlp: Language) -> Language:
        examples = list(corpus(nlp))
        frozen = nlp.config.get("training", {}).get("frozen_components", [])
        for name in nlp.component_names:  # those of `source` are disabled while others initialize
            pipe = nlp.get_pipe(name)
            if isinstance(pipe, LabelledPipe) and name not in frozen:
                pipe.initialize(lambda: examples, nlp=nlp)
        return nlp

    return add_labels


def resolve_training(nlp: Language) -> Language:
    """What the callback `spanmed.ResolveTraining.v1` does: values in place of the references of
    `[training]` to other settings.

    spaCy resolves parts of that section alone when the training of a pipeline goes on
    (`nlp.resume_training`) and in `spacy debug data`, and finds only the references then.
    """
    nlp.config["training"] = nlp.config.interpolate()["training"]
    return nlp


def make_training_resolver() -> Callable[[Language], Language]:
    """Callback `spanmed.ResolveTraining.v1`, for `[nlp.after_pipeline_creation]`."""
    return resolve_training
