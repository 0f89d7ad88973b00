"""What each layer adds to the walk of the weights: a table, without an image and without a random vector."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from conetheory.chain.layers import state_cuts
from conetheory.chain.reach import space
from conetheory.chain.relevance import RelevanceChain
from conetheory.networks.graph import INPUT
from conetheory.predict.origin_cut import centred_grid
from conetheory.predict.states import flat, white_state
from conetheory.theory.origin import moments
from conetheory.theory.walk import slowest_mode_estimate


@dataclass(frozen=True)
class WalkStep:
    """One step of the walk, from the cut above down to `layer`; means over live locations and both axes.

    pixel: the distance of locations above in the start's pixels. In the start's pixels^2, weights c_i^2,
    added: what the step adds to the variance of a channel's origin; injected: the variance of the mean step
    between channels; total: the variance Sigma of the origin at `layer`. explained: the share of Sigma that
    is between channels, about the tail of the spectrum (theorem `origin-law`: half of it an axis, two axes).
    slowest: the second eigenvalue that a walk of this variance leaves on the start's map (an estimate; its
    longer side), 1 where nothing moves, NaN where a signed chain's variance is negative.
    """

    layer: str
    pixel: float
    added: float
    injected: float
    total: float
    explained: float
    slowest: float


@torch.inference_mode()
def walk_steps(chain: RelevanceChain, start: str) -> list[WalkStep]:
    """The steps of a chain from one cut to the next, by twelve vectors for all of them.

    chain: of a flat network (`predict.walk.flat_chain`); of a real one, what its first image makes of the
    walk. A start without locations has no walk: its steps are zero.
    """
    cuts = state_cuts(chain, start)
    whole = _six(chain, cuts[0], white_state(chain, cuts[0]).c.reshape(len(chain), 1, *chain.shape(cuts[0])))
    side = max(space(chain.shape(cuts[0])))
    weights, totals = {}, {}
    for name, parts in chain.sweep({cuts[0]: whole}, INPUT):
        if name in cuts:
            weights[name] = parts[cuts[0]][:, :1].clone()
            totals[name] = _variances(chain, parts[cuts[0]], side**2)
    steps = []
    for above, below in pairwise(cuts):
        pixel = side / max(space(chain.shape(above)))
        six = chain.down(_six(chain, above, weights[above]), above, below)
        added, injected = (v * pixel**2 for v in _variances(chain, six, (side / pixel) ** 2))
        within, between = totals[below]
        total = within + between
        share = between / total if total > 0 else 0.0
        slowest = slowest_mode_estimate(side, total) if total >= 0 else np.nan
        steps.append(WalkStep(below, pixel, added, injected, total, share, slowest))
    return steps


def _six(chain: RelevanceChain, cut: str, c: Tensor) -> Tensor:
    """c times 1, x, y, x^2, x y, y^2."""
    x, y = centred_grid(space(chain.shape(cut))).T.to(c)
    fields = torch.stack([torch.ones_like(x), x, y, x * x, x * y, y * y])
    return c * fields.view(1, 6, 1, *chain.shape(cut)[1:])


def _variances(chain: RelevanceChain, six: Tensor, largest: float) -> tuple[float, ...]:
    """Within and between channels, the mean of the first image; NaN where every location is dead.

    Sigma is a difference of second moments, which are as large as `largest`: what is below its rounding is 0.
    """
    origin = moments(*flat(six)[0])
    length = origin.c.square().sum(1)
    live = length > 0
    between = origin.G.square().sum((1, 2)) / length / 2
    whole = (origin.Sigma[:, 0, 0] + origin.Sigma[:, 1, 1]) / 2
    found = [part[live].mean().item() for part in (whole - between, between)]
    return tuple(0.0 if abs(value) < torch.finfo(chain.dtype).eps * largest else value for value in found)
