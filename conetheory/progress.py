"""How everything that takes long tells its progress: one callback, whoever listens."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """`progress(what, done, total)`: so much of a piece of work is done."""

    def __call__(self, what: str, done: int, total: int) -> None: ...


def silent(what: str, done: int, total: int) -> None:
    """Progress that nobody looks at.

    Parameters
    ----------
    what
        is done.
    done, total
        parts of it.
    """
