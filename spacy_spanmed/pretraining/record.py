"""What a run was made from and made with: fingerprints, versions, the commit."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform
import subprocess
from pathlib import Path
from typing import Any

from spacy_spanmed.encoders import resolve_encoder
from spacy_spanmed.pretraining.checkpoints import file_sha256

PACKAGES = ("spacy-spanmed", "torch", "transformers", "accelerate", "tokenizers", "numpy", "spacy")
# Settings that change neither the data nor the weights.
COSMETIC = {"log_every", "checkpoint_every", "accumulate_gradient"}


def data_fingerprints(paths: dict[str, Path]) -> dict[str, dict[str, Any]]:
    """Size and SHA-256 of text files.

    paths (dict): Files by role.
    RETURNS (dict): ``path``, ``bytes`` and ``sha256`` by role.
    RAISES (ValueError): A file does not exist.
    """
    for role, path in paths.items():
        if not path.is_file():
            raise ValueError(
                f"The {role} texts '{path}' do not exist: build the corpus first, or set "
                f"paths.{role} to a JSONL file."
            )
    return {
        role: {"path": str(path), "bytes": path.stat().st_size, "sha256": file_sha256(path)}
        for role, path in paths.items()
    }


def run_fingerprint(source: dict[str, Any], data: dict[str, dict[str, Any]], encoder: str) -> str:
    """One hash over all that decides the outcome of a run.

    source (dict): The interpolated config. Output paths and the rhythm of logging are left out.
    data (dict): From :func:`data_fingerprints`.
    encoder (str): The starting encoder; a local one counts with the content of its files.
    RETURNS (str): 16 hexadecimal digits. The code of this package counts too: other code would
        continue a run, or pass off its result, as something it is not.
    """
    code = {p.name: file_sha256(p) for p in sorted(Path(__file__).parent.glob("*.py"))}
    settings = {
        section: {k: v for k, v in values.items() if k not in COSMETIC}
        for section, values in source.items()
        if section != "paths"
    }
    folder = Path(resolve_encoder(encoder))
    files = sorted(p for p in folder.glob("*") if p.is_file()) if folder.is_dir() else []
    weights = {p.name: file_sha256(p) for p in files if p.suffix != ".md"}
    texts = {role: facts["sha256"] for role, facts in data.items()}
    parts = json.dumps([settings, texts, weights, code], sort_keys=True)
    return hashlib.sha256(parts.encode()).hexdigest()[:16]


def versions() -> dict[str, str | None]:
    """Versions of Python and the packages a run depends on; None for one run from source."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = None
    return found


def git_commit() -> str | None:
    """The commit checked out in the working directory, or None outside a repository."""
    try:
        result = subprocess.run(
            ["git", "rev-parse", "HEAD"], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return result.stdout.strip() or None
