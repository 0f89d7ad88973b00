"""sigma_2 / sigma_1 of the chain from the start down to a tensor, as a whole and at one location.

By block Lanczos from the start's side (`theory.spectrum.leading_singular_values`). The leading right singular
vectors of a chain tend to those of its longer ones (Oseledets), so each tensor starts from what the one above
it ended with.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from conetheory.chain.relevance import RelevanceChain
from conetheory.contraction.vectors import frame, probes, vectors
from conetheory.theory.spectrum import leading_singular_values

PROBES, STEPS, RTOL = 3, 2, 1e-2
PASSES = 2 * PROBES * STEPS  # of the chain so far, at most

Apply = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class RitzRatio:
    """sigma_2 / sigma_1 by Ritz values: sigma_1 and sigma_2 are at least theirs, so neither side is certain.

    residual: some sigma_i / s_1 lies within it of the ratio; `reached`: below the tolerance.
    right: the Ritz vectors on the start's side, `(units, at most 2)`, to begin the next with.
    """

    ratio: float
    residual: float
    reached: bool
    right: Tensor | None = None


def whole_ratio(
    chain: RelevanceChain, start: str, layer: str, seed: int = 0, known: Tensor | None = None
) -> RitzRatio:
    """sigma_2 / sigma_1 of the chain of one image from `start` to `layer`. known: vectors to begin with."""
    above, below = chain.shape(start), chain.shape(layer)

    def down(v: Tensor) -> Tensor:
        return frame(chain.down(vectors(v, above), start, layer))

    def up(h: Tensor) -> Tensor:
        return frame(chain.up(vectors(h, below), layer, start))

    return _ritz(down, up, _start(chain, start, math.prod(below), seed, known))


def local_ratio(
    chain: RelevanceChain, start: str, layer: str, place: int, seed: int = 0, known: Tensor | None = None
) -> RitzRatio:
    """The same of P_p, the rows at flat location `place`."""
    above, (channels, *space) = chain.shape(start), chain.shape(layer)
    locations = math.prod(space)

    def down(v: Tensor) -> Tensor:
        arrived = chain.down(vectors(v, above), start, layer)
        return arrived.reshape(v.shape[1], channels, locations)[..., place].T

    def up(h: Tensor) -> Tensor:
        whole = h.new_zeros((h.shape[1], channels, locations))
        whole[..., place] = h.T
        return frame(chain.up(whole.reshape(1, -1, channels, *space), layer, start))

    return _ritz(down, up, _start(chain, start, channels, seed, known))


def _start(chain: RelevanceChain, start: str, rows: int, seed: int, known: Tensor | None) -> Tensor:
    """What is known, and Gaussian vectors beside it."""
    columns = math.prod(chain.shape(start))
    drawn = probes(chain, columns, min(PROBES, columns, rows), seed)
    if known is None:
        return drawn
    return torch.cat([known[:, : drawn.shape[1]], drawn[:, known.shape[1] :]], 1)


def _ritz(down: Apply, up: Apply, start: Tensor) -> RitzRatio:
    if start.shape[1] < 2:
        return RitzRatio(math.nan, math.nan, False)
    found = leading_singular_values(down, up, start, count=2, rtol=RTOL, max_steps=STEPS)
    first, second = found.lower.double().tolist()
    if first == 0:
        return RitzRatio(math.nan, math.nan, False)
    return RitzRatio(second / first, float(found.residual[1]) / first, found.reached, found.right)
