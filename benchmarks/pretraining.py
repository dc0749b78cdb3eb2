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
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import torch
import typer
from transformers import PreTrainedTokenizerBase, TrainerCallback, set_seed

from spacy_spanmed.cli.common import fail
from spacy_spanmed.pretraining.config import PretrainSettings, load_settings
from spacy_spanmed.pretraining.encoder_files import load_encoder
from spacy_spanmed.pretraining.evaluation import evaluate
from spacy_spanmed.pretraining.maskers import TokenMasker
from spacy_spanmed.pretraining.model import PretrainingModel
from spacy_spanmed.pretraining.preparing import build_model
from spacy_spanmed.pretraining.samples import MaskedSequences, make_vocabulary
from spacy_spanmed.pretraining.texts.packing import PackedSequences, pack_texts
from spacy_spanmed.pretraining.texts.selection import read_selected
from spacy_spanmed.pretraining.trainer import PretrainingTrainer, training_arguments, use_bfloat16

from . import stock_mlm
from .common import Output, Rounds, errors, write_figures

MASKED_SEQUENCES, MASKING_ROUNDS = 200, 5  # of the timing of masking alone
WARMUP_STEPS = 2  # not counted: memory is allocated, kernels are chosen


class Trained(NamedTuple):
    """What a side ends with: model (PretrainingModel), median seconds of a step, its data included
    (float), and the share of the time that our masking took (float)."""

    model: PretrainingModel
    seconds: float
    masking_share: float


Side = Callable[[int, int], Trained]  # takes the number of steps and the seed


