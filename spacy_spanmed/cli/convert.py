"""`spanmed convert`: corpora in common formats become gold Docs for training."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ..corpora.convert import convert as convert_sources
from ..corpora.convert import parse_split, report_path
from ..corpora.docbin import SHARD_SIZE
from ..corpora.formats import AUTO
from ..corpora.label_map import read_label_map
from ..corpora.report import tables
from ..util.problems import RAISE
from ..util.tables import print_tables
from ..util.text_files import printable
from .common import (
    OnError,
    SourceFormat,
    document_progress,
    errors_in_one_line,
    fail,
    make_problems,
)


def convert(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="SOURCE... OUT", help="Files, or folders of brat; last, the output."
        ),
    ],
    format: SourceFormat = AUTO,
    labels: Annotated[
        Path | None,
        typer.Option(help="YAML file with other names for labels; null leaves one out."),
    ] = None,
    layers: Annotated[
        str | None,
        typer.Option(
            help="What is annotated, separated by commas: entities, relations. Default: entities, "
            "and relations if there is any."
        ),
    ] = None,
    on_error: OnError = RAISE,
    split: Annotated[
        str | None,
        typer.Option(
            help="Split by document, as in train=0.8,dev=0.1,test=0.1. OUT is then a folder."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the splits.")] = 0,
    shard_size: Annotated[
        int,
        typer.Option(min=1, help="Documents a file. If there are more, OUT.spacy is a folder."),
    ] = SHARD_SIZE,
    labels_out: Annotated[
        Path | None, typer.Option(help="Folder for the labels, for `spacy train`.")
    ] = None,
) -> None:
    """Convert annotated corpora to .spacy data: PubTator, BioC, brat, CoNLL, JSON lines.

    Prints a report and writes it beside the output, to OUT.report.json.

    Example: spanmed convert BC5CDR_train.PubTator.txt.gz train.spacy --labels-out labels
    """
    *sources, output = paths
    if not sources:
        fail("Name a source and, after it, the output: spanmed convert SOURCE... OUT.spacy")
    with errors_in_one_line(output):
        problems = make_problems(on_error)
        shares = parse_split(split) if split else None
        names = [name.strip() for name in layers.split(",")] if layers is not None else None
        label_map = read_label_map(labels) if labels else None
        with document_progress("Converting") as show:
            report = convert_sources(
                sources,
                output,
                format=format,
                labels=label_map,
                layers=names,
                problems=problems,
                split=shares,
                seed=seed,
                shard_size=shard_size,
                labels_out=labels_out,
                progress=show,
            )
    console = Console()
    print_tables(console, tables(report))
    if "relations" not in report["layers"]:
        console.print("No relations: they count as unknown, not as none (--layers says otherwise).")
    message = f"Wrote {output} and {report_path(output)}"
    console.print(printable(message), soft_wrap=True, markup=False, highlight=False)
