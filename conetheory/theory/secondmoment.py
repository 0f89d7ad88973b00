"""Second moments of relevance, from cut to cut: the curve without a random vector.

At a cut write `r(p) = s(p) c(p) + eta(p)`, c the image of c0, `<b(p), c(p)> = 1`, `<b(p), eta(p)> = 0`.
The state is c, `K = Cov(s(p), s(p'))` and `v = Var eta`, the variance of the deviation of every unit. From a
cut a to a cut b below let `D_q = M (c_a 1[q])`, the image of c at one location. Exactly, with
`t_pq = <b(p), D_q(p)>`, `psi_p = M^T b_p` and `E_q(p) = D_q(p) - t_pq c_b(p)`,

    s_b(p) = sum_q t_pq s_a(q) + <psi_p, eta_a>,
    eta_b(p) = sum_q s_a(q) E_q(p) + (M eta_a)(p) - c_b(p) <psi_p, eta_a>.

The closure (an estimate; theorem `second-moment` says when it is exact): deviations of different units and
locations are uncorrelated, and uncorrelated with s. Then

    K_b = t K_a t^T + psi (diag v - (v b)(v b)^T / <b^2, v>) psi^T     (transport, and hand-over of deviations
                                                                       given that <b, eta> = 0),
    v_b = carried + diag sum_qq' E_q K_a,qq' E_q'^T                     (injection),
    Cov r(p) = sum_qq' D_q(p) K_a,qq' D_q'(p)^T + diag v(p)             (any layer p below a).

Locations above that are never heard together share a vector: D is `(residues, channels, locations)` and
`heard[k, p]` the location above that location p hears in the vector of residue k.

Functions take arrays of any Array-API namespace with integer indexing (numpy, torch); K in float64.
"""

from __future__ import annotations

import math
from typing import Any

from array_api_compat import array_namespace, device

BLOCK = 2**17  # numbers that are worked on at a time
ROWS = 64  # rows of K that are made at a time
LEADING = 31  # eigenvalues of a layer's covariance that enter its law
HALF = (LEADING + 1) // 2  # of them that are kept as they are where there are more


def covector(c: Any, nonnegative: bool) -> Any:
    """b with `<b, c> = 1` at every location, zero where c is.

    A constant over the units with c != 0 for nonnegative chains, c / |c|^2 for others.

    Parameters
    ----------
    c : (channels, locations)
        the image of the all-ones start.
    nonnegative
        whether the chain is.

    Returns
    -------
    (channels, locations)
        b.
    """
    xp = array_namespace(c)
    b = xp.astype(c != 0, c.dtype) if nonnegative else c
    scale = xp.sum(b * c, axis=0, keepdims=True)
    # In float32 |c|^2 underflows long before c does.
    safe = scale > xp.finfo(c.dtype).smallest_normal
    return xp.where(safe, b / xp.where(safe, scale, xp.ones_like(scale)), xp.zeros_like(b))


def white_start(h: Any, b: Any) -> tuple[Any, Any]:
    """K, the diagonal alone, and v of independent N(0, 1) starts with c = h.

    Exact. Units with h = 0 are left out: in a nonnegative chain they have no way down. The covariance of s
    and eta, which the state does not hold, is zero for b = h / |h|^2, as where h is 0 or 1.

    Parameters
    ----------
    h, b : (channels, locations)
        as in the module.

    Returns
    -------
    tuple
        K (locations,) and v (channels, locations).
    """
    xp = array_namespace(h)
    length = xp.sum(b * b, axis=0)
    v = xp.where(h != 0, 1 - 2 * h * b + h * h * length, xp.zeros_like(h))
    return xp.astype(length, xp.float64), v


def location_weights(D: Any, b: Any) -> Any:
    """`t_pq = <b(p), D_q(p)>`; its sum over residues is one where b != 0.

    Parameters
    ----------
    D : (residues, channels, locations)
        what location weights become.
    b : (channels, locations)
        as in the module.

    Returns
    -------
    (residues, locations)
        t.
    """
    return array_namespace(D).sum(D * b, axis=1)


