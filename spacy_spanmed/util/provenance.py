"""Where figures come from: the commit, the versions of packages, and what was read, by its hash."""

from __future__ import annotations

import hashlib
import importlib.metadata
import platform
import subprocess
from pathlib import Path

PACKAGES = ("spacy-spanmed", "torch", "transformers", "accelerate", "tokenizers", "numpy", "spacy")
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


def versions() -> dict[str, str | None]:
    """RETURNS (dict[str, str | None]): Versions of Python and the packages a run depends on; None
    for one run from source."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = None
    return found


def file_sha256(path: Path) -> str:
    """RETURNS (str): The SHA-256 of a file, as hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as data:
        while chunk := data.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()
