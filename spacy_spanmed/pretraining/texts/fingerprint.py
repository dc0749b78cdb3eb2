"""What texts are made of, in one hash: their content, not where they lie or how old they are."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ...util.provenance import file_sha256
from . import tables
from .sources import is_dataset, walk


def fingerprint(entries: Sequence[str], streaming: bool = False) -> dict[str, Any]:
    """Size and hash of files, folders and datasets.

    entries (Sequence[str]): See ``Sources``. All files of a folder count but for hidden ones.
    streaming (bool): Datasets of the Hub are read over the network: they count with their commit.
    RETURNS (dict): ``path`` (a list if there are several), ``files``, ``bytes`` and ``sha256``: of
        a single file that of its kind and content, whatever its name; of several that of their
        names inside the folder and contents.
    RAISES (ValueError): An entry does not exist or can't be read.
    """
    digest = hashlib.sha256()
    files = size = 0
    alone = len(entries) == 1 and os.path.isfile(entries[0])
    for entry in entries:
        for name, bytes_, sha256 in _parts(entry, streaming):
            named = _get_suffixes(name) if alone else name  # which decide how it is read
            digest.update(f"{named}\0{sha256}\0".encode("utf-8", "surrogateescape"))
            files, size = files + 1, size + bytes_
    return {
        "path": entries[0] if len(entries) == 1 else list(entries),
        "files": files,
        "bytes": size,
        "sha256": digest.hexdigest(),
    }


def _get_suffixes(name: str) -> str:
    """RETURNS (str): Such as ".jsonl" or ".txt.gz"."""
    plain = name.lower().removesuffix(".gz")
    return os.path.splitext(plain)[1] + name.lower()[len(plain) :]


def _parts(entry: str, streaming: bool) -> Iterator[tuple[str, int, str]]:
    """Name, size and SHA-256 of each file of an entry."""
    if is_dataset(entry):
        yield from _dataset_parts(entry, streaming)
        return
    path = Path(entry)
    if not path.exists():
        raise ValueError(f"The texts '{entry}' do not exist: check the path, or build the corpus.")
    try:
        for file in walk(path):
            # As when they are read: no links to folders, no pipes
            if file == path or (file.is_file() and not file.name.startswith(".")):
                name = file.name if file == path else file.relative_to(path).as_posix()
                yield name, file.stat().st_size, file_sha256(file)
    except OSError as error:
        raise ValueError(f"'{error.filename or entry}' can't be read: {error.strerror}.") from error


def _dataset_parts(entry: str, streaming: bool) -> Iterator[tuple[str, int, str]]:
    name = tables.parse_dataset_name(entry)
    folder = Path(name.name).expanduser()
    yield f"{name.config}/{name.split}", 0, ""
    if streaming and not folder.exists():
        yield name.name, 0, tables.find_commit(name)
        return
    if folder.is_dir() and not tables.is_saved_dataset(folder):
        files = list(walk(folder))
    else:
        data = tables.load_dataset(entry, streaming=streaming)
        files = sorted(Path(file["filename"]) for file in data.cache_files)
    for number, path in enumerate(files):
        yield str(number), path.stat().st_size, file_sha256(path)
