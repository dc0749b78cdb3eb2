"""What a run is made from and made with, for its record: texts, settings, code, versions, hardware.

Settings, texts, encoder and code together are the identity of a run: only a run with the same one
may go on from its checkpoints. Which code counts is told by folders, see :func:`run_code`.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

from ..encoder.resolving import resolve_encoder
from ..util import text_files
from ..util.provenance import file_sha256
from .checkpoints import is_checkpoint

# Settings that change neither the data nor the weights; what is excluded counts with its content.
COSMETIC = {"log_every", "checkpoint_every", "accumulate_gradient", "exclude"}
COSMETIC_SECTIONS = {"paths", "logging"}
PACKAGE = Path(__file__).parents[1]
HERE = Path(__file__).parent
TEXTS, REPORTING = HERE / "texts", HERE / "reporting.py"
LAYERS, TEXT_FILES = PACKAGE / "encoder" / "cpu", Path(text_files.__file__)


def text_code() -> dict[str, str]:
    """The code that decides which sequences a text gives: all of ``texts/``, and the reader of
    text files.

    RETURNS (dict): SHA-256 by path in the package.
    """
    return _hash_code([*TEXTS.rglob("*.py"), TEXT_FILES])


def run_code() -> dict[str, str]:
    """The code that decides what comes out of a run: all of this folder but ``reporting.py``, and
    the layers and the reader of text files that it computes with.

    RETURNS (dict): SHA-256 by path in the package.
    """
    return _hash_code({*HERE.rglob("*.py"), *LAYERS.glob("*.py"), TEXT_FILES} - {REPORTING})


def _hash_code(files: Iterable[Path]) -> dict[str, str]:
    return {path.relative_to(PACKAGE).as_posix(): file_sha256(path) for path in sorted(files)}


def run_identity(
    source: dict[str, Any], data: dict[str, dict[str, Any]], encoder: str
) -> dict[str, dict[str, Any]]:
    """All that decides the outcome of a run, by names that a user can act on.

    source (dict): The interpolated config. Output paths and the rhythm of logging are left out.
    data (dict): What is read, with its ``sha256``, by role.
    encoder (str): The starting encoder; a local one counts with the content of its files.
    RETURNS (dict): ``settings`` by dotted key, and the SHA-256 of ``contents``. The code of this
        package counts too: other code would continue a run, or pass off its result, as something
        it is not.
    """
    settings = {
        f"{section}.{key}": value
        for section, values in source.items()
        if section not in COSMETIC_SECTIONS
        for key, value in values.items()
        if key not in COSMETIC
    }
    folder = Path(encoder if is_checkpoint(encoder) else resolve_encoder(encoder)).expanduser()
    files = sorted(p for p in folder.glob("*") if p.is_file()) if folder.is_dir() else []
    contents = {
        **{f"content of {role}": facts["sha256"] for role, facts in data.items()},
        "files of the encoder": {p.name: file_sha256(p) for p in files if p.suffix != ".md"},
        "code of spacy_spanmed.pretraining": run_code(),
    }
    return {"settings": settings, "contents": contents}


def run_fingerprint(identity: dict[str, dict[str, Any]]) -> str:
    """One hash over the identity of a run.

    identity (dict): From :func:`run_identity`.
    RETURNS (str): 16 hexadecimal digits.
    """
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]


def hardware(device: torch.device) -> dict[str, Any]:
    """What a run was computed on, without naming the machine.

    device (torch.device): Of the model.
    RETURNS (dict): Architecture, instruction set torch uses, cores, threads, and the GPU's model.
    """
    return {
        "architecture": platform.machine(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "cpu_cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name(device) if device.type == "cuda" else None,
    }


def peak_memory(device: torch.device) -> dict[str, float]:
    """The most memory this process has held so far, in MB of 10^6 bytes.

    device (torch.device): Of the model.
    RETURNS (dict): ``cpu``, where the system counts it, and ``gpu``, on one.
    """
    peak = {}
    try:
        import resource

        unit = 1 if sys.platform == "darwin" else 1024
        peak["cpu"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    except ImportError:  # Windows
        pass
    if device.type == "cuda":
        peak["gpu"] = torch.cuda.max_memory_allocated(device)
    return {name: round(size / 1e6, 1) for name, size in peak.items()}
