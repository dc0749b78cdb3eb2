"""`spanmed export`: Docs, gold or predicted, in formats that other programs read."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Annotated

import spacy
import typer
from spacy.cli._util import setup_gpu
from spacy.tokens import Doc

from ..corpora.docs import make_source_document
from ..corpora.documents import SourceDocument
from ..corpora.export import TABLE_FORMATS, import_pyarrow, write_tables
from ..corpora.formats import AUTO, WRITTEN, get_writer
from ..corpora.reading import iter_docs, iter_texts, name_doc, predict
from ..pipeline.tokenizer import create_tokenizer
from ..util.problems import RAISE, CorpusError, Problems
from ..util.text_files import printable
from .common import (
    GpuId,
    OnError,
    SourceFormat,
    document_progress,
    errors_in_one_line,
    fail,
    make_problems,
    print_left_out,
)
from .data import load_pipeline

EXPORTS = (*WRITTEN, *TABLE_FORMATS)
SUFFIXES = {".pubtator": "pubtator", ".jsonl": "jsonl", ".json": "bioc-json"}

# A Doc, and the text it was predicted from
Item = tuple[Doc, SourceDocument | None]


def export(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="INPUT",
            help="A .spacy file or folder, or a corpus in any format; with --model also plain "
            "text: a file with a text a line, or a folder of .txt files.",
        ),
    ],
    output: Annotated[
        Path, typer.Argument(metavar="OUT", help="File, or folder for brat, csv, parquet.")
    ],
    format: Annotated[
        str | None,
        typer.Option(help=f"What to write: {', '.join(EXPORTS)}. Default: by OUT's suffix."),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="Pipeline, by name or directory, to run over the texts of the input."),
    ] = None,
    input_format: SourceFormat = AUTO,
    on_error: OnError = RAISE,
    gpu_id: GpuId = -1,
) -> None:
    """Export entities and relations: PubTator, BioC, brat, JSON lines, or tables.

    csv and parquet write two tables into the folder OUT: entities, a row an entity, and relations.

    Example: spanmed export abstracts.txt found.jsonl --model en_spanmed
    """  # fmt: skip
    with errors_in_one_line(output):
        problems = make_problems(on_error)
        write = _get_writer(format or _guess_format(output))
        items = _read(source, model, input_format, problems, gpu_id)
        with document_progress("Exporting") as show:
            write(_watch(items, show), output)
    print_left_out(problems)
    typer.echo(printable(f"Wrote {output}"))


def _guess_format(output: Path) -> str:
    suffix = Path(output.name.lower().removesuffix(".gz")).suffix
    if suffix not in SUFFIXES:
        raise CorpusError(
            f"{output}: the name doesn't tell the format. Say it with --format: "
            f"{', '.join(EXPORTS)}."
        )
    return SUFFIXES[suffix]


def _get_writer(format: str) -> Callable[[Iterable[Item], Path], None]:
    if format not in EXPORTS:
        raise CorpusError(
            f"Can't write the format {format!r}. Choose one of: {', '.join(EXPORTS)}."
        )
    if format in TABLE_FORMATS:
        if format == "parquet":
            import_pyarrow()  # before a pipeline has run for hours
        return lambda items, output: write_tables((doc for doc, _ in items), output, format)
    write = get_writer(format)
    return lambda items, output: write(map(_make_source_document, items), output)


def _make_source_document(item: Item) -> SourceDocument:
    doc, source = item
    document = make_source_document(doc)
    if source is not None:
        document.passages, document.info = source.passages, source.info
    return document


def _read(
    source: Path, model: str | None, format: str, problems: Problems, gpu_id: int
) -> Iterator[Item]:
    if model is None:
        tokenize = create_tokenizer(spacy.blank("en"))
        return ((doc, None) for doc in iter_docs(source, tokenize, problems, format))
    if not source.exists():
        raise CorpusError(f"{source}: no such file or folder. Check the path.")
    try:
        setup_gpu(gpu_id, silent=True)
        nlp = load_pipeline(model)
    except ValueError as error:
        fail(str(error))
    return predict(nlp, iter_texts(source, problems, format), problems)


def _watch(items: Iterable[Item], show: Callable[[int], None]) -> Iterator[Item]:
    taken: set[str] = set()
    for number, item in enumerate(items, start=1):
        name_doc(item[0], number, taken)
        yield item
        show(number)
