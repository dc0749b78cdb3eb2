"""How long a run takes, from a few steps of it or from the record of another."""

from __future__ import annotations

from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import NamedTuple

from rich.console import Console

from ..arguments import check_arguments
from ..checkpoints import read_json
from ..config import Logging, PretrainSettings
from ..distributed import connect_workers
from ..maskers import SpanMasker
from ..preparing import make_trainer, prepare
from ..record import peak_memory

WARM_UP = 2  # steps: the first ones allocate memory, and compile


class Speed(NamedTuple):
    """How fast one worker is.

    tokens_per_second (float): Tokens a second, of one worker.
    source (str): Where that is from.
    peak_memory_mb (dict): Memory of one worker in MB, by ``cpu`` and ``gpu``; empty if unknown.
    """

    tokens_per_second: float
    source: str
    peak_memory_mb: dict[str, float]


class Estimate(NamedTuple):
    """A run on a number of workers.

    workers (int): Their number.
    tokens_per_second (float): Of all together.
    tokens_per_worker (float): What each sees.
    hours (float): Of training, without evaluation and the reading of texts.
    """

    workers: int
    tokens_per_second: float
    tokens_per_worker: float
    hours: float


def measure_speed(settings: PretrainSettings, steps: int, console: Console) -> Speed:
    """Train for a few steps, as the run would, and throw the result away.

    With span masks whatever the masker, for another may count collocations, and finds none in few
    texts; which masks they are makes hardly a difference to the time.

    settings (PretrainSettings): The run's settings. Its texts are read; nothing is written but
        their cache.
    steps (int): Steps to measure, after two to warm up, at least 1.
    console (Console): For progress.
    RETURNS (Speed): The median over the steps.
    RAISES (ValueError): As in a run.
    """
    workers = connect_workers().num_processes
    check_arguments(settings, workers)
    training = settings.training.model_copy(update={"log_every": 1})
    # Only as many texts as the steps need: a large corpus would take long to tokenize.
    few = {"streaming": True, "shuffle_buffer": steps * training.batch_size, "exclude": []}
    with TemporaryDirectory() as folder:
        update = {
            "paths": settings.paths.model_copy(update={"checkpoints": Path(folder)}),
            "data": settings.data.model_copy(update=few),
            "training": training,
            "masker": SpanMasker(getattr(settings.masker, "rate", 0.15)),
            "logging": Logging(),
        }
        settings = settings.model_copy(update=update)
        prepared = prepare(settings, console)
        with console.status("Measuring ..."):
            trainer = make_trainer(prepared, settings, WARM_UP + steps, save=False)
            trainer.train()
    log = trainer.state.log_history
    speeds = [entry["tokens_per_second"] for entry in log if "tokens_per_second" in entry]
    return Speed(
        median(speeds[WARM_UP:]) / workers,
        f"measured here: {steps} steps of {training.batch_size} sequences of "
        f"{prepared.sequences.mean_length:.0f} tokens",
        peak_memory(trainer.args.device),
    )


def read_speed(path: Path) -> Speed:
    """Take the speed from the record of a run.

    path (Path): The record, JSON.
    RETURNS (Speed): Of one of its workers.
    RAISES (ValueError): There is no such file, or it is no record of a run.
    """
    record = read_json(path)
    speed = record.get("tokens_per_second") if isinstance(record, dict) else None
    if not isinstance(speed, (int, float)) or speed <= 0:
        raise ValueError(
            f"'{path}' is not the record of a pretraining run: there is no tokens_per_second in "
            "it. Give one such as metrics/pretraining.json, or --tokens-per-second."
        )
    peak = record.get("peak_memory_mb") or {}
    return Speed(speed / record.get("processes", 1), f"from {path}", peak)


def estimate(tokens: float, speed: Speed, workers: int, efficiency: float) -> Estimate:
    """Estimate a run.

    tokens (float): Tokens to train on, repeated ones included.
    speed (Speed): Of one worker.
    workers (int): Their number, at least 1.
    efficiency (float): Part of its speed that each of several workers keeps, over 0 and at most
        1. An assumption: they wait for each other after each step.
    RETURNS (Estimate): The run.
    """
    kept = efficiency if workers > 1 else 1.0
    together = speed.tokens_per_second * workers * kept
    return Estimate(workers, together, tokens / workers, tokens / together / 3600)
