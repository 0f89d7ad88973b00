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
    """One step of the walk, from the cut above down to `layer`; means over live locations.

    pixel: the distance of locations above in the start's pixels. added: what the step adds to the variance of
    the origin, and injected: the variance of the mean step between channels (weights c_i^2), both the mean
    of the two axes, in the start's pixels^2. total: the sum of both from the start on. slowest: the second
    eigenvalue that this walk leaves on the start's map (an estimate; its longer side), 1 where nothing moves.
    """

    layer: str
    pixel: float
    added: float
    injected: float
    total: float
    slowest: float


@torch.inference_mode()
def walk_steps(chain: RelevanceChain, start: str) -> list[WalkStep]:
    """The steps of a chain from one cut to the next, `(6 + 1)` vectors for all of them.

    chain: of a flat network (`predict.walk.flat_chain`); of a real one, what its first image makes of the
    walk. A start without locations has no walk: its steps are zero.
    """
    cuts = state_cuts(chain, start)
    c = white_state(chain, cuts[0]).c.reshape(len(chain), 1, *chain.shape(cuts[0]))
    weights = {name: parts[start] for name, parts in chain.sweep({start: c}, INPUT) if name in cuts}
    side = max(space(chain.shape(cuts[0])))
    steps, total = [], 0.0
    for above, below in pairwise(cuts):
        within, between = _variances(chain, above, below, weights[above])
        pixel = side / max(space(chain.shape(above)))
        added, injected = within * pixel**2, between * pixel**2
        total += added + injected
        steps.append(WalkStep(below, pixel, added, injected, total, slowest_mode_estimate(side, total)))
    return steps


def _variances(chain: RelevanceChain, above: str, below: str, c: Tensor) -> tuple[float, float]:
    """Within and between channels, in the pixels of the cut above."""
    x, y = centred_grid(space(chain.shape(above))).T.to(c)
    fields = torch.stack([torch.ones_like(x), x, y, x * x, x * y, y * y])
    fields = fields.view(1, 6, 1, *chain.shape(above)[1:])
    six = flat(chain.down(c * fields, above, below))[0]
    origin = moments(*six)
    length = origin.c.square().sum(1)
    live = length > 0
    between = origin.G.square().sum((1, 2)) / length / 2
    whole = (origin.Sigma[:, 0, 0] + origin.Sigma[:, 1, 1]) / 2
    return _mean(whole[live] - between[live]), _mean(between[live])


def _mean(values: Tensor) -> float:
    return float(values.mean()) if len(values) else np.nan
