"""`spanmed lost`: which gold mentions a tokenizer can't express."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import spacy
import typer
from spacy.tokens import Doc

from ..corpora.alignment import lost_mentions
from ..corpora.formats.registry import AUTO
from ..corpora.reading import iter_docs
from ..pipeline.tokenizer import create_tokenizer
from ..util.problems import RAISE
from .common import (
    OnError,
    SourceFormat,
    document_progress,
    errors_in_one_line,
    fail,
    make_problems,
    print_left_out,
)
from .data import load_pipeline


def lost(
    data: Annotated[Path, typer.Argument(help="A .spacy file or folder, or an annotated corpus.")],
    model: Annotated[
        str | None,
        typer.Option(
            help="Pipeline whose tokenizer to examine, by name or directory. Default: the "
            "biomedical tokenizer."
        ),
    ] = None,
    examples: Annotated[int, typer.Option(min=0, help="Examples to print.")] = 20,
    format: SourceFormat = AUTO,
    on_error: OnError = RAISE,
) -> None:
    """Show the gold mentions that begin or end inside a token, which no pipeline can then find.

    Example: spanmed lost CDR_TestSet.PubTator.txt.gz --model en_spanmed
    """
    with errors_in_one_line():
        problems = make_problems(on_error)
        try:
            nlp = load_pipeline(model) if model else None
        except ValueError as error:
            fail(str(error))
        tokenize = nlp.tokenizer if nlp else create_tokenizer(spacy.blank("en"))
        with document_progress("Examining") as show:

            def watch() -> Iterator[Doc]:
                for done, doc in enumerate(iter_docs(data, tokenize, problems, format), start=1):
                    yield doc
                    show(done)

            result = lost_mentions(watch(), tokenize, examples)
    print_left_out(problems)
    typer.echo(
        f"{result.lost:,} of {result.total:,} gold mentions ({result.share:.2%}) begin or end "
        "inside a token."
    )
    for example in result.examples:
        typer.echo(f"  {' '.join(example.split())}")
