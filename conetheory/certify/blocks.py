"""Certificates on blocks of layers, for starts that can't be enumerated.

The rows of the chain between a layer `top` and a location p of a layer `bottom` are a matrix
P_p (channels x units of top). Relevance that is nonnegative at `top`, whatever made it, arrives at p in the
cone of the columns of P_p: the worst pair of columns and the diameter hold for all of it, and for every
nonnegative start above `top` that reaches `bottom` through `top` alone (`Graph.cuts`). A higher `top` gives
a smaller cone, so the certificate from the start layer itself is the best one; lower ones cost less, and
`block_chain_certificate` composes two of them.

All of it is computed in float64, rounded outward, and certifies the matrices of the computed activations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from conetheory.chain.local import LocalBlock, local_matrices, positions_of_images
from conetheory.chain.relevance import RelevanceChain
from conetheory.errors import InputError
from conetheory.networks.ops import Conv2d, Linear
from conetheory.theory import cone, cosine, enclosure, generators
from conetheory.theory.enclosure import round_up
from conetheory.theory.records import NotApplicable

POSITIONS = 8
CONFIDENCE = 0.95


# ---------------------------------------------------------------- one block, one location


@dataclass(frozen=True, eq=False)
class BlockCertificate:
    """What holds at sampled locations of `bottom` for all nonnegative relevance at `top`, for one image.

    One value for each of the flat `positions` of `total`, NaN at dead ones. deficit_upper: of any two
    nonnegative vectors at `top`. diameter_upper: of the cone, inf where supports differ.
    gaussian_deficit_upper: of two Gaussian vectors at `top`, each location by itself with probability 0.95.
    columns: units of `top` that reach the location. factors: L of `P_p = L Q`, Q with orthonormal rows.
    """

    top: str
    bottom: str
    positions: np.ndarray
    total: int
    deficit_upper: np.ndarray
    diameter_upper: np.ndarray
    gaussian_deficit_upper: np.ndarray
    columns: np.ndarray
    factors: torch.Tensor

    def as_local(self) -> LocalBlock:
        """The local matrices up to rotations of the start, which leave the law of Gaussian starts alone."""
        return LocalBlock(self.bottom, self.positions, self.total, self.factors)


def certify_block(
    chain: RelevanceChain,
    top: str,
    bottom: str,
    *,
    positions: int | None = POSITIONS,
    seed: int = 0,
    first_image: int = 0,
) -> list[BlockCertificate]:
    """Certify the block from `top` down to `bottom` at sampled locations: one certificate per image.

    chain: float64, of a nonnegative method. positions: locations, one from each of as many equal strata
    (None: what fits in memory), drawn for each image by its number, which is `first_image` for the first of
    the chain. Raises InputError for a signed method, another dtype, or a `bottom` that is not below `top`.
    Costs one adjoint pass per channel and location. Source: theory.md B12 (theorem `generators`).
    """
    check(chain)
    top, bottom = chain.graph.resolve(top), chain.graph.resolve(bottom)
    g = rounding(chain, top, bottom)
    units = int(np.prod(chain.shape(top)))
    chosen = positions_of_images(chain, bottom, positions, units, seed, first_image)
    at = [[_location(P, g) for P in _matrices(chain, bottom, places, top)] for places in chosen.T]
    total = int(np.prod(chain.shape(bottom)[1:], dtype=int))
    return [
        BlockCertificate(top, bottom, places, total, *_gathered(found))
        for places, found in zip(chosen, zip(*at, strict=True), strict=True)
    ]


def _matrices(chain: RelevanceChain, bottom: str, positions: int | np.ndarray, top: str) -> np.ndarray:
    return local_matrices(chain, bottom, positions, top).cpu().numpy()


def _location(P: np.ndarray, g: float) -> tuple[float, float, float, int, np.ndarray]:
    live = P[:, (P > 0).any(axis=0)]
    factor = np.zeros((len(P), len(P)))
    if live.shape[1] == 0:
        return (*(float("nan"),) * 3, 0, factor)
    lower = np.linalg.qr(live.T, mode="r").T
    factor[:, : lower.shape[1]] = lower
    spread = float(enclosure.stable_rank_excess_upper(live, g))
    gaussian = float(cosine.deficit_upper(spread, 1 - CONFIDENCE)) if np.isfinite(spread) else 1.0
    worst, diameter = generators.worst_deficit_upper(live, g), generators.diameter_upper(live, g)
    return worst, diameter, gaussian, live.shape[1], factor


def _gathered(found: Sequence[tuple]) -> list:
    *numbers, factors = zip(*found, strict=True)
    return [*(np.array(each) for each in numbers), torch.from_numpy(np.stack(factors))]


def rounding(chain: RelevanceChain, start: str, layer: str) -> float:
    """g with |fl(P) - P| <= g |P| entrywise: every operation between counts with both of its fans."""
    fans = []
    for node in chain.graph.between(chain.graph.resolve(start), chain.graph.resolve(layer)):
        match node.op:
            case Conv2d():
                out, into, *kernel = node.op.weight.shape
                window = int(np.prod(kernel))
                fans.append((into * window, out // node.op.groups * window))
            case Linear():
                out, into = node.op.weight.shape
                fans.append((into, out))
            case _:  # sums, pools and reshapes: at most a window of the input, or as many terms as consumers
                shapes = [chain.graph.shape(name) for name in node.inputs]
                window = max(int(np.prod(s[1:], dtype=int)) for s in shapes)
                fans.append((max(window, len(shapes)), window))
        fans[-1] = (fans[-1][0] + len(node.inputs), fans[-1][1] + len(chain.graph.consumers[node.name]))
    return enclosure.subtraction_free_factor(fans)


def check(chain: RelevanceChain) -> None:
    """Raises InputError unless the chain is of a nonnegative method, in float64."""
    check_double(chain)
    if not chain.method.nonnegative:
        raise InputError(f"{chain.method.name} has signed matrices: its columns span no cone to certify")


def check_double(chain: RelevanceChain) -> None:
    """Raises InputError unless the chain is in float64, as rounding is accounted for there."""
    if chain.dtype != torch.float64:
        raise InputError("certificates need a float64 chain: RelevanceChain(..., dtype=torch.float64)")


# ---------------------------------------------------------------- two blocks


@dataclass(frozen=True)
class ComposedCertificate:
    """At one location of `bottom`: what two blocks imply for nonnegative starts, without the whole one."""

    position: int
    diameter_upper: float
    deficit_upper: float
    direction_diameter_upper: float
    carried_upper: float


def block_chain_certificate(
    chain: RelevanceChain, top: str, middle: str, bottom: str, position: int, image: int = 0
) -> ComposedCertificate | NotApplicable:
    """From the block top..middle at the locations that feed p, and middle..bottom at p, the one top..bottom.

    With w the image of ones at `middle`, K_q the cone of top..middle at q, R_q its radius around w_q, and
    P_pq the part of middle..bottom that leads from q to p,

        Delta_p <= Delta([P_pq w_q]_q) + 2 max_q tau(P_pq) R_q

    (theorem `cone-composition`, which asks nothing of the fields; a product of coefficients of single
    locations is no bound where they differ). NotApplicable with the layer and location that prevent it.
    Raises InputError unless `middle` is a cut. Source: theory.md B12; new here.
    """
    check(chain)
    chain = chain.only(image)
    top, middle, bottom = (chain.graph.resolve(name) for name in (top, middle, bottom))
    if middle not in chain.graph.cuts:
        raise InputError(f"blocks meet at a cut of the network, and {middle!r} is none")
    upper, lower = rounding(chain, top, middle), rounding(chain, middle, bottom)
    channels = chain.shape(middle)[0]
    ones = torch.ones((1, 1, *chain.shape(top)), dtype=chain.dtype, device=chain.device)
    w = chain.down(ones, top, middle)[0, 0].reshape(channels, -1).cpu().numpy()
    P = _matrices(chain, bottom, position, middle)[0].reshape(-1, channels, w.shape[1])
    directions = np.einsum("icq,cq->iq", P, w)
    radii, taus = [], []
    for q in np.flatnonzero(directions.any(axis=0)):
        K = _matrices(chain, middle, int(q), top)[0]
        radii.append(generators.radius_upper(K, w[:, q], upper))
        taus.append(round_up(float(cone.birkhoff_tau(generators.diameter_upper(P[:, :, q], lower))), 4))
        if np.isinf(radii[-1]):
            return NotApplicable(
                f"at {middle!r}, location {q}, columns of the block above have different zeros"
            )
    if not radii:
        return NotApplicable(f"location {position} of {bottom!r} is dead")
    directions = directions[:, directions.any(axis=0)]
    g = enclosure.gamma(channels + 2) + lower * (1 + enclosure.gamma(channels + 2))
    diameter = generators.composed_diameter_upper(directions, radii, taus, g)
    if np.isinf(diameter):
        return NotApplicable(
            f"the directions that reach location {position} of {bottom!r} have different zeros"
        )
    own = generators.diameter_upper(directions, g)
    deficit = float(cone.deficit_upper_from_diameter(diameter))
    return ComposedCertificate(position, diameter, deficit, own, round_up(diameter - own))
