"""Certificates for signed chains, which leave the cone of nonnegative vectors.

What alpha-beta keeps is the sum: {x : |x - (1^T x) w|_1 <= kappa |1^T x|} is mapped into the same with
kappa' = tau_1(M) kappa (`signed_cone_certificate`, `whole_map_certificate`). Where all columns at a location
make acute angles, the worst pair of them bounds every two nonnegative starts, and for Gaussian starts nothing
but singular values counts (`location_bounds`). Computed in float64, rounded outward, for the matrices of the
computed activations. All of it holds for nonnegative chains as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from conetheory.certify.blocks import CONFIDENCE, check_double, rounding
from conetheory.certify.known import EXTRA, matrix_loss
from conetheory.chain.columns import LiveRows
from conetheory.chain.explained import ExplainerChain
from conetheory.chain.local import LocalBlock
from conetheory.chain.matrices import MAX_ENTRIES
from conetheory.chain.relevance import RelevanceChain
from conetheory.errors import InputError
from conetheory.networks.attention import MatMul
from conetheory.networks.ops import LinearOp
from conetheory.rules.base import Rule
from conetheory.theory import cosine, enclosure, ergodicity
from conetheory.theory.enclosure import round_up
from conetheory.theory.ergodicity import NormCone
from conetheory.theory.records import NotApplicable

TAU_OPERATIONS = 2**33  # that a coefficient tau_1 may cost


@dataclass(frozen=True)
class SignedCertificate:
    """The norm cone at one layer and what it says of whole maps, for starts of non-zero sum.

    deficit_upper: 1 - |cos| of the flattened images of any two starts in the first cone, or why there is
    none. tau_upper: the product of tau_1 of the blocks; of two starts with the same sum it is what is left of
    their l1 distance. inf, and no cone, where the chain does not keep sums.
    """

    layer: str
    tau_upper: float
    cone: NormCone | None
    deficit_upper: float | NotApplicable


def signed_cone_certificate(
    chain: RelevanceChain,
    start: str = "logits",
    bottom: str = "input",
    *,
    through: Sequence[str] = (),
    radius: float | None = None,
    image: int = 0,
) -> SignedCertificate | NotApplicable:
    """kappa' = tau_1(M) kappa over the blocks start..through[0]..bottom of a sum-preserving chain.

    The first cone is centred at w = 1/n; radius None: 2 (1 - 1/n), which holds every nonnegative start of n
    units and all of its multiples. Without `through` the whole chain is one block, the best where its columns
    can be enumerated. NotApplicable, with the layer: a block too large, columns that don't have sum one (an
    empty pool, biases, a stabiliser), tau_1 >= 1. float64. Source: fact F5 (proofs/README.md).
    """
    chain = check_double(chain).only(image)
    names = [chain.graph.resolve(name) for name in (start, *through, bottom)]
    cone = _first_cone(int(np.prod(chain.shape(names[0]))), radius)
    tau, live, pattern = 1.0, np.ones(cone.center.size, dtype=bool), chain.pattern()
    for above, below in pairwise(names):
        refused = _refused(chain, above, below, int(live.sum()))
        if refused is not None:
            return refused
        M = chain.as_matrix(above, below)
        step = _step(chain, M[:, live], above, below, NormCone(cone.center[live], cone.radius))
        if isinstance(step, NotApplicable):
            return step
        own, cone = step
        tau, live = round_up(tau * own), (pattern.as_matrix(above, below)[:, live] > 0).any(axis=1)
    found = _certificate(names[0], names[-1], tau, cone)
    bound = found.deficit_upper
    return bound if tau >= 1 and isinstance(bound, NotApplicable) else found


def whole_map_certificate(
    chain: RelevanceChain, start: str, block: LocalBlock | LiveRows, support: np.ndarray | None = None
) -> SignedCertificate | NotApplicable:
    """`signed_cone_certificate` of the whole chain, from its columns at all locations of a layer.

    Where tau_1 >= 1 the certificate is still there, with the reason in the place of its bound. The worst pair
    of whole columns bounds nonnegative starts too (theorem `generators`); the better bound is given.
    support: the block's, where it is known. NotApplicable where the block lacks locations, or as there.
    """
    chain = check_double(chain)
    start, layer = chain.graph.resolve(start), block.layer
    n = int(np.prod(chain.shape(start)))
    refused = _refused(chain, start, layer, n)
    if refused is not None:
        return refused
    if len(block.positions) < block.total:
        held = f"{len(block.positions)} of the {block.total} locations of {layer!r}"
        return NotApplicable(f"columns are held at {held} only")
    M = block.matrices.transpose(0, 1).reshape(-1, n).cpu().numpy()
    error = _error(chain, start, layer)
    step = _step(chain, M, start, layer, _first_cone(n))
    unsummed = isinstance(step, NotApplicable)
    found = SignedCertificate(layer, np.inf, None, step) if unsummed else _certificate(start, layer, *step)
    support = _support(chain, start, block) if support is None else support
    pair = _worst_signed(M.T, error, np.any(support, (0, 1)))
    known = [d for d in (found.deficit_upper, pair) if not isinstance(d, NotApplicable) and d < np.inf]
    if not known:
        return step if unsummed else found
    return replace(found, deficit_upper=float(min(known)))


def location_bounds(
    chain: RelevanceChain, start: str, block: LocalBlock, support: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Upper bounds of 1 - |cos| at the locations of a block: of any two nonnegative starts, of Gaussian ones.

    Theorem `generators` asks for columns with pairwise nonnegative cosines, not for nonnegative columns:
    where all columns of P_p have such, the worst pair of them is the worst pair of starts. inf where a cosine
    may be negative, or where rounding decides; NaN at dead locations. Gaussian starts: each location by
    itself with probability 0.95 (theorem `local-csc-certificate`). |fl(P) - P| <= g |Z_l| ... |Z_s|, whose
    columns sum to at most the product of alpha + beta, counts in full against the length of each column and
    against |P|_F. A column is zero where no path leads to the location (`support`, (positions, channels,
    units), made where it is not given); one that is computed as zero but may not be is refused: its cosines
    are unknown. Source: those theorems; facts F3 and F4 (proofs/README.md).
    """
    error = _error(chain, chain.graph.resolve(start), block.layer)
    support = _support(chain, start, block) if support is None else support
    P, columns = block.matrices.cpu().numpy(), np.any(support, 1)
    worst = np.array([_worst_signed(M.T, error, on) for M, on in zip(P, columns, strict=True)])
    return worst, np.array([_gaussian_signed(M, error, on) for M, on in zip(P, columns, strict=True)])


