"""What the user sees on stdout."""

from __future__ import annotations

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table


def out() -> Console:
    """Standard output; wide where it is a file or a pipe, so that tables are not cut."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=160)


def show(console: Console, table: Table) -> None:
    """A table, wider than the terminal where it has to be: no number and no name is cut.

    In a file or a pipe it is as wide as it wants to be, so that a row is a line.
    """
    unbound = console.options.update(width=10_000)
    before, asked = console.width, Measurement.get(console, unbound, table)
    needed = asked.minimum if console.is_terminal else asked.maximum
    console.width = max(before, needed)
    console.print(table, crop=False)
    console.width = before
