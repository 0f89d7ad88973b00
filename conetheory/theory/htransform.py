"""Any nonnegative chain as a Markov chain: Doob's h-transform, whatever the chain's scale.

h_0 = 1, h_l = Z_l^T h_(l-1), S_l = D(h_(l-1)) Z_l D(h_l)^-1. Only ratios within h_(l-1) enter S_l, while h
itself falls or grows like the product of the chain: so every entry of h is carried as a number in [1, 2) and
a power of two, and each column of D(h_(l-1)) Z_l is scaled by its largest entry before it is summed. What is
dead is what no path reaches, never what underflows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from array_api_compat import array_namespace
from scipy import sparse

from conetheory.errors import InputError
from conetheory.theory import sparsematrix

_INF = float("inf")
_LOG2 = 0.6931471805599453


@dataclass(frozen=True)
class HTransform:
    """Z_1 ... Z_L = S_1 ... S_L D(h), each S_l column-stochastic on its live columns.

    Attributes
    ----------
    stochastic
        S_1, ..., S_L.
    h
        (..., n), in floats: zero or inf where it leaves their range, as products of many layers do.
    log_h
        (..., n), its natural logarithm, always finite on live units, -inf on dead ones.
    """

    stochastic: list[Any]
    h: Any
    log_h: Any


def h_transform(matrices: Sequence[Any]) -> HTransform:
    """The chain Z_1 ... Z_L as S_1 ... S_L D(h), h^T = 1^T Z_1 ... Z_L.

    Units with h = 0 never reach the input: their columns of S are zero, and so are the rows that would feed
    on them. Entries of S below 1e-308 underflow.

    Parameters
    ----------
    matrices
        Z_1, ..., Z_L, nonnegative, each (..., m_l, n_l) with m_{l+1} = n_l, or all scipy sparse, and so
        are then the S_l; no other hypothesis: biases, stabilisers and sub-stochastic columns are all
        right.

    Returns
    -------
    HTransform
        S_l of the shapes of Z_l, and h.

    Raises
    ------
    InputError
        for negative or infinite entries and for an empty chain.

    References
    ----------
    Theorem: h-transform.
    """
    if not matrices:
        raise InputError("the chain has no layers")
    if sparse.issparse(matrices[0]):
        return _sparse(matrices)
    xp = array_namespace(matrices[0])
    if any(Z.ndim < 2 for Z in matrices):
        raise InputError("the h-transform needs matrices, of at least two axes")
    mantissa = xp.ones_like(xp.sum(xp.astype(matrices[0], xp.float64), axis=-1))
    exponent = xp.zeros_like(mantissa)
    stochastic = []
    for Z in matrices:
        S, mantissa, exponent = _step(xp, xp.astype(Z, xp.float64), mantissa, exponent)
        stochastic.append(S)
    return HTransform(stochastic, *_assembled(xp, mantissa, exponent))


def _step(xp: Any, Z: Any, mantissa: Any, exponent: Any) -> tuple[Any, Any, Any]:
    """S, and the next h as mantissa (zero at dead units) and exponent, whole numbers in float64."""
    if Z.shape[-2] != mantissa.shape[-1]:
        raise InputError(
            f"a layer has {Z.shape[-2]} rows where the one before has {mantissa.shape[-1]} columns"
        )
    if not bool(xp.all((Z >= 0) & xp.isfinite(Z))):
        raise InputError("the h-transform needs finite nonnegative matrices")
    live = (Z > 0) & (mantissa > 0)[..., :, None]
    own = xp.floor(xp.log2(xp.where(live, Z, xp.ones_like(Z))))
    if Z.shape[-2] == 0:
        sums = xp.sum(Z, axis=-2)
        return Z, sums, 0 * sums
    powers = xp.where(live, own + exponent[..., :, None], xp.full_like(Z, -_INF))
    top = xp.max(powers, axis=-2)
    reached = top > -_INF
    top = xp.where(reached, top, xp.zeros_like(top))
    # In three steps: Z alone may be 2^-1074, and the factor 2^2000.
    factor = xp.where(live, powers - own - top[..., None, :], xp.zeros_like(Z))
    weighted = _times_power(xp, xp.where(live, Z, xp.zeros_like(Z)), factor) * mantissa[..., :, None]
    sums = xp.sum(weighted, axis=-2)
    S = weighted / xp.where(reached, sums, xp.ones_like(sums))[..., None, :]
    shift = xp.floor(xp.log2(xp.where(reached, sums, xp.ones_like(sums))))
    return S, _times_power(xp, sums, -shift), top + shift


def _times_power(xp: Any, x: Any, power: Any) -> Any:
    """x 2^power for whole numbers in float64, by halves, so that no factor leaves the range of floats."""
    half = xp.floor(xp.clip(power, min=-2100.0, max=2040.0) / 2)
    rest = xp.clip(power, min=-2100.0, max=2040.0) - half
    return x * 2.0**half * 2.0**rest


def _assembled(xp: Any, mantissa: Any, exponent: Any) -> tuple[Any, Any]:
    """h as floats, and its logarithm."""
    live = mantissa > 0
    logs = xp.log(xp.where(live, mantissa, xp.ones_like(mantissa))) + exponent * _LOG2
    inside = (exponent > -1075) & (exponent < 1024)
    h = _times_power(xp, mantissa, xp.where(inside, exponent, xp.zeros_like(exponent)))
    h = xp.where(live & (exponent >= 1024), xp.full_like(h, _INF), h)
    h = xp.where(exponent <= -1075, xp.zeros_like(h), h)
    return h, xp.where(live, logs, xp.full_like(logs, -_INF))


def _sparse(matrices: Sequence[Any]) -> HTransform:
    mantissa, exponent = np.ones(matrices[0].shape[0]), np.zeros(matrices[0].shape[0])
    stochastic = []
    for Z in matrices:
        S, mantissa, exponent = sparsematrix.h_step(Z, mantissa, exponent)
        stochastic.append(S)
    return HTransform(stochastic, *_assembled(np, mantissa, exponent))
