"""Docs as two tables, for spreadsheets and data frames: entities and relations."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from spacy.tokens import Doc, Span

from ..doc.concepts import Concept, get_related_concepts, join_ids
from ..doc.layers import SPANS_KEY
from ..doc.mentions import Mention
from ..doc.relations import get_concept_relation_tuples, get_relation_tuples
from ..util.problems import CorpusError
from .docs import make_source_document
from .reading import name_doc

TABLE_FORMATS = ("csv", "parquet")
BATCH = 5000  # rows written at a time

Row = dict[str, Any]
# Column and type; all but the first may be empty
ENTITY_COLUMNS = (
    ("doc_id", "string"), ("start", "int64"), ("end", "int64"), ("text", "string"),
    ("label", "string"), ("score", "float64"), ("concepts", "string"),
)  # fmt: skip
_ARGUMENT = (("start", "int64"), ("end", "int64"), ("text", "string"), ("label", "string"),
             ("concepts", "string"))  # fmt: skip
RELATION_COLUMNS = (
    ("doc_id", "string"),
    *((f"head_{name}", kind) for name, kind in _ARGUMENT),
    *((f"tail_{name}", kind) for name, kind in _ARGUMENT),
    ("label", "string"), ("score", "float64"), ("negated", "bool"), ("level", "string"),
)  # fmt: skip
TABLES = (("entities", ENTITY_COLUMNS), ("relations", RELATION_COLUMNS))


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
    make_writer = _CsvWriter if format == "csv" else _ParquetWriter
    paths = [folder / f"{name}.{format}" for name, _ in TABLES]
    temporary = [path.with_name(f".{path.name}.{os.getpid()}.tmp") for path in paths]
    try:
        with ExitStack() as stack:
            writers = []
            for path, (_, columns) in zip(temporary, TABLES):
                writers.append(make_writer(path, columns))
                stack.callback(writers[-1].close)
            batches: list[list[Row]] = [[], []]
            taken: set[str] = set()
            for number, doc in enumerate(docs, start=1):
                name = name_doc(doc, number, taken)
                for rows, new in zip(batches, (entity_rows(doc, name), relation_rows(doc, name))):
                    rows.extend(new)
                for writer, rows in zip(writers, batches):
                    if len(rows) >= BATCH:
                        writer.write(rows)
                        rows.clear()
            for writer, rows in zip(writers, batches):
                writer.write(rows)
        for source, path in zip(temporary, paths):
            os.replace(source, path)
    finally:
        for path in temporary:
            path.unlink(missing_ok=True)


def entity_rows(doc: Doc, name: str) -> Iterator[Row]:
    """YIELDS (Dict[str, Any]): A row for each mention that `make_source_document` gives."""
    scores, text = _get_scores(doc), doc.text  # made anew on each access
    for item in make_source_document(doc).mentions:
        yield {
            "doc_id": name,
            "start": item.start,
            "end": item.end,
            "text": text[item.start : item.end],
            "label": item.label,
            "score": scores.get((item.start, item.end, item.label)),
            "concepts": join_ids(item.concepts),
        }


def relation_rows(doc: Doc, name: str) -> Iterator[Row]:
    """YIELDS (Dict[str, Any]): A row for each relation between mentions, and between concepts."""
    text = doc.text
    ids: dict[Mention, str] = {}
    for span in _get_spans(doc):
        mention = (span.start_char, span.end_char, span.label_)
        ids[mention] = ids.get(mention) or span.kb_id_
    for item in get_relation_tuples(doc):
        yield {
            "doc_id": name,
            **_mention_columns("head", text, item[:3], ids),
            **_mention_columns("tail", text, item[3:6], ids),
            "label": item.label,
            "score": item.score,
            "negated": item.negated,
            "level": "mention",
        }
    tuples = get_concept_relation_tuples(doc)
    concepts = get_related_concepts(doc)
    for concept_item in tuples:
        yield {
            "doc_id": name,
            **_concept_columns("head", text, concept_item.head_id, concepts),
            **_concept_columns("tail", text, concept_item.tail_id, concepts),
            "label": concept_item.label,
            "score": concept_item.score,
            "negated": concept_item.negated,
            "level": "concept",
        }


def _mention_columns(prefix: str, text: str, mention: Mention, ids: dict[Mention, str]) -> Row:
    start, end, label = mention
    values = (start, end, text[start:end], label, ids.get(mention, ""))
    return {f"{prefix}_{column}": value for (column, _), value in zip(_ARGUMENT, values)}


def _concept_columns(prefix: str, text: str, name: str, concepts: dict[str, Concept]) -> Row:
    string, label = None, None
    if name in concepts:
        start, end, _ = concepts[name].mentions[0]
        string, label = text[start:end], concepts[name].label
    values = (None, None, string, label, join_ids([name]))
    return {f"{prefix}_{column}": value for (column, _), value in zip(_ARGUMENT, values)}


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


class _CsvWriter:
    def __init__(self, path: Path, columns: Sequence[tuple[str, str]]):
        self._file = path.open("w", encoding="utf-8", newline="")
        self._writer = csv.DictWriter(self._file, [name for name, _ in columns])
        self._writer.writeheader()

    def write(self, rows: list[Row]) -> None:
        self._writer.writerows(rows)

    def close(self) -> None:
        self._file.close()


class _ParquetWriter:
    def __init__(self, path: Path, columns: Sequence[tuple[str, str]]):
        pyarrow, parquet = import_pyarrow()
        self._pyarrow = pyarrow
        self._schema = pyarrow.schema(
            [(name, pyarrow.type_for_alias(kind)) for name, kind in columns]
        )
        self._writer = parquet.ParquetWriter(path, self._schema)

    def write(self, rows: list[Row]) -> None:
        batch = self._pyarrow.RecordBatch.from_pylist(rows, schema=self._schema)
        self._writer.write_batch(batch)

    def close(self) -> None:
        self._writer.close()


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