class Clock(TrainerCallback):
    """Notes when each step of a Trainer ends."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_step_end(self, *args: Any, **kwargs: Any) -> None:
        """Called by the Trainer after each optimizer step."""
        self.ends.append(time.perf_counter())

    def seconds(self) -> float:
        """RETURNS (float): Median seconds of a step, its data included, warm-up left out."""
        return statistics.median(np.diff(self.ends)[WARMUP_STEPS - 1 :])


class TimedSamples(MaskedSequences):
    """Samples that add up the seconds they take to be masked."""

    seconds = 0.0

    def __getitem__(self, index: int) -> Any:
        start = time.perf_counter()
        sample = super().__getitem__(index)
        self.seconds += time.perf_counter() - start
        return sample


def pretrain(
    context: typer.Context,
    config: Annotated[Path, typer.Argument(help="Config: encoder, masker, training.")] = Path(
        "configs/pretrain.cfg"
    ),
    text: Annotated[
        Path | None,
        typer.Option(help="File or folder of texts. Default: the config's paths.train."),
    ] = None,
    block_length: Annotated[int, typer.Option(min=8, help="Tokens of a sequence.")] = 256,
    batch_size: Annotated[int, typer.Option(min=1, help="Sequences a step.")] = 32,
    steps: Annotated[int, typer.Option(min=2, help="Timed steps a round.")] = 12,
    rounds: Rounds = 3,
    collator: Annotated[
        str, typer.Option(help="Stock collator: token or whole_word (slower).")
    ] = "token",
    loss_tokens: Annotated[
        int, typer.Option(min=0, help="Also train both on so many tokens; compare their losses.")
    ] = 0,
    seeds: Annotated[
        list[int] | None, typer.Option(help="Seeds for that, one an option. Default: 0.")
    ] = None,
    precision: Annotated[
        str, typer.Option(help="Ours: auto, float32 or bfloat16. Stock is always float32.")
    ] = "auto",
    json: Output = None,
) -> None:
    """Time our pretraining and Hugging Face's example on the same text, encoder and tokens a step.

    Example: python -m benchmarks pretrain configs/pretrain.cfg --loss-tokens 200000 --json bench.json
    """
    overrides = {
        "training.block_length": block_length,
        "training.batch_size": batch_size,
        "training.precision": precision,
    }
    with errors(json):
        settings, _ = load_settings(config, overrides)
        texts = list(read_selected([str(text)] if text else settings.paths.train, settings.data))
        try:
            result = run_benchmark(
                settings,
                texts,
                collator=collator,
                steps=steps,
                rounds=rounds,
                loss_tokens=loss_tokens,
                seeds=seeds or [0],
            )
        except ImportError as error:
            fail(f"{error}. Pretraining needs: pip install 'spacy_spanmed[pretrain]'")
        typer.echo(
            f"Ours {result['ours']:,.0f}, stock {result['stock']:,.0f} tokens/s: "
            f"{result['ratio']:.2f} x. Masking: {result['masking_share']:.2%} of the time, "
            f"{result['masking']['ratio']:.0f} x as fast as SpanBERT's loop; a step takes "
            f"{result['to_token_masks']:.3f} times as long as with token masks."
        )
        write_figures(json, result, context.obj)


def run_benchmark(
    settings: PretrainSettings,
    texts: Sequence[str],
    *,
    collator: str,
    steps: int,
    rounds: int,
    loss_tokens: int,
    seeds: Sequence[int],
) -> dict[str, Any]:
    """Run both recipes.

    settings (PretrainSettings): Ours; encoder, sequence length and batch size hold for both.
    texts (Sequence[str]): Documents. The first twentieth is held out.
    collator (str): Of the stock recipe, "token" or "whole_word".
    steps (int): Timed steps a round, after WARMUP_STEPS. rounds (int): Of the timing.
    loss_tokens (int): If positive, train each recipe on so many tokens, with each of the seeds
        (Sequence[int]), and measure it on held-out text. 0: only speed.
    RETURNS (dict): See `time_sides`; besides "masking" (see `time_masking`), the settings, and
        "losses" by seed (see `compare_losses`).
    RAISES (ValueError): If the text is shorter than a batch, or, for losses, the held-out text than
        a sequence.
    """
    training = settings.training
    held_out = len(texts) // 20
    tokenizer = load_encoder(settings.model.encoder, block_length=training.block_length).tokenizer
    dev, sequences = (
        pack_texts(part, tokenizer, training.block_length)
        for part in (texts[:held_out], texts[held_out:])
    )
    stock_sequences = stock_mlm.group_texts(texts[held_out:], tokenizer, training.block_length)
    if min(len(stock_sequences), len(sequences.input_ids)) < training.batch_size:
        raise ValueError(
            f"The text gives {len(sequences.input_ids)} sequences of {training.block_length} tokens, "
            f"less than one step of {training.batch_size}: give more text."
        )
    if loss_tokens and not len(dev.input_ids):
        raise ValueError(
            f"The {held_out} held-out texts, a twentieth of all, give no sequence of "
            f"{training.block_length} tokens: give more text, or leave the losses out."
        )
    settings.masker.prepare(tokenizer, sequences)
    by_token = TokenMasker(getattr(settings.masker, "rate", 0.15))
    stock = partial(_train_stock, settings, tokenizer, stock_sequences, collator)
    sides: dict[str, Side] = {
        "ours": partial(_train_ours, settings, sequences),
        "ours_token": partial(
            _train_ours, settings.model_copy(update={"masker": by_token}), sequences
        ),
        "stock": stock,
        "stock_rates": partial(stock, our_rates=True),
    }
    result = {
        **time_sides(sides, training.batch_size * training.block_length, steps, rounds),
        "block_length": training.block_length,
        "batch_size": training.batch_size,
        "steps": steps,
        "stock_collator": collator,
        "precision": "bfloat16" if use_bfloat16(training.precision) else "float32",
        "masking": time_masking(settings, sequences),
    }
    if loss_tokens:
        result["loss_tokens"] = loss_tokens
        vocabulary = make_vocabulary(tokenizer)
        result["losses"] = {
            str(seed): compare_losses(sides, settings, dev, vocabulary, loss_tokens, seed)
            for seed in seeds
        }
    return result


def time_sides(sides: Mapping[str, Side], tokens: int, steps: int, rounds: int) -> dict[str, Any]:
    """Time both recipes, and ours with token masks, in each round.

    sides (Mapping): By name. tokens (int): Of a step. steps, rounds (int): See `run_benchmark`.
    RETURNS (dict): "ratio" (ours to stock, tokens a second, median over rounds), "ours", "stock"
        (medians), "to_token_masks" (time of our step to one with token masks, median), "rounds" and
        "masking_share" of our step.
    """
    rows, shares = [], []
    for number in range(1, rounds + 1):
        # A process in which nothing was set or imported yet
        with ProcessPoolExecutor(
            1,
            mp_context=get_context("spawn"),
            initializer=torch.set_num_threads,
            initargs=(torch.get_num_threads(),),
        ) as process:
            seconds = process.submit(_time_step, sides["stock"], WARMUP_STEPS + steps).result()
        ours, by_token = (sides[name](WARMUP_STEPS + steps, 0) for name in ("ours", "ours_token"))
        ratio = seconds / ours.seconds
        row = {
            "stock": round(tokens / seconds, 1),
            "ours": round(tokens / ours.seconds, 1),
            "ours_token": round(tokens / by_token.seconds, 1),
            "ratio": round(ratio, 3),
            "to_token_masks": round(ours.seconds / by_token.seconds, 3),
        }
        rows.append(row)
        shares.append(ours.masking_share)
        typer.echo(
            f"Round {number}: stock {row['stock']:,.0f}, ours {row['ours']:,.0f} tokens/s: "
            f"{ratio:.2f} x"
        )
    keys = ("ratio", "ours", "stock", "to_token_masks")
    medians = {key: round(statistics.median(row[key] for row in rows), 3) for key in keys}
    return {**medians, "rounds": rows, "masking_share": round(statistics.median(shares), 5)}


def time_masking(settings: PretrainSettings, sequences: PackedSequences) -> dict[str, float]:
    """Time our masker beside SpanBERT's algorithm written the straightforward way.

    RETURNS (dict): "ours" and "reference", microseconds a sequence, medians over the rounds, and
        "ratio", reference to ours.
    """
    rows = [i % len(sequences.words) for i in range(MASKED_SEQUENCES)]
    rate = getattr(settings.masker, "rate", 0.15)
    times = []
    for _ in range(MASKING_ROUNDS):
        rng = np.random.default_rng(0)
        start = time.perf_counter()
        for row in rows:
            settings.masker.select(sequences.words[row], rng, sequences.input_ids[row])
        middle = time.perf_counter()
        for row in rows:
            stock_mlm.reference_span_masking(
                sequences.words[row], rng, rate=rate, p=0.2, max_words=10
            )
        times.append((middle - start, time.perf_counter() - middle))
    ours, reference = np.median(times, axis=0) / MASKED_SEQUENCES * 1e6
    ratio = statistics.median(theirs / mine for mine, theirs in times)
    return {
        "ours": round(float(ours), 1),
        "reference": round(float(reference), 1),
        "ratio": round(ratio, 2),
    }


def compare_losses(
    sides: Mapping[str, Side],
    settings: PretrainSettings,
    dev: PackedSequences,
    vocabulary: Any,
    tokens: int,
    seed: int,
) -> dict[str, dict[str, float]]:
    """Train each side on so many tokens and measure it on held-out sequences.

    RETURNS (dict): Losses by side and the masker that hid the tokens: "stock", "ours",
        "stock_rates", which is stock with our optimizer and rates, and "ours_token", which hides
        what stock does.
    """
    training = settings.training
    steps = -(-tokens // (training.batch_size * training.block_length))
    result = {}
    for name, train in sides.items():
        model = train(steps, seed).model
        scores = evaluate(
            model, dev, vocabulary, max_sequences=training.dev_blocks, masker=settings.masker
        )
        result[name] = {masker: round(values["loss"], 4) for masker, values in scores.items()}
        figures = ", ".join(f"{masker} {loss:.3f}" for masker, loss in result[name].items())
        typer.echo(f"Seed {seed}, {tokens:,} tokens, {name}: held-out loss {figures}")
    return result


def _time_step(side: Side, steps: int) -> float:
    """RETURNS (float): Seconds of a step."""
    return side(steps, 0).seconds


def _train_stock(
    settings: PretrainSettings,
    tokenizer: PreTrainedTokenizerBase,
    sequences: Sequence[dict[str, list[int]]],
    collator: str,
    steps: int,
    seed: int,
    our_rates: bool = False,
) -> Trained:
    set_seed(seed)
    model, clock = stock_mlm.load_stock_model(settings.model.encoder), Clock()
    with tempfile.TemporaryDirectory() as folder:
        trainer: Any = stock_mlm.make_stock_trainer(
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
    result = stock_mlm.as_pretraining_model(model, settings.training.block_length)
    return Trained(result, clock.seconds(), 0.0)


def _train_ours(
    settings: PretrainSettings, sequences: PackedSequences, steps: int, seed: int
) -> Trained:
    set_seed(seed)
    training = settings.training
    loaded = load_encoder(
        settings.model.encoder, block_length=training.block_length, dropout=settings.model.dropout
    )
    model, _ = build_model(loaded, sequences, settings)
    samples = TimedSamples(
        sequences,
        settings.masker,
        make_vocabulary(loaded.tokenizer),
        seed=seed,
        samples=steps * training.batch_size,
    )
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        paths = settings.paths.model_copy(update={"checkpoints": Path(folder)})
        here = settings.model_copy(update={"paths": paths})
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
    return Trained(model, clock.seconds(), share)
