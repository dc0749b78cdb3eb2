"""`spanmed terms`: the distinct gold mentions of corpora, as terms for an entity masker."""

from collections import Counter
from pathlib import Path
from typing import Annotated

import spacy
import typer

from ..corpora.formats.registry import AUTO
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
    documents = 0
    with errors_in_one_line(output):
        problems = make_problems(on_error)
        tokenize = create_tokenizer(spacy.blank("en"))
        with document_progress("Collecting") as show:
            for source in sources:
                for doc in iter_docs(source, tokenize, problems, format):
                    text = doc.text
                    mentions = {(start, end) for start, end, _ in get_mentions(doc)}
                    counts.update(" ".join(text[start:end].split()) for start, end in mentions)
                    documents += 1
                    show(documents)
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
