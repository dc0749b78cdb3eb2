"""The corpus report: what is in it, what was left out and why, in numbers that add up."""

from __future__ import annotations

from collections import Counter
from typing import Any, Dict, Iterable, List, Mapping, NamedTuple, Sequence, Tuple

from spacy.tokens import Doc

from spacy_spanmed.corpora.build import Corpus
from spacy_spanmed.corpora.splits import SPLITS
from spacy_spanmed.doc import (
    ENTITIES,
    META_KEY,
    RELATIONS,
    get_layers,
    get_mentions,
    get_relation_tuples,
)

TOTAL = "total"
WIDTHS = (12, 16, 20, 30)


class Table(NamedTuple):
    """A table to print: title (str), header (Sequence[str]), rows (Sequence[Sequence])."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[Any]]


def describe(docs: Iterable[Doc]) -> Dict[str, Any]:
    """Count what Docs carry.

    docs (Iterable[Doc]): Gold Docs.
    RETURNS (Dict[str, Any]): "documents", "tokens", and counters by layer combination
        ("layers"), annotator ("annotators"), label ("mentions": in Docs with the layer
        "entities"; "relations"), plus "negated" and "wider_than" (mentions wider than so many
        tokens).
    """
    counts: Dict[str, Counter] = {
        key: Counter() for key in ("layers", "annotators", "mentions", "relations", "wider_than")
    }
    documents = tokens = negated = 0
    for doc in docs:
        documents += 1
        tokens += len(doc)
        layers = get_layers(doc)
        counts["layers"]["+".join(sorted(layers))] += 1
        counts["annotators"][doc.user_data.get(META_KEY, {}).get("annotator", "")] += 1
        if ENTITIES in layers:
            for start, end, label in get_mentions(doc):
                counts["mentions"][label] += 1
                width = len(doc.char_span(start, end, alignment_mode="expand"))
                for limit in WIDTHS:
                    counts["wider_than"][str(limit)] += width > limit
        if RELATIONS in layers:
            for item in get_relation_tuples(doc):
                counts["relations"][item.label] += 1
                negated += item.negated
    return {
        "documents": documents,
        "tokens": tokens,
        "negated": negated,
        **{key: dict(sorted(counter.items())) for key, counter in counts.items()},
    }


def make_report(corpus: Corpus, docs: Mapping[str, Sequence[Doc]], seed: int) -> Dict[str, Any]:
    """Put together the report.

    corpus (Corpus): The whole corpus, of which the Docs may be a sample.
    docs (Mapping[str, Sequence[Doc]]): The Docs of each split.
    seed (int): Seed of the splits.
    RETURNS (Dict[str, Any]): "rows" (their number), "fates" (what became of them; adds up to
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


def tables(report: Mapping[str, Any]) -> List[Table]:
    """RETURNS (List[Table]): The report as tables, for the terminal and for Markdown."""
    splits = report["splits"]
    fates = sorted(report["fates"].items(), key=lambda item: (-item[1], item[0]))
    facts = [*report["facts"].items(), ("pairs of near-duplicates", report["near_duplicate_pairs"])]
    result = [
        Table("What became of the rows", ("fate", "rows"), [*fates, (TOTAL, report["rows"])]),
        Table("Further counts", ("what", "number"), facts),
    ]
    header = ("", *SPLITS, TOTAL)
    sizes = [(key, *_across(splits, key)) for key in ("documents", "tokens", "negated")]
    result.append(Table("Sizes", header, [(k if k != "negated" else "negated relations", *v)
                                          for k, *v in sizes]))  # fmt: skip
    for key, title in (
        ("layers", "Documents by annotation layers"),
        ("annotators", "Documents by annotator"),
        ("mentions", "Mentions by label (documents with the layer entities)"),
        ("relations", "Relations by label (documents with the layer relations)"),
        ("wider_than", "Mentions wider than so many tokens"),
    ):
        result.append(Table(title, header, _by_label(splits, key)))
    return result


def _across(splits: Mapping[str, Any], key: str) -> Tuple[int, ...]:
    numbers = [splits[split][key] for split in SPLITS]
    return (*numbers, sum(numbers))


def _by_label(splits: Mapping[str, Any], key: str) -> List[Tuple[Any, ...]]:
    names = {name for split in SPLITS for name in splits[split][key]}
    rows = []
    for name in names:
        numbers = [splits[split][key].get(name, 0) for split in SPLITS]
        rows.append((name or "(none)", *numbers, sum(numbers)))
    rows.sort(key=lambda row: (-row[-1], row[0]))
    if key != "wider_than":  # those overlap, so a total would mean nothing
        rows.append((TOTAL, *(sum(column) for column in list(zip(*rows))[1:])))
    return rows


def to_markdown(report: Mapping[str, Any]) -> str:
    """RETURNS (str): The report as a Markdown page."""
    parts = [f"# Corpus report: NERO\n\nSeed {report['seed']}.\n"]
    for table in tables(report):
        lines = [
            "| " + " | ".join(table.header) + " |",
            "|" + "---|" + "---:|" * (len(table.header) - 1),
        ]
        for row in table.rows:
            lines.append(
                "| " + " | ".join(f"{x:,}" if isinstance(x, int) else x for x in row) + " |"
            )
        parts.append(f"## {table.title}\n\n" + "\n".join(lines) + "\n")
    return "\n".join(parts)
