"""All columns of a start layer where all layers' at once are too much: some layers at a time, from the top.

A row that no start reaches is zero and is not kept: behind rectifiers that is every second one. Layers that
together fit in `ROOM` numbers are held at a time; the columns are sent down again for those below them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from conetheory.chain.columns import Kept, kept_rows
from conetheory.chain.local import LocalBlock, positions_of_images
from conetheory.chain.relevance import RelevanceChain
from conetheory.errors import InputError
from conetheory.networks.graph import INPUT
from conetheory.progress import Progress, silent

ROOM = 5 * 2**25  # numbers of columns held at a time


class Columns(Mapping[str, list[LocalBlock]]):
    """P_p of all columns, `{layer: [one block an image]}`, made group by group as they are asked for.

    Layers are to be asked for in order, from the top: a group is dropped for the next. groups: their names.
    positions: locations per layer and image, as in `local_columns`.
    """

    def __init__(
        self,
        chain: RelevanceChain,
        start: str,
        layers: Sequence[str],
        *,
        positions: int | None = None,
        seed: int = 0,
        first_image: int = 0,
        progress: Progress = silent,
        room: int = ROOM,
    ) -> None:
        self.chain, self.start, self.progress = chain, start, progress
        self.units = int(np.prod(chain.shape(start)))
        names = [chain.graph.resolve(name) for name in layers]
        self.chosen = {
            name: positions_of_images(chain, name, positions, self.units, seed, first_image) for name in names
        }
        self.reached = _reached(chain, start, self.chosen)
        self.groups = divided({name: self.units * self.kept(name) for name in names}, room)
        self._swept = 0.0  # passes
        self._held: Kept = {}

    def kept(self, layer: str) -> int:
        """Rows of a layer that are kept, of all images."""
        if self.reached is None:
            return self.chosen[layer].size * self.chain.shape(layer)[0]
        return sum(
            int(live[:, places].sum())
            for live, places in zip(self.reached[layer], self.chosen[layer], strict=True)
        )

    def passes(self, group: Sequence[str]) -> float:
        """What a group's columns cost, in passes of one vector from the start to the input."""
        graph, top = self.chain.graph, self.chain.graph.resolve(self.start)
        return self.units * graph.multiplications(top, group[-1]) / max(1, graph.multiplications(top, INPUT))

    def rows(self, told: Callable[[float], None] | None = None) -> Iterator[Kept]:
        """The kept rows of each group, what is held first; to be dropped before the next is asked for.

        told: is given the passes of a group that are done.
        """
        for group in sorted(self.groups, key=lambda names: set(names) != set(self._held)):
            yield self._of(group, told or self._told)

    def _of(self, group: Sequence[str], told: Callable[[float], None]) -> Kept:
        if set(group) != set(self._held):
            self._held = {}  # before the next is made
            passes = self.passes(group)
            self._held = kept_rows(
                self.chain,
                self.start,
                {name: self.chosen[name] for name in group},
                lambda block: self.chain.one_hot(self.start, block),
                self.units,
                reached=self.reached,
                progress=lambda what, done, total: told(passes * done / total),
            )
            self._swept += passes
        return self._held

    def _told(self, passes: float) -> None:
        total = sum(self.passes(group) for group in self.groups)
        done = min(self._swept % total + passes, total) if total else 0
        self.progress(f"columns from {self.start}", round(done), round(total))

    def __getitem__(self, layer: str) -> list[LocalBlock]:
        group = next((names for names in self.groups if layer in names), None)
        if group is None:
            raise KeyError(layer)
        return [rows.block() for rows in self._of(group, self._told)[layer]]

    def __iter__(self) -> Iterator[str]:
        return (layer for group in self.groups for layer in group)

    def __len__(self) -> int:
        return len(self.chosen)


def divided(sizes: Mapping[str, int], room: int) -> list[list[str]]:
    """Names in their order in as few groups as have at most `room` each, of sizes as equal as may be."""
    least = _filled(sizes, room)
    low, high = max([*sizes.values(), 1]), room
    while low < high:  # the least room for which as many groups do
        middle = (low + high) // 2
        low, high = (low, middle) if len(_filled(sizes, middle)) <= len(least) else (middle + 1, high)
    return _filled(sizes, low)


def _filled(sizes: Mapping[str, int], room: int) -> list[list[str]]:
    groups: list[list[str]] = []
    held = 0
    for name, size in sizes.items():
        if not groups or held + size > room:
            groups.append([])
            held = 0
        groups[-1].append(name)
        held += size
    return groups


def _reached(chain: RelevanceChain, start: str, layers: Mapping[str, np.ndarray]) -> dict[str, Tensor] | None:
    """Which rows a start reaches, (images, channels, locations); None where the method does not tell."""
    try:
        pattern = chain.pattern()
        ones = torch.ones((len(chain), 1, *chain.shape(start)), dtype=chain.dtype, device=chain.device)
        swept = pattern.watched(None).sweep({start: ones})
        shape = {layer: (len(chain), chain.shape(layer)[0], -1) for layer in layers}
        return {k: (p[start] > 0).reshape(shape[k]).cpu() for k, p in swept if k in layers}
    except InputError:
        return None
