"""What is done of the certificates from a start with few units, told in passes of one vector to the input."""

from __future__ import annotations

from conetheory.chain.columns import LiveRows
from conetheory.chain.cost import work
from conetheory.chain.streamed import Columns
from conetheory.networks.graph import INPUT
from conetheory.progress import Progress

ENTRY = 1000  # multiplications of a sweep that take as long as the bounds of one entry of P_p
GRAM = 5  # the same of each row that an entry of a row is compared with


def bounding(channels: float, places: float, units: int) -> float:
    """Multiplications that the bounds of P_p at some places cost, of so many rows each that are alive."""
    return places * channels * units * (ENTRY + GRAM * min(channels, units))


class Work:
    """Progress in passes: of columns sent down, and of what is bounded of them."""

    def __init__(self, what: str, columns: Columns, progress: Progress) -> None:
        graph, start = columns.chain.graph, columns.chain.graph.resolve(columns.start)
        self.what, self.progress = what, progress
        self._one = work(graph, start, INPUT)
        self._done = self._sweep = 0.0
        self._total = sum(columns.passes(group) for group in columns.groups)
        for layer in {columns.same[layer] for layer in columns}:
            places = columns.chosen[layer].size
            self._total += bounding(columns.kept(layer) / places, places, columns.units) / self._one

    def columns(self, passes: float) -> None:
        """So much of a group is sent down."""
        self._sweep = passes
        self._tell()

    def bounded(self, rows: LiveRows, places: int) -> None:
        """So many locations of an image's rows are done."""
        self._done, self._sweep = self._done + self._sweep, 0.0
        channels = len(rows.index) / len(rows.positions)
        self._done += bounding(channels, places, len(rows.columns)) / self._one
        self._tell()

    def finished(self) -> None:
        self._done = self._total
        self._tell()

    def _tell(self) -> None:
        self.progress(self.what, round(min(self._done + self._sweep, self._total)), round(self._total))
