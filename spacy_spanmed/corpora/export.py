"""Docs as two tables, for spreadsheets and data frames: entities and relations."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from spacy.tokens import Doc, Span

from ..doc.concepts import get_related_concepts, join_ids
from ..doc.layers import SPANS_KEY
from ..doc.mentions import Mention
from ..doc.relations import get_concept_relation_tuples, get_relation_tuples
from ..util.problems import CorpusError
from .docs import make_source_document
from .reading import name_doc

TABLE_FORMATS = ("csv", "parquet")
BATCH = 5000  # rows written at a time

Row = tuple[Any, ...]
# Column and type; all but the first may be empty
ENTITY_COLUMNS = {
    "doc_id": "string", "start": "int64", "end": "int64", "text": "string", "label": "string",
    "score": "float64", "concepts": "string",
}  # fmt: skip
_ARGUMENT = {"start": "int64", "end": "int64", "text": "string", "label": "string",
             "concepts": "string"}  # fmt: skip
RELATION_COLUMNS = {
    "doc_id": "string",
    **{f"{side}_{name}": kind for side in ("head", "tail") for name, kind in _ARGUMENT.items()},
    "label": "string", "score": "float64", "negated": "bool", "level": "string",
}  # fmt: skip
TABLES = {"entities": ENTITY_COLUMNS, "relations": RELATION_COLUMNS}


def write_tables(docs: Iterable[Doc], folder: Path, format: str) -> None:
    """Write entities and relations as tables, in a stream.

    docs (Iterable[Doc]): Gold or predicted. Those without an id get their number.
    folder (Path): Where to write entities.csv and relations.csv, or .parquet; made if it isn't
        there. Each file appears when it is whole.
    format (str): "csv" (UTF-8, with a header) or "parquet" (needs pyarrow).

    Offsets are in characters, ends exclusive. "concepts" are identifiers joined by ",", with ","
    and "%" inside them percent-encoded. "level" of a relation is "mention" or "concept"; one
    between concepts has no offsets, and as text that of the concept's first mention. "score" is
    the probability that a pipeline gave, empty for gold entities.
    RAISES (CorpusError): If the folder can't be used, or pyarrow isn't installed.
    RAISES (OSError): If a file can't be written.
    """
    if folder.exists() and not folder.is_dir():
        raise CorpusError(f"{folder}: a file. Tables need a folder: choose another output.")
    folder.mkdir(parents=True, exist_ok=True)
    open_table = _open_csv if format == "csv" else _open_parquet
    paths = [folder / f"{name}.{format}" for name in TABLES]
    temporary = [path.with_name(f".{path.name}.{os.getpid()}.tmp") for path in paths]
    try:
        with ExitStack() as stack:
            writers = [
                stack.enter_context(open_table(path, columns))
                for path, columns in zip(temporary, TABLES.values())
            ]
            batches: list[list[Row]] = [[], []]
            taken: set[str] = set()
            for number, doc in enumerate(docs, start=1):
                name = name_doc(doc, number, taken)
                for rows, new in zip(batches, (entity_rows(doc, name), relation_rows(doc, name))):
                    rows.extend(new)
                for write, rows in zip(writers, batches):
                    if len(rows) >= BATCH:
                        write(rows)
                        rows.clear()
            for write, rows in zip(writers, batches):
                write(rows)
        for source, path in zip(temporary, paths):
            os.replace(source, path)
    finally:
        for path in temporary:
            path.unlink(missing_ok=True)


def entity_rows(doc: Doc, name: str) -> Iterator[Row]:
    """YIELDS (Tuple): A row for each mention that `make_source_document` gives."""
    scores, text = _get_scores(doc), doc.text  # made anew on each access
    for item in make_source_document(doc).mentions:
        mention = (item.start, item.end, item.label)
        string, concepts = text[item.start : item.end], join_ids(item.concepts)
        yield (name, item.start, item.end, string, item.label, scores.get(mention), concepts)


def relation_rows(doc: Doc, name: str) -> Iterator[Row]:
    """YIELDS (Tuple): A row for each relation between mentions, and between concepts."""
    text, concepts = doc.text, get_related_concepts(doc)
    ids: dict[Mention, str] = {}
    for span in _get_spans(doc):
        mention = (span.start_char, span.end_char, span.label_)
        ids[mention] = ids.get(mention) or span.kb_id_

    def of_mention(start: int, end: int, label: str) -> Row:
        return (start, end, text[start:end], label, ids.get((start, end, label), ""))

    def of_concept(concept: str) -> Row:
        string, label = None, None
        if concept in concepts:
            start, end, _ = concepts[concept].mentions[0]
            string, label = text[start:end], concepts[concept].label
        return (None, None, string, label, join_ids([concept]))

    for item in get_relation_tuples(doc):
        ends = (*of_mention(*item[:3]), *of_mention(*item[3:6]))
        yield (name, *ends, item.label, item.score, item.negated, "mention")
    for between in get_concept_relation_tuples(doc):
        ends = (*of_concept(between.head_id), *of_concept(between.tail_id))
        yield (name, *ends, between.label, between.score, between.negated, "concept")


def _get_spans(doc: Doc) -> Sequence[Span]:
    group = doc.spans[SPANS_KEY] if SPANS_KEY in doc.spans else ()
    return (*doc.ents, *group)


def _get_scores(doc: Doc) -> dict[Mention, float | None]:
    """RETURNS (Dict[Mention, Optional[float]]): What `span_ner` left beside its candidates, or
    another pipe in `span._.score`."""
    scores: dict[Mention, float | None] = {}
    if Span.has_extension("score"):
        for span in doc.ents:
            scores[(span.start_char, span.end_char, span.label_)] = span._.score
    if SPANS_KEY in doc.spans:
        group = doc.spans[SPANS_KEY]
        for span, score in zip(group, group.attrs.get("scores", ())):
            scores[(span.start_char, span.end_char, span.label_)] = score
    return scores


@contextmanager
def _open_csv(path: Path, columns: dict[str, str]) -> Iterator[Callable[[list[Row]], None]]:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        yield writer.writerows


@contextmanager
def _open_parquet(path: Path, columns: dict[str, str]) -> Iterator[Callable[[list[Row]], None]]:
    pyarrow, parquet = import_pyarrow()
    schema = pyarrow.schema(
        [(name, pyarrow.type_for_alias(kind)) for name, kind in columns.items()]
    )
    with parquet.ParquetWriter(path, schema) as writer:

        def write(rows: list[Row]) -> None:
            named = [dict(zip(columns, row)) for row in rows]
            writer.write_batch(pyarrow.RecordBatch.from_pylist(named, schema=schema))

        yield write


def import_pyarrow() -> tuple[Any, Any]:
    """RETURNS (Tuple[module, module]): pyarrow and pyarrow.parquet.

    RAISES (CorpusError): If it isn't installed."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ModuleNotFoundError:
        raise CorpusError(
            "Parquet needs the package pyarrow: pip install 'spacy_spanmed[tables]'"
        ) from None
    return pyarrow, pyarrow.parquet
