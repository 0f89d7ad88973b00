"""What theories and certificates want to know of a chain, each computed once, whoever asks first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from conetheory.chain.columns import local_columns, location_columns, origin_moments
from conetheory.chain.layers import below
from conetheory.chain.local import LocalBlock, checked_positions, is_enumerable, local_rows
from conetheory.chain.relevance import RelevanceChain
from conetheory.chain.streamed import Columns
from conetheory.chain.watch import Watch
from conetheory.counts import checked_seed
from conetheory.errors import InputError
from conetheory.networks.graph import Graph
from conetheory.progress import Progress, silent

Blocks = Mapping[str, list[LocalBlock]]

UNITS = "unit-columns"
MATRICES = "local-matrices"
LOCATIONS = "location-columns"
MOMENTS = "moments"


class Supply:
    """The columns of one chain from one start layer, by what they are of.

    `supply[UNITS]`: P_p, from a column for each start unit (`Columns`, some layers at a time).
    `supply[MATRICES]`: P_p up to a rotation of the start, which leaves the law of Gaussian starts alone, by
    columns or by rows, whichever cost less.
    `supply[LOCATIONS]`: a column for each location of the start (`columns.location_columns`).
    `supply[MOMENTS]`: six columns (`columns.origin_moments`). Each is `{layer: [one block an image]}` for the
    layers below the start; `computed` counts how often each was computed.

    positions: locations per layer and image (None: what is affordable), drawn for each image by its number,
    which is `first_image` for the first of the chain. Raises `InputError` for a need that there is none of.
    What they are made from is watched: who does not look for underflow by himself asks `watch.check()`.
    """

    def __init__(
        self,
        chain: RelevanceChain,
        start: str,
        layers: Sequence[str] | None = None,
        *,
        positions: int | None = None,
        seed: int = 0,
        first_image: int = 0,
        progress: Progress = silent,
    ) -> None:
        self.chain, self.start = chain, start
        self.watch = Watch("image")
        self._watched = chain.watched(self.watch)
        self.layers = below(chain, start, layers)
        self.positions, self.first_image, self.progress = positions, first_image, progress
        positions, seed = checked_positions(positions), checked_seed(seed)
        self.sampling = {"positions": positions, "seed": seed, "first_image": first_image}
        self.computed: Counter[str] = Counter()
        self._held: dict[str, Blocks] = {}
        self._made: dict[str, Any] = {}

    def __getitem__(self, need: str) -> Blocks:
        if need not in self._held:
            if need not in NEEDS:
                raise InputError(f"nothing supplies {need!r}; known: {', '.join(NEEDS)}")
            self.computed[need] += 1
            self._held[need] = NEEDS[need](self)
        return self._held[need]

    def once(self, what: str, make: Callable[[], Any]) -> Any:
        """What `make` gives, made for who asks for it first, by a name that they agree on."""
        if what not in self._made:
            self._made[what] = make()
        return self._made[what]

    def __contains__(self, need: str) -> bool:
        """Whether it is there already."""
        return need in self._held


def _units(supply: Supply) -> Blocks:
    options = {**supply.sampling, "progress": supply.progress}
    if not _known(supply):
        return local_columns(supply._watched, supply.start, supply.layers, **options)
    return Columns(supply._watched, supply.start, supply.layers, **options)


def _known(supply: Supply) -> bool:
    """Whether the chain's operations are known, and its adjoint with them: not of another library's."""
    return isinstance(supply.chain.graph, Graph)


def _matrices(supply: Supply) -> Blocks:
    if not _known(supply):  # columns alone, where they are few enough
        return supply[UNITS] if is_enumerable(supply.chain, supply.start) else {}
    if UNITS in supply or (is_enumerable(supply.chain, supply.start) and not _rows_are_fewer(supply)):
        return supply[UNITS]
    found: dict[str, list[LocalBlock]] = {}
    for done, layer in enumerate(supply.layers, 1):
        found[layer] = local_rows(supply._watched, supply.start, layer, **supply.sampling)
        supply.progress(f"rows up to {supply.start}", done, len(supply.layers))
    return found


def _rows_are_fewer(supply: Supply) -> bool:
    """Whether the rows of some positions, by adjoint passes, are fewer than the start units."""
    if supply.positions is None:
        return False
    rows = sum(supply.positions * supply.chain.shape(layer)[0] for layer in supply.layers)
    return rows < int(np.prod(supply.chain.shape(supply.start)))


def _locations(supply: Supply) -> Blocks:
    options = {**supply.sampling, "progress": supply.progress}
    return location_columns(supply._watched, supply.start, supply.layers, **options)


def _moments(supply: Supply) -> Blocks:
    return origin_moments(supply._watched, supply.start, supply.layers, **supply.sampling)


NEEDS: dict[str, Callable[[Supply], Blocks]] = {
    UNITS: _units,
    MATRICES: _matrices,
    LOCATIONS: _locations,
    MOMENTS: _moments,
}
