"""What the user sees on stdout: as wide as the terminal, and a line for each row in a file or a pipe."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

if TYPE_CHECKING:
    from conetheory.results.verdict import Verdict

PIPE = 160  # columns of what is neither a terminal nor a table


def out() -> Console:
    """Standard output."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=PIPE)


def say(console: Console, text: str, style: str | None = None) -> None:
    """A line; in a terminal broken between words, so that no number and no name is."""
    console.print(text, style=style, soft_wrap=not console.is_terminal, markup=False)


def show_verdicts(console: Console, verdicts: Sequence[Verdict], title: str) -> None:
    """The verdict table with its legend: in a terminal stacked, so that it is narrow."""
    from conetheory.report.verdict_tables import verdict_tables

    for part in verdict_tables(verdicts, title, stacked=console.is_terminal):
        if isinstance(part, Table):
            show(console, part)
        else:
            console.print(part)


def show(console: Console, table: Table) -> None:
    """A table without a number or a name that is cut.

    What is too wide for a terminal comes in parts of some columns each, after the first, which all of them
    have. In a file or a pipe a table is as wide as it wants to be, so that a row is a line.
    """
    parts = list(_parts(console, table)) if console.is_terminal else [table]
    before = console.width
    for part in parts:
        console.width = max(before, _needed(console, part))
        console.print(part, crop=False)
        console.width = before


def _needed(console: Console, table: Table) -> int:
    asked = Measurement.get(console, console.options.update(width=10_000), table)
    return asked.minimum if console.is_terminal else asked.maximum


def _parts(console: Console, table: Table) -> Iterator[Table]:
    """The table, or as few as fit, with the first column in each; one column more at least in each."""
    first, title = 1, table.title
    while first < len(table.columns):
        last = len(table.columns)
        while last > first + 1 and _needed(console, _part(table, first, last)) > console.width:
            last -= 1
        part = _part(table, first, last)
        part.title = title
        yield part
        first, title = last, None
    if len(table.columns) == 1:
        yield table


def _part(table: Table, first: int, last: int) -> Table:
    found = copy.copy(table)
    kept = [table.columns[0], *table.columns[first:last]]
    found.columns = [replace(column, _index=number) for number, column in enumerate(kept)]
    return found
