"""Finite-time Lyapunov spectrum of a chain of rectangular matrices, by QR, with a bound on its own error.

For x -> M_L ... M_1 x and an orthonormal frame Q_0, M_l Q_{l-1} = Q_l R_l. The product restricted to the
frame is Q_L (R_L ... R_1), and the sums of log |diag R_l| tend to the logarithms of its singular values. How
well is known: write the triangular product as diag(e^t) U with U upper triangular, its diagonal +-1.
Ostrowski's multiplicative bound gives |log sigma_i - t_i| <= max(log sigma_max(U), -log sigma_min(U)) once t
is sorted. Where that is too large, the QR sweep is repeated on the transposed triangular factors (QR
iteration on the Gram matrix without forming anything), which drives U to the identity up to signs; values
that lie close together go to a dense SVD. No product is ever formed at full scale, so log singular values of
-1000 are as accurate as those near 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from array_api_compat import array_namespace, device

from conetheory.errors import InputError
from conetheory.theory.matrices import real

CLOSE = 20.0  # nats between the largest and the smallest value for a dense SVD: 2e9 times eps is left


@dataclass(frozen=True)
class Lyapunov:
    """Finite-time Lyapunov exponents of a chain on the probes' span.

    Attributes
    ----------
    log_singular_values
        (..., k), descending.
    exponents
        (..., k), these per layer.
    gap
        (...), `exponents_1 - exponents_2`: the deficit decays like `exp(-2 gap)` per layer.
    curve
        (layers, ..., k), running sums of log diag R in the first sweep.
    error_upper
        (...), of each logarithm, in exact arithmetic; rounding adds about layers x k x eps.
    sweeps
        how many there were.
    reached
        whether `error_upper` is below atol.
    """

    log_singular_values: Any
    exponents: Any
    gap: Any
    curve: Any
    error_upper: Any
    sweeps: int
    reached: bool


def _times(xp: Any, matrix: Any) -> Callable[[Any], Any]:
    """x -> M x, as (x^T M^T)^T, which is faster for few columns in row-major order."""
    if matrix.ndim < 2:
        raise InputError(f"a layer is a matrix or a map, not an array of shape {tuple(matrix.shape)}")
    _, matrix = real(matrix)
    return lambda x: xp.matrix_transpose(xp.matrix_transpose(x) @ xp.matrix_transpose(matrix))


def _sweep(factors: Iterable[Callable[[Any], Any]], frame: Any) -> tuple[list[Any], Any]:
    """Triangular factors R_l of M_l Q_{l-1}, and the logarithms of their diagonals, up to signs."""
    xp, triangles, logs = array_namespace(frame), [], []
    for number, apply in enumerate(factors, 1):
        image = apply(frame)
        if image.shape[-2] < image.shape[-1]:
            raise InputError(
                f"layer {number} has {image.shape[-2]} outputs: ask for at most so many exponents"
            )
        frame, R = xp.linalg.qr(image)
        size = xp.abs(xp.linalg.diagonal(R))
        if not bool(xp.all((size > 0) & (size < math.inf))):
            raise InputError(f"layer {number} maps the probes to fewer dimensions: ask for fewer exponents")
        triangles.append(R)
        logs.append(xp.log(size))
    if not logs:
        raise InputError("the chain has no layers")
    return triangles, xp.stack(logs)


def _unit_factor(triangles: list[Any], logs: Any) -> Any:
    """U of R_L ... R_1 = diag(e^t) U, in scaled form; NaN where an ascending t takes it out of range."""
    xp = array_namespace(logs)
    t, U = xp.zeros_like(logs[0, ...]), None
    for R, step in zip(triangles, xp.unstack(logs), strict=True):
        unit = R / xp.exp(step)[..., :, None]
        gap = t[..., None, :] - t[..., :, None]
        factor = xp.exp(xp.where(gap < 200.0, gap, xp.full_like(gap, math.nan)))
        scaled = xp.where(unit == 0, xp.zeros_like(unit), unit * factor)
        U = scaled if U is None else scaled @ U
        U = xp.where(xp.abs(U) < math.exp(200.0), U, xp.full_like(U, math.nan))
        t = t + step
    return U


def _error(U: Any) -> Any:
    """Ostrowski's bound on |log sigma_i - t_i|, t sorted; inf where U is out of range or singular."""
    xp = array_namespace(U)
    finite = xp.all(xp.isfinite(U), axis=(-2, -1))
    eye = xp.zeros_like(U) + xp.eye(U.shape[-1], dtype=U.dtype, device=device(U))
    s = xp.linalg.svdvals(xp.where(finite[..., None, None], U, eye))
    high, low = s[..., 0], s[..., -1]
    known = finite & (low > 0)
    worst = xp.maximum(high, 1 / xp.where(known, low, xp.ones_like(low)))
    return xp.where(known, xp.abs(xp.log(worst)), xp.full_like(low, math.inf))


