"""The formats that corpora come in: which there are, which one a file is in, and reading it.

A format is a module with `read(path, problems)` and, if it can be written, `write(documents,
path)`. It is imported when it is used: only BioC needs more packages than the rest.
"""

from __future__ import annotations

import importlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ...doc.layers import ENTITIES, LAYERS, RELATIONS
from ...util.problems import SKIP, CorpusError, Problems
from ...util.text_files import BOM, open_bytes
from ..checks import RELATIONS as RELATION_FACTS
from ..checks import UNUSABLE, check_documents, count_left_out
from ..label_map import LabelMap, map_labels
from ..source import SourceDocument, SourceRelation

AUTO = "auto"
HEAD = 1 << 16  # bytes read to detect a format
NOT_A_LAYER = "left out with their layer"

Reader = Callable[[Path, Problems], Iterator[SourceDocument]]
Writer = Callable[[Iterable[SourceDocument], Path], None]


class Format(NamedTuple):
    """A format.

    module (str): Its module beside this one.
    written (bool): Whether it can be written.
    suffixes (Sequence[str]): Endings of file names that no other format has, in lower case.
    """

    module: str
    written: bool
    suffixes: Sequence[str] = ()


FORMATS: dict[str, Format] = {
    "pubtator": Format("pubtator", True, (".pubtator",)),
    "bioc-xml": Format("bioc_xml", False),
    "bioc-json": Format("bioc_json", True),
    "brat": Format("brat", True, (".ann", ".a1", ".a2")),
    "conll": Format("conll", False, (".conll", ".iob", ".iob2", ".bio")),
    "jsonl": Format("jsonl", True, (".jsonl", ".ndjson")),
}


def get_reader(name: str) -> Reader:
    """RETURNS (Callable[[Path, Problems], Iterator[SourceDocument]]): A format's reader.

    RAISES (CorpusError): If there is no such format, or it needs a package that isn't there."""
    return _import(name).read


def get_writer(name: str) -> Writer:
    """RETURNS (Callable[[Iterable[SourceDocument], Path], None]): A format's writer.

    RAISES (CorpusError): If there is no such format, it can't be written, or it needs a package
        that isn't there."""
    if name in FORMATS and not FORMATS[name].written:
        choices = ", ".join(key for key, value in FORMATS.items() if value.written)
        raise CorpusError(f"The format {name!r} can't be written. Choose one of: {choices}.")
    return _import(name).write


def _import(name: str) -> Any:
    if name not in FORMATS:
        raise CorpusError(f"Unknown format {name!r}. Choose one of: {', '.join(FORMATS)}.")
    module = FORMATS[name].module
    try:
        return importlib.import_module(f".{module}", __package__)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith(__name__.split(".")[0]):
            raise
        raise CorpusError(
            f"The format {name!r} needs the package {error.name!r}: "
            "pip install 'spacy_spanmed[corpora]'"
        ) from None


# ------------------------------------------------------------------------- detection


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


# --------------------------------------------------------------------------- reading


def read_documents(
    path: Path,
    format: str = AUTO,
    problems: Problems | None = None,
    layers: Sequence[str] | None = None,
    label_map: LabelMap | None = None,
    facts: Counter | None = None,
) -> Iterator[SourceDocument]:
    """Read and check a source.

    path (Path): A file, or a folder in brat's format.
    format (str): One of FORMATS. Defaults to "auto": see `detect_format`.
    problems (Optional[Problems]): Told what can't be used. Defaults to None: it is an error.
    layers (Optional[Sequence[str]]): The layers that are annotated, out of "entities" and
        "relations". Defaults to None: see `find_layers`. A document that says itself that it has
        fewer keeps to that.
    label_map (Optional[LabelMap]): New names of labels. Defaults to None: they stay.
    facts (Optional[Counter]): Counts what is read and what becomes of it: see `checks.py`.
    RETURNS (Iterator[SourceDocument]): One document at a time.
    RAISES (CorpusError): At once on an unknown format or layer, and on reading.
    RAISES (OSError): If the source can't be opened.
    """
    return read_sources([path], format, problems, layers, label_map, facts)


