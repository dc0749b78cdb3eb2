"""How fast, and how well, our pretraining and the stock recipe learn from the same text.

Same text, encoder, length of sequences and tokens a step, one after the other, several times. The
ratio is taken within a round and its median over rounds, so that a machine whose speed drifts does
not decide. Ours also runs with token masks, to tell what its masker costs. Speed is measured with stock
in a process of its own each time: what ours sets for all of a process, how memory is kept, would
make it faster than it is for its users.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.utils.data import Dataset
from transformers import (
    PreTrainedTokenizerBase,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
    set_seed,
)

from spacy_spanmed.pretraining.config import PretrainSettings
from spacy_spanmed.pretraining.encoder_files import load_encoder
from spacy_spanmed.pretraining.evaluation import evaluate
from spacy_spanmed.pretraining.maskers import TokenMasker
from spacy_spanmed.pretraining.model import PretrainingModel
from spacy_spanmed.pretraining.preparing import build_model
from spacy_spanmed.pretraining.samples import MaskedSequences, make_vocabulary
from spacy_spanmed.pretraining.texts.packing import PackedSequences, pack_texts
from spacy_spanmed.pretraining.trainer import PretrainingTrainer, training_arguments, use_bfloat16

from .stock import mlm
from .stock.masking import reference_span_masking

MASKED_SEQUENCES, MASKING_ROUNDS = 200, 5  # of the timing of masking alone
WARMUP_STEPS = 2  # not counted: memory is allocated, kernels are chosen


class Text(NamedTuple):
    """The text of a benchmark.

    train, dev (Sequence[str]): Documents to train on, and held-out ones.
    """

    train: Sequence[str]
    dev: Sequence[str]


class Clock(TrainerCallback):
    """Notes when each step of a Trainer ends."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Called by the Trainer after each optimizer step."""
        self.ends.append(time.perf_counter())

    def seconds(self) -> float:
        """RETURNS (float): Median seconds of a step, its data included, warm-up left out."""
        return statistics.median(np.diff(self.ends)[WARMUP_STEPS - 1 :])


class TimedSamples(Dataset):
    """Samples that add up the time they take to be masked.

    samples (MaskedSequences): The samples.
    """

    def __init__(self, samples: MaskedSequences):
        self.samples = samples
        self.seconds = 0.0

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Any:
        start = time.perf_counter()
        sample = self.samples[index]
        self.seconds += time.perf_counter() - start
        return sample


