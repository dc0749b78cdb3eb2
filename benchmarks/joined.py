"""Whether a pipeline reads a sentence in a document as well as alone: gold sentences joined to documents.

Beside each other stand sentences of any papers, which real documents don't have: what is lost is a
measure of how a pipeline copes with length, not of how it would read a paper.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from spacy.tokens import Doc
from spacy.training import Example

from spacy_spanmed.cli.data import load_pipeline
from spacy_spanmed.corpora.docbin import create_gold_corpus
from spacy_spanmed.corpora.joined import join_docs
from spacy_spanmed.doc.layers import get_layers
from spacy_spanmed.util.tables import Table, print_tables

from .common import Output, errors, write_figures

SCORES = ("ents_p", "ents_r", "ents_f", "rel_gold_micro_f", "rel_micro_f")


def joined(
    context: typer.Context,
    model: Annotated[str, typer.Option(help="Pipeline, by name or directory.")] = "en_spanmed",
    corpus: Annotated[Path, typer.Option(help="Gold sentences; never the test set.")] = Path(
        "corpus/dev.spacy"
    ),
    size: Annotated[
        list[int] | None, typer.Option(min=1, help="Sentences in a document. Default: 1 and 8.")
    ] = None,
    json: Output = None,
) -> None:
    """Score a pipeline on sentences alone, and joined to documents.

    Example: python -m benchmarks joined --model en_spanmed --corpus corpus/dev.spacy
    """
    with errors(json):
        nlp = load_pipeline(model)
        docs = [example.reference for example in create_gold_corpus(corpus)(nlp)]
        found = {}
        for count in size or (1, 8):
            examples = [Example(nlp.make_doc(d.text), d) for d in join_by(docs, count)]
            scores = nlp.evaluate(examples)
            found[str(count)] = {name: scores.get(name) for name in SCORES}
        rows = [(count, *own.values()) for count, own in found.items()]
        print_tables(Console(), [Table("Sentences in a document", ["", *SCORES], rows)])
        write_figures(json, {"model": model, "corpus": str(corpus), "sizes": found}, context.obj)


def join_by(docs: Iterable[Doc], count: int, seed: int = 0) -> Iterator[Doc]:
    """YIELDS (Doc): So many Docs joined, in random order; of each set of layers what is left over,
    too."""
    if count == 1:
        yield from docs
        return
    groups: dict[frozenset[str], list[Doc]] = {}
    for doc in docs:
        groups.setdefault(get_layers(doc), []).append(doc)
    generator = random.Random(seed)
    for layers in sorted(groups, key=sorted):
        some = groups[layers]
        generator.shuffle(some)
        for start in range(0, len(some), count):
            yield join_docs(some[start : start + count])
