"""Columns of texts: Parquet files, and datasets in the format of Hugging Face, which are saved on
disk or fetched by name. Read a piece of a row group at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

from ...util.problems import Problems
from ...util.text_files import Meter
from .reading import Document, TextOptions

ROWS_AT_ONCE = 256
DAMAGED = "damaged Parquet"
PREFIX = "hf:"
SAVED = ("dataset_dict.json", "state.json")  # one of them lies in what save_to_disk has written


def read_parquet(
    path: Path, options: TextOptions, meter: Meter, problems: Problems
) -> Iterator[Document]:
    """Read a Parquet file.

    path (Path): The file.
    options (TextOptions): ``text_field`` is the column of the text.
    meter (Meter): Told, after each piece, what part of the file its rows are.
    problems (Problems): Told of a file that is damaged, after the rows before the damage.
    YIELDS (Document): A row; one without value (null) is a blank text.
    RAISES (ValueError): pyarrow is missing, or the file has no such column.
    RAISES (OSError): The file can't be read.
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
            _check_column(field, schema.names, str(path))
            kind = schema.field(field).type
            if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
                raise ValueError(f"{path}: the column '{field}' holds {kind}, not strings.")
            rows = max(file.metadata.num_rows, 1)
            for batch in file.iter_batches(ROWS_AT_ONCE, columns=[field], use_threads=False):
                for text in batch.column(0).to_pylist():
                    row += 1
                    yield Document(text or "", f"{path}:{row}")
                meter.done += size * batch.num_rows // rows
    except (pa.ArrowException, OSError) as error:  # damaged rows are an OSError without a number
        if getattr(error, "errno", None) is not None:
            raise
        problems.add(
            DAMAGED,
            str(path),
            f"not a whole Parquet file (after {row:,} rows: {error}). Fetch it again.",
        )


class DatasetName(NamedTuple):
    """What ``hf:NAME?config=CONFIG&split=SPLIT&revision=REVISION`` says.

    name (str): A name on the Hugging Face Hub, or a folder.
    config (str): Its configuration. Defaults to None.
    split (str): Defaults to "train".
    revision (str): A commit or tag of it on the Hub. Defaults to None: the newest.
    """

    name: str
    config: str | None = None
    split: str = "train"
    revision: str | None = None


def is_saved_dataset(folder: Path) -> bool:
    """Whether a folder is a dataset saved with ``save_to_disk``."""
    return any((folder / name).is_file() for name in SAVED)


def parse_dataset_name(entry: str) -> DatasetName:
    """Read the name of a dataset.

    entry (str): ``hf:NAME``, with or without ``?config=...&split=...&revision=...``.
    RETURNS (DatasetName): Its parts.
    RAISES (ValueError): The name is empty, or something else is asked of it.
    """
    name, _, query = entry.removeprefix(PREFIX).partition("?")
    parts = dict(parse_qsl(query, keep_blank_values=True))
    if not name or set(parts) - set(DatasetName._fields[1:]):
        raise ValueError(
            f"'{entry}' is no dataset: write hf:NAME, or hf:NAME?config=CONFIG&split=SPLIT."
        )
    return DatasetName(name, **parts)


def load_dataset(entry: str, *, streaming: bool = False) -> Any:
    """Open a dataset.

    entry (str): See :class:`DatasetName`.
    streaming (bool): Read one from the Hub over the network instead of fetching it first.
    RETURNS (Dataset or IterableDataset): One split.
    RAISES (ValueError): The package datasets is missing, or there is no such dataset or split.
    """
    try:
        import datasets
    except ImportError:
        raise ValueError(
            f"{entry}: reading Hugging Face datasets needs: pip install 'spacy_spanmed[datasets]'"
        ) from None
    name, config, split, revision = parse_dataset_name(entry)
    folder = Path(name).expanduser()
    try:
        if is_saved_dataset(folder):
            found = datasets.load_from_disk(str(folder))
            return found[split] if isinstance(found, datasets.DatasetDict) else found
        return datasets.load_dataset(
            name, config, split=split, revision=revision, streaming=streaming
        )
    except Exception as error:  # the library raises its own, those of the Hub, and bare ones
        raise ValueError(
            f"The dataset '{entry}' can't be opened ({' '.join(str(error).split())[:300]}): check "
            "name, config and split (and the network), as in hf:NAME?config=CONFIG&split=SPLIT."
        ) from error


def find_commit(name: DatasetName) -> str:
    """The commit that a dataset of the Hub is at, or would be read from.

    name (DatasetName): Its name.
    RETURNS (str): The commit.
    RAISES (ValueError): The Hub can't be asked.
    """
    from huggingface_hub import HfApi

    try:
        return HfApi().dataset_info(name.name, revision=name.revision).sha or ""
    except Exception as error:  # of the Hub, of the network
        raise ValueError(
            f"The dataset '{name.name}' can't be found on the Hugging Face Hub "
            f"({' '.join(str(error).split())[:300]}): check the name and the network."
        ) from error


def read_dataset(
    entry: str, options: TextOptions, meter: Meter, *, streaming: bool = False
) -> Iterator[Document]:
    """Read a dataset.

    entry (str): See :class:`DatasetName`.
    options (TextOptions): ``text_field`` is the column of the text.
    meter (Meter): Told the size of what was read.
    streaming (bool): See :func:`load_dataset`.
    YIELDS (Document): A row; one without value (None) is a blank text.
    RAISES (ValueError): It can't be opened, or has no such column of strings.
    """
    data = load_dataset(entry, streaming=streaming)
    field = options.text_field
    _check_column(field, data.column_names, entry)
    size = 0 if streaming else data.dataset_size or 0
    row, rows = 0, 1 if streaming else max(len(data), 1)
    for batch in data.select_columns([field]).iter(batch_size=ROWS_AT_ONCE):
        texts = batch[field]
        for text in texts:
            row += 1
            if not isinstance(text, str | None):
                raise ValueError(f"{entry}, row {row}: the column '{field}' holds no strings.")
            yield Document(text or "", f"{entry}:{row}")
        meter.done += size * len(texts) // rows


def _check_column(field: str, names: Sequence[str] | None, place: str) -> None:
    if names is not None and field not in names:
        raise ValueError(
            f"{place}: no column '{field}'; there are: {', '.join(names)}. Set data.text_field."
        )
