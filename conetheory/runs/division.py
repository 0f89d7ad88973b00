"""A study in parts: its units of work, and the shards that share them out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from conetheory.counts import SIZES, checked_whole
from conetheory.errors import InputError

UNITS = 64  # of a method, that a study comes in where nobody says how many images a unit has
LEAST, MOST = 8, 64  # images that a unit has then: what is done once a unit is then done once in 8 images
FEW = 16  # units of a method, at least, which some processes share: of few images units are smaller for it


@dataclass(frozen=True)
class Parts:
    """How a study is divided into units, which decides nothing but last digits.

    Parameters
    ----------
    block
        images a unit (None: as many as make 64 units of a method, from 8 to 64; fewer of fewer than 128
        images, for 16 units of a method).
    threads
        a unit (None: one where there is more than one unit, else all cores).

    Raises
    ------
    InputError
        for less than one of either.
    """

    block: int | None = None
    threads: int | None = None

    def __post_init__(self) -> None:
        if self.block is not None:
            checked_whole(self.block, "block, the images a unit,", 1)
        if self.threads is not None:
            checked_whole(self.threads, "threads a unit", 1)

    def size(self, images: int) -> int:
        """The images a unit of a study of so many."""
        least = min(LEAST, max(1, images // FEW))
        return self.block or min(MOST, max(least, -(-images // UNITS)))

    def threads_of(self, units: int) -> int:
        """The threads a unit of a study of so many; 0 stands for all cores."""
        return self.threads or int(units > 1)


@dataclass(frozen=True)
class Unit:
    """A method and a block of images, by the numbers of the first and of the one behind the last."""

    method: str
    block: int
    first: int
    stop: int

    @property
    def name(self) -> str:
        """Of its file."""
        return f"{self.method}-{self.block:05}"


@dataclass(frozen=True)
class Shard:
    """One of some equal parts of a study's units."""

    number: int
    of: int

    @classmethod
    def parsed(cls, text: str) -> Shard:
        """`3/64`. Raises `InputError`."""
        found = re.fullmatch(r"\s*(\d{1,9})\s*/\s*(\d{1,9})\s*", text)
        if found is None:
            raise InputError(f"--shard takes NUMBER/OF, such as 3/64, not {text!r}")
        number, of = map(int, found.groups())
        checked_whole(of, "the number of shards", 1, SIZES)
        checked_whole(number, f"a shard of {of}", 1, of)
        return cls(number, of)

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    def share(self, units: Sequence[Any]) -> list[Any]:
        """Every so-many-th unit, or whatever else it is, so that each shard has some of every method."""
        return list(units[self.number - 1 :: self.of])


def divided(methods: Sequence[str], images: int, size: int) -> list[Unit]:
    """The units of a study, method by method."""
    blocks = range(0, images, size)
    return [
        Unit(method, block, first, min(first + size, images))
        for method in methods
        for block, first in enumerate(blocks)
    ]
