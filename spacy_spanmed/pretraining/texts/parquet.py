"""Parquet: a column of texts, read a piece of a row group at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ...util.problems import Problems
from .reading import Document, Meter, TextOptions

ROWS_AT_ONCE = 256
DAMAGED = "damaged Parquet"


def read(path: Path, options: TextOptions, meter: Meter, problems: Problems) -> Iterator[Document]:
    """Read a Parquet file.

    path (Path): The file.
    options (TextOptions): ``text_field`` is the column of the text.
    meter (Meter): Told, after each piece, what part of the file its rows are.
    problems (Problems): Told of a file that is damaged, after the rows before the damage.
    YIELDS (Document): A row; one without value (null) is a blank text.
    RAISES (ValueError): pyarrow is missing, or the file has no such column.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise ValueError(
            f"{path}: reading Parquet needs pyarrow: pip install 'spacy_spanmed[tables]'"
        ) from None
    field = options.text_field
    size = path.stat().st_size
    row = 0
    try:
        with pq.ParquetFile(path) as file:
            schema = file.schema_arrow
            if field not in schema.names:
                raise ValueError(
                    f"{path}: no column '{field}'; there are: {', '.join(schema.names)}. Set "
                    "data.text_field."
                )
            kind = schema.field(field).type
            if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
                raise ValueError(f"{path}: the column '{field}' holds {kind}, not strings.")
            rows = max(file.metadata.num_rows, 1)
            for batch in file.iter_batches(ROWS_AT_ONCE, columns=[field], use_threads=False):
                for text in batch.column(0).to_pylist():
                    row += 1
                    yield Document(text or "", f"{path}:{row}")
                meter.done += size * batch.num_rows // rows
    except pa.ArrowException as error:
        problems.add(
            DAMAGED,
            str(path),
            f"not a whole Parquet file (after {row:,} rows: {error}). Fetch it again.",
        )
