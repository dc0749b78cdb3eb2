"""Scores for people: rich tables."""

from __future__ import annotations

from typing import Any

from rich.console import Console

from ..util.tables import Table, print_tables

RELATION_TITLES = (
    ("rel_gold", "Relations, given the gold entities"),
    ("rel", "Relations, end to end"),
)


def print_scores(console: Console, scores: dict[str, Any], per_type: bool = True) -> None:
    """Print what `score_entities` and `score_relations` found, leaving out what isn't there.

    console (Console): Where to print.
    scores (Dict[str, Any]): Their results, merged; more keys do no harm.
    per_type (bool): Whether to print a row for each label. Defaults to True.
    """
    if scores.get("ents_f") is not None:
        summary = [("micro", _prf(scores, "ents"))]
        if scores.get("ents_nested_f") is not None:
            summary.append(("micro, nested included", _prf(scores, "ents_nested")))
        for name, key in (("macro", "ents_macro_f"), ("boundaries alone", "ents_boundary_f")):
            if key in scores:
                summary.append((name, (None, None, scores[key])))
        docs = scores.get("ents_docs")
        _print_table(console, "Entities", docs, scores.get("ents_per_type"), summary, per_type)
    if scores.get("ents_gold_inexpressible") is not None:
        share = scores["ents_gold_inexpressible"]
        console.print(f"Gold mentions that tokenization cannot express: {share:.2%}\n")
    if scores.get("ents_ece") is not None:
        console.print(f"Expected calibration error: {scores['ents_ece']:.3f}\n")
    for prefix, title in RELATION_TITLES:
        if scores.get(f"{prefix}_micro_f") is not None:
            _print_relations(console, scores, prefix, title, per_type)
    if scores.get("speed") is not None:
        console.print(f"Speed: {scores['speed']:,.0f} words/s")


def _print_relations(
    console: Console, scores: dict[str, Any], prefix: str, title: str, per_type: bool
) -> None:
    def value(name: str) -> Any:
        return scores.get(f"{prefix}_{name}")

    summary = [("micro", _prf(scores, f"{prefix}_micro"))]
    if value("majority_label") is not None:
        name = f"micro without {value('majority_label')}"
        summary.append((name, _prf(scores, f"{prefix}_minority_micro")))
    summary += [
        ("macro", (None, None, value("macro_f"))),
        ("micro, argument types too", (None, None, value("typed_micro_f"))),
        ("micro, negation too", (None, None, value("negated_micro_f"))),
    ]
    _print_table(console, title, value("docs"), value("per_type"), summary, per_type)
    if value("negation_accuracy") is not None:
        share = value("negation_accuracy")
        console.print(f"Negation right in {share:.2%} of the relations found\n")
    if value("ece") is not None:
        console.print(f"Expected calibration error: {value('ece'):.3f}\n")


def _prf(scores: dict[str, Any], key: str) -> tuple[Any, ...]:
    return scores.get(f"{key}_p"), scores.get(f"{key}_r"), scores.get(f"{key}_f")


def _print_table(
    console: Console,
    title: str,
    docs: int | None,
    per_label: dict[str, dict[str, Any]] | None,
    summary: list[tuple[str, tuple[Any, ...]]],
    per_type: bool,
) -> None:
    heading = title if docs is None else f"{title} ({docs:,} documents)"
    found = (per_label or {}) if per_type else {}
    rows = [
        # the support is absent from spaCy's own scorer
        (label, *(found[label][key] for key in "prf"), found[label].get("support"))
        for label in sorted(found, key=lambda name: (-found[name].get("support", 0), name))
    ]
    below = [(name, *values, None) for name, values in summary]
    print_tables(console, [Table(heading, ("", "P", "R", "F", "Support"), rows, below)])
