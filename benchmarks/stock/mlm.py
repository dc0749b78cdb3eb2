"""The stock recipe of continued pretraining: Hugging Face's masked-language-modelling example.

After `run_mlm.py` of the Transformers repository: texts tokenized with their special tokens,
joined and cut into sequences; the Trainer and a data collator with their defaults; float32, the
model's own dropout, logits over every position.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any

import torch
from torch.utils.data import Dataset
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


class Sequences(Dataset):
    """Texts joined to one stream and cut into sequences, as the example's `group_texts` does.

    texts (Iterable[str]): The documents.
    tokenizer (PreTrainedTokenizerBase): Adds its special tokens around each.
    block_length (int): Tokens of a sequence. The rest of the stream is dropped.
    """

    def __init__(self, texts: Iterable[str], tokenizer: PreTrainedTokenizerBase, block_length: int):
        encoded = tokenizer(list(texts), return_special_tokens_mask=True, verbose=False)
        count = sum(map(len, encoded["input_ids"])) // block_length

        def cut(name: str) -> list[list[int]]:
            stream = list(chain.from_iterable(encoded[name]))
            return [stream[i * block_length : (i + 1) * block_length] for i in range(count)]

        names = ("input_ids", "attention_mask", "special_tokens_mask")
        columns = {name: cut(name) for name in names if name in encoded}
        self.rows = [dict(zip(columns, row)) for row in zip(*columns.values())]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, list[int]]:
        return self.rows[index]


def load_stock_model(encoder: str) -> PreTrainedModel:
    """RETURNS (PreTrainedModel): The encoder with a masked-language head, in float32; a head that
    the encoder lacks starts fresh. encoder (str): See `resolve_encoder`."""
    return AutoModelForMaskedLM.from_pretrained(resolve_encoder(encoder), torch_dtype=torch.float32)


def make_stock_trainer(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    sequences: Sequences,
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
    if optimize_like is not None:
        args.warmup_steps = round(optimize_like.warmup * steps)
        args.max_grad_norm = optimize_like.grad_clip
    trainer: Any = Trainer(
        model=model,
        args=args,
        train_dataset=sequences,
        data_collator=COLLATORS[collator](tokenizer=tokenizer),
        callbacks=list(callbacks),
    )
    trainer.remove_callback(PrinterCallback)
    if optimize_like is not None:
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
