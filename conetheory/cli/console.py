"""What the user sees on stdout."""

from __future__ import annotations

from rich.console import Console


def out() -> Console:
    """Standard output; wide where it is a file or a pipe, so that tables are not cut."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=160)
