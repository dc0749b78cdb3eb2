"""What runs at fixed moments of a training, from a config."""

from __future__ import annotations

from typing import Callable, Iterable

from spacy.language import Language
from spacy.training import Example

from .pipe import LabelledPipe


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
        for name in nlp.component_names:  # those of `source` are disabled while others initialize
            pipe = nlp.get_pipe(name)
            if isinstance(pipe, LabelledPipe) and name not in _frozen(nlp):
                pipe.initialize(lambda: examples, nlp=nlp)
        return nlp

    return add_labels


def _frozen(nlp: Language) -> Iterable[str]:
    return nlp.config.get("training", {}).get("frozen_components", [])
