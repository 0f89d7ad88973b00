"""Where relevance comes from: the origin of each channel's relevance, and what it says about the curve.

Let C be the chain from a start (or a cut) with locations q down to location p with channels i, and c0 a
field of channel vectors there: the column sums of the chain. `f_i(q) = C_(pi),(q.) c0(q) / c_i` sums to one
over q; for a nonnegative chain it is a distribution, *the origin of the relevance of channel i at p*. The
images of c0 and of c0 times the coordinates, `c, X, Y, XX, XY, YY`, hold its moments:

    mean origin  xbar = sum_i c_i X_i / |c|^2 (weights c_i^2),    G = (X - xbar c, Y - ybar c),    <c, G> = 0,
    Sigma = the covariance of the origin, weights c_i^2:    Sigma_xx = sum_i c_i XX_i / |c|^2 - xbar^2, ...

For white starts `P_p P_p^T = A + T` with the overlap of origins `A_ij = c_i c_j sum_q f_i f_j / |c0|^2`
(theorem `origin-overlap`, exact) and T the Gram matrix of the chain on starts orthogonal to c0(q) at every q.
A start `s(q) c0(q)` arrives as `s(xbar) c + G grad s + R` (theorem `gradient-expansion`); with Gaussian
origins the covariance is `[c G] B [c G]^T`, `B = diag(1, Sigma^-1 / 2) / (4 pi sqrt(det Sigma) |c0|^2)`, its
spectrum
`(1, sqrt(lambda_1), sqrt(lambda_2))` with lambda the eigenvalues of `Sigma^-1 G^T G / (2 |c|^2)` (theorem
`origin-law`).

Arrays are (channels, locations) of any Array-API namespace; coordinates are those of the start's locations.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from array_api_compat import array_namespace, device

NARROW = 0.05  # pixel^2 that a variance has at least on a grid, which shows no narrower Gaussian


@dataclass(frozen=True)
class Origin:
    """Moments of the origin at every location.

    Attributes
    ----------
    mean
        (locations, 2).
    Sigma
        (locations, 2, 2).
    c
        (locations, channels), the image of the all-ones start; `|c|^2` is zero where a location is dead.
    G
        (locations, channels, 2).
    """

    mean: Any
    Sigma: Any
    c: Any
    G: Any


def moments(c: Any, X: Any, Y: Any, XX: Any, XY: Any, YY: Any) -> Origin:
    """Mean origin, Sigma and G from six images, in float64.

    Coordinates should be counted from near the middle of the map: Sigma is a difference of second moments.

    Parameters
    ----------
    c, X, Y, XX, XY, YY : (channels, locations)
        images of the all-ones start times 1, x, y, x^2, x y and y^2.

    Returns
    -------
    Origin
        by location.

    References
    ----------
    Theorem: gradient-expansion.
    """
    xp = array_namespace(c)
    c, X, Y, XX, XY, YY = (xp.astype(z, xp.float64) for z in (c, X, Y, XX, XY, YY))
    length = xp.sum(c * c, axis=0)
    safe = xp.where(length > 0, length, xp.ones_like(length))
    x, y, xx, xy, yy = (xp.sum(c * z, axis=0) / safe for z in (X, Y, XX, XY, YY))
    rows = xp.stack([xx - x * x, xy - x * y], axis=-1), xp.stack([xy - x * y, yy - y * y], axis=-1)
    G = xp.permute_dims(xp.stack([X - x * c, Y - y * c], axis=-1), (1, 0, 2))
    return Origin(xp.stack([x, y], axis=-1), xp.stack(rows, axis=-2), xp.permute_dims(c, (1, 0)), G)


def positive_part(Sigma: Any, least: float = NARROW) -> tuple[Any, Any]:
    """Sigma with eigenvalues of at least `least`, and where it had a smaller one.

    Parameters
    ----------
    Sigma : (..., 2, 2)
        symmetric.
    least
        in squared pixels.

    Returns
    -------
    tuple
        (..., 2, 2) and booleans (...).
    """
    xp = array_namespace(Sigma)
    values, vectors = xp.linalg.eigh(Sigma)
    repaired = xp.clip(values, min=least)
    mended = (vectors * repaired[..., None, :]) @ xp.permute_dims(vectors, (*range(vectors.ndim - 2), -1, -2))
    return mended, values[..., 0] < least


def cut_by_border(origin: Origin, grid: Any, widths: float = 2.0) -> Any:
    """Where the origin reaches the border of a grid: its mean plus or minus `widths` standard deviations lies
    more than half a pixel beyond the outermost points along an axis.

    Parameters
    ----------
    origin
        its moments.
    grid : (points, 2)
        coordinates.
    widths
        standard deviations.

    Returns
    -------
    (locations,)
        booleans.
    """
    xp = array_namespace(origin.mean)
    variances = xp.stack([origin.Sigma[..., 0, 0], origin.Sigma[..., 1, 1]], axis=-1)
    half = widths * xp.sqrt(xp.clip(variances, min=0.0))
    low, high = xp.min(grid, axis=0) - 0.5, xp.max(grid, axis=0) + 0.5
    return xp.any((origin.mean - half < low) | (origin.mean + half > high), axis=-1)


def tail_energies(origin: Origin, r: Any) -> tuple[Any, Any]:
    """How much of relevance lies beside c, and how much of that in the span of G.

    `|r - c <c, r> / |c|^2|^2` and the squared length of its projection on the columns of G (which are
    orthogonal to c), means over the vectors; zero where c is.

    Parameters
    ----------
    origin
        its moments.
    r : (vectors, channels, locations)
        relevance.

    Returns
    -------
    tuple
        (locations,) each.
    """
    xp = array_namespace(origin.c)
    r = xp.permute_dims(xp.astype(r, xp.float64), (2, 1, 0))  # locations, channels, vectors
    c = origin.c[:, :, None]
    length = xp.sum(c * c, axis=1, keepdims=True)
    live = length > 0
    safe = xp.where(live, length, xp.ones_like(length))
    rest = xp.where(live, r - c * (xp.sum(c * r, axis=1, keepdims=True) / safe), xp.zeros_like(r))
    across = xp.matrix_transpose(origin.G)
    values, vectors = xp.linalg.eigh(across @ origin.G)
    inside = xp.matrix_transpose(vectors) @ (across @ rest)
    there = values > 1e-12 * xp.max(values, axis=-1, keepdims=True)  # one direction may be all there is
    weight = xp.where(there, 1 / xp.where(there, values, xp.ones_like(values)), xp.zeros_like(values))
    in_span = xp.sum(inside * inside * weight[:, :, None], axis=1)
    return xp.mean(xp.sum(rest * rest, axis=1), axis=-1), xp.mean(in_span, axis=-1)


def origin_squares(origin: Origin, Sigma: Any = None) -> Any:
    """`lambda` of white starts and Gaussian origins: the tail of the spectrum.

    Half the share of the variance of the origin that the channel explains.

    Parameters
    ----------
    origin
        its moments.
    Sigma : (locations, 2, 2)
        that of the origin unless given (see `positive_part`).

    Returns
    -------
    (locations, 2)
        descending; NaN at dead locations, and where Sigma is not positive definite.

    References
    ----------
    Theorem: origin-law.
    """
    xp = array_namespace(origin.c)
    Sigma = origin.Sigma if Sigma is None else Sigma
    length = xp.sum(origin.c**2, axis=1)
    area = Sigma[..., 0, 0] * Sigma[..., 1, 1] - Sigma[..., 0, 1] * Sigma[..., 1, 0]
    known = (length > 0) & (Sigma[..., 0, 0] > 0) & (area > 0)
    safe = xp.where(known, length, xp.full_like(length, math.nan))
    Sigma = xp.where(known[:, None, None], Sigma, xp.eye(2, dtype=Sigma.dtype, device=device(Sigma)))
    ratio = xp.linalg.solve(Sigma, xp.matrix_transpose(origin.G) @ origin.G) / (2 * safe[:, None, None])
    half = (ratio[:, 0, 0] + ratio[:, 1, 1]) / 2
    determinant = ratio[:, 0, 0] * ratio[:, 1, 1] - ratio[:, 0, 1] * ratio[:, 1, 0]
    apart = (ratio[:, 0, 0] - ratio[:, 1, 1]) / 2  # half^2 - determinant would lose the digits of equal ones
    root = xp.sqrt(xp.clip(apart * apart + ratio[:, 0, 1] * ratio[:, 1, 0], min=0.0))
    first = half + root
    second = xp.where(first > 0, determinant / xp.where(first > 0, first, xp.ones_like(first)), 0 * first)
    return xp.stack([first, xp.clip(second, min=0.0)], axis=-1)


def white_field_covariance(Sigma: Any, c0_squared: Any) -> Any:
    """B of white starts: the covariance of a smoothed field's value and gradient.

    Parameters
    ----------
    Sigma : (..., 2, 2)
        of the origin, positive definite (`positive_part`).
    c0_squared
        `|c0|^2` at the start, broadcast.

    Returns
    -------
    (..., 3, 3)
        B.

    References
    ----------
    Theorem: origin-law.
    """
    xp = array_namespace(Sigma)
    determinant = Sigma[..., 0, 0] * Sigma[..., 1, 1] - Sigma[..., 0, 1] * Sigma[..., 1, 0]
    scale = 1 / (4 * math.pi * xp.sqrt(determinant) * c0_squared)
    B = xp.zeros((*Sigma.shape[:-2], 3, 3), dtype=Sigma.dtype, device=device(Sigma))
    B[..., 0, 0] = 1.0
    B[..., 1:, 1:] = xp.linalg.inv(Sigma) / 2
    return B * scale[..., None, None]


def smoothing(mean: Any, Sigma: Any, grid: Any) -> Any:
    """L: value and gradient at `mean` of a field smoothed by a Gaussian on a grid.

    The weights w are normalised on the grid, which cuts them at its border; `L = (w, Sigma^-1 (q - mean) w)`.

    Parameters
    ----------
    mean : (locations, 2)
        of the origin.
    Sigma : (locations, 2, 2)
        of the origin, positive definite (`positive_part`).
    grid : (points, 2)
        coordinates.

    Returns
    -------
    (locations, 3, points)
        L.
    """
    xp = array_namespace(mean)
    offset = grid[None, :, :] - mean[:, None, :]
    scores = offset @ xp.linalg.inv(Sigma)  # symmetric
    exponent = -xp.sum(scores * offset, axis=-1) / 2
    w = xp.exp(exponent - xp.max(exponent, axis=1, keepdims=True))
    w = w / xp.sum(w, axis=1, keepdims=True)
    return xp.stack([w, scores[..., 0] * w, scores[..., 1] * w], axis=1)


def field_covariance(L: Any, K: Any) -> Any:
    """`L K L^T`.

    Parameters
    ----------
    L : (locations, 3, points)
        from `smoothing`.
    K
        (points, points) or its diagonal (points,).

    Returns
    -------
    (locations, 3, 3)
        B.
    """
    xp = array_namespace(L)
    weighted = L * K if K.ndim == 1 else L @ K
    return weighted @ xp.matrix_transpose(L)


def origin_spectrum(origin: Origin, B: Any) -> Any:
    """The spectrum of P where `P P^T = [c G] B [c G]^T`: square roots of the covariance's eigenvalues.

    From the 3 x 3 matrix `F^T [c G]^T [c G] F`, `B = F F^T` (c and G are orthogonal).

    Parameters
    ----------
    origin
        its moments.
    B : (locations, 3, 3)
        of the smoothed field.

    Returns
    -------
    (locations, 3)
        descending.

    References
    ----------
    Theorem: origin-law.
    """
    xp = array_namespace(origin.c)
    c2 = xp.sum(origin.c**2, axis=1)
    N = xp.zeros_like(B)
    N[:, 0, 0] = c2
    N[:, 1:, 1:] = xp.matrix_transpose(origin.G) @ origin.G
    values, vectors = xp.linalg.eigh((B + xp.matrix_transpose(B)) / 2)
    F = vectors * xp.sqrt(xp.clip(values, min=0.0))[:, None, :]
    inner = xp.matrix_transpose(F) @ N @ F
    squares = xp.linalg.eigvalsh((inner + xp.matrix_transpose(inner)) / 2)
    return xp.flip(xp.sqrt(xp.clip(squares, min=0.0)), axis=-1)


def overlap(D: Any, c0_squared: Any) -> Any:
    """A, the overlap of origins: `A_ij = sum_q D_i(q) D_j(q) / |c0(q)|^2`, zero terms where c0 is.

    Parameters
    ----------
    D : (channels, start locations)
        `C_(pi),(q.) c0(q)`; white starts.
    c0_squared : (start locations,)
        `|c0(q)|^2`.

    Returns
    -------
    (channels, channels)
        A.

    References
    ----------
    Theorem: origin-overlap.
    """
    xp = array_namespace(D)
    live = c0_squared > 0
    weight = xp.where(live, 1 / xp.where(live, c0_squared, xp.ones_like(c0_squared)), 0 * c0_squared)
    return (D * weight) @ xp.matrix_transpose(D)


def remainder_upper(H: Any, mean: Any, c: Any, X: Any, Y: Any, XX: Any, YY: Any) -> Any:
    """`(H/2) V`, componentwise above |R| for a nonnegative chain, at one location.

    R is what a start `(s + g.(q - mean) + rho(q)) c0(q)` with `|rho| <= H |q - mean|^2 / 2` adds to
    `s c + G g` (G about this mean), `V = XX + YY - 2 xbar X - 2 ybar Y + |mean|^2 c`;
    in exact arithmetic.

    Parameters
    ----------
    H
        bound of the field's curvature.
    mean : (2,)
        where the field is expanded.
    c, X, Y, XX, YY : (channels,)
        as in `moments`, at the location.

    Returns
    -------
    (channels,)
        the bound.

    References
    ----------
    Theorem: gradient-expansion.
    """
    V = XX + YY - 2 * mean[0] * X - 2 * mean[1] * Y + (mean[0] * mean[0] + mean[1] * mean[1]) * c
    return H * V / 2
