"""The two reviewable tables that turn NERO's annotation into this package's labels.

`nero_entities.tsv` has a line for each semantic class, `nero_relations.tsv` a line for each
pattern over action strings; both count how often the line applies in the published file.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from re import Pattern
from typing import NamedTuple

UNKNOWN = ""  # the annotator gave no class
UNREADABLE = "-"  # a cut-off class, or a row whose columns are shifted

# Relations without a direction. When a corpus is converted the earlier mention becomes the head,
# so that models and scorers need to know ordered pairs only.
SYMMETRIC = frozenset({"BINDS", "ASSOCIATED_WITH"})


class EntityClass(NamedTuple):
    """A line of the entity table.

    label (str): The label the class becomes; empty for unknown, "-" for unreadable.
    dense_rows (int): Rows of the dense sets with this class.
    arguments (int): Arguments of the statement sets with this class.
    """

    label: str
    dense_rows: int
    arguments: int


class ActionPattern(NamedTuple):
    """A line of the relation table; the first line whose pattern is found in an action applies.

    label (str): The relation label.
    inverse (bool): Whether the relation holds from the second argument to the first ("is
        inhibited by").
    pattern (Pattern): Searched in the lower-cased action.
    rows (int): Rows of the statement sets it applies to.
    actions (int): Distinct lower-cased actions it applies to.
    """

    label: str
    inverse: bool
    pattern: Pattern[str]
    rows: int
    actions: int


class Action(NamedTuple):
    """What an action string means: the pattern that applied (ActionPattern), and whether the
    relation is denied (bool)."""

    pattern: ActionPattern
    negated: bool


def normalize_action(action: str) -> str:
    """RETURNS (str): The action lower-cased, with single spaces."""
    return " ".join(action.lower().split())


def _rows(name: str) -> Iterator[dict[str, str]]:
    with Path(__file__).with_name(name).open(encoding="utf-8") as stream:
        lines = (line for line in stream if not line.startswith("#"))
        yield from csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)


@cache
def load_entity_table() -> dict[str, EntityClass]:
    """RETURNS (dict[str, EntityClass]): By semantic class, which is empty where none is given."""
    names = {"(none)": "", "(unknown)": UNKNOWN}
    return {
        names.get(row["class"], row["class"]): EntityClass(
            names.get(row["label"], row["label"]), int(row["dense_rows"]), int(row["arguments"])
        )
        for row in _rows("nero_entities.tsv")
    }


@cache
def load_relation_table() -> list[ActionPattern]:
    """RETURNS (list[ActionPattern]): In order of precedence. First the one that isn't a relation
    but, found an odd number of times in an action, denies one; the last one matches everything."""
    return [
        ActionPattern(
            row["label"],
            row["direction"] == "inverse",
            re.compile(row["pattern"]),
            int(row["rows"]),
            int(row["actions"]),
        )
        for row in _rows("nero_relations.tsv")
    ]


def read_action(action: str) -> Action:
    """RETURNS (Action): The meaning of an action string of the file, e.g. "Does not bind to"."""
    return _read(normalize_action(action))


@cache
def _read(action: str) -> Action:
    negation, *patterns = load_relation_table()
    # An even number of negations cancels out: "does not dissociate".
    negated = len(negation.pattern.findall(action)) % 2 == 1
    return Action(next(item for item in patterns if item.pattern.search(action)), negated)
