"""Where origins are counted from: the start itself, or below a dense start the first map with locations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from conetheory.chain.places import places
from conetheory.chain.reach import space
from conetheory.chain.relevance import RelevanceChain
from conetheory.chain.supply import Supply
from conetheory.measure.meter import draw, drawn_name
from conetheory.networks.graph import INPUT
from conetheory.predict.states import dense_cuts, first_map, first_state, flat
from conetheory.theory import secondmoment

LEAST = 1e-6  # of the largest column sum: what is below it in a signed chain is rounding


@dataclass(frozen=True, eq=False)
class Cut:
    """c `(images, channels, locations)`, the field whose origins are looked at; b with `<b, c> = 1` at every
    location; K of every image, the covariance of `s = <b, r>`, (locations, locations) or its diagonal.
    grid: (x, y) of the locations from the middle of the map.
    """

    name: str
    start: str
    c: Tensor
    b: Tensor
    K: Sequence[Tensor]
    grid: Tensor
    size: tuple[int, int]

    def draws(self, chain: RelevanceChain, count: int, numbers: Sequence[int], seed: int) -> Tensor:
        """Relevance of `count` white starts at the cut, `(images, count, channels, locations)`.

        From a stream of their own: they are not those of a measurement with the same seed.
        """
        name = f"origin of {drawn_name(chain.graph, self.start)}"
        z = draw(chain.shape(self.start), numbers, count, start=name, seed=seed)
        z = z.to(chain.device, chain.dtype)
        top = chain.graph.resolve(self.start)
        return flat(z if top == self.name else chain.down(z, top, self.name))

    def split(self, r: Tensor) -> tuple[Tensor, Tensor]:
        """`s c` and the deviation `r - s c` of relevance at the cut; nothing where c is zero at a unit."""
        s = (self.b[:, None] * r).sum(2, keepdim=True)
        along = s * self.c[:, None]
        return along, torch.where(self.c[:, None] != 0, r, 0.0) - along


def first_cut(chain: RelevanceChain, start: str, supply: Supply | None = None) -> Cut:
    """The cut of a start. White starts: c are the column sums and s the coordinate along them, so that K is
    diagonal with `1 / |c|^2` (theorem `origin-overlap`). Dense starts of at most 1,024 units: a column each,
    unless a supply has them.
    """
    name = cut_of(chain, start)
    if name == chain.graph.resolve(start):
        c, b, K = _white(chain, name)
    else:
        _, state = first_state(chain, start, supply or Supply(chain, start))
        c, K = state.c, list(state.K)
        b = torch.stack([secondmoment.covector(one, chain.method.nonnegative) for one in c])
    size = size_of(chain, name)
    return Cut(name, start, c, b, K, centred_grid(size).to(chain.device), size)


def cut_of(chain: RelevanceChain, start: str) -> str:
    """The name of the cut of a start."""
    cuts = dense_cuts(chain, start)
    return first_map(chain, cuts) or cuts[0]


def size_of(chain: RelevanceChain, name: str) -> tuple[int, int]:
    """Height and width of the map whose locations a tensor has: of patches in a row, the map of patches."""
    found = places(chain.graph)[name]
    return space(chain.shape(name)) if isinstance(found, str) else found


def _white(chain: RelevanceChain, top: str) -> tuple[Tensor, Tensor, list[Tensor]]:
    ones = torch.ones((len(chain), 1, *chain.shape(INPUT)), dtype=chain.dtype, device=chain.device)
    h = flat(chain.up(ones, INPUT, top))[:, 0]
    c = torch.where(h.abs() > LEAST * h.abs().amax((1, 2), keepdim=True), h, 0.0)
    b = torch.stack([secondmoment.covector(one, False) for one in c])
    return c, b, [one.to(torch.float64).square().sum(0) for one in b]


def centred_grid(size: tuple[int, int]) -> Tensor:
    """(x, y) of the flat locations of a map, from its middle: (locations, 2), float64."""
    height, width = size
    y, x = torch.meshgrid(
        torch.arange(height, dtype=torch.float64) - (height - 1) / 2,
        torch.arange(width, dtype=torch.float64) - (width - 1) / 2,
        indexing="ij",
    )
    return torch.stack([x.flatten(), y.flatten()], 1)