def read_sources(
    paths: Sequence[Path],
    format: str = AUTO,
    problems: Problems | None = None,
    layers: Sequence[str] | None = None,
    label_map: LabelMap | None = None,
    facts: Counter | None = None,
) -> Iterator[SourceDocument]:
    """Read and check several sources as one: no id may come in two of them. The parameters are
    those of `read_documents`."""
    problems = problems or Problems()
    facts = Counter() if facts is None else facts
    if layers is None:
        layers = find_layers(paths, format, label_map, problems)
    elif not layers or any(layer not in LAYERS for layer in layers):
        raise CorpusError(f"Unknown layers {list(layers)}. Known are: {', '.join(LAYERS)}.")
    sources = [(path, get_reader(detect_format(path) if format == AUTO else format))
               for path in map(Path, paths)]  # fmt: skip
    related = RELATIONS in layers
    kinds = _relation_kinds(paths, format, label_map) if related else [None] * len(paths)

    def read_all() -> Iterator[SourceDocument]:
        for (path, read), relates_concepts in zip(sources, kinds):
            for document in read(path, problems):
                document.relates_concepts = relates_concepts
                yield document

    documents: Iterable[SourceDocument] = read_all()
    if label_map is not None:
        documents = map_labels(documents, label_map, problems, facts)
    return check_documents(_limit_layers(documents, layers, facts), problems, facts)


def find_layers(
    paths: Sequence[Path],
    format: str = AUTO,
    label_map: LabelMap | None = None,
    problems: Problems | None = None,
) -> list[str]:
    """Tell which layers sources have. One without any relation says nothing about relations: that
    they are unknown, not that there are none.

    paths (Sequence[Path]): The sources, taken together. They are read up to the first relation.
    format (str), label_map (Optional[LabelMap]): See `read_documents`.
    problems (Optional[Problems]): Told of sources that have relations, but none that can be used.
        Defaults to None: nobody is told.
    RETURNS (List[str]): "entities", and "relations" if any document has one that can be used.
    RAISES (CorpusError): If a source can't be read, and see `problems`.
    """
    related = any(_find_relation(path, format, label_map, problems) for path in paths)
    return [ENTITIES, RELATIONS] if related else [ENTITIES]


def _relation_kinds(
    paths: Sequence[Path], format: str, label_map: LabelMap | None
) -> list[bool | None]:
    """RETURNS (List[Optional[bool]]): For each source whether its relations are between concepts.
    One without relations follows the others if they agree; else that isn't known (None)."""
    found = [_find_relation(path, format, label_map) for path in paths]
    kinds = {relation.concepts for relation in found if relation is not None}
    common = kinds.pop() if len(kinds) == 1 else None
    return [common if relation is None else relation.concepts for relation in found]


def _find_relation(
    path: Path,
    format: str,
    label_map: LabelMap | None,
    problems: Problems | None = None,
) -> SourceRelation | None:
    """RETURNS (Optional[SourceRelation]): The first relation of a source that can be used."""
    path, skipped, facts = Path(path), Problems(SKIP), Counter()
    read = get_reader(detect_format(path) if format == AUTO else format)
    documents: Iterable[SourceDocument] = read(path, skipped)
    if label_map is not None:
        documents = map_labels(documents, label_map, skipped, facts)
    documents = _limit_layers(documents, LAYERS, facts)
    for document in check_documents(documents, skipped, facts):
        if document.relations:
            return document.relations[0]
    unusable = facts[f"{RELATION_FACTS} {UNUSABLE}"]
    if unusable and problems is not None:  # else they would go in silence, with their layer
        # The first that speaks of relations, if any does: others lose theirs with a document
        kind = min(skipped.examples, key=lambda kind: not kind.startswith(RELATION_FACTS))
        problems.add(
            "sources without a usable relation",
            str(path),
            f"None of its {unusable:,} relations can be used. {skipped.examples[kind][0]}",
        )
    return None


def _limit_layers(
    documents: Iterable[SourceDocument], layers: Sequence[str], facts: Counter
) -> Iterator[SourceDocument]:
    for document in documents:
        document.layers = [layer for layer in document.layers if layer in layers]
        if RELATIONS not in document.layers and document.relations:
            count_left_out(facts, RELATION_FACTS, NOT_A_LAYER, len(document.relations))
            document.relations = []
        yield document
