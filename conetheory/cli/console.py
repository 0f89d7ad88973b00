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
    """A table, wider than the terminal where it has to be: no number and no name is cut."""
    unbound = console.options.update(width=1000)
    before, needed = console.width, Measurement.get(console, unbound, table).minimum
    console.width = max(before, needed)
    console.print(table, crop=False)
    console.width = before
