"""Losses on held-out text, by masker, with masks that never change."""

from __future__ import annotations

import math
import warnings
from collections import defaultdict

import torch

from .maskers import Masker, SpanMasker, TokenMasker, WholeWordMasker
from .model import PretrainingModel
from .samples import MaskedSequences, Vocabulary, collate
from .texts.packing import PackedSequences

EVALUATION_SEED = 20_200_104  # fixed: figures of runs with different seeds stay comparable
SEQUENCES_AT_ONCE = 16
RATE = 0.15  # of the maskers that every run is measured under
UNTRAINED = 0.9  # of the loss of guessing, above which a head knows nothing


def evaluate(
    model: PretrainingModel,
    sequences: PackedSequences,
    vocabulary: Vocabulary,
    *,
    max_sequences: int,
    masker: Masker | None = None,
) -> dict[str, dict[str, float]]:
    """Measure the masked-language loss under the token, whole-word and span masker, and the run's.

    The first three have their default settings, so that runs with different maskers compare.

    model (PretrainingModel): Left in the mode it was in.
    sequences (PackedSequences): Held-out text, at least one sequence.
    vocabulary (Vocabulary): Of the tokenizer.
    max_sequences (int): Measure on this many sequences, spread evenly over the text, at most.
    masker (Masker): The run's own, prepared; measured too if its name is not one of theirs.
    RETURNS (dict): For each masker that finds anything to mask ``loss`` (nats a target),
        ``perplexity``, ``accuracy`` (part of targets ranked first, 0 to 1) and ``targets``; under
        ``span`` also ``sbo_loss`` where the model has that head.
    RAISES (ValueError): Nothing can be masked.
    """
    count = min(max_sequences, len(sequences.input_ids))
    chosen = [i * len(sequences.input_ids) // count for i in range(count)]
    device = next(model.parameters()).device
    maskers = [TokenMasker(RATE), WholeWordMasker(RATE), SpanMasker(RATE)]
    if masker is not None and masker.name not in [m.name for m in maskers]:
        maskers.append(masker)
    was_training = model.training
    model.eval()
    results = {}
    try:
        for each in maskers:
            samples = MaskedSequences(
                sequences,
                each,
                vocabulary,
                seed=EVALUATION_SEED,
                samples=len(sequences.input_ids),
                shuffle=False,
            )
            sums: defaultdict[str, float] = defaultdict(float)
            targets = 0
            for start in range(0, count, SEQUENCES_AT_ONCE):
                batch = collate([samples[i] for i in chosen[start : start + SEQUENCES_AT_ONCE]])
                size = len(batch["labels"])
                with torch.inference_mode():
                    output = model(**{k: v.to(device) for k, v in batch.items()})
                for key, value in output.items():
                    sums[key] += float(value) * size
                targets += size
            if targets:
                means = {key: total / targets for key, total in sums.items()}
                results[each.name] = {
                    "loss": means["mlm_loss"],
                    "perplexity": math.exp(min(means["mlm_loss"], 700.0)),
                    "accuracy": means["mlm_accuracy"],
                    "targets": targets,
                }
                if each.name == "span" and "sbo_loss" in means:
                    results[each.name]["sbo_loss"] = means["sbo_loss"]
    finally:
        model.train(was_training)
    if not results:
        raise ValueError(
            "Nothing in the held-out text can be masked: the tokenizer knows none of its words. "
            "Check paths.dev."
        )
    return results


def warn_of_untrained(before: dict[str, dict[str, float]], rows: int, encoder: str) -> None:
    """Warn if a head that was taken over does no better than guessing.

    before (dict): From ``evaluate``, before training. rows (int): Size of the vocabulary.
    encoder (str): Its name.
    """
    loss = min(figures["loss"] for figures in before.values())
    if loss > UNTRAINED * math.log(rows):
        warnings.warn(
            f"The encoder '{encoder}' brings a head for masked words, but predicts them no better "
            f"than by guessing (loss {loss:.2f} of {math.log(rows):.2f}): is its tokenizer the one "
            "that it was trained with, and are these texts in its language?"
        )
