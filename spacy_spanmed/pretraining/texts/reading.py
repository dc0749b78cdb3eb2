"""What the readers of all formats share: documents, options, faults, opened and decoded files."""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from ...util.problems import RAISE, Problems
from ...util.text_files import BOM, GZIP_MAGIC, MAX_LINE

MAX_DOCUMENT = MAX_LINE  # bytes: a document is held in memory as a whole
BINARY, NOT_UTF8, TOO_LONG = "binary", "not UTF-8", "too long"


class Document(NamedTuple):
    """A text before it is cleaned.

    text (str): The text, perhaps blank.
    place (str): "file", "file:line" or what comes closest, for messages.
    """

    text: str
    place: str


class TextOptions(NamedTuple):
    """How files are read; see the [data] section of the config.

    text_field (str): Key or column of the text in JSON lines, Parquet and datasets.
    txt_documents (str): What a document is in a .txt file: "file", "line" or "paragraph".
    """

    text_field: str = "text"
    txt_documents: str = "file"


class TextProblems(Problems):
    """Texts that can't be read: an error, or left out and counted.

    on_error (str): "raise" or "skip".
    """

    def add(self, kind: str, place: str, message: str) -> None:
        """Report a text. Returns only if it is to be left out.

        kind (str): A short name, the same for all of its kind.
        place (str): "file:line", or what comes closest.
        message (str): What is wrong and what to do about it.
        RAISES (ValueError): With on_error "raise".
        """
        if self.on_error == RAISE:
            raise ValueError(
                f"{place}: {message} (Or leave such texts out, counted in the record: "
                'data.on_error = "skip".)'
            )
        super().add(kind, place, message)


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

    def readinto(self, buffer) -> int:
        count = super().readinto(buffer)
        self._meter.done += count or 0
        return count


def open_file(path: Path, meter: Meter) -> BinaryIO:
    """Open a file, unpacked if it is gzipped (known by its first bytes, not its name).

    path (Path): A regular file.
    meter (Meter): Told how many bytes are read.
    RETURNS (BinaryIO): Its content. Damage in a gzip file shows as an EOFError, a
        `gzip.BadGzipFile` or a `zlib.error` while reading.
    RAISES (OSError): If it can't be opened.
    """
    file = io.BufferedReader(_MeteredFile(path, meter), 1 << 17)
    if file.peek(2)[:2] != GZIP_MAGIC:
        return file
    return io.BufferedReader(gzip.GzipFile(fileobj=file, mode="rb"), 1 << 17)


def decode(data: bytes, place: str, problems: Problems) -> str | None:
    """Decode UTF-8.

    data (bytes): The text.
    place (str): Where it is from.
    problems (Problems): Told of what is not text.
    RETURNS (str): The text, or None if it is to be left out.
    """
    if b"\0" in data:
        problems.add(BINARY, place, "holds zero bytes, so it is no UTF-8 text.")
        return None
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        problems.add(
            NOT_UTF8,
            place,
            f"byte {data[error.start]:#04x}, number {error.start + 1}, is not UTF-8. Convert the "
            "file to UTF-8, for example with iconv.",
        )
        return None


def read_lines(file: BinaryIO, place: str, problems: Problems) -> Iterator[tuple[int, str]]:
    """Read lines, which end in LF or CRLF.

    file (BinaryIO): The file. A byte order mark at its start is removed.
    place (str): Its name.
    problems (Problems): Told of lines that are not UTF-8 or have more than 50 million bytes, which
        are left out.
    YIELDS (tuple): The line's number, from 1, and its text without line end.
    """
    number = 0
    while line := file.readline(MAX_LINE + 1):
        number += 1
        if len(line) > MAX_LINE:
            problems.add(
                "line that is too long",
                f"{place}:{number}",
                f"a line of more than {MAX_LINE:,} bytes. Is this a text file, with line ends? "
                "Split it.",
            )
            while line and not line.endswith(b"\n"):
                line = file.readline(MAX_LINE)
            continue
        if number == 1:
            line = line.removeprefix(BOM)
        text = decode(line, f"{place}:{number}", problems)
        if text is not None:
            yield number, text.rstrip("\r\n")
