"""Plain text: a document is a whole file, a line, or what lies between blank lines."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from ...util.problems import Problems
from ...util.text_files import BOM
from .reading import MAX_DOCUMENT, TOO_LONG, Document, TextOptions, decode, read_lines


def read(
    file: BinaryIO, place: str, options: TextOptions, problems: Problems
) -> Iterator[Document]:
    """Read a text file.

    file (BinaryIO): The file, UTF-8.
    place (str): Its name.
    options (TextOptions): ``txt_documents`` says what a document is.
    problems (Problems): Told of what is not text, and of documents over 50 million bytes.
    YIELDS (Document): Blank lines are no documents.
    """
    if options.txt_documents == "file":
        data = file.read(MAX_DOCUMENT + 1)
        if len(data) > MAX_DOCUMENT:
            _report_long(place, problems)
            return
        text = decode(data.removeprefix(BOM), place, problems)
        if text is not None:
            yield Document(text, place)
    elif options.txt_documents == "line":
        for number, line in read_lines(file, place, problems):
            if line.strip():
                yield Document(line, f"{place}:{number}")
    else:
        yield from _read_paragraphs(file, place, problems)


def _read_paragraphs(file: BinaryIO, place: str, problems: Problems) -> Iterator[Document]:
    lines: list[str] = []
    first, size = 1, 0
    for number, line in read_lines(file, place, problems):
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
