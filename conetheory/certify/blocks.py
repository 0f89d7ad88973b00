"""Certificates on blocks of layers, for starts that can't be enumerated.

The rows of the chain between a layer `top` and a location p of a layer `bottom` are a matrix
P_p (channels x units of top). A nonnegative start at `top` arrives at p in the cone of the columns of P_p:
the worst pair of columns and the diameter hold for every two. Of a method that sends down nothing but
relevance (`Rule.has_fixed_pattern` says so) they hold for whatever nonnegative relevance arrives at `top`,
and so for every nonnegative start above it that reaches `bottom` through `top` alone (`Graph.cuts`). A
higher `top` gives a smaller cone, so the certificate from the start layer itself is the best one; lower ones
cost less, and `block_chain_certificate` composes two of them.

All of it is computed in float64 on the CPU, where convolutions are matrix products and never subtract (on a
GPU the algorithm can't be chosen), rounded outward, and certifies the matrices of the activations computed
there. What a column is that underflowed, see `known`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch

from conetheory.certify.known import EXTRA, known, row_loss, row_support
from conetheory.chain.local import LocalBlock, local_matrices, positions_of_images
from conetheory.chain.relevance import RelevanceChain
from conetheory.errors import InputError
from conetheory.networks.attention import MatMul
from conetheory.networks.ops import Conv2d, Linear
from conetheory.networks.transposed import ConvTranspose2d
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
    nonnegative vectors at `top` that arrive; inf where float64 can't tell. diameter_upper: of the cone, inf
    where supports differ too. gaussian_deficit_upper: of two Gaussian vectors at `top`, each location by
    itself with probability 0.95. columns: units of `top` that reach the location. pairs: two of them that
    attain the worst deficit, or nearly (-1 where there is none). factors: L of `P_p = L Q`, Q with
    orthonormal rows.
    """

    top: str
    bottom: str
    positions: np.ndarray
    total: int
    deficit_upper: np.ndarray
    diameter_upper: np.ndarray
    gaussian_deficit_upper: np.ndarray
    columns: np.ndarray
    pairs: np.ndarray
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
    Costs one adjoint pass per channel and location. Source: theorem `generators`.
    """
    chain = check(chain)
    top, bottom = chain.graph.resolve(top), chain.graph.resolve(bottom)
    g = rounding(chain, top, bottom) + EXTRA
    units = int(np.prod(chain.shape(top)))
    chosen = positions_of_images(chain, bottom, positions, units, seed, first_image)
    lost = row_loss(chain, bottom, top)
    at = [_locations(chain, bottom, places, top, g, lost) for places in chosen.T]
    total = int(np.prod(chain.shape(bottom)[1:], dtype=int))
    return [
        BlockCertificate(top, bottom, places, total, *_gathered(found))
        for places, found in zip(chosen, zip(*at, strict=True), strict=True)
    ]


def _locations(
    chain: RelevanceChain, bottom: str, places: np.ndarray, top: str, g: float, lost: np.ndarray
) -> list[tuple]:
    """What holds at one location of each image."""
    matrices = _matrices(chain, bottom, places, top)
    support = row_support(chain, bottom, places, top, matrices)
    return [_location(P, on, cost, g) for P, on, cost in zip(matrices, support, lost, strict=True)]


def _matrices(chain: RelevanceChain, bottom: str, positions: int | np.ndarray, top: str) -> np.ndarray:
    return local_matrices(chain, bottom, positions, top).cpu().numpy()


def _location(P: np.ndarray, support: np.ndarray, lost: np.ndarray, g: float) -> tuple:
    found = known(P, support, lost)
    factor, units = np.zeros((len(P), len(P))), np.flatnonzero(found.columns)
    if not found.live:
        return (*(float("nan"),) * 3, 0, np.full(2, -1), factor)
    live = found.matrices[:, found.columns]
    lower = cast(np.ndarray, np.linalg.qr(live.T, mode="r")).T  # numpy declares the pair of "reduced"
    factor[:, : lower.shape[1]] = lower
    gaussian, worst, diameter, pair = 1.0, float("inf"), float("inf"), [0, 0]
    if found.by_norm:
        spread = float(enclosure.stable_rank_excess_upper(live, g))
        gaussian = float(cosine.deficit_upper(spread, 1 - CONFIDENCE)) if np.isfinite(spread) else 1.0
    if found.by_column:
        worst, *pair = generators.worst_pair_upper(live, g)
    if found.by_entry:
        diameter = generators.diameter_upper(live, g)
    return worst, diameter, gaussian, len(units), units[pair], factor


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
            case ConvTranspose2d():
                into, out, *kernel = node.op.weight.shape
                window = int(np.prod(kernel))
                fans.append((into // node.op.groups * window, out * window))
            case Linear():
                out, into = node.op.weight.shape
                fans.append((into, out))
            case _:  # sums, pools and reshapes: at most the locations of the input or of the output
                shapes = [chain.graph.shape(name) for name in (node.name, *node.inputs)]
                window = int(np.max([np.prod(s[1:], dtype=int) for s in shapes]))
                fans.append((window, window))
        # Branches that meet are summed, and a rule has roundings of its own.
        more = len(node.inputs) + len(chain.graph.consumers[node.name]) + chain.method.layerwise.roundings
        fans[-1] = (fans[-1][0] + more, fans[-1][1])
    ends = chain.method.layerwise.roundings  # of what enters at the start and is read at the layer
    return enclosure.subtraction_free_factor([*fans, (ends, ends)])


def check(chain: RelevanceChain) -> RelevanceChain:
    """The chain on the CPU. Raises InputError unless it is of a nonnegative method, in float64."""
    chain = check_double(chain)
    if not chain.method.nonnegative:
        raise InputError(f"{chain.method.name} has signed matrices: its columns span no cone to certify")
    return chain


def check_double(chain: RelevanceChain) -> RelevanceChain:
    """The chain on the CPU. Raises InputError unless it is in float64, as rounding is accounted for there."""
    check_dtype(chain)
    return chain.double("cpu")


def check_dtype(chain: RelevanceChain) -> None:
    if chain.dtype != torch.float64:
        raise InputError("certificates need a float64 chain: RelevanceChain(..., dtype=torch.float64)")


def check_form(chain: RelevanceChain) -> NotApplicable | None:
    """Why statements on steps of the chain don't compose, or don't hold for other images; None where they
    do."""
    weighing = next((n.name for n in chain.graph.nodes.values() if isinstance(n.op, MatMul)), None)
    if weighing is not None and chain.method.fixed_pattern:
        return NotApplicable(f"the weights of attention at {weighing!r} are others for every image")
    if chain.method.fixed_pattern:
        return None
    return NotApplicable(
        f"{chain.method.name} does not say that its matrices are a fixed one between two positive diagonals"
    )


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
    Raises InputError unless `middle` is a cut. Source: new here.
    """
    chain, refused = check(chain).only(image), check_form(chain)
    if refused is not None:
        return refused
    top, middle, bottom = (chain.graph.resolve(name) for name in (top, middle, bottom))
    if middle not in chain.graph.cuts:
        raise InputError(f"blocks meet at a cut of the network, and {middle!r} is none")
    g = rounding(chain, middle, bottom) + EXTRA
    channels = chain.shape(middle)[0]
    w, fed = (_directions(each, top, middle) for each in (chain, chain.pattern()))
    P = _matrices(chain, bottom, position, middle)
    support = row_support(chain, bottom, position, middle, P)[0].reshape(-1, channels, w.shape[1])
    lower = known(
        P[0].reshape(support.shape), support, row_loss(chain, bottom, middle)[0].reshape(1, *w.shape)
    )
    directions = np.einsum("icq,cq->iq", lower.matrices, np.where(np.isfinite(w), w, 0.0))
    reached = np.einsum("icq,cq->iq", support, fed > 0)
    columns = np.flatnonzero(reached.any(axis=0))
    if len(columns) == 0:
        return NotApplicable(f"location {position} of {bottom!r} is dead")
    small = known(directions[:, columns], reached[:, columns], np.full((1, 1), float(channels)))
    if not (np.isfinite(w).all() and lower.by_entry.all() and small.by_entry):
        return beyond(middle, bottom)
    radii, taus = [], []
    for q in columns:
        radius = _radius(chain, top, middle, int(q), w[:, q])
        if isinstance(radius, NotApplicable):
            return radius
        radii.append(radius)
        taus.append(
            round_up(float(cone.birkhoff_tau(generators.diameter_upper(lower.matrices[:, :, q], g))), 4)
        )
    directions = directions[:, columns]
    g = enclosure.gamma(channels + 2) + g * (1 + enclosure.gamma(channels + 2))
    diameter = generators.composed_diameter_upper(directions, radii, taus, g)
    if np.isinf(diameter):
        return NotApplicable(
            f"the directions that reach location {position} of {bottom!r} have different zeros"
        )
    own = generators.diameter_upper(directions, g)
    deficit = float(cone.deficit_upper_from_diameter(diameter))
    return ComposedCertificate(position, diameter, deficit, own, round_up(diameter - own))


def _directions(chain: RelevanceChain, top: str, middle: str) -> np.ndarray:
    """The image of ones: (channels, locations) of `middle`."""
    ones = torch.ones((1, 1, *chain.shape(top)), dtype=chain.dtype, device=chain.device)
    return chain.down(ones, top, middle)[0, 0].reshape(chain.shape(middle)[0], -1).cpu().numpy()


def _radius(chain: RelevanceChain, top: str, middle: str, q: int, w: np.ndarray) -> float | NotApplicable:
    """Of the cone of top..middle at q around w."""
    K = _matrices(chain, middle, q, top)
    found = known(K, row_support(chain, middle, q, top, K), row_loss(chain, middle, top))
    if not found.by_entry.all():
        return beyond(top, middle)
    radius = generators.radius_upper(found.matrices[0], w, rounding(chain, top, middle) + EXTRA)
    if np.isinf(radius):
        return NotApplicable(f"at {middle!r}, location {q}, columns of the block above have different zeros")
    return radius


def beyond(top: str, bottom: str) -> NotApplicable:
    return NotApplicable(f"numbers between {top!r} and {bottom!r} are beyond what float64 can vouch for")
