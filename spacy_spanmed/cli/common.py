"""What the commands share: options, progress, and errors in one line."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from errno import ENOSPC
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from click import UsageError
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from spacy.cli._util import parse_config_overrides

from ..corpora.formats import FORMATS
from ..util.problems import CorpusError, Problems

# Options of several commands
SourceFormat = Annotated[
    str, typer.Option(help=f"Format: {', '.join(FORMATS)}; auto looks at names and beginnings.")
]
OnError = Annotated[
    str,
    typer.Option(
        help="What to do about annotation that can't be used: 'raise' stops at the first, 'skip' "
        "leaves it out and counts it."
    ),
]
GpuId = Annotated[int, typer.Option("--gpu-id", "-g", help="GPU, or -1 for the CPU.")]

# Of commands that also take settings of a config as options, see `parse_overrides`
CONTEXT_SETTINGS = {"allow_extra_args": True, "ignore_unknown_options": True}


def make_problems(on_error: str) -> Problems:
    """RETURNS (Problems): For the option --on-error. RAISES (CorpusError): On another value."""
    try:
        return Problems(on_error)
    except ValueError as error:
        raise CorpusError(str(error).replace("on_error", "--on-error")) from None


def print_left_out(problems: Problems) -> None:
    """Print what could not be used, a line a kind, to standard error."""
    for kind, number in sorted(problems.counts.items()):
        typer.echo(f"Left out: {number:,} x {kind} (first: {problems.examples[kind][0]})", err=True)


def parse_overrides(args: list[str]) -> dict[str, Any]:
    """RETURNS (Dict[str, Any]): Settings given as options, by dotted key. An option that is neither
    one of the command's nor a setting ends the command."""
    try:
        return parse_config_overrides(args)
    except UsageError as error:
        fail(
            f"{error.format_message()} Check its spelling (--help lists the options); a setting of the "
            "config has a dot, as in --training.total_tokens 1000."
        )


def fail(message: str) -> NoReturn:
    """End the command with an error in one line."""
    typer.echo(f"Error: {' '.join(message.split())}", err=True)
    raise typer.Exit(1)


@contextmanager
def errors_in_one_line(output: Path | None = None) -> Iterator[None]:
    """Turn what a user can put right into one line on standard error, and exit code 1. Warnings
    become a line each.

    output (Optional[Path]): What is written meanwhile, for errors that name no file.
    """

    def show(message: Warning | str, *args: Any, **kwargs: Any) -> None:
        typer.echo(f"Warning: {' '.join(str(message).split())}", err=True)

    try:
        with warnings.catch_warnings():
            warnings.showwarning = show
            yield
    except CorpusError as error:
        fail(str(error))
    except OSError as error:
        place = error.filename or output or "Files"
        remedy = "Check the path and its permissions."
        if isinstance(error, (FileExistsError, NotADirectoryError)):
            remedy = "Check the path, or choose another output."
        if error.errno == ENOSPC:
            remedy = "Free some space, or write to another disk."
        fail(f"{place}: {error.strerror or error}. {remedy}")


@contextmanager
def document_progress(description: str) -> Iterator[Callable[[int], None]]:
    """Show the number of documents done, and how fast it goes, on standard error.

    description (str): What is being done.
    YIELDS (Callable[[int], None]): To be told the number of documents done.
    """
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}: {task.completed:,.0f} documents"),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(description, total=None, rate="")
        latest = 0

        def update() -> None:
            seconds = bar.tasks[0].elapsed or 0
            rate = f"{latest / seconds:,.0f} a second" if seconds else ""
            bar.update(task, completed=latest, rate=rate)

        def show(done: int) -> None:
            nonlocal latest
            latest = done
            if done % 20 == 0:  # showing it shouldn't cost more than the work
                update()

        yield show
        update()
