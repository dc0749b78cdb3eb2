"""`python -m scripts.nero`: build a corpus of gold Docs."""

from pathlib import Path
from typing import Annotated

import spacy
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from spacy_spanmed.cli.common import errors_in_one_line
from spacy_spanmed.corpora.docbin import write_labels
from spacy_spanmed.pipeline.tokenizer import create_tokenizer
from spacy_spanmed.util.files import write_atomically
from spacy_spanmed.util.tables import print_tables

from .build import load_nero, to_json, write_corpus
from .report import make_report, tables, to_markdown
from .rows import find_nero_file

app = typer.Typer(pretty_exceptions_enable=False)


@app.command()
def nero(
    output: Annotated[Path, typer.Option(help="Folder for the files.")] = Path("corpus"),
    limit: Annotated[
        int,
        typer.Option(
            min=0, help="Keep only a stratified sample of about this many documents; 0 for all."
        ),
    ] = 0,
    seed: Annotated[int, typer.Option(help="Seed of the splits and of the sample.")] = 0,
    tsv: Annotated[
        Path | None,
        typer.Option(help="NERO's annotation_results.txt, if not the one in the installed wheel."),
    ] = None,
) -> None:
    """Build train, dev and test of the NERO corpus, texts to pretrain on, and a report.

    Writes train.spacy, dev.spacy, test.spacy, pretrain.jsonl, pretrain_dev.jsonl, report.json and
    report.md. Needs the wheel: pip install NERO-nlp

    Example: python -m scripts.nero --output corpus --limit 500
    """
    with errors_in_one_line(output):
        _build_nero(output, limit or None, seed, tsv)


def _build_nero(output: Path, limit: int | None, seed: int, tsv: Path | None) -> None:
    console = Console()
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("Starting", total=None)

        def show(step: str, done: int, total: int) -> None:
            bar.update(task, description=step, completed=done, total=total)

        loaded = load_nero(tsv or find_nero_file(), seed, show)
        tokenize = create_tokenizer(spacy.blank("en"))
        docs = write_corpus(loaded, output, tokenize, limit=limit, seed=seed, progress=show)
    write_labels(docs["train"], output / "labels")
    report = make_report(loaded, docs, seed)
    write_atomically(output / "report.json", to_json(report))
    write_atomically(output / "report.md", to_markdown(report).encode("utf-8"))
    print_tables(console, tables(report))
    console.print(f"Wrote the corpus to {output}")


if __name__ == "__main__":
    app(prog_name="python -m scripts.nero")
