"""The stock recipe of continued pretraining: Hugging Face's masked-language-modelling example.

After `run_mlm.py` of the Transformers repository: texts tokenized with their special tokens,
joined and cut into sequences; the Trainer and a data collator with their defaults; float32, the
model's own dropout, logits over every position. Beside it stands SpanBERT's span masking, written
the straightforward way.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any

import numpy as np
import torch
from transformers import (
    AutoModelForMaskedLM,
    DataCollatorForLanguageModeling,
    DataCollatorForWholeWordMask,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from spacy_spanmed.encoder.resolving import resolve_encoder
from spacy_spanmed.pretraining.config import Training
from spacy_spanmed.pretraining.encoder_files import find_heads
from spacy_spanmed.pretraining.model import PretrainingModel
from spacy_spanmed.pretraining.trainer import make_optimizer, reset_precision

COLLATORS = {
    "token": DataCollatorForLanguageModeling,
    "whole_word": DataCollatorForWholeWordMask,
}


def group_texts(
    texts: Iterable[str], tokenizer: PreTrainedTokenizerBase, block_length: int
) -> list[dict[str, list[int]]]:
    """Join texts to one stream and cut it into sequences, as the example's function of that name.

    texts (Iterable[str]): The documents.
    tokenizer (PreTrainedTokenizerBase): Adds its special tokens around each.
    block_length (int): Tokens of a sequence. The rest of the stream is dropped.
    RETURNS (list[dict[str, list[int]]]): Of each sequence what the collators take.
    """
    encoded = tokenizer(list(texts), return_special_tokens_mask=True, verbose=False)
    streams = {name: list(chain.from_iterable(rows)) for name, rows in encoded.items()}
    streams.pop("token_type_ids", None)
    starts = range(0, len(streams["input_ids"]) - block_length + 1, block_length)
    return [
        {name: stream[start : start + block_length] for name, stream in streams.items()}
        for start in starts
    ]


def load_stock_model(encoder: str) -> PreTrainedModel:
    """RETURNS (PreTrainedModel): The encoder with a masked-language head, in float32; a head that
    the encoder lacks starts fresh. encoder (str): See `resolve_encoder`."""
    return AutoModelForMaskedLM.from_pretrained(resolve_encoder(encoder), torch_dtype=torch.float32)


def make_stock_trainer(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    sequences: Sequence[dict[str, list[int]]],
    *,
    collator: str,
    batch_size: int,
    steps: int,
    seed: int,
    output: str,
    callbacks: Sequence[TrainerCallback] = (),
    optimize_like: Training | None = None,
) -> Trainer:
    """The Trainer with its defaults, except for what both sides of a benchmark share.

    sequences (Sequence): From `group_texts`.
    collator (str): "token" or "whole_word", both with 15 % of the tokens as targets.
    batch_size (int): Sequences a step. steps (int): Optimizer steps. output (str): A folder to which
        nothing is written.
    optimize_like (Training | None): Take optimizer, rates, warm-up and decay from our settings.
        Defaults to None: the Trainer's own (a rate of 5e-5 for all, without warm-up).
    RAISES (ValueError): On another collator.
    """
    if collator not in COLLATORS:
        raise ValueError(f"No stock collator {collator!r}: choose {' or '.join(COLLATORS)}.")
    reset_precision()
    args = TrainingArguments(
        output_dir=output,
        max_steps=steps,
        per_device_train_batch_size=batch_size,
        seed=seed,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        log_level="error",
        use_cpu=not torch.cuda.is_available(),
    )
    trainer: Any = Trainer(
        model=model,
        args=args,
        train_dataset=sequences,
        data_collator=COLLATORS[collator](tokenizer=tokenizer),
        callbacks=list(callbacks),
    )
    trainer.remove_callback(PrinterCallback)
    if optimize_like is not None:
        args.warmup_steps = round(optimize_like.warmup * steps)
        args.max_grad_norm = optimize_like.grad_clip
        decayed = trainer.get_decay_parameter_names(model)
        encoder = f"{model.base_model_prefix}."
        trainer.optimizer = make_optimizer(model, optimize_like, decayed, encoder)
    return trainer


def as_pretraining_model(model: PreTrainedModel, block_length: int) -> PretrainingModel:
    """RETURNS (PretrainingModel): The stock model's encoder and head, without span boundary head,
    so that both recipes are measured by the same code.

    RAISES (ValueError): The head has a form that is not known."""
    encoder: Any = model.base_model
    result = PretrainingModel(
        encoder,
        block_length=block_length,
        sbo_weight=0.0,
        sbo_position_width=1,
        freeze_encoder=False,
    )
    heads = find_heads(model.state_dict())
    if len(result.load_heads(heads)) != len(result.head_state()):
        raise ValueError(f"The head of {type(model).__name__} has a form that is not known.")
    return result


def reference_span_masking(
    words: np.ndarray, rng: np.random.Generator, rate: float, p: float, max_words: int
) -> np.ndarray:
    """Mask geometric spans of whole words as the code published with SpanBERT does (Joshi et al.
    2020): draw a length and a token; if the token is free, mask from the beginning of its word
    on, token by token, until the span is complete or the budget is used up.

    words (np.ndarray): Shape (length,), integers: the word each token belongs to, -1 for none.
    rng (np.random.Generator): Source of randomness.
    rate (float): Part of the maskable tokens to choose.
    p (float): Parameter of the geometric distribution of lengths.
    max_words (int): Longest span in words.
    RETURNS (np.ndarray): Shape (units, 2), int64: first token and end (exclusive) of each span,
        in the order of the text. Spans may touch, and the budget may cut a word.
    """
    lengths = np.arange(1, max_words + 1)
    weights = p * (1.0 - p) ** np.arange(max_words)
    weights = weights / weights.sum()
    budget = int(rate * sum(1 for word in words if word >= 0))
    masked: set[int] = set()
    spans = []
    while len(masked) < budget:
        span_length = rng.choice(lengths, p=weights)
        anchor = int(rng.integers(len(words)))
        if words[anchor] < 0 or anchor in masked:
            continue
        start = anchor
        while words[start - 1] == words[anchor]:
            start -= 1
        end, number = start, 0
        while number < span_length and words[end] >= 0 and len(masked) < budget:
            word = words[end]
            while words[end] == word and end not in masked and len(masked) < budget:
                masked.add(end)
                end += 1
            number += 1
            if end in masked:
                break
        if end > start:
            spans.append((start, end))
    return np.array(sorted(spans), dtype=np.int64).reshape(-1, 2)
