"""Files that are there whole or not at all."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file so that a reader, or a kill, finds the old file or the new one.

    path (Path): The file; missing folders are made.
    data (bytes): Its content.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as out:
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically. Half characters, such as those of file names that aren't UTF-8, are
    written as \\u escapes.

    path (Path): The file; missing folders are made.
    value (Any): What `json` can write.
    RAISES (ValueError): On NaN or infinity, which JSON doesn't have.
    """
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    write_atomically(path, text.encode("utf8", "backslashreplace"))
