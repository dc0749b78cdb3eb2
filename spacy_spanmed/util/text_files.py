"""Text files as corpora have them: plain or gzipped, LF or CRLF, mostly UTF-8, of any size."""

from __future__ import annotations

import gzip
import io
import os
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from .problems import CorpusError, Problems

GZIP_MAGIC = b"\x1f\x8b"
BOM = b"\xef\xbb\xbf"
MAX_LINE = 50_000_000  # bytes: a file without line ends must not fill the memory
NOT_UTF8 = "not UTF-8"


def open_bytes(path: Path) -> BinaryIO:
    """Open a file for reading, unpacked if it is gzipped (known by its first bytes, not its name).

    path (Path): The file.
    RETURNS (BinaryIO): Its content. Reading from it raises a CorpusError where a gzip file is
        damaged or ends early.
    RAISES (CorpusError): On a pipe or device, which is empty when it is read a second time: formats
        are detected, and relations looked for, before the documents are read.
    RAISES (OSError): If it can't be opened.
    """
    path = Path(path)
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise CorpusError(f"{path}: a pipe can't be read twice: save it to a file.")
    file = path.open("rb")
    if file.peek(2)[:2] != GZIP_MAGIC:
        return file
    return io.BufferedReader(_Unpacked(file, path), 1 << 16)


class _Unpacked(io.RawIOBase):
    """The content of a gzip file, whose damages are CorpusErrors."""

    def __init__(self, file: BinaryIO, path: Path):
        self._file, self._path, self._done = file, path, 0
        self._gzip = gzip.GzipFile(fileobj=file, mode="rb")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        try:
            data = self._gzip.read1(len(buffer))
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise CorpusError(
                f"{self._path}: the gzip file is damaged or ends early, after {self._done:,} "
                f"unpacked bytes ({error}). Fetch or pack it again."
            ) from None
        buffer[: len(data)] = data
        self._done += len(data)
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()


def read_lines(path: Path, problems: Problems) -> Iterator[tuple[int, str]]:
    """Read a text file line by line. A line ends in LF or CRLF, and in nothing else.

    path (Path): The file, plain or gzipped. A byte order mark at its start is removed.
    problems (Problems): Told of lines that are not UTF-8; when they are to be skipped, such a line
        is decoded as Latin-1 instead.
    YIELDS (Tuple[int, str]): The line's number, from 1, and its text without line end.
    RAISES (CorpusError): On a damaged gzip file, naming the line reached, on a line of more than
        50 million bytes, and on a pipe.
    RAISES (OSError): If the file can't be opened.
    """
    with open_bytes(path) as file:
        number = 0
        while True:
            try:
                line = file.readline(MAX_LINE + 1)
            except CorpusError as error:
                raise CorpusError(f"{error} The last whole line was line {number}.") from None
            if not line:
                return
            number += 1
            if len(line) > MAX_LINE:
                raise CorpusError(
                    f"{path}:{number}: a line of more than {MAX_LINE:,} bytes. Is this a text "
                    f"file, with line ends?"
                )
            if number == 1 and line.startswith(BOM):
                line = line[len(BOM) :]
            if line.endswith(b"\n"):
                line = line[: -2 if line.endswith(b"\r\n") else -1]
            yield number, _decode(line, f"{path}:{number}", problems)


def _decode(line: bytes, place: str, problems: Problems) -> str:
    try:
        return line.decode("utf8")
    except UnicodeDecodeError as error:
        problems.add(
            NOT_UTF8,
            place,
            f"byte {line[error.start]:#04x}, number {error.start + 1} of the line, is not UTF-8. "
            f"Convert the file to UTF-8, for example with iconv.",
        )
        return line.decode("latin-1")


def file_stem(path: Path) -> str:
    """RETURNS (str): The file's name without ".gz" and without the suffix before it."""
    name = Path(path).name
    return Path(name[:-3] if name.lower().endswith(".gz") else name).stem


def printable(text: str) -> str:
    """RETURNS (str): A text that any UTF-8 terminal takes: bytes of file names that aren't UTF-8,
    which Python keeps as half characters, are written out."""
    return text.encode("utf8", "backslashreplace").decode("utf8")


def write_text_atomically(path: Path, chunks: Iterable[str]) -> None:
    """Write a UTF-8 file piece by piece, so that it is there whole or not at all.

    path (Path): The file; missing folders are made. A name ending in ".gz" is gzipped, without a
        time stamp, so that the same text gives the same bytes.
    chunks (Iterable[str]): The text, line ends included. An error from it leaves no file behind.
    RAISES (CorpusError): On characters that UTF-8 doesn't have (lone surrogates), and if there is
        a folder of that name.
    RAISES (OSError): If it can't be written.
    """
    path = Path(path)
    if path.is_dir():
        raise CorpusError(f"{path}: a folder. Choose another output, or name a file in it.")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as out:
            if path.name.endswith(".gz"):
                with gzip.GzipFile(filename="", mode="wb", fileobj=out, mtime=0) as packed:
                    _write_all(packed, chunks, path)
            else:
                _write_all(out, chunks, path)
            out.flush()
            os.fsync(out.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _write_all(out: BinaryIO, chunks: Iterable[str], path: Path) -> None:
    for chunk in chunks:
        try:
            data = chunk.encode("utf8")
        except UnicodeEncodeError as error:
            begin = chunk[:60].encode("ascii", "backslashreplace").decode()
            raise CorpusError(
                f"{path}: character {chunk[error.start]!a} can't be written as UTF-8, in the text "
                f"that begins {begin!r}. Remove it from the text."
            ) from None
        out.write(data)
