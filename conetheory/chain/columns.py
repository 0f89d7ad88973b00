"""Start vectors sent down together, and what arrives of them at chosen locations.

Of one-hot vectors that is P_p itself (`local_columns`, or `Columns` where all layers at once are too much);
of one vector for each location, where relevance comes from (`location_columns`), of which six moments are the
first orders (`origin_moments`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from conetheory import room
from conetheory.chain.local import LocalBlock, locations_of, positions_of_images, widest
from conetheory.chain.relevance import RelevanceChain
from conetheory.networks.graph import INPUT
from conetheory.progress import Progress, silent

# Numbers in the widest relevance of one block of columns: what a heap hands on without asking the system for
# new pages; but some columns at least, for which the weights are transformed together, where they fit.
COLUMN_BLOCK = 2**22
LEAST, MOST = 4, 2**25


@dataclass(frozen=True, eq=False)
class LiveRows:
    """P_p of one image at one layer, those rows that were kept: the others are zero.

    channels: of the layer; index: `place * channels + channel` of each row, ascending, with the place among
    `positions`; columns: (units, rows).
    """

    layer: str
    positions: np.ndarray
    total: int
    channels: int
    index: Tensor
    columns: Tensor

    @property
    def matrices(self) -> Tensor:
        """All rows, (positions, channels, units)."""
        size, units = len(self.positions) * self.channels, len(self.columns)
        if len(self.index) == size:
            rows = self.columns.T.contiguous()
        else:
            rows = self.columns.new_zeros((size, units))
            rows[self.index] = self.columns.T
        return rows.view(len(self.positions), self.channels, units)

    def block(self) -> LocalBlock:
        return LocalBlock(self.layer, self.positions, self.total, self.matrices)

    def places(self) -> Iterator[tuple[np.ndarray, Tensor]]:
        """At each of the positions: the channels of its rows, and the rows, (channels, units)."""
        index = self.index.cpu().numpy()
        ends = np.searchsorted(index, np.arange(len(self.positions) + 1) * self.channels)
        for first, last in pairwise(ends):
            yield index[first:last] % self.channels, self.columns[:, first:last].T


Kept = dict[str, list[LiveRows]]


def local_columns(
    chain: RelevanceChain,
    start: str,
    layers: Iterable[str],
    *,
    positions: int | None = None,
    seed: int = 0,
    first_image: int = 0,
    progress: Progress = silent,
) -> dict[str, list[LocalBlock]]:
    """P_p from all columns of the start layer: for each layer, one block for each image of the chain.

    positions: locations per layer and image (None: what fits, see `sample_positions`), drawn for each image
    by its number, which is `first_image` for the first of the chain.
    """
    units = int(np.prod(chain.shape(start)))
    places = {"positions": positions, "seed": seed, "first_image": first_image}
    return sent_down(
        chain, start, layers, lambda block: chain.one_hot(start, block), units, **places, progress=progress
    )


def location_columns(
    chain: RelevanceChain, start: str, layers: Iterable[str], **options: Any
) -> dict[str, list[LocalBlock]]:
    """`D_q = C (c0 1[q])`: one column for each location q of the start layer, as `local_columns` gives them.

    c0 are the column sums `h = C^T 1` of the chain to the input, for z+ the indicator of live units.
    """
    c0 = chain.up(chain.ones(INPUT), INPUT, start)
    channels = c0.shape[2]
    locations = c0[0, 0, 0].numel()

    def columns(block: Sequence[int]) -> Tensor:
        at = torch.zeros((len(block), locations), dtype=c0.dtype, device=c0.device)
        at[torch.arange(len(block)), list(block)] = 1
        return c0 * at.view(1, len(block), 1, *c0.shape[3:]).expand(-1, -1, channels, *c0.shape[3:])

    return sent_down(chain, start, layers, columns, locations, **options)


def origin_moments(
    chain: RelevanceChain, start: str, layers: Iterable[str], **options: Any
) -> dict[str, list[LocalBlock]]:
    """The six columns `c, X, Y, XX, XY, YY`: the images of c0 and of c0 times the start's coordinates (row y,
    column x, in the start's pixels) and their products, in this order, as `local_columns` gives them.
    """
    c0 = chain.up(chain.ones(INPUT), INPUT, start)
    height, width = c0.shape[3:] if c0.ndim == 5 else (1, 1)
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    factors = torch.stack([torch.ones_like(x), x, y, x * x, x * y, y * y]).to(c0)
    factors = factors.view(1, 6, 1, *c0.shape[3:]) if c0.ndim == 5 else factors.view(1, 6, 1)
    return sent_down(chain, start, layers, lambda block: (c0 * factors)[:, list(block)], 6, **options)


def sent_down(
    chain: RelevanceChain,
    start: str,
    layers: Iterable[str],
    columns: Callable[[range], Tensor],
    count: int,
    *,
    positions: int | None = None,
    seed: int = 0,
    first_image: int = 0,
    progress: Progress = silent,
) -> dict[str, list[LocalBlock]]:
    """The images at sampled locations of `count` start vectors, of which `columns(range)` makes some."""
    wanted = {chain.graph.resolve(name) for name in layers}
    chosen = {name: positions_of_images(chain, name, positions, count, seed, first_image) for name in wanted}
    keeper = Keeper(chain, chosen, count)
    keep_rows(chain, start, columns, count, [keeper], progress)
    return {layer: [rows.block() for rows in keeper.kept.pop(layer)] for layer in list(keeper.kept)}


class Keeper:
    """Copies rows of some layers as they are swept.

    chosen: (images, positions) of each layer. count: columns that are sent down. reached: rows that may be
    other than zero, (images, channels, locations) of each layer; the others are left out (None: all are
    kept). dtype: that they are kept in (None: the chain's).
    """

    def __init__(
        self,
        chain: RelevanceChain,
        chosen: Mapping[str, np.ndarray],
        count: int,
        *,
        reached: Mapping[str, Tensor] | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        self.chain, self.chosen, self.count = chain, chosen, count
        self.reached, self.dtype = reached, dtype
        self.kept: Kept = {}
        self._taken: dict[str, list[Tensor]] = {}  # numbers of the rows among all of a layer's

    def see(self, layer: str, found: Tensor, block: range) -> None:
        """The columns of a block at one of the layers, (images, vectors, channels, *space)."""
        if layer not in self.kept:
            places = enumerate(self.chosen[layer])
            self.kept[layer] = [self._room(layer, image, at, found) for image, at in places]
            self._taken[layer] = [_numbers(rows) for rows in self.kept[layer]]
        images = zip(self.kept[layer], self._taken[layer], found.flatten(2), strict=True)
        for rows, taken, image in images:
            room, index = rows.columns[block.start : block.stop], taken.expand(len(image), -1)
            if room.dtype == image.dtype:
                torch.gather(image, 1, index, out=room)  # in half the time of `index_select`
            else:
                room.copy_(image.gather(1, index))

    def _room(self, layer: str, image: int, places: np.ndarray, like: Tensor) -> LiveRows:
        channels = like.shape[2]
        if self.reached is None:
            index = torch.arange(len(places) * channels, device=like.device)
        else:
            index = self.reached[layer][image][:, places].T.flatten().nonzero()[:, 0].to(like.device)
        room = like.new_empty((self.count, len(index)), dtype=self.dtype or like.dtype)
        return LiveRows(layer, places, locations_of(self.chain, layer), channels, index, room)


def _numbers(rows: LiveRows) -> Tensor:
    """Where kept rows lie in a relevance of the layer, flat over channels and locations."""
    places = torch.as_tensor(rows.positions, device=rows.index.device)[rows.index // rows.channels]
    return rows.index % rows.channels * rows.total + places


def keep_rows(
    chain: RelevanceChain,
    start: str,
    columns: Callable[[range], Tensor],
    count: int,
    keepers: Sequence[Keeper],
    progress: Progress = silent,
) -> None:
    """Send start vectors down, block by block, no farther than there is something to keep."""
    wanted = {layer for keeper in keepers for layer in keeper.chosen}
    for block in _blocks(chain, start, wanted, count):
        left = set(wanted)
        for layer, parts in chain.sweep({start: columns(block)}):
            for keeper in keepers:
                if layer in keeper.chosen:
                    keeper.see(layer, parts[start], block)
            left.discard(layer)
            if not left:
                break
        progress(f"columns from {start}", block.stop, count)


def _blocks(chain: RelevanceChain, start: str, layers: Iterable[str], units: int) -> Iterator[range]:
    """Columns that go down together to the lowest of some layers."""
    width = max([1, *(widest(chain, start, layer) for layer in layers)]) * len(chain)
    least = min(room.block(LEAST), room.block(MOST) // width)
    step = max(1, room.block(COLUMN_BLOCK) // width, least)
    for first in range(0, units, step):
        yield range(first, min(units, first + step))
