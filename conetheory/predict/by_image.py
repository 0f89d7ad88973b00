"""What a theory keeps of every image: arrays by name, in the order of the images, wherever they were seen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np


class ByImage:
    """Arrays by a name, such as a layer's, and an image's number in the study.

    They come back in the order of the numbers, in whatever order and in however many parts of a study the
    images were seen; an image that two parts have seen counts once.
    """

    def __init__(self) -> None:
        self._held: dict[str, dict[int, np.ndarray]] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._held

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._held)

    def add(self, name: str, number: int, values: Any) -> None:
        """Keep an array of one image."""
        self._held.setdefault(name, {})[number] = np.asarray(values)

    def free(self, name: str, first: int) -> int:
        """The first number from `first` on of which nothing is known under the name."""
        held = self._held.get(name, {})
        while first in held:
            first += 1
        return first

    def of(self, name: str) -> list[np.ndarray]:
        """The arrays of a name in the order of the images."""
        return [values for _, values in sorted(self._held.get(name, {}).items())]

    def record(self) -> dict[str, Any]:
        """All of it, as `take` takes it up."""
        return {name: [[number, v] for number, v in held.items()] for name, held in self._held.items()}

    def take(self, record: Mapping[str, Any]) -> None:
        """Add what was kept of other images."""
        for name, held in record.items():
            for number, values in held:
                self.add(name, number, values)
