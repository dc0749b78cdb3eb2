"""`python -m scripts.nero`: build a corpus of gold Docs."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import spacy
import typer
from rich.console import Console
from spacy.tokens import Doc

from spacy_spanmed.cli.common import errors_in_one_line
from spacy_spanmed.corpora.convert import SPLITS
from spacy_spanmed.corpora.docbin import write_labels
from spacy_spanmed.corpora.report import TOTAL, describe, split_tables
from spacy_spanmed.pipeline.tokenizer import create_tokenizer
from spacy_spanmed.util.files import write_atomically, write_json
from spacy_spanmed.util.tables import Table, print_tables, to_markdown

from .build import Corpus, split_corpus, write_corpus
from .rows import find_nero_file, read_rows
from .sentences import convert

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
    console, progress = Console(), Console(stderr=True)
    with errors_in_one_line(output):
        path = tsv or find_nero_file()
        with progress.status("Reading annotations") as status:
            conversion = convert(read_rows(path), str(path))
            status.update("Finding near-duplicates, splitting")
            corpus = split_corpus(conversion, seed)
        tokenize = create_tokenizer(spacy.blank("en"))
        docs = write_corpus(corpus, output, tokenize, limit=limit or None, seed=seed)
        write_labels(docs["train"], output / "labels")
        report = make_report(corpus, docs, seed)
        parts = [f"# Corpus report: NERO\n\nSeed {seed}.\n"]
        parts += [f"## {table.title}\n\n{to_markdown(table)}" for table in make_tables(report)]
        write_json(output / "report.json", report)
        write_atomically(output / "report.md", "\n".join(parts).encode("utf-8"))
    print_tables(console, make_tables(report))
    console.print(f"Wrote the corpus to {output}")


def make_report(corpus: Corpus, docs: Mapping[str, Sequence[Doc]], seed: int) -> dict[str, Any]:
    """Put together the report.

    corpus (Corpus): The whole corpus, of which the Docs may be a sample.
    docs (Mapping[str, Sequence[Doc]]): The Docs of each split.
    seed (int): Seed of the splits.
    RETURNS (dict[str, Any]): "rows" (their number), "fates" (what became of them; adds up to
        "rows"), "facts", "near_duplicate_pairs", "clusters", "seed", "splits" (see `describe`).
    """
    fates = {name: n for name, n in sorted(corpus.conversion.fates.items()) if n}
    return {
        "rows": sum(fates.values()),
        "fates": fates,
        "facts": {name: n for name, n in sorted(corpus.conversion.facts.items()) if n},
        "near_duplicate_pairs": corpus.duplicates,
        "clusters": len(set(corpus.clusters)),
        "seed": seed,
        "splits": {split: describe(docs[split]) for split in SPLITS},
    }


def make_tables(report: Mapping[str, Any]) -> list[Table]:
    """RETURNS (list[Table]): The report as tables, for the terminal and for Markdown."""
    fates = sorted(report["fates"].items(), key=lambda item: (-item[1], item[0]))
    facts = [*report["facts"].items(), ("pairs of near-duplicates", report["near_duplicate_pairs"])]
    result = [
        Table("What became of the rows", ("fate", "rows"), [*fates, (TOTAL, report["rows"])]),
        Table("Further counts", ("what", "number"), facts),
    ]
    return result + split_tables(report["splits"])


if __name__ == "__main__":
    app(prog_name="python -m scripts.nero")
