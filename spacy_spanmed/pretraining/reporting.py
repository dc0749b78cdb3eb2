"""What only tells of a run and decides nothing in it: progress on the console, the curves, and
estimates of its time.

The identity of a run leaves this file's code out (see ``record.py``), so that a run can go on after
a change here. Whatever has a part in the weights belongs elsewhere. matplotlib is imported where it
is needed, because a run must not depend on it.
"""

from __future__ import annotations

from datetime import timedelta
from io import BytesIO
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from .checkpoints import read_json
from .config import Logging, PretrainSettings
from .distributed import connect_workers
from .maskers import SpanMasker
from .preparing import Prepared, fingerprint_texts
from .record import peak_memory
from .trainer import check_arguments

TRAINED = {"mlm_loss": "training, masked tokens", "sbo_loss": "training, boundary"}
COLOURS = {"mlm_loss": "#1f77b4", "sbo_loss": "#ff7f0e", "learning_rate": "#555555"}
MARKERS = "osDv^<>P*X"
WARM_UP = 2  # steps before a speed is measured: the first ones allocate memory, and compile


class ConsoleProgress(TrainerCallback):
    """Shows step, losses, tokens a second and the time left.

    console (Console): Where to write; a quiet one on all workers but the main one.
    """

    def __init__(self, console: Console):
        self.console = console
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed:.0f}/{task.total:.0f} steps"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[figures]}"),
            console=console,
            disable=not console.is_terminal,
        )

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Start the bar at the step the run goes on from."""
        self.progress.start()
        self.task = self.progress.add_task(
            "Pretraining", total=state.max_steps, completed=state.global_step, figures=""
        )

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Move the bar."""
        self.progress.update(self.task, completed=state.global_step)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        """Write one line."""
        if not logs or "tokens_per_second" not in logs:
            return
        speed = logs["tokens_per_second"]
        tokens_a_step = logs["tokens"] / max(state.global_step, 1)
        seconds = round((state.max_steps - state.global_step) * tokens_a_step / speed)
        sbo = f" · SBO {logs['sbo_loss']:.3f}" if "sbo_loss" in logs else ""
        figures = (
            f"loss {logs['loss']:.3f} · MLM {logs['mlm_loss']:.3f}{sbo} · {speed:,.0f} tokens/s · "
            f"{timedelta(seconds=seconds)} left"
        )
        self.progress.update(self.task, figures=figures)
        line = f"step {state.global_step}/{state.max_steps} · {figures}"
        self.progress.console.print(line, highlight=False)

    def close(self) -> None:
        """Give the terminal back; also after a run that failed."""
        self.progress.stop()


def draw_curves(record: dict[str, Any]) -> bytes:
    """Draw the losses while training, the held-out losses before and after, the learning rate.

    record (dict): The record of a run, with ``curve``, ``heldout`` and ``tokens``.
    RETURNS (bytes): An SVG, the same for the same record.
    RAISES (ImportError): matplotlib is not installed.
    """
    import matplotlib
    from matplotlib.figure import Figure

    look: Any = {"font.size": 10, "axes.grid": True, "grid.alpha": 0.3}
    with matplotlib.rc_context({"svg.hashsalt": "spanmed", **look}):
        figure = Figure(figsize=(8, 6), layout="constrained")
        losses, rate = figure.subplots(2, sharex=True, height_ratios=(3, 1))
        _draw_training(losses, record["curve"])
        _draw_heldout(losses, record["heldout"], record["tokens"])
        losses.set_ylabel("loss (nats a target)")
        losses.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.01, 0.5))
        losses.set_title(f"Pretraining on {format_tokens(record['tokens'])} tokens")

        points = [(e["tokens"], e["learning_rate"]) for e in record["curve"]]
        rate.plot(*zip(*points, strict=True), color=COLOURS["learning_rate"])
        rate.set_ylabel("learning rate")
        rate.ticklabel_format(axis="y", style="sci", scilimits=(0, 0), useMathText=True)
        rate.set_ylim(bottom=0)
        rate.set_xlabel("tokens seen, repeated ones included")
        rate.xaxis.set_major_formatter(lambda tokens, _: format_tokens(tokens))
        out = BytesIO()
        figure.savefig(out, format="svg", metadata={"Date": None})
    return out.getvalue()


def _draw_training(axes: Any, curve: list[dict[str, float]]) -> None:
    for key, label in TRAINED.items():
        points = [(entry["tokens"], entry[key]) for entry in curve if key in entry]
        if points:
            axes.plot(*zip(*points, strict=True), label=label, color=COLOURS[key], linewidth=1.2)


def _draw_heldout(axes: Any, heldout: dict[str, Any], tokens: int) -> None:
    """A marker for each masker at the start and at the end, in the colour of what was trained."""
    for (masker, after), marker in zip(heldout["after"].items(), MARKERS, strict=False):
        before = heldout["before"][masker]
        for key, trained in (("loss", "mlm_loss"), ("sbo_loss", "sbo_loss")):
            if key in before and key in after:
                boundary = ", boundary" if key == "sbo_loss" else ""
                axes.plot(
                    (0, tokens),
                    (before[key], after[key]),
                    label=f"held-out, masker {masker}{boundary}",
                    color=COLOURS[trained],
                    marker=marker,
                    markerfacecolor="white",
                    linestyle="none",
                    zorder=3,
                )


def format_tokens(tokens: float) -> str:
    """A number of tokens in thousands, millions or billions: ``400K``, ``2.5M``, ``1B``."""
    for size, suffix in ((1e9, "B"), (1e6, "M"), (1e3, "K")):
        if tokens >= size:
            return f"{tokens / size:.4g}{suffix}"
    return f"{tokens:.4g}"


class Speed(NamedTuple):
    """How fast one worker is.

    tokens_per_second (float): Tokens a second, of one worker.
    source (str): Where that is from.
    peak_memory_mb (dict): Memory of one worker in MB, by ``cpu`` and ``gpu``; empty if unknown.
    """

    tokens_per_second: float
    source: str
    peak_memory_mb: dict[str, float]

    def of_all(self, workers: int, efficiency: float) -> float:
        """Tokens a second of several workers together.

        workers (int): Their number, at least 1.
        efficiency (float): Part of its speed that each of several keeps, over 0 and at most 1. An
            assumption: they wait for each other after each step.
        """
        return self.tokens_per_second * workers * (efficiency if workers > 1 else 1.0)


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
    settings = settings.model_copy(deep=True)
    settings.masker = SpanMasker(getattr(settings.masker, "rate", 0.15))
    settings.logging, settings.training.log_every = Logging(), 1
    # Only as many texts as the steps need: a large corpus would take long to tokenize.
    size = settings.training.batch_size
    settings.data.streaming, settings.data.shuffle_buffer = True, steps * size
    settings.data.exclude = []
    with TemporaryDirectory() as folder:
        settings.paths.checkpoints = Path(folder)
        prepared = Prepared(settings, fingerprint_texts(settings), console)
        with console.status("Measuring ..."):
            trainer = prepared.make_trainer(WARM_UP + steps, save=False)
            trainer.train()
    log = trainer.state.log_history
    speeds = [entry["tokens_per_second"] for entry in log if "tokens_per_second" in entry]
    return Speed(
        median(speeds[WARM_UP:]) / workers,
        f"measured here: {steps} steps of {size} sequences of "
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
