"""`python -m benchmarks results`: figures of result files into a Markdown document."""

from pathlib import Path

import typer

from spacy_spanmed.cli.common import fail

from .results import update_document


def results(
    document: Path = typer.Argument(Path("README.md"), help="Markdown file with the markers."),
    metrics: Path = typer.Option(Path("metrics"), help="Folder with the result files."),
) -> None:
    """Write the tables of the result files into a document, between its markers.

    Example: python -m benchmarks results README.md --metrics metrics
    """
    try:
        changed = update_document(document, metrics)
    except (ValueError, OSError) as error:
        fail(str(error))
    typer.echo(f"{document} {'updated' if changed else 'is up to date'}")
