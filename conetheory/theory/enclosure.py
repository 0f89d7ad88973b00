"""Rigour in floating point: outward rounding, the a-priori factor of chains that never subtract, inflation.

Sums and products of nonnegative numbers are accurate relative to each entry: for a chain of nonnegative
matrices whose computation never subtracts, |fl(P) - P| <= g P entry by entry, g = gamma_K (fact F3 of
proofs/README.md). The functions below turn a quantity of the computed matrix into a bound for the exact one.
They hold for the matrices of the activations as computed, without underflow, and for elementary functions
with errors of at most two ulps.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from fractions import Fraction
from typing import Any

import numpy as np
from array_api_compat import array_namespace, device

from conetheory.errors import InputError
from conetheory.theory.matrices import matrix, real

_SOLVED, _POWERS = 16, 64  # the order up to which eigenvalues are solved for, and powers beyond it
UNIT_ROUNDOFF = {"float64": 2.0**-53, "float32": 2.0**-24, "tf32": 2.0**-11, "bfloat16": 2.0**-8}


def round_up(x: Any, ulps: int = 1) -> Any:
    """The float64 that lies some steps above.

    Parameters
    ----------
    x
        a number or an array; infinities and NaN stay.
    ulps
        steps.

    Returns
    -------
    float64
        of the same shape.
    """
    return _step(x, ulps, math.inf)


def round_down(x: Any, ulps: int = 1) -> Any:
    """The float64 that lies some steps below.

    Parameters
    ----------
    x
        a number or an array; infinities and NaN stay.
    ulps
        steps.

    Returns
    -------
    float64
        of the same shape.
    """
    return _step(x, ulps, -math.inf)


def _step(x: Any, ulps: int, goal: float) -> Any:
    if type(x) in (int, float):
        for _ in range(0 if math.isinf(x) else ulps):
            x = math.nextafter(x, goal)
        return x
    xp, x = real(x)
    target = xp.full_like(x, goal)
    moved = x
    for _ in range(ulps):
        moved = xp.nextafter(moved, target)
    return xp.where(xp.isinf(x), x, moved)


def gamma(k: int, unit_roundoff: float = 2.0**-53) -> float:
    """gamma_k = k u / (1 - k u), rounded up: a product of k factors (1 + d)^(+-1), |d| <= u, is within 1 +-
    gamma_k.

    Parameters
    ----------
    k
        factors.
    unit_roundoff
        u.

    Returns
    -------
    float
        gamma_k.

    Raises
    ------
    InputError
        if k is negative or k u >= 1.

    References
    ----------
    Higham 2002, Lemma 3.1.
    """
    ku = Fraction(float(unit_roundoff)) * k
    if k < 0 or ku >= 1:
        raise InputError(f"gamma needs 0 <= k * u < 1; k = {k}, u = {unit_roundoff}, k u = {float(ku):.3g}")
    return round_up(float(ku / (1 - ku))) if k else 0.0


def subtraction_free_factor(fans: Iterable[tuple[int, int]], unit_roundoff: float = 2.0**-53) -> float:
    """g = gamma_K, K = sum over layers of (fan_in + fan_out + 3), with |fl(P) - P| <= g P for a z+ chain.

    Hypotheses: nothing is subtracted (no Winograd, no FFT), nothing underflows.

    Parameters
    ----------
    fans
        (fan_in, fan_out) of each layer: the numbers of terms in its denominators and in its transposed
        product.
    unit_roundoff
        u.

    Returns
    -------
    float
        g.

    References
    ----------
    fact F3 (proofs/README.md).
    """
    return gamma(sum(i + o + 3 for i, o in fans), unit_roundoff)


def diameter_upper(diameter: Any, g: float, largest_log: Any) -> Any:
    """An upper bound of Delta(P) from the computed diameter of fl(P), |fl(P) - P| <= g P.

    Delta(P) <= Delta_fl + 2 log((1 + g) / (1 - g)) + 32 u largest_log: each cross ratio has four entries,
    four logarithms of at most two ulps, and three subtractions.

    Parameters
    ----------
    diameter
        of fl(P), a number or an array.
    g
        the relative error of its entries.
    largest_log
        the largest |log| of a positive entry of fl(P) (the logarithms are rounded relative to it).

    Returns
    -------
    float64
        of the shape of `diameter`, in nats.

    References
    ----------
    fact F4 (proofs/README.md), with the constant made explicit.
    """
    _check_factor(g)
    entries = round_up(2 * math.log1p(2 * g / (1 - g)), 8) if g else 0.0
    return round_up(diameter + entries + 2.0**-48 * largest_log, 3)


def largest_log(A: Any) -> Any:
    """max |log a| over the positive entries of A (..., m, n); zero where there are none."""
    xp, A = matrix(A)
    A = A if bool(xp.all(A > 0)) else xp.where(A > 0, A, xp.ones_like(A))
    ends = xp.stack([xp.max(A, axis=(-2, -1)), xp.min(A, axis=(-2, -1))])
    return xp.max(xp.abs(xp.log(ends)), axis=0)


def deficit_inflated_upper(deficit: Any, g: float, terms: int = 0) -> Any:
    """An upper bound of the deficit of two nonnegative columns from that of the computed ones.

    A column that is off by a relative g in every entry turns by at most arcsin g (the sech lemma with
    d = 2 artanh g), so sin(angle / 2) <= sqrt(deficit / 2) + g and deficit <= 2 (sqrt(deficit / 2) + g)^2.

    Parameters
    ----------
    deficit
        of the computed columns, a number or an array.
    g
        the relative error of their entries.
    terms
        the number of entries, if the given deficit is half the squared chord of unit vectors computed in
        float64 with relative error gamma_terms + 4 in each; zero, if it is exact.

    Returns
    -------
    float64
        of the shape of `deficit`.

    References
    ----------
    new here.
    """
    _check_factor(g)
    own = gamma(2 * terms + 16)
    xp, deficit = floats(deficit)
    return round_up(2 * (xp.sqrt(deficit / 2) * (1 + own) + g + own) ** 2, 8)


def cosine_inflated_lower(cosine: Any, g: float, terms: int) -> Any:
    """A lower bound of the cosine of two nonnegative columns of P from fl(P)'s.

    Every product and sum is of nonnegative numbers: cos(P) >= cos_fl ((1 - g) / (1 + g))^2 (1 - gamma_{2
    terms + 8}).

    Parameters
    ----------
    cosine
        computed as dot / norms in float64, a number or an array.
    g
        the relative error of fl(P)'s entries.
    terms
        the number of entries.

    Returns
    -------
    float64
        of the shape of `cosine`.

    References
    ----------
    fact F4 (proofs/README.md).
    """
    _check_factor(g)
    ratio = round_down((1 - g) / (1 + g), 4) ** 2
    return round_down(cosine * (ratio * (1 - gamma(2 * terms + 8))), 6)


def tau_1_upper(tau: Any, g: float, rows: int, largest_sum: float = 1.0) -> Any:
    """An upper bound of tau_1(P) from tau_1 of fl(P), |fl(P) - P| <= g |P|.

    Half the l1 distance of two columns moves by at most g largest_sum; its sum of `rows` terms is off by a
    relative gamma_{rows + 1}.

    Parameters
    ----------
    tau
        of fl(P), a number or an array.
    g
        the relative error of its entries.
    rows
        of P.
    largest_sum
        what no column sum of |P| exceeds.

    Returns
    -------
    float64
        of the shape of `tau`.

    References
    ----------
    fact F4 (proofs/README.md).
    """
    _check_factor(g)
    return round_up(tau * (1 + gamma(rows + 2)) + round_up(g * largest_sum), 3)


def stable_rank_excess_upper(P: Any, g: float) -> Any:
    """An upper bound of S(P) = sum_{i >= 2} (s_i / s_1)^2 from fl(P), |fl(P) - P| <= g |P|.

    For any vectors a, b: sqrt(S) s_1 is the Frobenius distance to the rank-one matrices, at most |P - a
    b^T|_F, and s_1 >= |P^T a| / |a|. Both are evaluated with their rounding errors at an approximate leading
    singular pair: the bound holds for any vectors, so the eigenvalue solver need not be trusted.

    Parameters
    ----------
    P : (..., m, n)
        fl(P).
    g
        the relative error of its entries.

    Returns
    -------
    (...)
        inf where nothing can be said.

    References
    ----------
    new here.
    """
    _check_factor(g)
    xp, P = matrix(P)
    scale = xp.max(xp.abs(P), axis=(-2, -1), keepdims=True)
    dead = scale[..., 0, 0] == 0
    unit = P / xp.where(scale > 0, scale, xp.ones_like(scale))  # one more rounding of each entry, relative
    a = _leading_left(xp, unit)
    b = xp.matmul(xp.matrix_transpose(unit), a)
    rows, columns = P.shape[-2:]
    own = gamma(rows * columns + rows + columns + 16)
    off = (g + 2.0**-52) / (1 - g) * 1.0000001
    norm = _norm(xp, unit) * (1 + own)
    length = _norm(xp, a)
    length = xp.where(length > 0, length, xp.ones_like(length))
    rank_one = length * _norm(xp, b) * (1 + own)
    rest = a * xp.matrix_transpose(b)
    rest -= unit
    tail = _norm(xp, rest) * (1 + own) + 2.0**-52 * rank_one + off * norm
    top = (_norm(xp, b) - own * length * norm) * (1 - own) / length - off * norm
    safe = xp.where(top > 0, top, xp.ones_like(top))
    bound = round_up((tail / safe) ** 2, 16)
    return xp.where(top > 0, bound, xp.where(dead, xp.full_like(bound, math.nan), math.inf))


def _leading_left(xp: Any, P: Any) -> Any:
    """Nearly the leading left singular vector, (..., m, 1), from the smaller of the two Gram matrices."""
    if P.shape[-2] <= P.shape[-1]:
        return _leading(xp, xp.matmul(P, xp.matrix_transpose(P)))
    a = xp.matmul(P, _leading(xp, xp.matmul(xp.matrix_transpose(P), P)))
    length = _norm(xp, a)[..., None, None]
    return a / xp.where(length > 0, length, xp.ones_like(length))


def _leading(xp: Any, G: Any) -> Any:
    """The eigenvector of Gram matrices: by powers where they are large and settle, which costs far less."""
    if G.shape[-1] > _SOLVED:
        before = xp.zeros_like(G[..., :1])
        v = xp.sum(G, axis=-1, keepdims=True)
        for _ in range(_POWERS):
            length = _norm(xp, v)[..., None, None]
            v = v / xp.where(length > 0, length, xp.ones_like(length))
            if bool(xp.all(_norm(xp, v - before) <= 2.0**-40)):
                return v
            before, v = v, xp.matmul(G, v)
    return xp.linalg.eigh(G)[1][..., -1:]


def _norm(xp: Any, x: Any) -> Any:
    flat = xp.reshape(x, (*x.shape[:-2], math.prod(x.shape[-2:])))
    return xp.sqrt(xp.vecdot(flat, flat))


def floats(*values: Any) -> tuple[Any, ...]:
    """The namespace, then the arguments, numbers or arrays of one kind, as float64 arrays."""
    arrays = [value for value in values if type(value) not in (int, float)]
    xp = array_namespace(*(arrays or [np.empty(0)]))
    where = device(arrays[0]) if arrays else None
    return xp, *(xp.asarray(value, dtype=xp.float64, device=where) for value in values)


def _check_factor(g: float) -> None:
    if not 0 <= g < 1:
        raise InputError(f"the relative error of an entry must lie in [0, 1), not {g}")


__all__ = [
    "UNIT_ROUNDOFF",
    "cosine_inflated_lower",
    "deficit_inflated_upper",
    "diameter_upper",
    "floats",
    "gamma",
    "largest_log",
    "round_down",
    "round_up",
    "stable_rank_excess_upper",
    "subtraction_free_factor",
    "tau_1_upper",
]
