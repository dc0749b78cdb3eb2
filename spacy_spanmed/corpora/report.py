"""The corpus report: what is in it, what was left out and why, in numbers that add up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from spacy.tokens import Doc

from ..doc.layers import ENTITIES, META_KEY, RELATIONS, get_layers
from ..doc.mentions import get_mentions
from ..doc.relations import get_concept_relation_tuples, get_relation_tuples
from ..util.tables import Table
from ..util.text_files import printable
from .checks import DOCUMENTS, IN_SOURCE, KEPT, MENTIONS
from .checks import RELATIONS as RELATION_FACTS

TOTAL = "total"
WIDTHS = (12, 16, 20, 30)

# What is counted of Docs, and the title of the table that shows it
_COUNTED = {
    "layers": "Documents by annotation layers",
    "annotators": "Documents by annotator",
    "mentions": "Mentions by label (documents with the layer entities)",
    "relations": "Relations by label (documents with the layer relations)",
    "concept_relations": "Relations between concepts of a document, by label",
    "wider_than": "Mentions wider than so many tokens",
}


class Description:
    """Counts what Docs carry, one Doc at a time."""

    def __init__(self) -> None:
        self.sizes: Counter = Counter(documents=0, tokens=0, negated=0)
        self.counts: dict[str, Counter] = {key: Counter() for key in _COUNTED}

    def add(self, doc: Doc) -> None:
        """Count a gold Doc."""
        sizes, counts = self.sizes, self.counts
        sizes["documents"] += 1
        sizes["tokens"] += len(doc)
        layers = get_layers(doc)
        counts["layers"]["+".join(sorted(layers))] += 1
        counts["annotators"][doc.user_data.get(META_KEY, {}).get("annotator", "")] += 1
        if ENTITIES in layers:
            for start, end, label in get_mentions(doc):
                counts["mentions"][label] += 1
                span = doc.char_span(start, end, alignment_mode="expand")
                width = len(span) if span is not None else 0
                for limit in WIDTHS:
                    counts["wider_than"][str(limit)] += width > limit
        if RELATIONS in layers:
            for key, tuples in (
                ("relations", get_relation_tuples(doc)),
                ("concept_relations", get_concept_relation_tuples(doc)),
            ):
                for item in tuples:
                    counts[key][item.label] += 1
                    sizes["negated"] += item.negated

    def to_dict(self) -> dict[str, Any]:
        """RETURNS (Dict[str, Any]): See `describe`."""
        counts = {key: dict(sorted(counter.items())) for key, counter in self.counts.items()}
        return {**self.sizes, **counts}


def describe(docs: Iterable[Doc]) -> dict[str, Any]:
    """Count what Docs carry.

    docs (Iterable[Doc]): Gold Docs.
    RETURNS (Dict[str, Any]): "documents", "tokens", and counters by layer combination
        ("layers"), annotator ("annotators"), label ("mentions": in Docs with the layer
        "entities"; "relations" between mentions; "concept_relations"), plus "negated" (relations)
        and "wider_than" (mentions wider than so many tokens).
    """
    description = Description()
    for doc in docs:
        description.add(doc)
    return description.to_dict()


def tables(report: Mapping[str, Any]) -> list[Table]:
    """RETURNS (List[Table]): The report of a conversion as tables."""
    facts = dict(report["facts"])
    kinds = (DOCUMENTS, MENTIONS, RELATION_FACTS)
    fates: dict[str, list[int]] = {}
    for name in list(facts):
        kind, _, fate = name.partition(" ")
        if kind in kinds and (fate in (IN_SOURCE, KEPT) or fate.startswith(("left out", "merged"))):
            fates.setdefault(fate, [0] * len(kinds))[kinds.index(kind)] = facts.pop(name)
    order = [fate for fate in (IN_SOURCE, KEPT) if fate in fates]
    order += sorted(fates.keys() - set(order))
    rows: list[tuple[Any, ...]] = [(fate, *fates[fate]) for fate in order]
    result = [
        Table("What became of the annotation", ("", *kinds), rows),
        *split_tables(report["splits"]),
    ]
    if facts:
        result.append(Table("Further counts", ("what", "number"), sorted(facts.items())))
    if report["problems"]:
        examples = report["examples"]
        rows = [
            (kind, number, printable(examples.get(kind, [""])[0]))
            for kind, number in sorted(report["problems"].items())
        ]
        result.append(Table("Problems, left out", ("kind", "number", "first"), rows))
    return result


def split_tables(splits: Mapping[str, Any]) -> list[Table]:
    """RETURNS (List[Table]): What Docs carry (see `describe`), a column a split, and their total
    if there are several. Tables in which there is nothing to tell apart are left out."""
    header = ("", *splits, TOTAL) if len(splits) > 1 else ("", *splits)

    def make_row(name: str, numbers: list[int]) -> tuple[Any, ...]:
        return (name, *numbers, sum(numbers)) if len(numbers) > 1 else (name, *numbers)

    names = {"documents": "documents", "tokens": "tokens", "negated": "negated relations"}
    sizes = [make_row(names[key], [split[key] for split in splits.values()]) for key in names]
    result = [Table("Sizes", header, sizes)]
    for key, title in _COUNTED.items():
        labels = {name for split in splits.values() for name in split[key]}
        rows = [
            make_row(name or "(none)", [split[key].get(name, 0) for split in splits.values()])
            for name in labels
        ]
        rows.sort(key=lambda row: (-row[-1], row[0]))
        if labels - {""}:
            if key != "wider_than":  # those overlap, so a total would mean nothing
                rows.append((TOTAL, *map(sum, list(zip(*rows))[1:])))
            result.append(Table(title, header, rows))
    return result