def neighbours(K: Any, heard: Any) -> Any:
    """K between the locations that each location hears.

    Parameters
    ----------
    K : (locations above, locations above)
        covariance of the location weights; (locations above,) where it is diagonal.
    heard : (residues, locations)
        the locations above that each hears.

    Returns
    -------
    (residues, residues, locations)
        K.
    """
    one, other = heard[:, None, :], heard[None, :, :]
    if K.ndim == 1:
        xp = array_namespace(K)
        return xp.where(one == other, K[one], xp.zeros_like(K[:1]))
    return K[one, other]


def transported(K: Any, t: Any, heard: Any) -> Any:
    """`t K t^T`.

    Parameters
    ----------
    K : (locations above, locations above)
        covariance of the location weights; (locations above,) where it is diagonal.
    t, heard : (residues, locations)
        as in the module.

    Returns
    -------
    (locations, locations)
        K below.
    """
    xp = array_namespace(K)
    half = _rows(xp, K, t, heard)
    return _rows(xp, xp.permute_dims(half, (1, 0)), t, heard)


def _rows(xp: Any, K: Any, t: Any, heard: Any) -> Any:
    """`t K`, as a product of small full matrices: consecutive locations hear rows of K that lie together."""
    residues, size = t.shape
    t = xp.astype(t, xp.float64)
    if residues == 1 and K.shape == (size, size):
        return t[0][:, None] * K
    found = xp.zeros((size, K.shape[-1]), dtype=xp.float64, device=device(K))
    for first in range(0, size, ROWS):
        rows, weights = heard[:, first : first + ROWS], t[:, first : first + ROWS]
        low, high = int(xp.min(rows)), int(xp.max(rows)) + 1
        full = xp.zeros((rows.shape[1], high - low), dtype=xp.float64, device=device(K))
        here = xp.arange(rows.shape[1], device=device(K))
        for k in range(residues):
            full[here, rows[k] - low] += weights[k]
        if K.ndim == 1:
            found[first : first + ROWS, low:high] = full * K[low:high]
        else:
            found[first : first + ROWS, :] = full @ K[low:high, :]
    return found


def injected(D: Any, t: Any, c: Any, near: Any) -> Any:
    """The variances that location weights become: `diag E K E^T`.

    Parameters
    ----------
    D : (residues, channels, locations)
        what location weights become.
    t : (residues, locations)
        `location_weights`.
    c : (channels, locations)
        the image of the all-ones start.
    near
        `neighbours(K, heard)`.

    Returns
    -------
    (channels, locations)
        variances.

    References
    ----------
    Theorem: second-moment.
    """
    xp = array_namespace(D)
    parts = []
    for here in _blocks(D):
        E = _by_location(D[..., here] - t[:, None, here] * c[None, :, here])
        parts.append(xp.sum(E * (xp.permute_dims(near[..., here], (2, 0, 1)) @ E), axis=1))
    return xp.clip(xp.permute_dims(xp.concat(parts, axis=0), (1, 0)), min=0.0)


def handed_over(psi: Any, v: Any, b: Any) -> Any:
    """Covariance of `<psi_p, eta>` by the location q it comes from.

    Given `<b, eta> = 0`: `psi (diag v - (v b)(v b)^T / <b^2, v>) psi^T`, exact for Gaussian units that are
    independent before the condition, v their variances before it. Below a start there is only v after it:
    O(1/n) too low.

    Parameters
    ----------
    psi : (residues, channels, locations above)
        one for every p that hears q.
    v, b : (channels, locations above)
        as in the module.

    Returns
    -------
    (residues, residues, locations above)
        covariances.

    References
    ----------
    Theorem: second-moment.
    """
    xp = array_namespace(psi)
    v, b = (xp.astype(x, xp.float64) for x in (v, b))
    scale = xp.sum(b * b * v, axis=0)
    safe = xp.where(scale > 0, scale, xp.ones_like(scale))
    parts = []
    for here in _blocks(psi):
        rows = _by_location(psi[..., here])
        spread = rows * _by_location(v[None, :, here])
        mean = spread @ xp.permute_dims(_by_location(b[None, :, here]), (0, 2, 1))
        across = mean @ xp.permute_dims(mean, (0, 2, 1)) / safe[here][:, None, None]
        parts.append(spread @ xp.permute_dims(rows, (0, 2, 1)) - across)
    return xp.permute_dims(xp.concat(parts, axis=0), (1, 2, 0))


