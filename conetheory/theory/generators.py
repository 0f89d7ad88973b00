"""Cones with many generators, and cones made of cones: bounds where not every pair of columns is looked at.

The cone of a local matrix P (channels x start units) below a convolution has thousands of generators. Both
angles and Hilbert distances are metrics, so a pair of columns is no farther apart than both are from a
center: the columns farthest from it are compared with each other, all others by their distance to it.

The cone at one location of a later layer is composed of the cones at the locations q that feed it: it is
`{sum_q P_pq x_q : x_q in K_q}`, with a free mass for each q. That is why no product of coefficients of
single locations bounds it; what does is the diameter of the *direction matrix* [P_pq w_q]_q and the radii
of the K_q around w_q (theorem `cone-composition`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from conetheory.errors import InputError
from conetheory.theory import cone, cosine, enclosure, worstpair
from conetheory.theory.enclosure import round_up

KEEP = 2048  # columns that are compared pair by pair


def worst_deficit_upper(P: Any, g: float = 0.0, keep: int = KEEP) -> float:
    """An upper bound of 1 - cos(P x, P y) over all x, y >= 0 that P does not kill.

    With at most `keep` live columns it is the worst pair, rounded outward; else the larger of the worst pair
    among the `keep` columns farthest from the mean direction c, and the angle t_1 + t_{keep + 1} of the
    largest and the first left-out angle to c.

    Parameters
    ----------
    P : (m, n)
        numpy, nonnegative, the computed matrix of an exact one with |fl(P) - P| <= g P.
    g
        the relative error of its entries.
    keep
        columns of which all pairs are taken.

    Returns
    -------
    float
        a deficit; NaN for a zero matrix.

    References
    ----------
    theorem `generators` and the triangle inequality of angles, fact F2 (proofs/README.md).
    """
    return worst_pair_upper(P, g, keep)[0]


def worst_pair_upper(P: Any, g: float = 0.0, keep: int = KEEP) -> tuple[float, int, int]:
    """`worst_deficit_upper`, and two columns that attain the worst pair: of all, or of the farthest `keep`.

    Parameters
    ----------
    P : (m, n)
        numpy, nonnegative.
    g
        the relative error of its entries.
    keep
        columns of which all pairs are taken.

    Returns
    -------
    tuple
        the bound and the two columns: the same one twice where one is live, -1 where none is.
    """
    units = np.flatnonzero((np.asarray(P) > 0).any(axis=0))
    P = _live(P)
    rows, count = P.shape
    if count == 0:
        return float("nan"), -1, -1
    if count <= keep:
        return _worst(P, units, g, 0.0)
    # No length is formed, as its square may overflow: any center will do.
    center = (P / P.max(axis=0)).sum(axis=1)
    off = enclosure.deficit_inflated_upper(cosine.deficit(P.T, center), g, rows)
    far, sums = _farthest(round_up(cone.angle_of_deficit(off), 4), keep)
    others = round_up(cone.deficit_of_angle(np.minimum(sums, np.pi)), 8)
    return _worst(P[:, far], units[far], g, float(others))


def _worst(P: Any, units: Any, g: float, others: float) -> tuple[float, int, int]:
    """The worst pair of columns of P, not below `others`; never above one, which nonnegative vectors keep."""
    pair = worstpair.worst_pair_cosine(P)
    worst = enclosure.deficit_inflated_upper(pair.deficit, g, len(P))
    bound, most = float(np.maximum(worst, others)), _orthogonal(len(P))  # of which NaN comes through
    return bound if bound <= most else most, int(units[pair.first]), int(units[pair.second])


def diameter_upper(P: Any, g: float = 0.0, keep: int = KEEP) -> float:
    """An upper bound of the projective diameter of P, |fl(P) - P| <= g P.

    As `worst_deficit_upper`, in Hilbert's metric, the center being the geometric mean of the columns.

    Parameters
    ----------
    P : (m, n)
        numpy, nonnegative.
    g
        the relative error of its entries.
    keep
        columns of which all pairs are taken.

    Returns
    -------
    float
        in nats; inf where two live columns have different zeros, NaN for a zero matrix.

    References
    ----------
    facts F1 and F2 (proofs/README.md).
    """
    P = _live(P)
    if P.shape[1] == 0:
        return float("nan")
    if not (P > 0).all():
        return float("inf")
    logs = float(enclosure.largest_log(P))
    if P.shape[1] <= keep:
        return _diameter(enclosure.diameter_upper(cone.projective_diameter(P), g, logs))
    logarithms = np.log(P) - np.log(P.max(axis=0))  # a quotient may underflow
    center = np.maximum(np.exp(logarithms.mean(axis=1)), np.finfo(np.float64).tiny)
    far, sums = _farthest(cone.hilbert_distance(P.T, center), keep)
    logs = np.maximum(logs, enclosure.largest_log(center[:, None]))
    # The sum of two distances to the center has twice the logarithms of one diameter.
    widest = np.maximum(cone.projective_diameter(P[:, far]), round_up(sums))
    return _diameter(enclosure.diameter_upper(widest, g, 2 * logs))


def _diameter(bound: Any) -> float:
    """A bound of a diameter; inf where it is not a number."""
    return float("inf") if np.isnan(bound) else float(bound)


def radius_upper(P: Any, center: Any, g: float = 0.0) -> float:
    """An upper bound of the Hilbert distance of the columns of P to a vector.

    Every x in the cone of the columns is as close, since the balls of Hilbert's metric are convex cones.

    Parameters
    ----------
    P : (m, n)
        numpy, nonnegative, |fl(P) - P| <= g P.
    center : (m,)
        nonnegative, taken as it is.
    g
        the relative error of P's entries.

    Returns
    -------
    float
        in nats; inf where a live column has other zeros than `center`, NaN for a zero matrix.

    Raises
    ------
    InputError
        for a center of another length, negative or not finite.

    References
    ----------
    fact F1 (proofs/README.md).
    """
    P, center = np.asarray(P), np.asarray(center)
    if P.ndim != 2 or center.shape != P.shape[:1] or np.isnan(P).any():
        raise InputError(
            "a cone is given by the columns of one matrix, and its center by as many numbers as rows"
        )
    live = P[:, (P > 0).any(axis=0)]
    if live.shape[1] == 0:
        return float("nan")
    farthest = np.max(cone.hilbert_distance(live.T, center))
    logs = np.maximum(enclosure.largest_log(live), enclosure.largest_log(center[:, None]))
    return _diameter(enclosure.diameter_upper(farthest, g, logs))


def composed_diameter_upper(
    directions: Any, radii: Sequence[float], contractions: Sequence[float] | None = None, g: float = 0.0
) -> float:
    """Delta(K) <= Delta([A_q w_q]_q) + 2 max_q rho_q for K = {sum_q A_q x_q : x_q in K_q}.

    rho_q = 4 artanh(tau_q tanh(R_q / 4)) <= tau_q R_q is how far A_q x_q may be from A_q w_q. Rounded up.

    Parameters
    ----------
    directions : (m, locations)
        the columns A_q w_q with A_q nonnegative, |fl - exact| <= g exact.
    radii
        R_q, at least the Hilbert distance of every x_q in K_q to w_q.
    contractions
        tau_q >= tau(A_q), one where None.
    g
        the relative error of `directions`.

    Returns
    -------
    float
        in nats; inf where a radius is, or where two directions have different zeros.

    Raises
    ------
    InputError
        where the numbers of directions, radii and contractions differ.

    References
    ----------
    Theorem: cone-composition.
    """
    directions = np.asarray(directions)
    if directions.ndim != 2:
        raise InputError(f"directions are the columns of a matrix, not an array of shape {directions.shape}")
    taus = [1.0] * len(radii) if contractions is None else list(contractions)
    if not directions.shape[1] == len(radii) == len(taus):
        raise InputError(f"{directions.shape[1]} directions, {len(radii)} radii, {len(taus)} contractions")
    live = (directions > 0).any(axis=0)
    if not live.any():
        return float("nan")
    carried = np.max([_carried(t, r) for t, r, on in zip(taus, radii, live, strict=True) if on])
    return round_up(diameter_upper(directions, g) + 2 * float(carried))


def _orthogonal(rows: int) -> float:
    """What a computed deficit of nonnegative vectors is at most: one, and its rounding."""
    return float(enclosure.deficit_inflated_upper(1.0, 0.0, rows))


def _carried(tau: float, radius: float) -> float:
    if np.isnan(radius) or np.isnan(tau):  # of a direction that is not zero, nothing is known
        return float("inf")
    if np.isinf(radius) or radius == 0:
        return radius
    return float(cone.contracted_diameter_upper(_diameter_of_tau_upper(tau), radius))


def _diameter_of_tau_upper(tau: float) -> float:
    """4 artanh(tau), rounded up: the diameter of a matrix that contracts by tau."""
    return round_up(4 * np.arctanh(tau), 8) if tau < 1 else float("inf")


def _farthest(distances: Any, keep: int) -> tuple[Any, float]:
    """The `keep` columns farthest from the center; the largest distance plus the largest that is left out."""
    order = np.argsort(distances)[::-1]
    return order[:keep], float(distances[order[0]] + distances[order[keep]])


def _live(P: Any) -> Any:
    """P without its zero rows and columns."""
    P = np.asarray(P, dtype=np.float64)
    if P.ndim != 2 or not ((P >= 0) & np.isfinite(P)).all():
        raise InputError("a cone is given by the columns of one finite nonnegative matrix")
    positive = P > 0
    return P[np.ix_(positive.any(axis=1), positive.any(axis=0))]
