"""What the readers of all formats share (documents, options, problems), and the two simplest
formats: plain text, and JSON lines."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import NamedTuple

from ...util.problems import RAISE, Problems
from ...util.text_files import BOM, MAX_LINE, decode, iter_lines

MAX_DOCUMENT = MAX_LINE  # bytes: a document is held in memory as a whole
BINARY, TOO_LONG, NO_TEXT = "binary", "too long", "no text"


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
    """Texts that can't be read: an error, or left out and counted; lines that are not UTF-8 are
    counted and kept, decoded as Latin-1.

    on_error (str): "raise" or "skip".
    """

    def __init__(self, on_error: str = RAISE):
        super().__init__(
            on_error,
            "(Or leave out such texts, and read bytes that are not UTF-8 as Latin-1, counted in "
            'the record: data.on_error = "skip".)',
        )


def read_json_lines(
    file: io.BufferedReader, place: str, options: TextOptions, problems: Problems
) -> Iterator[Document]:
    """Read a file with an object like ``{"text": "..."}`` a line.

    file (BufferedReader): The file, UTF-8.
    place (str): Its name.
    options (TextOptions): ``text_field`` is the key of the text.
    problems (Problems): Told of lines that are no such object.
    YIELDS (Document): Blank lines are skipped.
    """
    field = options.text_field
    for number, line in _text_lines(file, place, problems):
        if not line.strip():
            continue
        try:
            text = json.loads(line)[field]
            wrong = None if isinstance(text, str) else f'"{field}" is no string'
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            wrong = f"{type(error).__name__}: {error}"
        if wrong is None:
            yield Document(text, f"{place}:{number}")
        else:
            problems.add(
                NO_TEXT,
                f"{place}:{number}",
                f'expected a JSON object like {{"{field}": "..."}} ({wrong}). The key is set by '
                "data.text_field.",
            )


def read_plain(
    file: io.BufferedReader, place: str, options: TextOptions, problems: Problems
) -> Iterator[Document]:
    """Read a text file: a document is the whole file, a line, or what lies between blank lines.

    file (BufferedReader): The file, UTF-8.
    place (str): Its name.
    options (TextOptions): ``txt_documents`` says what a document is.
    problems (Problems): Told of what is not text, and of documents over 50 million bytes.
    YIELDS (Document): Blank lines are no documents.
    """
    if options.txt_documents == "line":
        for number, line in _text_lines(file, place, problems):
            if line.strip():
                yield Document(line, f"{place}:{number}")
    elif options.txt_documents == "paragraph":
        yield from _read_paragraphs(file, place, problems)
    elif not _is_binary(file, place, problems):
        data = file.read(MAX_DOCUMENT + 1)
        if len(data) > MAX_DOCUMENT:
            _report_long(place, problems)
        else:
            yield Document(decode(data.removeprefix(BOM), place, problems), place)


def _read_paragraphs(file: io.BufferedReader, place: str, problems: Problems) -> Iterator[Document]:
    lines: list[str] = []
    first, size = 1, 0
    for number, line in _text_lines(file, place, problems):
        if line.strip():
            if not size:
                first = number
            size += len(line) + 1
            if size <= MAX_DOCUMENT:
                lines.append(line)
            continue
        yield from _finish(lines, size, f"{place}:{first}", problems)
        lines, size = [], 0
    yield from _finish(lines, size, f"{place}:{first}", problems)


def _finish(lines: list[str], size: int, place: str, problems: Problems) -> Iterator[Document]:
    if size > MAX_DOCUMENT:
        _report_long(place, problems)
    elif lines:
        yield Document("\n".join(lines), place)


def _report_long(place: str, problems: Problems) -> None:
    problems.add(
        TOO_LONG,
        place,
        f"more than {MAX_DOCUMENT:,} bytes as one document. Say where documents end in .txt files, "
        'data.txt_documents = "line" or "paragraph", or split the file.',
    )


def _text_lines(
    file: io.BufferedReader, place: str, problems: Problems
) -> Iterator[tuple[int, str]]:
    """The lines of a file, as ``iter_lines`` gives them; none if it is binary."""
    if not _is_binary(file, place, problems):
        yield from iter_lines(file, place, problems)


def _is_binary(file: io.BufferedReader, place: str, problems: Problems) -> bool:
    """Whether there are zero bytes at the beginning of a file, as in UTF-16 and in no text."""
    if b"\0" not in file.peek():
        return False
    problems.add(BINARY, place, "holds zero bytes, so it is no UTF-8 text.")
    return True
