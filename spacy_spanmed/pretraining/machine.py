"""What a run must find as it left it when it goes on: the folder to itself, and its precision."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from accelerate import PartialState
from filelock import FileLock, Timeout

from . import checkpoints
from .arguments import use_bfloat16
from .config import PretrainSettings
from .distributed import on_main

LOCK_FILE = "run.lock"
UNTRAINED = 0.9  # of the loss of guessing, above which a head knows nothing


@contextmanager
def claimed(directory: Path) -> Iterator[None]:
    """Keep the folder of the checkpoints from other runs until this one ends, however it ends.

    directory (Path): Made if missing.
    RAISES (ValueError): Another run has it, or it can't be made.
    """
    held: list[FileLock] = []  # on the main worker; a lock can't be sent to the others
    on_main(lambda: held.append(_lock(directory)))
    try:
        yield
    finally:
        for lock in held:
            lock.release()
            (directory / LOCK_FILE).unlink(missing_ok=True)


def _lock(directory: Path) -> FileLock:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        lock = FileLock(directory / LOCK_FILE)
        lock.acquire(timeout=0)
    except Timeout:
        raise ValueError(
            f"Another run is at work in '{directory}': wait for it, stop it, or give another "
            "directory with --paths.checkpoints."
        ) from None
    except OSError as error:
        raise ValueError(
            f"The folder '{directory}' for checkpoints can't be used ({error.strerror}): set "
            "paths.checkpoints to another."
        ) from error
    return lock


def keep_precision(
    directory: Path, settings: PretrainSettings, workers: PartialState, tell: Callable[[str], None]
) -> str:
    """The precision to compute in: on a machine where "auto" means another one than where a run
    began, that of its beginning.

    directory (Path): The run's checkpoints.
    settings (PretrainSettings): Its settings.
    workers (PartialState): Of now; if they are more or fewer than before, that is told.
    tell (Callable): Called with a sentence for each difference.
    RETURNS (str): "float32" or "bfloat16".
    """
    here = "bfloat16" if use_bfloat16(settings.training.precision) else "float32"
    run = checkpoints.read_json(directory / checkpoints.RUN_FILE)
    if not isinstance(run, dict) or not checkpoints.list_checkpoints(directory):
        return here
    began, processes = run.get("precision", here), run.get("processes", workers.num_processes)
    if began != here:
        tell(f"Going on in {began}, in which the run began; {here} would be faster here.")
    if processes != workers.num_processes:
        tell(
            f"The run began with {processes} worker(s), now it has {workers.num_processes}: the "
            "batches stay the same, but dropout and the order of sums differ."
        )
    return began


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
