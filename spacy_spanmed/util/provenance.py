"""Where figures come from: the commit, and what was read, by its hash."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

DIRTY = "-dirty"  # behind a commit: tracked files differ from it


def git_commit() -> str | None:
    """RETURNS (str | None): The commit checked out in the working directory, with DIRTY behind it
    if tracked files were changed since; None outside a repository."""
    command = ["git", "describe", "--always", "--exclude=*", "--abbrev=40", f"--dirty={DIRTY}"]
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return result.stdout.strip() or None


def file_sha256(path: Path) -> str:
    """RETURNS (str): The SHA-256 of a file, as hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as data:
        while chunk := data.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()
