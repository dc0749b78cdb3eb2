"""Checkpoints that survive a kill at any moment.

The Trainer writes a checkpoint in place, so a directory named ``checkpoint-N`` proves nothing. A
checkpoint counts only once it holds a manifest with the size and the SHA-256 of each file, which
is written last, in one step. The run it belongs to is told by a fingerprint in ``run.json``.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

from spacy_spanmed.files import write_json

MANIFEST = "manifest.json"
RUN_FILE = "run.json"
PREFIX = "checkpoint-"


def read_json(path: Path) -> Any:
    """Read JSON; None if the file is missing or torn."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file, as hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as data:
        while chunk := data.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


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


def is_complete(checkpoint: Path) -> bool:
    """Whether a checkpoint is sealed and every file is still as it was then."""
    files = read_json(checkpoint / MANIFEST)
    if not isinstance(files, dict) or not files:
        return False
    for name, facts in files.items():
        path = checkpoint / name
        if not path.is_file() or path.stat().st_size != facts["bytes"]:
            return False
        if file_sha256(path) != facts["sha256"]:
            return False
    return True


def list_checkpoints(directory: Path) -> list[Path]:
    """Checkpoint directories, complete or not, the newest (highest step) first."""
    found = [p for p in directory.glob(f"{PREFIX}*") if p.name[len(PREFIX) :].isdigit()]
    return sorted(found, key=lambda p: int(p.name[len(PREFIX) :]), reverse=True)


def newest_complete(directory: Path) -> Path | None:
    """The newest complete checkpoint.

    directory (Path): Where the checkpoints are; need not exist.
    RETURNS (Path): The checkpoint, or None if there is none.
    """
    return next((p for p in list_checkpoints(directory) if is_complete(p)), None)


def prune(directory: Path, keep: int) -> None:
    """Delete all but the newest sealed checkpoints.

    directory (Path): Where the checkpoints are.
    keep (int): How many to keep. Unsealed ones are deleted too.
    """
    sealed = [p for p in list_checkpoints(directory) if (p / MANIFEST).is_file()]
    for path in list_checkpoints(directory):
        if path not in sealed[:keep]:
            (path / MANIFEST).unlink(missing_ok=True)  # a half-deleted one must not count
            shutil.rmtree(path)


def check_run(directory: Path, fingerprint: str) -> None:
    """Refuse to mix two runs in one directory.

    directory (Path): Where the checkpoints are.
    fingerprint (str): Of the run about to start.
    RAISES (ValueError): It holds checkpoints of a run with another fingerprint.
    """
    if not list_checkpoints(directory):
        return
    run = read_json(directory / RUN_FILE)
    if not isinstance(run, dict) or run.get("fingerprint") != fingerprint:
        raise ValueError(
            f"'{directory}' holds the checkpoints of an unfinished run with another config or "
            "other texts: go on with that config, give another directory with --paths.checkpoints, "
            "or discard them with --restart."
        )
