"""`spanmed lost` and `spanmed terms`: the gold mentions of corpora, those that a tokenizer can't
express, and the distinct ones as terms for an entity masker."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Annotated

import spacy
import typer
from spacy.tokens import Doc

from ..corpora.alignment import lost_mentions
from ..corpora.formats import AUTO
from ..corpora.reading import iter_docs
from ..doc.mentions import get_mentions
from ..pipeline.tokenizer import create_tokenizer
from ..util.files import write_text_atomically
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
            docs = iter_docs(data, tokenize, problems, format)
            result = lost_mentions(_watch(docs, show), tokenize, examples)
    print_left_out(problems)
    typer.echo(
        f"{result.lost:,} of {result.total:,} gold mentions ({result.share:.2%}) begin or end "
        "inside a token."
    )
    for example in result.examples:
        typer.echo(f"  {' '.join(example.split())}")


def terms(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="SOURCE... OUT.txt",
            help=".spacy files or folders, or annotated corpora: training data only. Last, the "
            "output.",
        ),
    ],
    min_count: Annotated[int, typer.Option(min=1, help="Leave out terms with fewer mentions.")] = 1,
    format: SourceFormat = AUTO,
    on_error: OnError = RAISE,
) -> None:
    """Collect the distinct gold mentions of corpora: terms for spanmed.EntityMasker.v1.

    Give it training data only. The names in a test set are part of its answers, and an encoder
    pretrained on them is no longer tested on anything unseen.

    Example: spanmed terms corpus/train.spacy corpus/terms.txt --min-count 2
    """
    *sources, output = paths
    if not sources:
        fail("Name a source and, after it, the output: spanmed terms SOURCE... OUT.txt")
    if not output.name.lower().endswith((".txt", ".txt.gz")):
        fail(f"{output}: the output's name must end in .txt or .txt.gz, and it comes last.")
    counts: Counter = Counter()
    with errors_in_one_line(output):
        problems = make_problems(on_error)
        tokenize = create_tokenizer(spacy.blank("en"))
        with document_progress("Collecting") as show:
            docs = (doc for path in sources for doc in iter_docs(path, tokenize, problems, format))
            documents = 0
            for documents, doc in enumerate(_watch(docs, show), start=1):
                text = doc.text
                mentions = {(start, end) for start, end, _ in get_mentions(doc)}
                counts.update(" ".join(text[start:end].split()) for start, end in mentions)
        chosen = sorted(term for term, count in counts.items() if term and count >= min_count)
        if not chosen:
            fail(
                f"No term with {min_count} mentions or more in {documents:,} documents: lower "
                "--min-count, or give annotated data."
            )
        write_text_atomically(output, (f"{term}\n" for term in chosen))
    print_left_out(problems)
    typer.echo(
        f"Wrote {len(chosen):,} terms, of {len(counts):,} distinct ones in {documents:,} "
        f"documents, to {output}"
    )


def _watch(docs: Iterable[Doc], show: Callable[[int], None]) -> Iterator[Doc]:
    for done, doc in enumerate(docs, start=1):
        yield doc
        show(done)
