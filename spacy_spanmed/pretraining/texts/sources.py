"""The texts a run is given: files, folders, archives and datasets, in any mixture of formats.

A folder is searched recursively; files come in the order of their names, folder by folder. Hidden
files, and files whose names end in no known suffix, are left out and counted. Tar archives are
read from the first file to the last without unpacking to the disk. Texts are identified by their
content, not by where they lie or how old they are (:func:`fingerprint`).
"""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

from ...util.problems import RAISE, Problems
from ...util.provenance import file_sha256
from ...util.text_files import DamagedGzip, Meter, open_bytes
from ..config import DataSettings
from . import tables
from .reading import (
    Document,
    TextOptions,
    TextProblems,
    read_json_lines,
    read_papers,
    read_plain,
)

# Readers of a stream by suffix; ".gz" may follow.
READERS = {
    ".txt": read_plain,
    ".jsonl": read_json_lines,
    ".ndjson": read_json_lines,
    ".xml": read_papers,
    ".nxml": read_papers,
}
ARCHIVES = (".tar", ".tar.gz", ".tgz")
PARQUET = ".parquet"
KNOWN = ".txt, .jsonl, .xml, .nxml (also with .gz), .tar, .tar.gz or .parquet"
DAMAGED, DAMAGED_GZIP = "damaged archive", "damaged gzip file"
ReadStream = Callable[[io.BufferedReader, str], Iterator[Document]]


class Sources:
    """The texts of one role, such as those to train on.

    entries (Sequence[str]): Files, folders, and datasets as ``hf:NAME``.
    options (TextOptions): How to read them.
    problems (Problems): Told what can't be read. Defaults to None: it is an error.
    streaming (bool): Read datasets from the Hub over the network, default False.
    RAISES (ValueError): An entry does not exist, is of no known format, or holds no text.
    """

    def __init__(
        self,
        entries: Sequence[str],
        options: TextOptions = TextOptions(),
        problems: Problems | None = None,
        streaming: bool = False,
    ):
        self.entries = list(entries)
        self.options = options
        self.problems = problems or TextProblems()
        self.streaming = streaming
        self.ignored = 0
        if not self.entries:
            raise ValueError("No texts are given: set paths.train and paths.dev.")
        for entry in self.entries:
            check_entry(entry)

    @classmethod
    def from_settings(cls, entries: Sequence[str], settings: DataSettings) -> Sources:
        """The texts of a run. entries: See above. settings (DataSettings): How to read them."""
        options = TextOptions(settings.text_field, settings.txt_documents)
        return cls(entries, options, TextProblems(settings.on_error), settings.streaming)

    def size(self) -> int:
        """Bytes of all files and datasets, for progress; 0 for datasets read over the network."""
        total = 0
        for entry in self.entries:
            if not is_dataset(entry):
                total += sum(p.stat().st_size for p in walk(Path(entry)) if _is_known(p))
            elif not self.streaming:
                total += tables.load_dataset(entry).dataset_size or 0
        return total

    def read(self, meter: Meter) -> Iterator[Document]:
        """Read all texts.

        meter (Meter): Told what has been read.
        YIELDS (Document): One at a time. Files left out are added to ``ignored``.
        RAISES (ValueError): A text can't be read; the message names the file and the place in it.
        """
        self.ignored = 0
        for entry in self.entries:
            if is_dataset(entry):
                yield from tables.read_dataset(entry, self.options, meter, streaming=self.streaming)
                continue
            for path in walk(Path(entry)):
                if _is_known(path):
                    yield from self._read_file(path, meter)
                else:
                    self.ignored += 1

    def _read_file(self, path: Path, meter: Meter) -> Iterator[Document]:
        try:
            if path.name.lower().endswith(PARQUET):
                yield from tables.read_parquet(path, self.options, meter, self.problems)
                return
            with open_bytes(path, meter) as file:
                if path.name.lower().endswith(ARCHIVES):
                    yield from self._read_archive(file, str(path))
                elif (reader := self._find_reader(path.name)) is not None:
                    yield from reader(file, str(path))
        except DamagedGzip as error:
            self.problems.add(DAMAGED_GZIP, str(path), str(error).removeprefix(f"{path}: "))
        except OSError as error:
            raise ValueError(f"'{path}' can't be read: {error.strerror or error}.") from error

    def _read_archive(self, file: io.BufferedReader, place: str) -> Iterator[Document]:
        """The texts in a tar archive, unpacked if it was gzipped, in the archive's order."""
        try:
            with tarfile.open(fileobj=file, mode="r|") as archive:
                while (member := archive.next()) is not None:
                    archive.members = []  # type: ignore[attr-defined]  # else all stays in memory
                    if not member.isfile():
                        continue
                    hidden = member.name.rpartition("/")[2].startswith(".")
                    reader = None if hidden else self._find_reader(member.name)
                    if reader is None:
                        self.ignored += 1
                    else:
                        content = cast(io.BufferedReader, archive.extractfile(member))
                        yield from reader(content, f"{place}/{member.name}")
        except tarfile.TarError as error:
            self.problems.add(DAMAGED, place, f"not a whole tar archive ({error}). Fetch it again.")

    def _find_reader(self, name: str) -> ReadStream | None:
        """The reader for a file name, given options and problems; None if it is no text."""
        reader = READERS.get(_suffix(name))
        return reader and partial(reader, options=self.options, problems=self.problems)


