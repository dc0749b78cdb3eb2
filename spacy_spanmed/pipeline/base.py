"""What the two pipes have in common: labels, a threshold, and the transformer they listen to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from spacy.pipeline import TrainablePipe
from spacy.tokens import Doc
from spacy.training import Example, validate_examples
from spacy.vocab import Vocab
from thinc.api import Model, Optimizer

from ..encoder.torch_layer import set_dropout
from ..scoring.operating import ALL, Operating, check_operating, find_threshold

LISTENER = {
    "@architectures": "spacy-transformers.TransformerListener.v1",
    "grad_factor": 1.0,
    "upstream": "*",
    "pooling": {"@layers": "reduce_mean.v1"},
}

# Tokens that a pipe scores at once while predicting: as many as a batch of 64 abstracts has, so that
# memory doesn't grow with a batch of whole papers.
PREDICT_TOKENS = 20_000


def split_by_tokens(docs: Sequence[Doc]) -> Iterator[slice]:
    """RETURNS (Iterator[slice]): The Docs in parts of at most PREDICT_TOKENS tokens, or one Doc. None
    has only empty Docs, unless all are empty."""
    start = tokens = 0
    for i, doc in enumerate(docs):
        if tokens and len(doc) and tokens + len(doc) > PREDICT_TOKENS:
            yield slice(start, i)
            start, tokens = i, 0
        tokens += len(doc)
    if start < len(docs):
        yield slice(start, len(docs))


class LabelledPipe(TrainablePipe):
    """A trainable pipe with labels that may be added later, a threshold, and calibrated scores.

    vocab (Vocab), model (Model), name (str): As in any spaCy pipe.
    threshold (float): Lowest score of what is predicted, in [0, 1]; at 1 nothing is.
    label_thresholds (Mapping[str, float]): Of labels that have their own.
    calibration (Sequence[float]): Slope, above 0, and offset (see `Calibration`).
    scorer (Optional[Callable]): Scores examples.
    RAISES (ValueError): If the threshold or the calibration is out of range.
    """

    other_outputs = 0  # of the model, beside one for each label

    def __init__(
        self,
        vocab: Vocab,
        model: Model,
        name: str,
        threshold: float,
        label_thresholds: Mapping[str, float],
        calibration: Sequence[float],
        scorer: Callable | None,
    ):
        settings = {
            "threshold": threshold,
            "label_thresholds": label_thresholds,
            "calibration": calibration,
        }
        own = check_operating(name, settings)
        self.vocab = vocab
        self.model = model
        self.name = name
        # Only what is learned: settings come from the config, so that those given to
        # `spacy.load` win over those the pipe was saved with.
        self.cfg: dict[str, Any] = {"labels": [], "curves": {}}
        self.threshold, self.label_thresholds, self.calibration = own
        self.scorer = scorer

    @property
    def operating(self) -> Operating:
        """RETURNS (Operating): Threshold and calibration that are in use."""
        return Operating(self.threshold, self.label_thresholds, self.calibration)

    def set_precision(
        self, precision: float, labels: Iterable[str] | None = None
    ) -> dict[str, tuple[float, float, float]]:
        """Predict so strictly, or so freely, that a share of what is found is right, as far as the
        held-out data that the pipeline was tuned on tells. It holds for this pipe as loaded; to keep
        it, save the pipeline's config with the thresholds (`label_thresholds`).

        precision (float): Above 0, at most 1. labels (Optional[Iterable[str]]): Of which to set it.
            Defaults to None: all.
        RETURNS (Dict[str, Tuple[float, float, float]]): For each label the threshold, and the
            precision and recall there; of one that doesn't reach it, of which nothing is predicted
            any more, (1.0, 0.0, 0.0).
        RAISES (ValueError): If it is out of range, a label is unknown, or the pipeline wasn't tuned.
        """
        if not 0.0 < precision <= 1.0:
            raise ValueError(f"{self.name}: precision must be above 0, at most 1, not {precision}.")
        curves = self.cfg.get("curves")
        if not curves:
            raise ValueError(
                f"{self.name}: what precision it reaches isn't known, because it wasn't tuned on "
                "held-out data. Run `spanmed finalize ... --dev dev.spacy`."
            )
        labels = self.labels if labels is None else list(labels)
        for label in labels:
            self.check_label(label)
        found = {}
        for label in labels:
            curve = label if label in curves else ALL  # too rare there to have its own
            found[label] = find_threshold(curves, curve, precision) or (1.0, 0.0, 0.0)
        thresholds = {label: threshold for label, (threshold, _, _) in found.items()}
        self.label_thresholds = {**self.label_thresholds, **thresholds}
        return found

    def _resize(self, n_labels: int) -> None:
        """Give the model room for so many labels; what it knows stays."""
        raise TypeError(f"{type(self).__name__} can't add labels.")

    def _build(self, get_examples: Callable[[], Iterable[Example]], kind: str, layer: str) -> None:
        """Initialize the model, once the labels are known.

        get_examples (Callable): The training data. kind, layer (str): What the labels are of, and
            the layer that has it, as the error names them.
        RAISES (ValueError): If there is no label.
        """
        if not self.labels:
            raise ValueError(
                f"{self.name}: no {kind} in the training data. Check that the corpus carries the "
                f"layer {layer}, or remove the pipe from the config."
            )
        docs = [eg.reference for eg in islice(get_examples(), 10) if len(eg.reference)]
        self.model.initialize(X=docs or [Doc(self.vocab, words=["words"])])

    def _learn(self, examples: list[Example]) -> float:
        """Backpropagate the loss of a batch, not all of whose Docs are empty.

        RETURNS (float): The loss.
        """
        raise TypeError(f"{type(self).__name__} can't learn.")

    def update(
        self,
        examples: Iterable[Example],
        *,
        drop: float = 0.0,
        sgd: Optimizer | None = None,
        losses: dict[str, float] | None = None,
    ) -> dict[str, float]:
        """Learn from a batch, as with any spaCy pipe. Docs without the pipe's layer (see
        `spacy_spanmed.doc`) get a gradient of zero.

        RETURNS (Dict[str, float]): losses, with this pipe's added.
        RAISES (ValueError): If a label of the training data is unknown.
        """
        losses = {} if losses is None else losses
        losses.setdefault(self.name, 0.0)
        examples = list(examples)
        validate_examples(examples, f"{type(self).__name__}.update")
        if not any(len(eg.predicted) for eg in examples):
            return losses
        set_dropout(self.model, drop)
        losses[self.name] += self._learn(examples)
        if sgd is not None:
            self.finish_update(sgd)
        return losses

    @property
    def labels(self) -> tuple[str, ...]:
        """RETURNS (Tuple[str, ...]): The labels, in the order of the model's outputs."""
        return tuple(self.cfg["labels"])

    def from_disk(self, path: Any, *, exclude: Iterable[str] = ()) -> LabelledPipe:
        """RAISES (ValueError): If labels and weights don't belong together."""
        super().from_disk(path, exclude=exclude)
        self._check_outputs(exclude)
        return self

    def from_bytes(self, bytes_data: bytes, *, exclude: Iterable[str] = ()) -> LabelledPipe:
        """RAISES (ValueError): If labels and weights don't belong together."""
        super().from_bytes(bytes_data, exclude=exclude)
        self._check_outputs(exclude)
        return self

    def _check_outputs(self, exclude: Iterable[str]) -> None:
        if {"cfg", "model"} & set(exclude) or not self.model.has_dim("nO"):
            return
        count = self.model.get_dim("nO") - self.other_outputs
        if count != len(self.labels):
            raise ValueError(
                f"{self.name}: the weights are of {count} labels, but {len(self.labels)} are named "
                f"({', '.join(self.labels) or 'the file cfg is missing or empty'}). Files of different "
                "pipelines were mixed, or some are missing: copy or install the pipeline again."
            )

    def add_label(self, label: str) -> int:
        """Add a label, before or after training.

        RETURNS (int): 1, or 0 if it was there.
        RAISES (ValueError): If the label isn't a non-empty string.
        """
        if not isinstance(label, str) or not label:
            raise ValueError(f"{self.name}: a label must be a non-empty string, not {label!r}.")
        if label in self.cfg["labels"]:
            return 0
        self.cfg["labels"].append(label)
        self.vocab.strings.add(label)
        self._resize(len(self.cfg["labels"]))
        return 1

    def check_label(self, label: str) -> None:
        """RAISES (ValueError): If a label of the training data is unknown."""
        if label not in self.cfg["labels"]:
            raise ValueError(
                f"{self.name}: unknown label {label!r} in the training data. Known: "
                f"{', '.join(self.labels)}. Call add_label({label!r}) first."
            )

    def check_upstream(self, docs: list[Doc]) -> None:
        """Refuse to predict from nothing: without a transformer a listener would see only zeros.

        RAISES (ValueError): If the model listens to a transformer that did not run.
        """
        if not all(self.has_input(doc) for doc in docs):
            raise ValueError(
                f"{self.name} has no input: the component 'transformer' did not run on this "
                "Doc. It must be in the pipeline, enabled, and before this component."
            )

    def has_input(self, doc: Doc) -> bool:
        """RETURNS (bool): Whether the Doc has what the transformer made of it, if the model
        listens to one."""
        if not len(doc) or (doc.has_extension("trf_data") and doc._.trf_data is not None):
            return True
        return not any(node.name == "transformer-listener" for node in self.model.walk())
