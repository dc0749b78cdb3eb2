"""``spanmed estimate``: how long a run takes, from a few steps of it or from the record of another."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.console import Console

from .common import fail, parse_overrides

if TYPE_CHECKING:
    from ..pretraining.reporting import Speed


def estimate(
    ctx: typer.Context,
    config_path: Path = typer.Argument(..., help="Config file, such as configs/pretrain.cfg"),
    tokens: float | None = typer.Option(
        None, "--tokens", help="Tokens to train on, such as 1e9 (training.total_tokens)"
    ),
    workers: int = typer.Option(1, "--workers", "-n", min=1, help="Workers that share the run"),
    efficiency: float = typer.Option(
        0.9, "--efficiency", help="Part of its speed that each of several workers keeps (assumed)"
    ),
    tokens_per_second: float | None = typer.Option(
        None, "--tokens-per-second", help="Speed of one worker, instead of measuring it"
    ),
    record: Path | None = typer.Option(
        None, "--record", help="Record of a run to take the speed from, instead of measuring it"
    ),
    measure: bool = typer.Option(
        False, "--measure", help="Measure the speed here (what is done if it is not given)"
    ),
    steps: int = typer.Option(8, "--steps", min=1, help="Steps to measure"),
) -> None:
    """Estimate the hours a pretraining takes, on one worker and on several.

    Unless the speed is given, a few steps of the config are trained here and thrown away. Any
    setting of the config can be overridden.

    Examples:

    spanmed estimate configs/pretrain.cfg --tokens 1e9 --workers 16

    spanmed estimate configs/pretrain.cfg --tokens 1e9 --record metrics/pretraining.json
    """
    if sum((tokens_per_second is not None, record is not None, measure)) > 1:
        fail("Give one of --tokens-per-second, --record and --measure.")
    if not 0 < efficiency <= 1:
        fail(f"--efficiency is {efficiency}, but must lie between 0 and 1.")
    for name, value in (("--tokens", tokens), ("--tokens-per-second", tokens_per_second)):
        if value is not None and not 0 < value < float("inf"):
            fail(f"{name} is {value}, but must be a positive number.")
    overrides = parse_overrides(ctx.args)
    # Imported late, because torch and transformers take seconds that --help need not wait for.
    try:
        from ..pretraining.config import load_settings
        from ..pretraining.reporting import Speed, measure_speed, read_speed
    except (ImportError, RuntimeError) as err:  # transformers wraps some in a RuntimeError
        fail(f"{err}. Pretraining needs: pip install 'spacy_spanmed[pretrain]'")
    try:
        settings, _ = load_settings(config_path, overrides)
        if tokens_per_second is not None:
            speed = Speed(tokens_per_second, "as given", {})
        elif record is not None:
            speed = read_speed(record)
        else:
            speed = measure_speed(settings, steps, Console())
    except ValueError as err:
        fail(str(err))
    total = tokens if tokens is not None else settings.training.total_tokens
    for line in describe(speed, total, workers, efficiency):
        typer.echo(line)
    batch = settings.training.batch_size
    if batch % workers:
        typer.echo(
            f"training.batch_size is {batch}, which cannot be split over {workers} workers: make "
            f"it a multiple of {workers}."
        )


def describe(speed: Speed, tokens: float, workers: int, efficiency: float) -> list[str]:
    """Estimates for one worker, and for several if they are asked for, as lines of text.

    speed (Speed): Of one worker.
    tokens (float): To train on, repeated ones included.
    workers, efficiency: See ``Speed.of_all``.
    RETURNS (list): Lines: speed, memory, a table, the assumption.
    """
    lines = [f"{speed.tokens_per_second:,.1f} tokens a second on one worker, {speed.source}"]
    if speed.peak_memory_mb:
        peaks = (f"{size:,.0f} MB ({where})" for where, size in speed.peak_memory_mb.items())
        lines.append(f"Peak memory of a worker: {', '.join(peaks)}")
    lines.append(f"{'workers':>7}  {'tokens/s':>13}  {'tokens a worker':>18}  {'hours':>12}")
    for number in sorted({1, workers}):
        together = speed.of_all(number, efficiency)
        lines.append(
            f"{number:>7,}  {together:>13,.1f}  {tokens / number:>18,.0f}"
            f"  {tokens / together / 3600:>12,.2f}"
        )
    if workers > 1:
        lines.append(
            f"Assumed for several workers: each keeps {efficiency:g} of the speed of one alone "
            "(--efficiency)."
        )
    return lines
