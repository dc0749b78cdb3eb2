"""What the commands share: options, errors in one line, and the file of figures."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer

from spacy_spanmed import __version__
from spacy_spanmed.cli.common import errors_in_one_line, fail
from spacy_spanmed.util.files import write_json
from spacy_spanmed.util.provenance import versions

Rounds = Annotated[int, typer.Option(min=1, help="Rounds; figures are medians.")]
Output = Annotated[Path | None, typer.Option("--json", help="Write the figures to this file.")]


@contextmanager
def errors(output: Path | None = None) -> Iterator[None]:
    """Show errors in one line. output (Path | None): What is written meanwhile."""
    with errors_in_one_line(output):
        try:
            yield
        except ValueError as error:
            fail(str(error))


def now() -> str:
    """RETURNS (str): The time in UTC, by ISO 8601."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def write_figures(path: Path | None, figures: dict[str, Any], commit: str | None) -> None:
    """Write the figures of a benchmark, and when and with what they were measured.

    path (Path | None): The JSON file. None: nothing is written.
    figures (dict): What was measured. commit (str | None): Of the code.
    """
    if path is None:
        return
    stock = {name: version(name) for name in ("spacy-transformers", "thinc")}
    origin = {
        "spacy_spanmed": __version__,
        "commit": commit,
        "date": now(),
        "versions": {**versions(), **stock},
    }
    write_json(path, {**figures, **origin})
    typer.echo(f"Wrote {path}")
