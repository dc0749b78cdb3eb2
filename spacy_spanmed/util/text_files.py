"""Text files as corpora have them: plain or gzipped, LF or CRLF, mostly UTF-8, of any size.

The one reader for annotated corpora, for texts to pretrain on and for lists of terms. gzip is
known by the first bytes, not by a name; a byte order mark is removed; a line must not fill the
memory; and what is not UTF-8 is a problem that names file, line and byte.
"""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from .problems import CorpusError, Problems

if TYPE_CHECKING:
    from typing_extensions import Buffer

GZIP_MAGIC = b"\x1f\x8b"
BOM = b"\xef\xbb\xbf"
MAX_LINE = 50_000_000  # bytes: a file without line ends must not fill the memory
NOT_UTF8, LONG_LINE = "not UTF-8", "line that is too long"
BUFFER = 1 << 17  # bytes


class DamagedGzip(CorpusError):
    """A gzip file is damaged or ends early."""


class Meter:
    """How many bytes have been read from the disk so far, for progress.

    done (int): Packed bytes of gzipped files.
    """

    def __init__(self) -> None:
        self.done = 0


class _MeteredFile(io.FileIO):
    """A file that tells a meter what is read from it."""

    def __init__(self, path: Path, meter: Meter):
        super().__init__(path, "rb")
        self._meter = meter

    def readinto(self, buffer: Buffer) -> int:
        count = super().readinto(buffer) or 0
        self._meter.done += count
        return count


def open_bytes(path: Path, meter: Meter | None = None) -> io.BufferedReader:
    """Open a file for reading, unpacked if it is gzipped (known by its first bytes, not its name).

    path (Path): The file.
    meter (Meter): Told how many bytes are read from the disk. Default: nobody is told.
    RETURNS (BufferedReader): Its content. Reading from it raises a DamagedGzip, a CorpusError,
        where a gzip file is damaged or ends early.
    RAISES (CorpusError): On a pipe or device, which is empty when it is read a second time: formats
        are detected, and relations looked for, before the documents are read.
    RAISES (OSError): If it can't be opened.
    """
    path = Path(path)
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise CorpusError(f"{path}: a pipe can't be read twice: save it to a file.")
    file: io.BufferedReader = io.BufferedReader(_MeteredFile(path, meter or Meter()), BUFFER)
    if file.peek(2)[:2] != GZIP_MAGIC:
        return file
    return io.BufferedReader(_Unpacked(file, path), BUFFER)


class _Unpacked(io.RawIOBase):
    """The content of a gzip file, whose damages are CorpusErrors."""

    def __init__(self, file: BinaryIO, path: Path):
        self._file, self._path, self._done = file, path, 0
        self._gzip = gzip.GzipFile(fileobj=file, mode="rb")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Buffer) -> int:
        view = memoryview(buffer)
        try:
            data = self._gzip.read1(len(view))
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise DamagedGzip(
                f"{self._path}: the gzip file is damaged or ends early, after {self._done:,} "
                f"unpacked bytes ({error}). Fetch or pack it again."
            ) from None
        view[: len(data)] = data
        self._done += len(data)
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()


def read_lines(path: Path, problems: Problems) -> Iterator[tuple[int, str]]:
    """Read a text file line by line. A line ends in LF or CRLF, and in nothing else.

    path (Path): The file, plain or gzipped. A byte order mark at its start is removed.
    problems (Problems): See :func:`iter_lines`.
    YIELDS (tuple[int, str]): The line's number, from 1, and its text without line end.
    RAISES (CorpusError): On a damaged gzip file, naming the line reached, and on a pipe.
    RAISES (OSError): If the file can't be opened.
    """
    with open_bytes(path) as file:
        yield from iter_lines(file, str(path), problems)


def iter_lines(file: BinaryIO, name: str, problems: Problems) -> Iterator[tuple[int, str]]:
    """Read the lines of an open file; see :func:`read_lines`.

    file (BinaryIO): The file, unpacked.
    name (str): Its name, for messages.
    problems (Problems): Told of lines that are not UTF-8; when they are to be skipped, such a line
        is decoded as Latin-1 instead. Told of lines of more than 50 million bytes, which are left
        out.
    YIELDS (tuple[int, str]): The line's number, from 1, and its text without line end.
    RAISES (CorpusError): On a damaged gzip file, naming the line reached.
    """
    number = 0
    while True:
        try:
            line = file.readline(MAX_LINE + 1)
        except DamagedGzip as error:
            raise DamagedGzip(f"{error} The last whole line was line {number}.") from None
        if not line:
            return
        number += 1
        if len(line) > MAX_LINE:
            problems.add(
                LONG_LINE,
                f"{name}:{number}",
                f"a line of more than {MAX_LINE:,} bytes. Is this a text file, with line ends? "
                "Split it.",
            )
            while line and not line.endswith(b"\n"):
                line = file.readline(MAX_LINE)
            continue
        if number == 1:
            line = line.removeprefix(BOM)
        if line.endswith(b"\n"):
            line = line[: -2 if line.endswith(b"\r\n") else -1]
        yield number, decode(line, name, problems, number)


def decode(data: bytes, name: str, problems: Problems, number: int = 1) -> str:
    """Decode UTF-8.

    data (bytes): A line, or the content of a whole file.
    name (str): The file's name.
    problems (Problems): Told of what is not UTF-8; when it is to be skipped, the data are decoded
        as Latin-1 instead.
    number (int): Of the (first) line in its file. Default 1.
    RETURNS (str): The text.
    """
    try:
        return data.decode("utf8")
    except UnicodeDecodeError as error:
        start = error.start
        line = number + data.count(b"\n", 0, start)
        column = start - data.rfind(b"\n", 0, start)
        problems.add(
            NOT_UTF8,
            f"{name}:{line}",
            f"byte {data[start]:#04x}, number {column} of the line, is not UTF-8. Convert the file "
            "to UTF-8, for example with iconv.",
        )
        return data.decode("latin-1")


def file_stem(path: Path) -> str:
    """RETURNS (str): The file's name without ".gz" and without the suffix before it."""
    name = Path(path).name
    return Path(name[:-3] if name.lower().endswith(".gz") else name).stem


def printable(text: str) -> str:
    """RETURNS (str): A text that any UTF-8 terminal takes: bytes of file names that aren't UTF-8,
    which Python keeps as lone surrogates, are written out."""
    return text.encode("utf8", "backslashreplace").decode("utf8")