def walk(path: Path) -> Iterator[Path]:
    """The files under a path, sorted by name in each folder.

    path (Path): A file, which is yielded, or a folder. Links to folders are not followed.
    YIELDS (Path): Only the names of the folders on the way are in memory.
    RAISES (ValueError): A folder can't be read.
    """
    if not path.is_dir():
        yield path
        return
    try:
        with os.scandir(path) as found:
            entries = sorted((entry.name, entry.is_dir(follow_symlinks=False)) for entry in found)
    except OSError as error:
        raise ValueError(f"The folder '{path}' can't be read: {error.strerror}.") from error
    for name, is_folder in entries:
        if is_folder:
            yield from walk(path / name)
        else:
            yield path / name


def is_dataset(entry: str) -> bool:
    """Whether an entry is a dataset in the format of Hugging Face."""
    return entry.startswith(tables.PREFIX) or tables.is_saved_dataset(Path(entry))


def check_entry(entry: str) -> None:
    """Check that there is something to read.

    entry (str): A file, a folder, or a dataset as ``hf:NAME``.
    RAISES (ValueError): It does not exist, is of no known format, or is a folder without texts.
    """
    if entry.startswith(tables.PREFIX):
        tables.parse_dataset_name(entry)
        return
    path = _existing(entry)
    if is_dataset(entry):
        return
    if path.is_dir():
        if not any(map(_is_known, walk(path))):
            raise ValueError(f"The folder '{entry}' holds no texts, none of {KNOWN}.")
    elif not path.is_file():
        raise ValueError(f"'{entry}' is a pipe or device: save the texts to a file.")
    elif not _is_known(path):
        raise ValueError(f"The name of '{entry}' tells no format of texts: it must end in {KNOWN}.")


def read_texts(
    entries: Sequence[str], options: TextOptions = TextOptions(), on_error: str = RAISE
) -> Iterator[str]:
    """Read texts as they are, but for blank ones.

    entries (Sequence[str]), options (TextOptions): See :class:`Sources`.
    on_error (str): "raise" or "skip", default "raise".
    YIELDS (str): Texts that are not blank.
    RAISES (ValueError): See :class:`Sources`.
    """
    for document in Sources(entries, options, TextProblems(on_error)).read(Meter()):
        if document.text.strip():
            yield document.text


def fingerprint(entries: Sequence[str], streaming: bool = False) -> dict[str, Any]:
    """Size and hash of files, folders and datasets.

    entries (Sequence[str]): See :class:`Sources`. All files of a folder count but for hidden ones.
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
        parts = _dataset_parts(entry, streaming) if is_dataset(entry) else _file_parts(entry)
        for name, bytes_, sha256 in parts:
            if alone:  # only the suffixes count, such as ".txt.gz", which decide how it is read
                name = _suffix(name) + (".gz" if name.lower().endswith(".gz") else "")
            digest.update(f"{name}\0{sha256}\0".encode("utf-8", "surrogateescape"))
            files, size = files + 1, size + bytes_
    return {
        "path": entries[0] if len(entries) == 1 else list(entries),
        "files": files,
        "bytes": size,
        "sha256": digest.hexdigest(),
    }


def _file_parts(entry: str) -> Iterator[tuple[str, int, str]]:
    """Name, size and SHA-256 of each file of an entry."""
    path = _existing(entry)
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


def _existing(entry: str) -> Path:
    path = Path(entry)
    if not path.exists():
        raise ValueError(f"The texts '{entry}' do not exist: check the path, or build the corpus.")
    return path


def _suffix(name: str) -> str:
    return os.path.splitext(name.lower().removesuffix(".gz"))[1]


def _is_known(path: Path) -> bool:
    name = path.name.lower()
    if name.startswith(".") or not path.is_file():
        return False
    return name.endswith((*ARCHIVES, PARQUET)) or _suffix(name) in READERS
