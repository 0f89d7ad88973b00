"""How the origin of relevance spreads: the variance that each operation adds to Sigma and injects into G.

Six vectors go down from the first cut that has locations: c, the image of the start's column sums, and c
times the cut's coordinates (`theory.origin`). At each tensor the median over locations of the trace of Sigma,
in the cut's pixels squared, and of the part of that variance which lies between the channels' mean origins.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import nan, prod

import numpy as np
import torch
from torch import Tensor

from conetheory.chain.layers import state_cuts
from conetheory.chain.local import sample_positions
from conetheory.chain.reach import space
from conetheory.chain.relevance import RelevanceChain
from conetheory.networks.graph import INPUT
from conetheory.theory import origin

PLACES = 256  # locations a tensor
PASSES = 6


@dataclass(frozen=True)
class Spread:
    """variance: trace of Sigma, pixels^2 of the cut; between: trace of `G^T G / |c|^2`, of the same unit."""

    variance: float
    between: float


def spreads(chain: RelevanceChain, start: str, seed: int = 0) -> dict[str, Spread]:
    """Of every tensor below the first cut with locations, for one image; empty where there is no such cut."""
    top = next((c for c in state_cuts(chain, start) if prod(space(chain.shape(c))) > 1), None)
    if top is None or top == INPUT:
        return {}
    h = chain.up(chain.ones(INPUT), INPUT, start)
    c = h if chain.graph.resolve(start) == top else chain.down(h, start, top)
    found = {}
    for name, parts in chain.sweep({top: c * _fields(chain, top)}):
        six = parts[top][0].reshape(PASSES, chain.shape(name)[0], -1)
        places = torch.as_tensor(sample_positions(chain, name, PLACES, 1, seed), device=six.device)
        found[name] = _spread(six[..., places])
    return found


def _fields(chain: RelevanceChain, top: str) -> Tensor:
    """1, x, y, xx, xy, yy on the cut's grid, counted from its middle: `(1, 6, 1, *space)`."""
    height, width = space(chain.shape(top))
    y, x = torch.meshgrid(
        torch.arange(height) - (height - 1) / 2, torch.arange(width) - (width - 1) / 2, indexing="ij"
    )
    fields = torch.stack([torch.ones_like(x), x, y, x * x, x * y, y * y])
    return fields.reshape(1, PASSES, 1, *chain.shape(top)[1:]).to(dtype=chain.dtype, device=chain.device)


def _spread(six: Tensor) -> Spread:
    moments = origin.moments(*six)
    length = moments.c.square().sum(1)
    live = length > 0
    if not bool(live.any()):
        return Spread(nan, nan)
    variance = moments.Sigma.diagonal(dim1=-2, dim2=-1).sum(-1)[live]
    between = moments.G.square().sum((1, 2))[live] / length[live]
    return Spread(*(float(np.median(x.cpu().numpy())) for x in (variance, between)))
