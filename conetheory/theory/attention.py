"""Attention in Hilbert's metric: softmax by rows is a positive matrix, and its row sums don't count.

`A_ik = exp(S_ik) / Z_i` is `exp(S)` behind a positive diagonal, so that its projective diameter is one of the
logits S alone. Bounds of logits bound it for every image: a layer norm bounds queries and keys by its own
weights. Attention rollout (Abnar and Zuidema 2020) multiplies `(H + I)/2`, H the mean of the heads, in which
the identity stands beside entries of order 1/n.
"""

from __future__ import annotations

import math
from typing import Any

from array_api_compat import array_namespace

from conetheory.errors import InputError
from conetheory.theory.cone import diameter_of_logs
from conetheory.theory.enclosure import round_up

ULPS = 8  # of a few roundings of numbers that are added, none of them cancelling


def softmax_diameter(S: Any) -> Any:
    """The projective diameter of softmax(S) by rows: `max (S_ik - S_jk - S_il + S_jl)`.

    Parameters
    ----------
    S : (..., queries, keys)
        logits, offsets of positions included; -inf where a key is masked. A key that is masked for all
        queries is left out, as is a query without a key, which has no softmax; a key that is masked for
        some of the others makes the diameter infinite.

    Returns
    -------
    (...)
        in nats, NaN where all keys are masked; that of A^T is the same.

    Raises
    ------
    InputError
        for NaN and +inf.

    References
    ----------
    theorem `softmax-diameter`.
    """
    xp = array_namespace(S)
    if S.ndim < 2:
        raise InputError(f"logits have at least two axes, not shape {tuple(S.shape)}")
    S = xp.astype(S, xp.float64, copy=False)
    if not bool(xp.all(math.inf > S)):
        raise InputError("logits hold NaN or +inf")
    if 0 in S.shape[-2:]:
        return xp.sum(S, axis=(-2, -1)) * math.nan
    held = -math.inf < S
    return diameter_of_logs(xp, held, xp.where(held, S, xp.zeros_like(S)))


def softmax_diameter_upper(bound: float) -> float:
    """A bound of the diameter of softmax(S) for every S with entries in [-bound, bound]: `4 bound`.

    Parameters
    ----------
    bound
        b >= 0.

    Returns
    -------
    float
        in nats, exact; attained by `[[b, -b], [-b, b]]`.

    Raises
    ------
    InputError
        for a negative bound and for NaN.

    References
    ----------
    theorem `softmax-diameter`.
    """
    return 4 * _checked(bound)


def rollout_diameter_upper(tokens: int, bound: float) -> float:
    """A bound of the diameter of `(H + I)/2`, H a mean of softmaxes of logits in [-bound, bound].

    `2 log(1 + n e^(2 b))`, rounded up; attained in exact arithmetic for every number n >= 2 of tokens.

    Parameters
    ----------
    tokens
        n >= 2.
    bound
        b >= 0.

    Returns
    -------
    float
        in nats.

    Raises
    ------
    InputError
        for fewer tokens, a negative bound and NaN.

    References
    ----------
    theorem `softmax-diameter`.
    """
    n, b = _tokens(tokens), _checked(bound)
    if math.isinf(b):
        return math.inf
    log = math.log(n) + 2 * b
    return float(round_up(2 * (log + math.log1p(math.exp(-log))), ULPS))


def rollout_tau_1_upper(tokens: int, bound: float) -> float:
    """A bound of tau_1 by rows of `(H + I)/2`: how much of a difference of two rollouts one layer keeps.

    `1 - n / (2 (1 + (n - 1) e^(2 b)))`, rounded up: one half where all logits are equal.

    Parameters
    ----------
    tokens
        n >= 2.
    bound
        b >= 0.

    Returns
    -------
    float
        in [1/2, 1].

    Raises
    ------
    InputError
        for fewer tokens, a negative bound and NaN.

    References
    ----------
    theorem `softmax-diameter`.
    """
    n, b = _tokens(tokens), _checked(bound)
    kept = n / (2 * (math.exp(-2 * b) + n - 1)) * math.exp(-2 * b)
    return min(1.0, float(round_up(1 - kept * (1 - ULPS * 2.0**-52), ULPS)))


def _tokens(n: int) -> int:
    if isinstance(n, bool) or not math.isfinite(n) or n != int(n) or n < 2:
        raise InputError(f"rollout is of two or more tokens, not {n}")
    return int(n)


def _checked(bound: float) -> float:
    bound = float(bound)
    if not bound >= 0:
        raise InputError(f"a bound of logits is at least 0, not {bound:g}")
    return bound
