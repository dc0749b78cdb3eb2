"""Losses on held-out text, by masker, with masks that never change."""

from __future__ import annotations

import math
import warnings

import torch

from .maskers import Masker, SpanMasker, TokenMasker, WholeWordMasker
from .model import PretrainingModel
from .samples import MaskedSequences, Vocabulary, collate
from .texts.packing import PackedSequences

EVALUATION_SEED = 20_200_104  # fixed: figures of runs with different seeds stay comparable
SEQUENCES_AT_ONCE = 16
UNTRAINED = 0.9  # of the loss of guessing, above which a head knows nothing


def evaluate(
    model: PretrainingModel,
    sequences: PackedSequences,
    vocabulary: Vocabulary,
    *,
    max_sequences: int,
    rate: float = 0.15,
    masker: Masker | None = None,
) -> dict[str, dict[str, float]]:
    """Measure the masked-language loss under the token, whole-word and span masker, and the run's.

    The first three have their default settings, so that runs with different maskers compare.

    model (PretrainingModel): Left in the mode it was in.
    sequences (PackedSequences): Held-out text, at least one sequence.
    vocabulary (Vocabulary): Of the tokenizer.
    max_sequences (int): Measure on this many sequences, spread evenly over the text, at most.
    rate (float): Masking rate of the first three, default 0.15.
    masker (Masker): The run's own, prepared; measured too if its name is not one of theirs.
    RETURNS (dict): For each masker that finds anything to mask ``loss`` (nats a target),
        ``perplexity``, ``accuracy`` (part of targets ranked first, 0 to 1) and ``targets``; under
        ``span`` also ``sbo_loss`` where the model has that head.
    RAISES (ValueError): Nothing can be masked.
    """
    count = min(max_sequences, len(sequences.input_ids))
    chosen = [i * len(sequences.input_ids) // count for i in range(count)]
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    maskers = [TokenMasker(rate), WholeWordMasker(rate), SpanMasker(rate)]
    if masker is not None and masker.name not in [m.name for m in maskers]:
        maskers.append(masker)
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
            sums: dict[str, float] = {}
            targets = 0
            for start in range(0, count, SEQUENCES_AT_ONCE):
                batch = collate([samples[i] for i in chosen[start : start + SEQUENCES_AT_ONCE]])
                size = len(batch["labels"])
                with torch.inference_mode():
                    output = model(**{k: v.to(device) for k, v in batch.items()})
                for key in ("mlm_loss", "sbo_loss", "mlm_accuracy"):
                    if key in output:
                        sums[key] = sums.get(key, 0.0) + float(output[key]) * size
                targets += size
            if targets:
                results[each.name] = _summary(sums, targets, with_sbo=each.name == "span")
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


def _summary(sums: dict[str, float], targets: int, with_sbo: bool) -> dict[str, float]:
    loss = sums["mlm_loss"] / targets
    summary = {
        "loss": loss,
        "perplexity": math.exp(min(loss, 700.0)),
        "accuracy": sums["mlm_accuracy"] / targets,
        "targets": targets,
    }
    if with_sbo and "sbo_loss" in sums:
        summary["sbo_loss"] = sums["sbo_loss"] / targets
    return summary