def run_benchmark(
    settings: PretrainSettings,
    text: Text,
    *,
    collator: str = "token",
    steps: int = 12,
    rounds: int = 3,
    loss_tokens: int = 0,
    seeds: Sequence[int] = (0,),
    show: Any = print,
) -> dict[str, Any]:
    """Run both recipes.

    settings (PretrainSettings): Ours; encoder, sequence length and batch size hold for both.
    text (Text): For both.
    collator (str): Of the stock recipe, "token" or "whole_word". Defaults to "token", the faster.
    steps (int): Timed steps a round, after WARMUP_STEPS. Defaults to 12.
    rounds (int): Defaults to 3.
    loss_tokens (int): If positive, train each recipe on so many tokens, with each seed, and
        measure it on held-out text. Defaults to 0: only speed.
    seeds (Sequence[int]): Seeds for that. Defaults to 0 alone.
    show (Callable[[str], None]): Told what is done. Defaults to print.
    RETURNS (dict): "ratio" (ours to stock, tokens a second, median over rounds), "ours", "stock"
        (medians), "to_token_masks" (time of our step to one with token masks, median), "rounds",
        "masking" (see `time_masking`), "masking_share" of our step, "loss_tokens", and "losses" by
        seed and recipe: "stock", "ours", "stock_rates", which is stock with our optimizer and rates,
        and "ours_token", which hides what stock does.
    RAISES (ValueError): If the text is shorter than a batch, or, for losses, the held-out text than
        a sequence.
    """
    training = settings.training
    loaded = load_encoder(settings.model.encoder, block_length=training.block_length)
    stock_sequences = mlm.Sequences(text.train, loaded.tokenizer, training.block_length)
    sequences = pack_texts(text.train, loaded.tokenizer, training.block_length)
    if min(len(stock_sequences), len(sequences.input_ids)) < training.batch_size:
        raise ValueError(
            f"The text gives {len(sequences.input_ids)} sequences of {training.block_length} tokens, "
            f"less than one step of {training.batch_size}: give more text."
        )
    dev = pack_texts(text.dev, loaded.tokenizer, training.block_length)
    if loss_tokens and not len(dev.input_ids):
        raise ValueError(
            f"The {len(text.dev)} held-out texts, a twentieth of all, give no sequence of "
            f"{training.block_length} tokens: give more text, or leave the losses out."
        )
    settings.masker.prepare(loaded.tokenizer, sequences)
    tokens = training.batch_size * training.block_length
    total = WARMUP_STEPS + steps
    token_settings = _with_token_masks(settings)
    rows, shares = [], []
    for number in range(1, rounds + 1):
        with _fresh_process() as process:
            arguments = (settings, loaded.tokenizer, stock_sequences, collator, total)
            stock = tokens / process.submit(_time_stock, *arguments).result()
        clock = Clock()
        _, share = _train_ours(settings, sequences, total, 0, clock)
        ours = tokens / clock.seconds()
        clock = Clock()
        _train_ours(token_settings, sequences, total, 0, clock)
        by_token = tokens / clock.seconds()
        rows.append(
            {
                "stock": round(stock, 1),
                "ours": round(ours, 1),
                "ours_token": round(by_token, 1),
                "ratio": round(ours / stock, 3),
                "to_token_masks": round(by_token / ours, 3),
            }  # fmt: skip
        )
        shares.append(share)
        show(f"Round {number}: stock {stock:,.0f}, ours {ours:,.0f} tokens/s: {ours / stock:.2f} x")
    result = {
        "ratio": round(statistics.median(row["ratio"] for row in rows), 3),
        "ours": statistics.median(row["ours"] for row in rows),
        "stock": statistics.median(row["stock"] for row in rows),
        "to_token_masks": statistics.median(row["to_token_masks"] for row in rows),
        "rounds": rows,
        "block_length": training.block_length,
        "batch_size": training.batch_size,
        "steps": steps,
        "stock_collator": collator,
        "precision": "bfloat16" if use_bfloat16(training.precision) else "float32",
        "masking_share": round(statistics.median(shares), 5),
        "masking": time_masking(settings, sequences),
    }
    if loss_tokens:
        result["loss_tokens"] = loss_tokens
        result["losses"] = {
            str(seed): _compare_losses(
                settings, dev, sequences, stock_sequences, collator, loss_tokens, seed, show
            )
            for seed in seeds
        }
    return result


def time_masking(settings: PretrainSettings, sequences: PackedSequences) -> dict[str, float]:
    """Time our masker beside SpanBERT's algorithm written the straightforward way.

    RETURNS (dict): "ours" and "reference", microseconds a sequence, medians over the rounds, and
        "ratio", reference to ours.
    """
    rows = [i % len(sequences.words) for i in range(MASKED_SEQUENCES)]
    rate = getattr(settings.masker, "rate", 0.15)
    ours, reference = [], []
    for _ in range(MASKING_ROUNDS):
        rng = np.random.default_rng(0)
        start = time.perf_counter()
        for row in rows:
            settings.masker.select(sequences.words[row], rng, sequences.input_ids[row])
        middle = time.perf_counter()
        for row in rows:
            reference_span_masking(sequences.words[row], rng, rate=rate, p=0.2, max_words=10)
        end = time.perf_counter()
        ours.append((middle - start) / MASKED_SEQUENCES * 1e6)
        reference.append((end - middle) / MASKED_SEQUENCES * 1e6)
    ratios = [theirs / mine for mine, theirs in zip(ours, reference)]
    return {
        "ours": round(statistics.median(ours), 1),
        "reference": round(statistics.median(reference), 1),
        "ratio": round(statistics.median(ratios), 2),
    }


def _with_token_masks(settings: PretrainSettings) -> PretrainSettings:
    rate = getattr(settings.masker, "rate", 0.15)
    return settings.model_copy(update={"masker": TokenMasker(rate)})