def _close_values(t: Any, U: Any, error: Any) -> tuple[Any, Any]:
    """Where all t lie close together: the logs of the singular values of diag(e^t) U, by a dense SVD.

    That is where sweeps converge slowly and where scaling is harmless. The SVD's error, some k eps
    sigma_1, is relative to sigma_k here. Elsewhere t and error come back as they are.
    """
    xp = array_namespace(t)
    top = xp.max(t, axis=-1, keepdims=True)
    if bool(xp.any(top - t > CLOSE)) or not bool(xp.all(xp.isfinite(U))):
        return t, error
    s = xp.linalg.svdvals(xp.exp(t - top)[..., :, None] * U)
    if not bool(xp.all(s > 0)):
        return t, error
    rounding = 4 * t.shape[-1] * float(xp.finfo(t.dtype).eps) * s[..., 0] / s[..., -1]
    return top + xp.log(s), rounding


def lyapunov_spectrum(
    layers: Iterable[Any], start: Any, *, atol: float = 1e-6, max_sweeps: int = 50
) -> Lyapunov:
    """Leading finite-time Lyapunov exponents of the chain x -> M_L ... M_1 x.

    Parameters
    ----------
    layers
        arrays (..., N_l, n_l), or maps of arrays (..., n_l, k) to (..., N_l, k), in the order they act.
    start : (..., n_1, k)
        probes (the identity for the full spectrum, Gaussian for the k leading, of which the last few are
        then underestimates).
    atol
        sweeps go on until the error bound is at most this.
    max_sweeps
        but no more than these.

    Returns
    -------
    Lyapunov
        the exponents with their error.

    Raises
    ------
    InputError
        if the chain drops below rank k.

    References
    ----------
    Benettin et al. 1980; Stewart 1997 (sweeps).
    """
    xp, start = real(start)
    if start.ndim < 2 or not 1 <= start.shape[-1] <= start.shape[-2]:
        raise InputError(f"probes are (..., n, k) with 1 <= k <= n, not {tuple(start.shape)}")
    maps = (layer if callable(layer) else _times(xp, layer) for layer in layers)
    if max_sweeps < 1:
        raise InputError(f"max_sweeps must be at least 1, not {max_sweeps}")
    triangles, logs = _sweep(maps, xp.linalg.qr(start)[0])
    curve = xp.cumulative_sum(logs, axis=0)
    depth, k = logs.shape[0], logs.shape[-1]
    for sweeps in range(1, max_sweeps + 1):
        t = xp.sum(logs, axis=0)
        U = _unit_factor(triangles, logs)
        error = _error(U)
        if not bool(xp.all(error <= atol)):
            t, error = _close_values(t, U, error)
        reached = bool(xp.all(error <= atol))
        if reached or sweeps == max_sweeps:
            break
        back = [_times(xp, xp.matrix_transpose(R)) for R in reversed(triangles)]
        identity = xp.eye(k, dtype=logs.dtype, device=device(logs))
        triangles, logs = _sweep(back, xp.zeros_like(triangles[0]) + identity)
    t = xp.sort(t, axis=-1, descending=True)
    exponents = t / depth
    gap = exponents[..., 0] - exponents[..., 1] if k > 1 else xp.full_like(exponents[..., 0], math.inf)
    return Lyapunov(t, exponents, gap, curve, error, sweeps, reached)