def _support(chain: RelevanceChain, start: str, block: LocalBlock | LiveRows) -> np.ndarray:
    """Of a block at all locations, or at some, of a chain of one image."""
    pattern = chain.pattern().columns(start, range(block.matrices.shape[-1]), block.layer)[0]
    found = pattern.reshape(*pattern.shape[:2], -1).permute(2, 1, 0).cpu().numpy() > 0
    return found[block.positions]


def bounded(chain: RelevanceChain | ExplainerChain) -> NotApplicable | None:
    """Why no bound on the columns, which rounding could be held against, is known; None where one is."""
    rule = chain.method.rule
    if isinstance(rule, Rule) and rule.mass is not None:
        return None
    return NotApplicable(f"no bound on the columns of {chain.method.name}'s layers is known")


# ---------------------------------------------------------------- one location


def _worst_signed(columns: np.ndarray, error: float, live: np.ndarray) -> float:
    """The rows of `columns` are those of P; live: which of them structure keeps alive."""
    columns = columns[live]
    if len(columns) == 0:
        return float("nan")
    if not (np.isfinite(columns).all() and np.abs(columns).max(axis=1).min() > 1e-100):
        return float("inf")
    length = np.linalg.norm(columns, axis=1, keepdims=True)
    unit = columns / length
    turned = error / float(length.min())
    if (unit @ unit.T).min() < 1e-9 or not turned < 1e-6:  # far above the rounding of a cosine
        return float("inf")
    worst = float(np.max(cosine.pairwise_deficits(columns), initial=0.0))
    upper = float(enclosure.deficit_inflated_upper(worst, turned, columns.shape[1]))
    return upper if upper < 1 else float("inf")


