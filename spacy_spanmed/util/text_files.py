"""Text files as corpora have them: plain or gzipped, LF or CRLF, mostly UTF-8, of any size."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
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
    which Python keeps as lone surrogates, are written out."""
    return text.encode("utf8", "backslashreplace").decode("utf8")
