"""Progress for people: bars in a terminal, lines elsewhere, notes beside them; all on stderr."""

from __future__ import annotations

import html
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import starmap
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bars

from conetheory.progress import Progress

EVERY = 10.0  # seconds between two lines about the same piece of work
OFTEN = 0.2  # seconds between two drawings of a notebook's bars


def note(message: str) -> None:
    """A line on stderr."""
    Console(stderr=True, highlight=False, soft_wrap=True).print(message, style="dim", markup=False)


@contextmanager
def shown() -> Iterator[Progress]:
    """Show what is told: a bar for each piece of work in a terminal or a notebook, lines elsewhere."""
    console = Console(stderr=True)
    if console.is_jupyter:
        cell = Cell()
        try:
            yield cell
        finally:
            cell.clear()
        return
    if not console.is_terminal:
        yield Lines()
        return
    columns = [
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    ]
    with Bars(*columns, console=console, transient=True) as bars:
        tasks: dict[str, TaskID] = {}

        def report(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=total)
            bars.update(tasks[what], completed=done, total=total)

        yield report


class Cell:
    """Bars in the output of a notebook's cell, which are gone when the work is done. It needs no widgets."""

    def __init__(self) -> None:
        from IPython.display import HTML, display  # pyright: ignore[reportMissingImports] (a notebook has it)

        self._html, self._tasks, self._drawn = HTML, {}, 0.0
        self._handle: Any = display(HTML(""), display_id=True)

    def __call__(self, what: str, done: int, total: int) -> None:
        self._tasks[what] = (done, total)
        now = time.monotonic()
        if now - self._drawn >= OFTEN or done == total:
            self._drawn = now
            self._handle.update(self._html("".join(starmap(_bar, self._tasks.items()))))

    def clear(self) -> None:
        self._handle.update(self._html(""))


def _bar(what: str, part: tuple[int, int]) -> str:
    done, total = part
    bar = f'<progress value="{done}" max="{total}"></progress>'
    return f"<div>{bar} {html.escape(what)}: {done} of {total}</div>"


class Lines:
    """A line for each piece of work every ten seconds, and none for what is quicker."""

    def __init__(self) -> None:
        self._told: dict[str, float] = {}

    def __call__(self, what: str, done: int, total: int) -> None:
        now = time.monotonic()
        if now - self._told.setdefault(what, now) >= EVERY:
            self._told[what] = now
            note(f"{what}: {done} of {total}")