def _gaussian_signed(P: np.ndarray, error: float, live: np.ndarray) -> float:
    if not live.any():
        return float("nan")
    size = float(np.linalg.norm(P)) if np.isfinite(P).all() else 0.0
    if not 1e-100 < size < np.inf:
        return 1.0
    off = error * np.sqrt(P.shape[1]) / size
    spread = float(enclosure.stable_rank_excess_upper(P, off)) if off < 1 else np.inf
    return float(cosine.deficit_upper(spread, 1 - CONFIDENCE)) if spread < np.inf else 1.0


# ---------------------------------------------------------------- one block


def _refused(chain: RelevanceChain, above: str, below: str, columns: int) -> NotApplicable | None:
    refused = bounded(chain)
    shape = int(np.prod(chain.shape(below))), int(np.prod(chain.shape(above)))
    if refused is None and (shape[0] * shape[1] > MAX_ENTRIES or shape[0] * columns**2 > 2 * TAU_OPERATIONS):
        return NotApplicable(f"the block from {above!r} to {below!r} is {shape[0]} x {shape[1]}: too large")
    return refused


def _first_cone(n: int, radius: float | None = None) -> NormCone:
    return NormCone(np.full(n, 1.0 / n), 2 * (1 - 1 / n) if radius is None else radius)


def _certificate(start: str, layer: str, tau: float, cone: NormCone) -> SignedCertificate:
    if tau >= 1:
        why = NotApplicable(f"tau_1 is {tau:.3g} >= 1 from {start!r} to {layer!r}: the cone does not shrink")
        return SignedCertificate(layer, tau, cone, why)
    upper = cone.deficit_upper()
    if isinstance(upper, NotApplicable):
        upper = NotApplicable(f"from {start!r} to {layer!r} {upper.reason}")
    return SignedCertificate(layer, tau, cone, upper)


def _step(
    chain: RelevanceChain, M: np.ndarray, above: str, below: str, cone: NormCone
) -> tuple[float, NormCone] | NotApplicable:
    """tau_1 of a block, rounded up, and the cone that it maps `cone` into.

    |fl(M) - M| <= g |Z_l| ... |Z_s| entrywise, whose columns sum to at most `mass` = prod (alpha + beta).
    """
    mass, terms, center = _mass(chain, above, below), M.shape[0], cone.center
    error = _error(chain, above, below)
    if not error < 1 or not np.isfinite(M).all():
        return NotApplicable(f"numbers between {above!r} and {below!r} are beyond what float64 can vouch for")
    sums = M.sum(axis=0)[(M != 0).any(axis=0)]
    off = float(np.abs(sums - 1).max()) if len(sums) else np.inf
    if off > 2 * error + enclosure.gamma(terms) * mass or len(sums) < M.shape[1]:
        lost = f"sums differ from one by {off:.1e}" if len(sums) == M.shape[1] else "some are empty"
        return NotApplicable(f"columns from {above!r} to {below!r} don't have sum one: {lost}")
    tau = float(enclosure.tau_1_upper(ergodicity.tau_1(M), error, terms, 1.0))
    slack = (abs(float(center.sum()) - 1) + len(center) * 2.0**-52 * float(np.abs(center).sum())) * mass
    slack += (error + enclosure.gamma(M.shape[1] + 2) * mass) * float(np.abs(center).sum())
    return tau, NormCone(M @ center, round_up(tau * cone.radius + 2 * slack, 4))


def _error(chain: RelevanceChain, above: str, below: str) -> float:
    """A bound of the absolute column sums of fl(C) - C: both pools of each layer are summed."""
    relative = (rounding(chain, above, below) + EXTRA) * 2 * _mass(chain, above, below)
    return round_up(relative + matrix_loss(chain, above, below), 2)


def _mass(chain: RelevanceChain, above: str, below: str) -> float:
    """A bound of the absolute column sums of |Z_l| ... |Z_s|."""
    each, nodes = chain.method.layerwise.mass, chain.graph.between(above, below)
    if each is None:
        raise InputError(f"no bound on the columns of {chain.method.name} is known")
    return float(each ** sum(isinstance(node.op, LinearOp | MatMul) for node in nodes))
