"""Checkpoints that survive a kill at any moment.

The Trainer writes a checkpoint in place, so a directory named ``checkpoint-N`` proves nothing. A
checkpoint counts only once it holds a manifest with the size and the SHA-256 of each file, which
is written last, in one step. The run it belongs to is told by ``run.json``.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from safetensors import SafetensorError

from ..util.files import write_json
from ..util.provenance import file_sha256
from .distributed import on_main

MANIFEST = "manifest.json"
RUN_FILE = "run.json"
LOCK_FILE = "run.lock"
PREFIX = "checkpoint-"
WRITERS = ("PytorchStreamWriter", "inline_container", "unexpected pos")  # in torch.save's errors


def read_json(path: Path) -> Any:
    """Read JSON; None if the file is missing or torn."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def read_run(directory: Path) -> dict[str, Any]:
    """What is known of the run that the checkpoints in a directory belong to; empty if its file is
    missing or torn."""
    run = read_json(directory / RUN_FILE)
    return run if isinstance(run, dict) else {}


def seal(checkpoint: Path) -> None:
    """Declare a checkpoint complete.

    checkpoint (Path): A directory whose files are all written.
    """
    files = {}
    for path in sorted(p for p in checkpoint.rglob("*") if p.is_file() and p.name != MANIFEST):
        with path.open("rb") as data:
            os.fsync(data.fileno())
        name = path.relative_to(checkpoint).as_posix()
        files[name] = {"bytes": path.stat().st_size, "sha256": file_sha256(path)}
    write_json(checkpoint / MANIFEST, files)


def is_checkpoint(name: str) -> bool:
    """Whether the name of an encoder is the directory of a checkpoint."""
    return (Path(name).expanduser() / MANIFEST).is_file()


def find_fault(checkpoint: Path) -> str | None:
    """What keeps a checkpoint from being used.

    checkpoint (Path): The directory.
    RETURNS (str): A phrase; None if it is sealed and every file is still as it was then.
    """
    files = read_json(checkpoint / MANIFEST)
    if files is None:
        return "it was not written to its end"
    try:
        facts = {name: (known["bytes"], known["sha256"]) for name, known in files.items()}
    except (AttributeError, KeyError, TypeError):
        facts = {}
    if not facts:
        return f"its {MANIFEST} is damaged"
    for name, (size, sha256) in facts.items():
        path = checkpoint / name
        if not path.is_file():
            return f"{name} is missing"
        if path.stat().st_size != size:
            return f"{name} has {path.stat().st_size:,} bytes, not {size:,}"
        if file_sha256(path) != sha256:
            return f"the content of {name} is not what was written"
    return None


def list_checkpoints(directory: Path) -> list[Path]:
    """Checkpoint directories, complete or not, the newest (highest step) first."""
    steps = {p: p.name.removeprefix(PREFIX) for p in directory.glob(f"{PREFIX}*")}
    found = [path for path, step in steps.items() if step.isdigit()]
    return sorted(found, key=lambda path: int(steps[path]), reverse=True)


def newest_complete(
    directory: Path, tell: Callable[[str], None] = lambda _: None, *, clear: bool = False
) -> Path | None:
    """The newest complete checkpoint.

    directory (Path): Where the checkpoints are; need not exist.
    tell (Callable): Called with a sentence for each newer one that cannot be used.
    clear (bool): Delete those, which would count among the ones to keep. Default False.
    RETURNS (Path): The checkpoint, or None if there is none.
    """
    for path in list_checkpoints(directory):
        fault = find_fault(path)
        if fault is None:
            return path
        tell(f"{path.name} cannot be used: {fault}.")
        if clear:
            delete(path)
    return None


def delete(checkpoint: Path) -> None:
    """Delete a checkpoint; killed halfway, what is left does not count as one."""
    (checkpoint / MANIFEST).unlink(missing_ok=True)
    shutil.rmtree(checkpoint, ignore_errors=True)


def discard(directory: Path) -> None:
    """Delete the checkpoints and the run file of a directory, and nothing else in it."""
    (directory / RUN_FILE).unlink(missing_ok=True)
    for path in list_checkpoints(directory):
        delete(path)


def prune(directory: Path, keep: int) -> None:
    """Delete all but the newest sealed checkpoints.

    directory (Path): Where the checkpoints are.
    keep (int): How many to keep. Unsealed ones are deleted too.
    """
    found = list_checkpoints(directory)
    kept = [path for path in found if (path / MANIFEST).is_file()][:keep]
    for path in found:
        if path not in kept:
            delete(path)


@contextmanager
def claimed(directory: Path) -> Iterator[None]:
    """Keep the folder of the checkpoints from other runs until this one ends, however it ends.

    directory (Path): Made if missing.
    RAISES (ValueError): Another run has it, or it can't be made.
    """
    lock = FileLock(directory / LOCK_FILE)  # which the main worker takes

    def take() -> None:
        try:
            directory.mkdir(parents=True, exist_ok=True)
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

    on_main(take)
    try:
        yield
    finally:
        if lock.is_locked:
            lock.release()
            (directory / LOCK_FILE).unlink(missing_ok=True)


@contextmanager
def writing(target: Path, remedy: str) -> Iterator[None]:
    """Explain in one message why something could not be written, and clear away what was.

    target (Path): The directory being written; deleted on failure, which also gives its space
        back.
    remedy (str): What to do, and what is safe.
    RAISES (ValueError): The disk is full, or whatever else keeps a file from being written.
    """
    try:
        yield
    except (OSError, SafetensorError, RuntimeError) as err:
        # torch.save raises RuntimeErrors; so do workers that lose each other, and GPUs
        if type(err) is RuntimeError and not any(part in str(err) for part in WRITERS):
            raise
        delete(target)
        # With the error behind it, which names the reason
        words = [" ".join(str(e).split())[:200] for e in (err, err.__context__) if e is not None]
        why = "; ".join(dict.fromkeys(words))
        raise ValueError(f"'{target}' could not be written: disk full? ({why}). {remedy}") from err


def check_run(directory: Path, fingerprint: str, identity: dict[str, Any]) -> None:
    """Refuse to mix two runs in one directory.

    directory (Path): Where the checkpoints are.
    fingerprint, identity: Of the run about to start, see ``record.run_identity``.
    RAISES (ValueError): It holds checkpoints of another run; the message names what differs.
    """
    if not list_checkpoints(directory):
        return
    run = read_run(directory)
    if run.get("fingerprint") != fingerprint:
        known = run.get("identity")
        differing = _find_differences(known, identity) if isinstance(known, dict) else []
        # Not named: the run file is missing or torn.
        what = "; ".join(differing) or "another config or other texts"
        raise ValueError(
            f"'{directory}' holds the checkpoints of an unfinished run with {what}: go on with "
            "what it was started with, give another directory with --paths.checkpoints, or "
            "discard them with --restart."
        )


def _find_differences(then: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """A phrase for each setting and each content that differs between the identities of two runs."""
    phrases = []
    templates = {"settings": "{} = {!r} instead of {!r}", "contents": "other {}"}
    for part, template in templates.items():
        before, after = then.get(part, {}), now.get(part, {})
        for name in {**before, **after}:
            if before.get(name) != after.get(name):
                phrases.append(template.format(name, before.get(name), after.get(name)))
    return phrases