def _blocks(x: Any) -> list[slice]:
    """Locations some at a time: what is made of x, (vectors, channels, locations), stays in a CPU's cache."""
    *others, size = x.shape
    step = max(1, BLOCK // math.prod(others)) if str(device(x)) == "cpu" else size
    return [slice(first, first + step) for first in range(0, size, step)]


def _by_location(x: Any) -> Any:
    """(vectors, channels, locations) as (locations, vectors, channels), in float64."""
    xp = array_namespace(x)
    return xp.astype(xp.permute_dims(x, (2, 0, 1)), xp.float64)


def local_spectrum(D: Any, near: Any, v: Any, fields: Any = None) -> Any:
    """The leading singular values of each local matrix.

    The covariance `D K D^T + F^T F + diag v` is decomposed itself for few channels. For many, on the span of
    D and F (Rayleigh-Ritz; the diagonal's own eigenvalues stand for the rest, so that the trace is exact),
    and what exceeds `LEADING` values is spread evenly over the last half of them.

    Parameters
    ----------
    D : (residues, channels, locations)
        what location weights become.
    near
        `neighbours(K, heard)`.
    v : (channels, locations)
        variances beside.
    fields : (k, channels, locations)
        F, or None.

    Returns
    -------
    (locations, at most LEADING + 1)
        descending.

    References
    ----------
    Theorem: second-moment.
    """
    xp = array_namespace(D)
    D = xp.permute_dims(xp.astype(D, xp.float64), (2, 1, 0))  # locations, channels, residues
    v = xp.permute_dims(xp.astype(v, xp.float64), (1, 0))
    near = xp.permute_dims((near + xp.permute_dims(near, (1, 0, 2))) / 2, (2, 0, 1))
    values, vectors = xp.linalg.eigh(near)
    B = D @ (vectors * xp.sqrt(xp.clip(values, min=0.0))[:, None, :])
    if fields is not None:
        B = xp.concat([B, xp.permute_dims(xp.astype(fields, xp.float64), (2, 1, 0))], axis=2)
    channels = D.shape[1]
    if channels <= LEADING + 1 or channels <= 2 * B.shape[2]:
        eye = xp.eye(channels, dtype=xp.float64, device=device(D))
        full = B @ xp.permute_dims(B, (0, 2, 1)) + v[:, :, None] * eye
        squares = xp.linalg.eigvalsh(full)
    else:
        squares = xp.concat(_split(xp, B, v), axis=1)
    return xp.sqrt(shortened(xp.sort(xp.clip(squares, min=0.0), axis=1, descending=True)))


def _split(xp: Any, B: Any, v: Any) -> tuple[Any, Any]:
    """Eigenvalues on the span of B, and the variances v scaled to what is left of their sum."""
    Q, R = xp.linalg.qr(B)
    turned = xp.permute_dims(Q, (0, 2, 1))
    inside = turned @ (v[:, :, None] * Q)
    values = xp.linalg.eigvalsh(R @ xp.permute_dims(R, (0, 2, 1)) + inside)
    total = xp.sum(v, axis=1)
    left = xp.clip(total - xp.linalg.trace(inside), min=0.0)
    scale = left / xp.where(total > 0, total, xp.ones_like(total))
    return values, v * scale[:, None]


def shortened(squares: Any) -> Any:
    """At most `LEADING` + 1 of the squared singular values, with the same sum.

    What comes after the first half of them is spread evenly over the other half (`spread`).

    Parameters
    ----------
    squares : (..., r)
        descending.

    Returns
    -------
    (..., at most LEADING + 1)
        descending.
    """
    xp = array_namespace(squares)
    if squares.shape[1] <= LEADING + 1:
        return squares
    return spread(squares[:, :HALF], xp.sum(squares[:, HALF:], axis=1))


def spread(squares: Any, rest: Any) -> Any:
    """The largest squared singular values, and as many more that share the sum of the others evenly.

    A flat tail of 16 values has the median of a longer one to within some 4%.

    Parameters
    ----------
    squares : (n, k)
        the largest.
    rest : (n,)
        the sum of the others.

    Returns
    -------
    (n, 2 k)
        descending.
    """
    xp = array_namespace(squares)
    flat = xp.zeros_like(squares) + rest[:, None] / squares.shape[1]
    return xp.sort(xp.concat([squares, flat], axis=1), axis=1, descending=True)
