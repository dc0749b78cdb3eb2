"""Tables for the terminal and for Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from rich import table as rich_table
from rich.console import Console
from rich.markup import escape


class Table(NamedTuple):
    """A table to show. Whole numbers get separators of thousands, floats are shares and shown in
    per cent, None is an empty cell.

    title (str). header (Sequence[str]): Of the columns. rows (Sequence[Sequence]).
    summary (Sequence[Sequence]): More rows, below a line. Defaults to none.
    """

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[Any]]
    summary: Sequence[Sequence[Any]] = ()

    def is_numeric(self, column: int) -> bool:
        """RETURNS (bool): Whether a column has numbers, which stand to the right."""
        rows = (*self.rows, *self.summary)
        return any(isinstance(row[column], (int, float)) for row in rows)


def print_tables(console: Console, tables: Iterable[Table]) -> None:
    """Print tables.

    console (Console): Where to. tables (Iterable[Table]): What.
    """
    for table in tables:
        width = min(len(table.title), console.width)
        shown = rich_table.Table(
            title=table.title, title_justify="left", title_style="bold", min_width=width
        )
        for i, name in enumerate(table.header):
            shown.add_column(
                name, justify="right" if table.is_numeric(i) else "left", overflow="fold"
            )
        for rows in (table.rows, table.summary):
            for row in rows:
                shown.add_row(*(escape(format_cell(cell)) for cell in row))
            shown.add_section()
        console.print(shown)


def to_markdown(table: Table) -> str:
    """RETURNS (str): The rows as a Markdown table, without the title."""
    marks = ("---:" if table.is_numeric(i) else "---" for i in range(len(table.header)))
    lines = [table.header, tuple(marks)]
    lines += [tuple(map(format_cell, row)) for row in (*table.rows, *table.summary)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def format_cell(cell: Any) -> str:
    """RETURNS (str): What a cell shows (see `Table`)."""
    if cell is None:
        return ""
    if isinstance(cell, float):
        return f"{cell:.2%}"[:-1]
    return f"{cell:,}" if isinstance(cell, int) else str(cell)
