"""All columns of a start layer where all layers' at once are too much: some layers at a time, from the top.

A row that no start reaches is zero and is not kept: behind rectifiers that is every second one. Layers that
together fit in `ROOM` numbers are held at a time. Those below them are reached from the lowest cut of the
network whose columns fit there, whole; else the columns are sent down from the start again. What two layers
have in common, as they do at an activation, is held once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from conetheory.chain.columns import Keeper, Kept, LiveRows, keep_rows
from conetheory.chain.cost import passes
from conetheory.chain.layers import alike
from conetheory.chain.local import LocalBlock, locations_of, positions_of_images
from conetheory.chain.relevance import RelevanceChain
from conetheory.errors import InputError
from conetheory.networks.graph import INPUT, Graph
from conetheory.progress import Progress, silent
from conetheory.room import block

ROOM = 3 * 2**24  # numbers of columns held at a time, and as many where they are taken up


class Columns(Mapping[str, list[LocalBlock]]):
    """P_p of all columns, `{layer: [one block an image]}`, made group by group as they are asked for.

    Layers are to be asked for in order, from the top: a group is dropped for the next. groups: their names.
    source: where the group that is held was sent from; whole: all rows at the cut where the next takes up.
    same: for each layer the first of its group with the same columns (`layers.alike`).
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
        room: int | None = None,
    ) -> None:
        self.chain, self.start, self.progress = chain, chain.graph.resolve(start), progress
        room = block(ROOM) if room is None else room
        self.units = int(np.prod(chain.shape(start)))
        names = [chain.graph.resolve(name) for name in layers]
        self.chosen = {
            name: positions_of_images(chain, name, positions, self.units, seed, first_image) for name in names
        }
        self.reached = _reached(chain, start)
        first = alike(chain, self.start, names)
        sizes = {name: self.units * self.kept(name) if first[name] == name else 0 for name in names}
        self.groups = divided(sizes, room)
        self.same = {k: v for group in self.groups for k, v in alike(chain, self.start, group).items()}
        self.sources = sources(chain.graph, self.start, self.groups, self._fits(room))
        self._swept = 0.0  # passes
        self._held: Kept = {}
        self.source = self.start
        self.whole: Kept = {}

    def kept(self, layer: str) -> int:
        """Rows of a layer that are kept, of all images."""
        if self.reached is None:
            return self.chosen[layer].size * self.chain.shape(layer)[0]
        pairs = zip(self.reached[layer], self.chosen[layer], strict=True)
        return sum(int(live[:, places].sum()) for live, places in pairs)

    def _fits(self, room: int) -> Callable[[str], bool]:
        """Whether all columns may be held whole at a layer."""

        def fits(layer: str) -> bool:
            if self.reached is None or not self.chain.hands_on(layer):
                return False
            return self.units * int(self.reached[layer].sum()) <= room

        return fits

    def passes(self, group: Sequence[str]) -> float:
        """What a group's columns cost, in passes of one vector from the start to the input."""
        source = self.sources[self.groups.index([*group])]
        return self.units * passes(self.chain.graph, self.start, source, group[-1])

    def rows(self, told: Callable[[float], None] | None = None) -> Iterator[Kept]:
        """The kept rows of each group, what is held first; to be dropped before the next is asked for.

        told: is given the passes of a group that are done.
        """
        for group in sorted(self.groups, key=lambda names: set(names) != set(self._held)):
            yield self._of(group, told or self._told)

    def _of(self, group: Sequence[str], told: Callable[[float], None]) -> Kept:
        if set(group) == set(self._held):
            return self._held
        self._held.clear()  # before the next is made, whoever still has it
        number, own = self.groups.index([*group]), self.passes(group)
        source, columns = self.sources[number], self._columns
        if source != self.start and source not in self.whole:  # asked for out of order
            source, columns = self.start, self._one_hot
        firsts = {n: self.chosen[n] for n in group if self.same[n] == n}
        keepers = [Keeper(self.chain, firsts, self.units, reached=self.reached)]
        below = self.sources[number + 1] if number + 1 < len(self.groups) else self.start
        if below not in (self.start, source):
            everywhere = np.tile(np.arange(locations_of(self.chain, below)), (len(self.chain), 1))
            keepers.append(Keeper(self.chain, {below: everywhere}, self.units, reached=self.reached))
        keep_rows(
            self.chain,
            source,
            lambda block: columns(source, block),
            self.units,
            keepers,
            lambda what, done, total: told(own * done / total),
        )
        self.source, self.whole = source, keepers[-1].kept if len(keepers) > 1 else self.whole
        self._swept += own
        held = keepers[0].kept
        self._held = {n: [replace(rows, layer=n) for rows in held[self.same[n]]] for n in group}
        return self._held

    def _one_hot(self, source: str, block: range) -> Tensor:
        return self.chain.one_hot(source, block)

    def _columns(self, source: str, block: range) -> Tensor:
        """The columns at a source, where they are held whole."""
        if source == self.start:
            return self._one_hot(source, block)
        units, shape = slice(block.start, block.stop), self.chain.shape(source)
        return torch.stack([restored(rows, units, shape) for rows in self.whole[source]])

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


def restored(rows: LiveRows, units: slice | Tensor, shape: Sequence[int]) -> Tensor:
    """The columns of some units at a layer all of whose locations were kept: (vectors, *shape)."""
    kept = rows.columns[units]
    found = kept.new_zeros((len(kept), rows.total * rows.channels))
    found[:, rows.index] = kept
    return found.view(len(kept), rows.total, rows.channels).mT.reshape(len(kept), *shape)


def divided(sizes: Mapping[str, int], room: int) -> list[list[str]]:
    """Names in their order in as few groups as have at most `room` each, of sizes as equal as may be.

    What is larger by itself is what all groups may have.
    """
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


def sources(
    graph: Graph, start: str, groups: Sequence[Sequence[str]], fits: Callable[[str], bool]
) -> list[str]:
    """Where the columns of each group are sent down from: the lowest cut that the one above it passed.

    fits: whether the columns may be held whole at a cut; where they may at none, it is the start.
    """
    order = [INPUT, *graph.nodes]
    place = {name: number for number, name in enumerate(order)}
    found = [start]
    for above in groups[:-1]:
        passed = [c for c in graph.cuts if place[above[-1]] <= place[c] < place[found[-1]] and c != INPUT]
        fitting = [c for c in sorted(passed, key=place.__getitem__) if fits(c)]
        found.append(fitting[0] if fitting else found[-1])
    return found[: len(groups)]


def _reached(chain: RelevanceChain, start: str) -> dict[str, Tensor] | None:
    """Which rows a start reaches, (images, channels, locations); None where the method does not tell."""
    try:
        pattern = chain.pattern().watched(None)
        ones = torch.ones((len(chain), 1, *chain.shape(start)), dtype=chain.dtype, device=chain.device)
        swept = pattern.sweep({start: ones})
        return {k: (p[start] > 0).reshape(len(chain), chain.shape(k)[0], -1).cpu() for k, p in swept}
    except InputError:
        return None
