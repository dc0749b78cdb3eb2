"""`spanmed visualize`: entities and relations as a page for the browser, or as a picture."""

import os
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Annotated

import spacy
import typer
from rich.console import Console
from spacy.cli._util import setup_gpu
from spacy.language import Language
from spacy.tokens import Doc

from ..corpora.docbin import is_docs, read_docs
from ..corpora.documents import SourceDocument
from ..corpora.reading import iter_texts, predict
from ..util.files import write_atomically
from ..util.problems import SKIP, CorpusError, Problems
from ..util.text_files import BOM, decode, file_stem, open_bytes, printable
from ..visualize import render_html, render_svg
from .common import GpuId, document_progress, errors_in_one_line, print_left_out
from .data import load_pipeline

DEFAULT_MODEL = "en_spanmed"
STANDARD_INPUT = "-"
Found = tuple[list[Doc], int]  # what is shown, and the number of documents besides
# Annotated corpora: shown as text, their annotation would be taken for text
_CORPORA = (".pubtator", ".jsonl", ".json", ".xml", ".ann", ".conll", ".iob")


def visualize(
    source: Annotated[
        str,
        typer.Argument(
            metavar="TEXT|FILE",
            help="The text itself, a UTF-8 text file (one document), a .spacy file or folder, or "
            "- for standard input.",
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", help="The HTML file to write; or, of one short document, an .svg."
        ),
    ] = Path("visualization.html"),
    model: Annotated[
        str | None,
        typer.Option(
            help=f"Pipeline, by name or directory. Default: for text {DEFAULT_MODEL}; for .spacy "
            "data none, which shows the annotation in it."
        ),
    ] = None,
    title: Annotated[
        str | None, typer.Option(help="Title of the page. Default: the file's name.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="Show at most so many documents.")] = 20,
    nested: Annotated[
        bool | None,
        typer.Option(
            "--nested/--flat",
            help="Show overlapping mentions too, or only doc.ents. Default: all that gold "
            "annotation has, and of predictions the entities.",
        ),
    ] = None,
    gpu_id: GpuId = -1,
) -> None:
    """Show entities and relations in one HTML page that works offline, or in a picture (.svg).

    Example: spanmed visualize "Cisplatin causes acute renal failure." -o found.html

    Example: spanmed visualize "Cisplatin causes acute renal failure." -o found.svg
    """
    with errors_in_one_line(output):
        path = _find_file(source)
        if output.is_dir():
            raise CorpusError(f"{output}: a folder. Name a file in it.")
        if path is not None and output.exists() and output.samefile(path):
            raise CorpusError(f"{output}: also the input. Choose another output.")
        if path is not None and is_docs(path):
            docs, left_out = _read_docs(path, model, limit, gpu_id)
        else:
            text = _read_text(source, path)
            name = file_stem(path) if path is not None else ""
            documents = iter([SourceDocument(name, text, place=str(path or "The text"))])
            docs, left_out = _predict(documents, model or DEFAULT_MODEL, limit, gpu_id)
        if title is None:
            title = printable(path.name) if path is not None else "Entities and relations"
        is_picture = output.suffix.lower() == ".svg"
        try:
            if is_picture and len(docs) != 1:
                raise ValueError(
                    f"{len(docs):,} documents, but a picture shows one. Choose the first with "
                    "--limit 1, or write an .html file."
                )
            page = render_svg(docs[0], nested) if is_picture else render_html(docs, title, nested)
        except ValueError as error:
            raise CorpusError(f"{path or 'The text'}: {error}") from None
        write_atomically(output, page.encode("utf8"))
    if left_out:
        noun = "document" if left_out == 1 else "documents"
        typer.echo(f"Left out: {left_out:,} {noun} (--limit {limit})", err=True)
    typer.echo(printable(f"Wrote {output}: {len(docs):,} document{'s' * (len(docs) != 1)}"))


def _find_file(source: str) -> Path | None:
    """Tell a file from a text.

    RETURNS (Optional[Path]): The file or folder, or None for a text.
    RAISES (CorpusError): If it looks like a path, but nothing is there; on a folder without
        .spacy files; and on corpora, which have to be converted first.
    """
    if source != STANDARD_INPUT and os.path.exists(source):
        path = Path(source)
        if path.is_dir() and not is_docs(path):
            raise CorpusError(f"{path}: a folder without .spacy files. Name a file.")
        if path.name.lower().removesuffix(".gz").endswith(_CORPORA):
            raise CorpusError(
                f"{path}: an annotated corpus, not plain text. Convert it first: spanmed convert "
                f"{path} {file_stem(path)}.spacy"
            )
        return path
    looks_like_path = source.lower().endswith((".txt", ".txt.gz", ".spacy")) or "/" in source
    if looks_like_path and not any(character.isspace() for character in source):
        raise CorpusError(
            f"{source}: no such file. Check the path. If it is a text, give it on standard input, "
            "with - in its place."
        )
    return None


def _read_text(source: str, path: Path | None) -> str:
    """RETURNS (str): The text given, or that of the file: UTF-8, plain or gzipped."""
    if path is not None:
        with open_bytes(path) as file:
            data, place = file.read(), str(path)
    elif source == STANDARD_INPUT:
        data, place = sys.stdin.buffer.read(), "Standard input"
    else:  # the command line's bytes, as they were
        data, place = os.fsencode(source), "The text"
    return decode(data.removeprefix(BOM), place, Problems(hint=""))


def _read_docs(path: Path, model: str | None, limit: int, gpu_id: int) -> Found:
    if model is not None:
        return _predict(iter_texts(path, Problems()), model, limit, gpu_id)
    docs = read_docs(path)
    return list(islice(docs, limit)), _count(docs)


def _predict(texts: Iterator[SourceDocument], model: str, limit: int, gpu_id: int) -> Found:
    """Run a pipeline over the first texts. Those that are too long for it count as left out."""
    problems, docs = Problems(SKIP), []
    first = list(islice(texts, limit))
    nlp = _load(model, gpu_id) if any(item.text.strip() for item in first) else spacy.blank("en")
    with document_progress("Looking for entities and relations") as show:
        for doc, _ in predict(nlp, iter(first), problems):
            docs.append(doc)
            show(len(docs))
    if problems.counts and not docs:
        raise CorpusError(next(iter(problems.examples.values()))[0])
    print_left_out(problems)
    return docs, _count(texts)


def _count(rest: Iterator[object]) -> int:
    number = 0
    with document_progress("Counting the rest") as show:
        for number, _ in enumerate(rest, start=1):
            show(number)
    return number


def _load(model: str, gpu_id: int) -> Language:
    try:
        setup_gpu(gpu_id, silent=True)
        with Console(stderr=True).status("Loading the pipeline"):
            return load_pipeline(model)
    except ValueError as error:
        raise CorpusError(
            f"{error} To get {DEFAULT_MODEL}, run `make model`, or install its wheel with pip; or "
            "name another pipeline, or its directory, with --model."
        ) from None
