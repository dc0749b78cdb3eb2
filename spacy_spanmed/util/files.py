"""Files that are there whole or not at all."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from .problems import CorpusError


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Write a file so that a reader, or a kill, finds the old file or the new one.

    path (Path): The file; missing folders are made.
    YIELDS (BinaryIO): A file beside it, put into its place at the end; after an error nothing is
        left of it.
    RAISES (OSError): If it can't be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as out:
            yield out
            out.flush()
            os.fsync(out.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file as `replacing` does.

    path (Path): The file. data (bytes): Its content.
    """
    with replacing(path) as out:
        out.write(data)


def write_json(path: Path, value: Any) -> None:
    """Write JSON as `replacing` does. Lone surrogates, such as those of file names that aren't
    UTF-8, are written as \\u escapes.

    path (Path): The file.
    value (Any): What `json` can write.
    RAISES (ValueError): On NaN or infinity, which JSON doesn't have.
    """
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    write_atomically(path, text.encode("utf8", "backslashreplace"))


def write_text_atomically(path: Path, chunks: Iterable[str]) -> None:
    """Write a UTF-8 file piece by piece, as `replacing` does.

    path (Path): The file. A name ending in ".gz" is gzipped, without a time stamp, so that the
        same text gives the same bytes.
    chunks (Iterable[str]): The text, line ends included. An error from it leaves no file behind.
    RAISES (CorpusError): On characters that UTF-8 doesn't have (lone surrogates), and if there is
        a folder of that name.
    """
    path = Path(path)
    if path.is_dir():
        raise CorpusError(f"{path}: a folder. Choose another output, or name a file in it.")
    with replacing(path) as out:
        if path.name.endswith(".gz"):
            with gzip.GzipFile(filename="", mode="wb", fileobj=out, mtime=0) as packed:
                packed.writelines(_encode(chunks, path))
        else:
            out.writelines(_encode(chunks, path))


def _encode(chunks: Iterable[str], path: Path) -> Iterator[bytes]:
    for chunk in chunks:
        try:
            yield chunk.encode("utf8")
        except UnicodeEncodeError as error:
            begin = chunk[:60].encode("ascii", "backslashreplace").decode()
            raise CorpusError(
                f"{path}: character {chunk[error.start]!a} can't be written as UTF-8, in the text "
                f"that begins {begin!r}. Remove it from the text."
            ) from None
