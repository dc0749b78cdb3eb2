"""The corpus report: what is in it, what was left out and why, in numbers that add up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from spacy.tokens import Doc

from spacy_spanmed.corpora.convert import SPLITS
from spacy_spanmed.corpora.report import TOTAL, describe, split_tables
from spacy_spanmed.util.tables import Table
from spacy_spanmed.util.tables import to_markdown as table_to_markdown

from .build import Corpus


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


def tables(report: Mapping[str, Any]) -> list[Table]:
    """RETURNS (list[Table]): The report as tables, for the terminal and for Markdown."""
    splits = report["splits"]
    fates = sorted(report["fates"].items(), key=lambda item: (-item[1], item[0]))
    facts = [*report["facts"].items(), ("pairs of near-duplicates", report["near_duplicate_pairs"])]
    result = [
        Table("What became of the rows", ("fate", "rows"), [*fates, (TOTAL, report["rows"])]),
        Table("Further counts", ("what", "number"), facts),
    ]
    return result + split_tables(splits)


def to_markdown(report: Mapping[str, Any]) -> str:
    """RETURNS (str): The report as a Markdown page."""
    parts = [f"# Corpus report: NERO\n\nSeed {report['seed']}.\n"]
    for table in tables(report):
        parts.append(f"## {table.title}\n\n{table_to_markdown(table)}")
    return "\n".join(parts)
