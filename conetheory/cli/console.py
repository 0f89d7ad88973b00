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
    least = Measurement.get(console, console.options.update(width=1000), table).minimum
    needed = least + len(table.columns)  # rich leaves the padding out
    console.print(table, width=max(needed, min(console.width, 1000)), crop=False)