def _fresh_process() -> ProcessPoolExecutor:
    """RETURNS (ProcessPoolExecutor): With one worker, in which nothing was set or imported yet."""
    return ProcessPoolExecutor(
        1,
        mp_context=get_context("spawn"),
        initializer=torch.set_num_threads,
        initargs=(torch.get_num_threads(),),
    )


def _time_stock(
    settings: PretrainSettings,
    tokenizer: PreTrainedTokenizerBase,
    sequences: mlm.Sequences,
    collator: str,
    steps: int,
) -> float:
    """RETURNS (float): Seconds of a step. The parameters are those of `_train_stock`."""
    clock = Clock()
    _train_stock(settings, tokenizer, sequences, collator, steps, 0, clock)
    return clock.seconds()


def _train_stock(
    settings: PretrainSettings,
    tokenizer: PreTrainedTokenizerBase,
    sequences: mlm.Sequences,
    collator: str,
    steps: int,
    seed: int,
    clock: Clock,
    our_rates: bool = False,
) -> PretrainingModel:
    set_seed(seed)
    model = mlm.load_stock_model(settings.model.encoder)
    with tempfile.TemporaryDirectory() as folder:
        trainer: Any = mlm.make_stock_trainer(
            model,
            tokenizer,
            sequences,
            collator=collator,
            batch_size=settings.training.batch_size,
            steps=steps,
            seed=seed,
            output=folder,
            callbacks=[clock],
            optimize_like=settings.training if our_rates else None,
        )
        trainer.train()
    return mlm.as_pretraining_model(model, settings.training.block_length)


def _train_ours(
    settings: PretrainSettings, sequences: PackedSequences, steps: int, seed: int, clock: Clock
) -> tuple[PretrainingModel, float]:
    """RETURNS (tuple): The trained model, and the share of the time that masking took."""
    set_seed(seed)
    training, model_settings = settings.training, settings.model
    loaded = load_encoder(
        model_settings.encoder, block_length=training.block_length, dropout=model_settings.dropout
    )
    model, _ = build_model(loaded, sequences, settings)
    samples = TimedSamples(
        MaskedSequences(
            sequences,
            settings.masker,
            make_vocabulary(loaded.tokenizer),
            seed=seed,
            samples=steps * training.batch_size,
        )
    )
    with tempfile.TemporaryDirectory() as folder:
        here = settings.model_copy(
            update={"paths": settings.paths.model_copy(update={"checkpoints": Path(folder)})}
        )
        trainer: Any = PretrainingTrainer(
            model,
            training_arguments(here, steps, save=False),
            here,
            samples,
            training.batch_size * sequences.mean_length,
            [clock],
        )
        start = time.perf_counter()
        trainer.train()
        share = samples.seconds / (time.perf_counter() - start)
    return model, share


def _compare_losses(
    settings: PretrainSettings,
    dev: PackedSequences,
    sequences: PackedSequences,
    stock_sequences: mlm.Sequences,
    collator: str,
    tokens: int,
    seed: int,
    show: Any,
) -> dict[str, Any]:
    training = settings.training
    loaded = load_encoder(settings.model.encoder, block_length=training.block_length)
    vocabulary = make_vocabulary(loaded.tokenizer)
    steps = -(-tokens // (training.batch_size * training.block_length))
    token_settings = _with_token_masks(settings)
    stock = partial(
        _train_stock, settings, loaded.tokenizer, stock_sequences, collator, steps, seed, Clock()
    )
    sides: dict[str, Callable[[], PretrainingModel]] = {
        "ours": lambda: _train_ours(settings, sequences, steps, seed, Clock())[0],
        "ours_token": lambda: _train_ours(token_settings, sequences, steps, seed, Clock())[0],
        "stock": stock,
        "stock_rates": partial(stock, our_rates=True),
    }
    result = {}
    for name, train in sides.items():
        model = train()
        scores = evaluate(
            model, dev, vocabulary, max_sequences=training.dev_blocks, masker=settings.masker
        )
        result[name] = {masker: round(values["loss"], 4) for masker, values in scores.items()}
        figures = ", ".join(f"{masker} {loss:.3f}" for masker, loss in result[name].items())
        show(f"Seed {seed}, {tokens:,} tokens, {name}: held-out loss {figures}")
    return result
