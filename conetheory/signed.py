"""Certificates for signed chains, which leave the cone of nonnegative vectors.

What alpha-beta keeps is the sum: {x : |x - (1^T x) w|_1 <= kappa |1^T x|} is mapped into the same with
kappa' = tau_1(M) kappa (`signed_cone_certificate`). And where all columns at a location make acute angles,
the worst pair of them bounds every two nonnegative starts (`signed_generators_certificate`). Computed in
float64, rounded outward, for the matrices of the computed activations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch

from conetheory.blocks import rounding
from conetheory.chain import MAX_ENTRIES, RelevanceChain
from conetheory.errors import InputError
from conetheory.networks.ops import LinearOp
from conetheory.rules.alphabeta import AlphaBeta
from conetheory.theory import cosine, enclosure, ergodicity
from conetheory.theory.enclosure import round_up
from conetheory.theory.ergodicity import NormCone
from conetheory.theory.records import NotApplicable

TAU_OPERATIONS = 2**33  # that a coefficient tau_1 may cost


@dataclass(frozen=True)
class SignedCertificate:
    """The norm cone at one layer and what it says: of flattened maps, for starts of non-zero sum.

    deficit_upper: 1 - |cos| of the flattened images of any two starts in the first cone, or why there is
    none. tau_upper: the product of tau_1 of the blocks.
    """

    layer: str
    tau_upper: float
    cone: NormCone
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
    empty pool, biases, a stabiliser), tau_1 >= 1. float64. Source: theory.md B5 and D2 item 8.
    """
    if chain.dtype != torch.float64:
        raise InputError("certificates need a float64 chain: RelevanceChain(..., dtype=torch.float64)")
    chain = chain._only(image)
    names = [chain.graph.resolve(name) for name in (start, *through, bottom)]
    n = int(np.prod(chain.shape(names[0])))
    center, tau = np.full(n, 1.0 / n), 1.0
    kappa, live = (2 * (1 - 1 / n) if radius is None else radius), np.ones(n, dtype=bool)
    for above, below in pairwise(names):
        M = _dense(chain, above, below, int(live.sum()))
        if isinstance(M, NotApplicable):
            return M
        step = _step(chain, M[:, live], above, below, center[live], kappa)
        if isinstance(step, NotApplicable):
            return step
        own, center, kappa = step
        tau, live = round_up(tau * own), (M != 0).any(axis=1)
    if tau >= 1:
        return NotApplicable(
            f"tau_1 is {tau:.3g} >= 1 from {names[0]!r} to {names[-1]!r}: the cone does not shrink"
        )
    final = NormCone(center, kappa)
    return SignedCertificate(names[-1], tau, final, final.deficit_upper())


def signed_generators_certificate(
    chain: RelevanceChain, start: str = "logits", bottom: str = "input", *, image: int = 0
) -> np.ndarray | NotApplicable:
    """Upper bounds of 1 - cos of any two nonnegative starts, one per location of `bottom`; signed too.

    Theorem `generators` asks for columns with pairwise nonnegative cosines, not for nonnegative columns:
    where all columns of P_p have such, the worst pair of them is the worst pair of starts. NaN at locations
    that no column reaches, or one alone; inf where a cosine may be negative, or where rounding decides.
    NotApplicable for a start that is too large. float64. |fl(P) - P| <= g |Z_l| ... |Z_s|, whose columns
    sum to at most the product of alpha + beta, counts in full against the length of each column; a column
    computed as zero is taken as zero. Source: theory.md B2 and B15.
    """
    if chain.dtype != torch.float64:
        raise InputError("certificates need a float64 chain: RelevanceChain(..., dtype=torch.float64)")
    chain = chain._only(image)
    start, bottom = chain.graph.resolve(start), chain.graph.resolve(bottom)
    C = _dense(chain, start, bottom, int(np.prod(chain.shape(start))))
    if isinstance(C, NotApplicable):
        return C
    P = C.reshape(chain.shape(bottom)[0], -1, C.shape[1]).transpose(1, 2, 0)  # (locations, units, channels)
    error = 2 * rounding(chain, start, bottom) * _mass(chain, start, bottom)
    return np.array([_worst_signed(columns, error) for columns in P])


def _worst_signed(columns: np.ndarray, error: float) -> float:
    columns = columns[columns.any(axis=1)]
    if len(columns) < 2:
        return float("nan")
    unit = columns / np.linalg.norm(columns, axis=1, keepdims=True)
    if (unit @ unit.T).min() < 1e-9:  # far above the rounding of a cosine
        return float("inf")
    turned = error / float(np.linalg.norm(columns, axis=1).min())
    worst = float(np.max(cosine.pairwise_deficits(columns)))
    if not turned < 1e-6:
        return float("inf")
    upper = float(enclosure.deficit_inflated_upper(worst, turned, columns.shape[1]))
    return upper if upper < 1 else float("inf")


def _dense(chain: RelevanceChain, above: str, below: str, columns: int) -> np.ndarray | NotApplicable:
    rule = chain.method.rule
    if not isinstance(rule, AlphaBeta) or rule.bias == "signed":
        return NotApplicable(f"no bound on the columns of {chain.method.name}'s layers is known")
    shape = int(np.prod(chain.shape(below))), int(np.prod(chain.shape(above)))
    if shape[0] * shape[1] > MAX_ENTRIES or shape[0] * columns**2 > 2 * TAU_OPERATIONS:
        return NotApplicable(f"the block from {above!r} to {below!r} is {shape[0]} x {shape[1]}: too large")
    return chain.as_matrix(above, below)


def _step(
    chain: RelevanceChain, M: np.ndarray, above: str, below: str, center: np.ndarray, kappa: float
) -> tuple[float, np.ndarray, float] | NotApplicable:
    """tau_1 of a block, rounded up, and the cone that it maps the one of `center` and `kappa` into.

    |fl(M) - M| <= g |Z_l| ... |Z_s| entrywise, whose columns sum to at most `mass` = prod (alpha + beta).
    """
    mass, terms = _mass(chain, above, below), M.shape[0]
    error = rounding(chain, above, below) * 2 * mass  # both pools of each layer are summed
    sums = M.sum(axis=0)[(M != 0).any(axis=0)]
    off = float(np.abs(sums - 1).max()) if len(sums) else np.inf
    if off > 2 * error + enclosure.gamma(terms) * mass or len(sums) < M.shape[1]:
        lost = f"sums differ from one by {off:.1e}" if len(sums) == M.shape[1] else "some are empty"
        return NotApplicable(f"columns from {above!r} to {below!r} don't have sum one: {lost}")
    tau = float(enclosure.tau_1_upper(ergodicity.tau_1(M), error, terms, 1.0))
    slack = (abs(float(center.sum()) - 1) + len(center) * 2.0**-52 * float(np.abs(center).sum())) * mass
    slack += (error + enclosure.gamma(M.shape[1] + 2) * mass) * float(np.abs(center).sum())
    return tau, M @ center, round_up(tau * kappa + 2 * slack, 4)


def _mass(chain: RelevanceChain, above: str, below: str) -> float:
    """A bound of the absolute column sums of |Z_l| ... |Z_s|; a bias of the pool's sign only lowers them."""
    each = chain.method.rule.alpha + chain.method.rule.beta
    nodes = chain.graph.between(above, below)
    return float(each ** sum(isinstance(node.op, LinearOp) for node in nodes))
