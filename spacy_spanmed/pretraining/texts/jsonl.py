"""JSON lines: an object with a text a line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import BinaryIO

from ...util.problems import Problems
from .reading import Document, TextOptions, read_lines

NO_TEXT = "no text"


def read(
    file: BinaryIO, place: str, options: TextOptions, problems: Problems
) -> Iterator[Document]:
    """Read a file with an object like ``{"text": "..."}`` a line.

    file (BinaryIO): The file, UTF-8.
    place (str): Its name.
    options (TextOptions): ``text_field`` is the key of the text.
    problems (Problems): Told of lines that are no such object.
    YIELDS (Document): Blank lines are skipped.
    """
    field = options.text_field
    for number, line in read_lines(file, place, problems):
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
