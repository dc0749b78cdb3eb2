"""The formats that corpora come in: which there are, which one a file is in, and who reads it.

A format is a module with `read(path, problems)` and, if it can be written, one with
`write(documents, path)`. They are imported when they are used: only BioC needs more packages than
the rest.
"""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ...util.problems import CorpusError, Problems
from ...util.text_files import BOM, open_bytes
from ..documents import SourceDocument

AUTO = "auto"
HEAD = 1 << 16  # bytes read to detect a format

Reader = Callable[[Path, Problems], Iterator[SourceDocument]]
Writer = Callable[[Iterable[SourceDocument], Path], None]


class Format(NamedTuple):
    """A format.

    reader (str): The module of this folder that reads it.
    writer (Optional[str]): The one that writes it. Defaults to None: it can't be written.
    suffixes (Sequence[str]): Endings of file names that no other format has, in lower case.
    """

    reader: str
    writer: str | None = None
    suffixes: Sequence[str] = ()


FORMATS: dict[str, Format] = {
    "pubtator": Format("pubtator", "pubtator", (".pubtator",)),
    "bioc-xml": Format("bioc_xml"),
    "bioc-json": Format("bioc_json", "bioc_json"),
    "brat": Format("brat_reader", "brat_writer", (".ann", ".a1", ".a2")),
    "conll": Format("conll", None, (".conll", ".iob", ".iob2", ".bio")),
    "jsonl": Format("jsonl", "jsonl", (".jsonl", ".ndjson")),
}
WRITTEN = tuple(name for name, item in FORMATS.items() if item.writer)


def get_reader(name: str) -> Reader:
    """RETURNS (Callable[[Path, Problems], Iterator[SourceDocument]]): A format's reader.

    RAISES (CorpusError): If there is no such format, or it needs a package that isn't there."""
    return _import(name, "reader").read


def get_writer(name: str) -> Writer:
    """RETURNS (Callable[[Iterable[SourceDocument], Path], None]): A format's writer.

    RAISES (CorpusError): If there is no such format, it can't be written, or it needs a package
        that isn't there."""
    return _import(name, "writer").write


def _import(name: str, role: str) -> Any:
    if name not in FORMATS:
        raise CorpusError(f"Unknown format {name!r}. Choose one of: {', '.join(FORMATS)}.")
    module = getattr(FORMATS[name], role)
    if module is None:
        raise CorpusError(
            f"The format {name!r} can't be written. Choose one of: {', '.join(WRITTEN)}."
        )
    try:
        return importlib.import_module(f".{module}", __package__)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith(__name__.split(".")[0]):
            raise
        raise CorpusError(
            f"The format {name!r} needs the package {error.name!r}: "
            "pip install 'spacy_spanmed[corpora]'"
        ) from None


def detect_format(path: Path) -> str:
    """Tell a source's format from its name and its first 64 KB, gzipped or not.

    path (Path): A file, or a folder in brat's format.
    RETURNS (str): The name of the format.
    RAISES (CorpusError): If there is nothing at the path, or no format shows; lists the choices.
    RAISES (OSError): If it can't be opened.
    """
    path = Path(path)
    if not path.exists():
        raise CorpusError(f"{path}: no such file or folder. Check the path.")
    if path.is_dir():
        if any(next(path.rglob(f"*{suffix}"), None) for suffix in FORMATS["brat"].suffixes):
            return "brat"
        raise CorpusError(
            f"{path}: a folder without .ann files. Only brat's format is a folder: of another "
            "format, name the files."
        )
    name = path.name.lower().removesuffix(".gz")
    for format, item in FORMATS.items():
        if name.endswith(tuple(item.suffixes)):
            return format
    with open_bytes(path) as file:
        head = file.read(HEAD).removeprefix(BOM).decode("utf-8", "replace")
    found = _detect_content(head)
    if found is None and path.suffix == ".txt" and path.with_suffix(".ann").is_file():
        return "brat"
    if found is None:
        raise CorpusError(
            f"{path}: neither its name nor its beginning tells the format. Say it with "
            f"--format: {', '.join(FORMATS)}."
        )
    return found


def _detect_content(head: str) -> str | None:
    head = head.lstrip()
    lines = [line for line in head.splitlines() if line.strip()]
    if not lines:
        return None
    if re.match(r"[^\s|]+\|[ta]\|", lines[0]):
        return "pubtator"
    if lines[0].startswith("<"):
        return "bioc-xml" if re.search(r"<collection[\s>]", head) else None
    if lines[0].startswith(("{", "[")):
        return _detect_json(head, lines[0])
    # The last line may be cut; of the others nearly all must end in a tag.
    rows = [line.split() for line in lines[: max(1, len(lines) - 1)] if line[0] != "#"]
    rows = [row for row in rows if row[0] != "-DOCSTART-"]
    tagged = sum(len(row) > 1 and bool(re.fullmatch(r"O|[BILUSEM]-\S+", row[-1])) for row in rows)
    return "conll" if rows and tagged >= 0.9 * len(rows) else None


def _detect_json(head: str, line: str) -> str | None:
    try:
        first = json.loads(line)
    except (ValueError, RecursionError):
        first = None
    if isinstance(first, dict) and "text" in first:
        return "jsonl"
    if re.search(r'"(documents|PubTator3|passages)"\s*:', head):
        return "bioc-json"
    # A first line of more than what was read
    return "jsonl" if re.match(r'\{"[^\n]*"text"\s*:\s*"[^\n]*$', head) else None
