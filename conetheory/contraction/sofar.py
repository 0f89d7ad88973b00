"""What the chain from the start down to a tensor says: sigma_2 / sigma_1 as a whole and at a location,
Lyapunov exponents, and how fast its locations mix."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from conetheory.chain.layers import state_cuts
from conetheory.chain.relevance import RelevanceChain
from conetheory.errors import InputError
from conetheory.networks.graph import INPUT
from conetheory.theory.lyapunov import lyapunov_spectrum
from conetheory.theory.secondmoment import covector
from conetheory.theory.spectrum import leading_singular_values

PROBES, STEPS, RTOL = 3, 3, 1e-2
MIXING_STEPS = 12
EXPONENTS = 3

Apply = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class RitzRatio:
    """sigma_2 / sigma_1 by Ritz values: sigma_1 and sigma_2 are at least theirs, so neither side is certain.

    residual: some sigma_i / s_1 lies within it of the ratio; `reached`: below the tolerance.
    """

    ratio: float
    residual: float
    reached: bool


@dataclass(frozen=True)
class Exponents:
    """log sizes of the leading directions at a cut, `(k,)`; gap: the first less the second."""

    sizes: np.ndarray

    @property
    def gap(self) -> float:
        return float(self.sizes[0] - self.sizes[1]) if len(self.sizes) > 1 else math.nan


def whole_ratio(chain: RelevanceChain, start: str, layer: str, seed: int = 0) -> RitzRatio:
    """sigma_2 / sigma_1 of the chain of one image from `start` to `layer`, by a few probes."""
    above, below = chain.shape(start), chain.shape(layer)

    def down(v: Tensor) -> Tensor:
        return _flat(chain.down(_vectors(v, above), start, layer))

    def up(h: Tensor) -> Tensor:
        return _flat(chain.up(_vectors(h, below), layer, start))

    return _ritz(down, up, math.prod(above), math.prod(below), chain, seed)


def local_ratio(chain: RelevanceChain, start: str, layer: str, place: int, seed: int = 0) -> RitzRatio:
    """The same of P_p, the rows at flat location `place`."""
    above, (channels, *space) = chain.shape(start), chain.shape(layer)
    locations = math.prod(space)

    def down(v: Tensor) -> Tensor:
        return (
            chain.down(_vectors(v, above), start, layer)
            .reshape(v.shape[1], channels, locations)[..., place]
            .T
        )

    def up(h: Tensor) -> Tensor:
        whole = h.new_zeros((h.shape[1], channels, locations))
        whole[..., place] = h.T
        return _flat(chain.up(whole.reshape(1, -1, channels, *space), layer, start))

    return _ritz(down, up, math.prod(above), channels, chain, seed)


def _ritz(down: Apply, up: Apply, columns: int, rows: int, chain: RelevanceChain, seed: int) -> RitzRatio:
    count = min(PROBES, columns, rows)
    if count < 2:
        return RitzRatio(math.nan, math.nan, False)
    start = _probes(columns, count, chain, seed)
    found = leading_singular_values(down, up, start, count=2, rtol=RTOL, max_steps=STEPS)
    first, second = found.lower.double().tolist()
    if first == 0:
        return RitzRatio(math.nan, math.nan, False)
    return RitzRatio(second / first, float(found.residual[1]) / first, found.reached)


def exponents(chain: RelevanceChain, start: str, seed: int = 0) -> dict[str, Exponents]:
    """Log singular values of the chain down to every cut, on the span of three probes, by QR on the way.

    Largest first; those of the chain itself are at least as large. NaN where the images of the probes span
    less than they did, in the dtype of the chain.
    """
    cuts = state_cuts(chain, start)
    count = min(EXPONENTS, *(math.prod(chain.shape(c)) for c in cuts))
    frame = torch.linalg.qr(_probes(math.prod(chain.shape(cuts[0])), count, chain, seed)).Q
    triangles, found = [], {}
    for top, bottom in pairwise(cuts):
        frame, R = torch.linalg.qr(_step(chain, top, bottom)(frame))
        triangles.append(R.double().cpu().numpy())
        found[bottom] = Exponents(_sizes(triangles, count))
    return found


def _sizes(triangles: list[np.ndarray], count: int) -> np.ndarray:
    try:
        return lyapunov_spectrum(triangles, np.eye(count)).log_singular_values
    except InputError:  # the product has lost a dimension
        return np.full(count, np.nan)


def _step(chain: RelevanceChain, top: str, bottom: str) -> Apply:
    return lambda v: _flat(chain.down(_vectors(v, chain.shape(top)), top, bottom))


def mixing(chain: RelevanceChain, start: str, seed: int = 0) -> dict[str, float]:
    """The second singular value of the location chain t of each block between cuts, in the chi-square sense.

    `t f (p) = <b(p), (M (c f))(p)>`, c the image of the start's column sums, b a covector with <b, c> = 1
    (`theory.secondmoment`); t 1 = 1. With weights w at the lower cut (uniform over live locations) and t^T w
    at the upper one it contracts the deviations of a field from its mean, in mean square, by at most this.
    A Ritz value: a lower bound. NaN where weights are negative, or one location is left.
    """
    cuts = state_cuts(chain, start)
    c = {cuts[0]: chain.up(chain.ones(INPUT), INPUT, cuts[0])}
    for name, parts in chain.sweep({cuts[0]: c[cuts[0]]}):
        if name in cuts:
            c[name] = parts[cuts[0]]
    return {b: _second(chain, a, b, c[a], c[b], seed) for a, b in pairwise(cuts)}


def _second(chain: RelevanceChain, top: str, bottom: str, c: Tensor, image: Tensor, seed: int) -> float:
    above, below = (_channels(x) for x in (c, image))
    b = covector(below, chain.method.nonnegative)

    def t(f: Tensor) -> Tensor:
        sent = _vectors((above[:, :, None] * f[None]).flatten(0, 1), chain.shape(top))
        arrived = chain.down(sent, top, bottom).reshape(f.shape[1], *below.shape)
        return (arrived * b).sum(1).T

    def adjoint(g: Tensor) -> Tensor:
        sent = _vectors((b[:, :, None] * g[None]).flatten(0, 1), chain.shape(bottom))
        arrived = chain.up(sent, bottom, top).reshape(g.shape[1], *above.shape)
        return (arrived * above).sum(1).T

    live = (b != 0).any(0)
    w = live.to(b.dtype) / max(int(live.sum()), 1)
    weights = adjoint(w[:, None])[:, 0]
    if bool((weights < 0).any()) or int(live.sum()) < 2 or int((weights > 0).sum()) < 2:
        return math.nan
    below_root, above_root = w.sqrt(), weights.sqrt()
    inverse = torch.where(weights > 0, 1 / above_root, 0.0)

    def off(x: Tensor, root: Tensor) -> Tensor:
        return x - root[:, None] * (root @ x)[None]

    def matvec(x: Tensor) -> Tensor:
        return off(below_root[:, None] * t(inverse[:, None] * off(x, above_root)), below_root)

    def rmatvec(y: Tensor) -> Tensor:
        inverse_below = torch.where(w > 0, 1 / below_root, 0.0)
        return off(
            inverse[:, None] * adjoint(inverse_below[:, None] * (w[:, None] * off(y, below_root))), above_root
        )

    probes = off(_probes(len(weights), min(2, len(weights) - 1), chain, seed), above_root)
    found = leading_singular_values(matvec, rmatvec, probes, count=1, rtol=1e-3, max_steps=MIXING_STEPS)
    return float(found.lower[0])


def _channels(x: Tensor) -> Tensor:
    """`(channels, locations)` of one vector of one image."""
    return x[0, 0].reshape(x.shape[2], -1)


def _probes(size: int, count: int, chain: RelevanceChain, seed: int) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    return torch.randn((size, count), generator=rng, dtype=torch.float64).to(
        dtype=chain.dtype, device=chain.device
    )


def _vectors(frame: Tensor, shape: tuple[int, ...]) -> Tensor:
    """A frame `(units, count)` as relevance `(1, count, *shape)`."""
    return frame.T.reshape(1, -1, *shape)


def _flat(r: Tensor) -> Tensor:
    """Relevance of one image as a frame."""
    return r.flatten(2)[0].T
