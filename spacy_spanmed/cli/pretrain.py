"""``spanmed pretrain``."""

import os
from pathlib import Path
from typing import Any

import typer

from .common import fail, parse_overrides


def pretrain(
    ctx: typer.Context,
    config_path: Path = typer.Argument(..., help="Config file, such as configs/pretrain.cfg"),
    output: Path | None = typer.Option(
        None, "--output", "-o", help="Directory of the pretrained encoder (paths.output)"
    ),
    restart: bool = typer.Option(
        False, "--restart", help="Discard checkpoints and a finished result, and start anew"
    ),
) -> None:
    """Pretrain an encoder on raw text with masked spans and the span boundary objective.

    An interrupted run goes on from its last complete checkpoint when the same command is given
    again, and gives what an uninterrupted one would have given. Any setting of the config can be
    overridden.

    Examples:

    spanmed pretrain configs/pretrain.cfg

    spanmed pretrain configs/pretrain.cfg --training.total_tokens 100000 --output training/quick

    spanmed pretrain configs/pretrain.cfg --vars.encoder roberta-base

    torchrun --nproc-per-node 8 -m spacy_spanmed pretrain configs/pretrain.cfg
    """
    overrides = parse_overrides(ctx.args)
    if output is not None:
        overrides["paths.output"] = str(output)
    from rich.console import Console

    # Imported late, because torch and transformers take seconds that --help need not wait for.
    try:
        from ..pretraining.config import load_settings
        from ..pretraining.distributed import StoppedByMain, disconnect_workers
        from ..pretraining.run import pretrain as run
    except (ImportError, RuntimeError) as err:  # transformers wraps some in a RuntimeError
        fail(f"{err}. Pretraining needs: pip install 'spacy_spanmed[pretrain]'")
    rank = int(os.environ.get("RANK", 0))
    worker = f"[worker {rank}] " if rank else ""
    try:
        settings, source = load_settings(config_path, overrides)
        result = run(settings, source, restart=restart, console=Console())
        disconnect_workers()
    except StoppedByMain:
        raise typer.Exit(1) from None
    except ValueError as err:
        fail(worker + str(err))
    except OSError as err:
        fail(f"{worker}{err.filename or settings.paths.checkpoints}: {err.strerror or err}.")
    if rank:
        return
    for line in summary(result):
        typer.echo(line)
    typer.echo(f"Encoder: {settings.paths.output}  Record: {settings.paths.metrics}")


def summary(result: dict[str, Any]) -> list[str]:
    """The held-out losses of a record as lines of text.

    result (dict): The record of a run.
    RETURNS (list): One line a masker.
    """
    before, after = result["heldout"]["before"], result["heldout"]["after"]
    lines = [f"Held-out loss (nats a target) before -> after, {result['tokens']:,} tokens:"]
    for masker, figures in after.items():
        line = f"  {masker:<11} {before[masker]['loss']:.3f} -> {figures['loss']:.3f}"
        line += f"  perplexity {before[masker]['perplexity']:,.0f} -> {figures['perplexity']:,.1f}"
        if "sbo_loss" in figures:
            line += f"  SBO {before[masker]['sbo_loss']:.3f} -> {figures['sbo_loss']:.3f}"
        lines.append(line)
    return lines
