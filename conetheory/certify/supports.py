"""The structural supports of columns, group by group, each taken up where the columns themselves are."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from conetheory.certify.known import swept
from conetheory.chain.columns import Keeper, Kept, LiveRows, keep_rows
from conetheory.chain.streamed import Columns, restored


class Supports:
    """Where the kept rows of `columns` are structurally other than zero.

    What is not zero is in the support. Of columns that are zero in a row that some start reaches, the pattern
    is sent down, as ones and zeros: of a unit that has such a row in this group, or where the next takes up.
    At the layers that are `sure` zeros are structural as they are (`zeros.structural`).
    """

    def __init__(self, columns: Columns, sure: Collection[str] = ()) -> None:
        self.columns, self.pattern, self.sure = columns, columns.chain.pattern(), sure
        self.doubtful = not all(layer in sure for layer in columns)
        reached = swept(columns.chain, "pattern", columns.start) if self.doubtful else {}
        self.reached = {k: r > 0 for k, r in reached.items()}
        self._whole: Kept = {}

    def of(self, group: Kept) -> Kept:
        """The supports of a group's layers that have a doubtful zero, while `columns` hold the group."""
        if not self.doubtful:
            return {}
        count, whole = self.columns.units, self.columns.whole
        new = {k: images for k, images in whole.items() if k not in self._whole}
        found, below = self._found(group, new)
        other = {k: _not_zero if k in self.sure else _everything for k in new}
        new = {k: below.get(k) or [other[k](rows, count) for rows in new[k]] for k in new}
        self._whole = {k: new[k] if k in new else self._whole[k] for k in whole}
        return found

    def _found(self, *parts: Kept) -> list[Kept]:
        """The supports of those layers that have a zero, of the units that have one."""
        own = [{k: images for k, images in rows.items() if k not in self.sure} for rows in parts]
        zeros = [{k: _with_zeros(images) for k, images in rows.items()} for rows in own]
        doubtful = [[k for k, units in layers.items() if bool(units.any())] for layers in zeros]
        of_units = [layers[k] for layers, names in zip(zeros, doubtful, strict=True) for k in names]
        if not of_units:
            return [{} for _ in parts]
        units = torch.stack(of_units).any(0).nonzero()[:, 0]
        keepers = [
            Keeper(self.pattern, _places(rows, names), len(units), reached=self.reached, dtype=torch.bool)
            for rows, names in zip(parts, doubtful, strict=True)
        ]
        source = self.columns.source if self.columns.source in self._whole else self.columns.start
        keep_rows(self.pattern, source, self._starts(source, units), len(units), keepers)
        count = self.columns.units
        return [
            {k: [_of_all(r, units, count) for r in held] for k, held in keeper.kept.items()}
            for keeper in keepers
        ]

    def _starts(self, source: str, units: Tensor) -> Callable[[range], Tensor]:
        """The supports of some units where the columns are taken up, in blocks, as numbers."""
        if source == self.columns.start:
            return lambda block: self.pattern.one_hot(source, units[block.start : block.stop].tolist())
        shape, held = self.pattern.shape(source), self._whole[source]
        return lambda block: torch.stack(
            [restored(r, units[block.start : block.stop], shape).to(self.pattern.dtype) for r in held]
        )


def _with_zeros(images: Sequence[LiveRows]) -> Tensor:
    """Which units have a zero in a row of one of the images."""
    return torch.stack([(rows.columns == 0).any(1) for rows in images]).any(0)


def _places(rows: Kept, layers: Sequence[str]) -> dict[str, np.ndarray]:
    return {k: np.stack([image.positions for image in rows[k]]) for k in layers}


def _of_all(rows: LiveRows, units: Tensor, count: int) -> LiveRows:
    """The supports of some units among those of all, which have no zero."""
    columns = torch.ones((count, len(rows.index)), dtype=torch.bool)
    columns[units] = rows.columns
    return replace(rows, columns=columns)


def _not_zero(rows: LiveRows, count: int) -> LiveRows:
    return replace(rows, columns=rows.columns != 0)


def _everything(rows: LiveRows, count: int) -> LiveRows:
    return replace(rows, columns=torch.ones((1, len(rows.index)), dtype=torch.bool).expand(count, -1))
