"""The two reviewable tables that turn NERO's annotation into this package's labels.

`nero_entities.tsv` has a line for each semantic class, `nero_relations.tsv` a line for each
pattern over action strings; both count how often the line applies in the published file.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from functools import lru_cache
from importlib import resources
from re import Pattern
from typing import NamedTuple

from spacy_spanmed.util.problems import CorpusError

UNKNOWN = ""  # the annotator gave no class
UNREADABLE = "-"  # a cut-off class, or a row whose columns are shifted

# Relations without a direction. When a corpus is converted the earlier mention becomes the head,
# so that models and scorers need to know ordered pairs only.
SYMMETRIC = frozenset({"BINDS", "ASSOCIATED_WITH"})


class EntityClass(NamedTuple):
    """A line of the entity table.

    name (str): The semantic class as it stands in the file; empty where none is given.
    label (str): The label it becomes; empty for unknown, "-" for unreadable.
    dense_rows (int): Rows of the dense sets with this class.
    arguments (int): Arguments of the statement sets with this class.
    note (str): Why, where it isn't obvious.
    """

    name: str
    label: str
    dense_rows: int
    arguments: int
    note: str


class ActionPattern(NamedTuple):
    """A line of the relation table; the first line whose pattern is found in an action applies.

    label (str): The relation label.
    inverse (bool): Whether the relation holds from the second argument to the first ("is
        inhibited by").
    pattern (Pattern): Searched in the lower-cased action.
    rows (int): Rows of the statement sets it applies to.
    actions (int): Distinct lower-cased actions it applies to.
    note (str): What it stands for.
    """

    label: str
    inverse: bool
    pattern: Pattern[str]
    rows: int
    actions: int
    note: str


class Action(NamedTuple):
    """What an action string means: label (str), inverse (bool), negated (bool), and the number
    of the table's line that applied (int)."""

    label: str
    inverse: bool
    negated: bool
    line: int


class EntityTable:
    """Labels of semantic classes.

    classes (list[EntityClass]): The table's lines.
    """

    def __init__(self, classes: list[EntityClass]) -> None:
        self.classes = classes
        self._labels: dict[str, str] = {item.name: item.label for item in classes}

    def label(self, name: str) -> str:
        """RETURNS (str): The label of a class, "" for unknown, "-" for unreadable.
        RAISES (KeyError): If the class isn't in the table."""
        return self._labels[name]

    @property
    def labels(self) -> list[str]:
        """RETURNS (list[str]): The labels, sorted."""
        return sorted({item.label for item in self.classes} - {UNKNOWN, UNREADABLE})


class RelationTable:
    """Meanings of action strings.

    patterns (list[ActionPattern]): In order of precedence; the last one matches everything.
    negation (Pattern): Found an odd number of times in an action that denies the relation.
    negated_rows (int): Rows of the statement sets that deny a relation.
    """

    def __init__(
        self, patterns: list[ActionPattern], negation: Pattern[str], negated_rows: int
    ) -> None:
        self.patterns = patterns
        self.negation = negation
        self.negated_rows = negated_rows
        self._cached = lru_cache(maxsize=None)(self._read)

    def read(self, action: str) -> Action:
        """Interpret an action string.

        action (str): As it stands in the file, e.g. "Does not bind to".
        RETURNS (Action): Its meaning.
        """
        return self._cached(normalize_action(action))

    def _read(self, action: str) -> Action:
        # An even number of negations cancels out: "does not dissociate".
        negated = len(self.negation.findall(action)) % 2 == 1
        for line, item in enumerate(self.patterns):
            if item.pattern.search(action):
                return Action(item.label, item.inverse, negated, line)
        raise ValueError(f"No pattern of the relation table matches {action!r}.")

    @property
    def labels(self) -> list[str]:
        """RETURNS (list[str]): The labels, sorted."""
        return sorted({item.label for item in self.patterns})


def normalize_action(action: str) -> str:
    """RETURNS (str): The action lower-cased, with single spaces."""
    return " ".join(action.lower().split())


def _rows(name: str, columns: tuple[str, ...]) -> Iterator[dict[str, str]]:
    path = resources.files("scripts.nero") / name
    with path.open(encoding="utf-8") as stream:
        lines = (line for line in stream if not line.startswith("#"))
        reader = csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
        if tuple(reader.fieldnames or ()) != columns:
            raise CorpusError(f"{name}: expected the columns {', '.join(columns)}.")
        yield from reader


def load_entity_table() -> EntityTable:
    """RETURNS (EntityTable): The packaged table of semantic classes."""
    columns = ("class", "label", "dense_rows", "arguments", "note")
    return EntityTable(
        [
            EntityClass(
                "" if row["class"] == "(none)" else row["class"],
                "" if row["label"] == "(unknown)" else row["label"],
                int(row["dense_rows"]),
                int(row["arguments"]),
                row["note"],
            )
            for row in _rows("nero_entities.tsv", columns)
        ]
    )


def load_relation_table() -> RelationTable:
    """RETURNS (RelationTable): The packaged table of action patterns."""
    columns = ("label", "direction", "rows", "actions", "pattern", "note")
    patterns: list[ActionPattern] = []
    negation: Pattern[str] | None = None
    negated_rows = 0
    for row in _rows("nero_relations.tsv", columns):
        pattern = re.compile(row["pattern"])
        if row["label"] == "(negated)":
            negation, negated_rows = pattern, int(row["rows"])
            continue
        inverse = row["direction"] == "inverse"
        patterns.append(
            ActionPattern(
                row["label"], inverse, pattern, int(row["rows"]), int(row["actions"]), row["note"]
            )
        )
    if negation is None:
        raise CorpusError("nero_relations.tsv: the line (negated) is missing.")
    return RelationTable(patterns, negation, negated_rows)
