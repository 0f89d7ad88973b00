"""The walk of the weights: moments of the origin in a chain whose kernels are the same everywhere.

Away from borders, and where activations are flat, a layer is a kernel: `r'_i(p) = sum_q sum_j K_ij(k) r_j(q)`
for the locations q of the layer above with `p = stride q - padding + dilation k`. Let `pixel` be the distance
of neighbouring locations below in pixels of the start, which is its distance above over the stride: so a
kernel's variance counts a quarter after each stride 2. The step from p up to q is `pixel (padding - dilation
k)`, and the six images `c, X, Y, XX, XY, YY` (`theory.origin`), with coordinates counted from each location's
own place, close: for a step d = (dx, dy)

    c'_i = sum K_ij c_j,  X'_i = sum K_ij (X_j + dx c_j),  XX'_i = sum K_ij (XX_j + 2 dx X_j + dx^2 c_j), ...

(theorem `origin-walk`; exact, for signed kernels too). With nonnegative ones the origin of channel i is a
random walk, a step for each layer, from channel to channel. 1 x 1 kernels take no step, they mix channels;
a mean over windows is the same kernel for each channel; what branches bring to one tensor is added
(`joined`), each with its share of the relevance. Below a stride the phases of a location differ: the state is
kept for each, on a torus of as many locations as the strides multiply to.

States are `(6, channels, rows, columns)` of the torus; kernels `(channels below, channels above, rows,
columns)`, or `(channels, rows, columns)` where channels stay apart. Array-API namespaces with integer
indexing (numpy, torch).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from array_api_compat import array_namespace, device

from conetheory.errors import InputError
from conetheory.theory.origin import moments

Pair = tuple[float, float]


def point(c: Any) -> Any:
    """The state of an origin without width at one location: c (channels,)."""
    xp = array_namespace(c)
    return xp.stack([c, *(xp.zeros_like(c) for _ in range(5))])[:, :, None, None]


def walk_step(
    six: Any,
    kernel: Any,
    pixel: Pair = (1.0, 1.0),
    stride: tuple[int, int] = (1, 1),
    padding: tuple[int, int] = (0, 0),
    dilation: tuple[int, int] = (1, 1),
) -> Any:
    """The state below one layer.

    Parameters
    ----------
    six : (6, channels, rows, columns)
        the state above, on its torus.
    kernel
        (channels below, channels above, rows, columns), or (channels, rows, columns) where channels stay
        apart.
    pixel
        of the layer below, (row, column).
    stride, padding, dilation
        of the layer, (row, column).

    Returns
    -------
    (6, channels below, stride rows, stride columns)
        the state below.

    References
    ----------
    Theorem: origin-walk.
    """
    xp = array_namespace(six, kernel)
    *_, rows, columns = six.shape
    below = (rows * stride[0], columns * stride[1])
    out = xp.zeros((6, kernel.shape[0], *below), dtype=six.dtype, device=device(six))
    for a in range(kernel.shape[-2]):
        for b in range(kernel.shape[-1]):
            offset = padding[0] - dilation[0] * a, padding[1] - dilation[1] * b
            moved = _shifted(xp, six, pixel[1] * offset[1], pixel[0] * offset[0])
            y = (stride[0] * xp.arange(rows, device=device(six)) - offset[0]) % below[0]
            x = (stride[1] * xp.arange(columns, device=device(six)) - offset[1]) % below[1]
            out[:, :, y[:, None], x[None, :]] += _applied(xp, kernel[..., a, b], moved)
    return out


def _shifted(xp: Any, six: Any, dx: float, dy: float) -> Any:
    """The same moments about a place that lies (dx, dy) before."""
    c, X, Y, XX, XY, YY = (six[k] for k in range(6))
    return xp.stack(
        [
            c,
            X + dx * c,
            Y + dy * c,
            XX + 2 * dx * X + dx * dx * c,
            XY + dx * Y + dy * X + dx * dy * c,
            YY + 2 * dy * Y + dy * dy * c,
        ]
    )


def _applied(xp: Any, tap: Any, six: Any) -> Any:
    if tap.ndim == 1:
        return tap[None, :, None, None] * six
    return xp.permute_dims(xp.tensordot(tap, six, axes=([1], [1])), (1, 0, 2, 3))


def joined(*states: Any) -> Any:
    """The sum of the states that branches bring to one tensor, repeated to their common torus."""
    xp = array_namespace(*states)
    size = tuple(math.lcm(*(state.shape[axis] for state in states)) for axis in (2, 3))
    return sum(
        xp.tile(state, (1, 1, size[0] // state.shape[2], size[1] // state.shape[3])) for state in states
    )


@dataclass(frozen=True)
class Variances:
    """Of the origin at one kind of location, in the start's pixels^2, weights c_i^2.

    Their sum is Sigma, and half of `within^-1 between`, to leading order, the tail of the spectrum.

    Attributes
    ----------
    within
        (phases, 2, 2), of a channel's own origin.
    between
        (phases, 2, 2), of the channels' mean origins, `G^T G / |c|^2`.
    """

    within: Any
    between: Any


def variances(six: Any) -> Variances:
    """Within and between channels, for a state; NaN where c = 0."""
    xp = array_namespace(six)
    origin = moments(*(xp.reshape(six[k], (six.shape[1], -1)) for k in range(6)))
    length = xp.sum(origin.c**2, axis=1)[:, None, None]
    safe = xp.where(length > 0, length, xp.full_like(length, math.nan))
    between = xp.matrix_transpose(origin.G) @ origin.G / safe
    return Variances(origin.Sigma + 0 * safe - between, between)


def kernel_variances(
    kernel: Any,
    c: Any,
    pixel: Pair = (1.0, 1.0),
    stride: tuple[int, int] = (1, 1),
    dilation: tuple[int, int] = (1, 1),
) -> Variances:
    """What one layer adds: the step of a kernel below weights c of the channels above.

    Where every channel mixes those above in the same proportions, within is added to the whole variance
    above, and between is all that there is below.

    Parameters
    ----------
    kernel
        (channels below, channels above, rows, columns).
    c : (channels above,)
        weights.
    pixel
        of the layer below, (row, column).
    stride, dilation
        of the layer, (row, column).

    Returns
    -------
    Variances
        within: what it adds to Sigma; between: what it injects into G.

    References
    ----------
    Theorem: origin-walk.
    """
    return variances(walk_step(point(c), kernel, pixel, stride, dilation=dilation))


def thinned_kappa(kappa: float, share: float) -> float:
    """`(1 + kappa) / share - 1`: v / m^2 of a weight that counts with the chance `share`, else as zero.

    Parameters
    ----------
    kappa
        v / m^2 of the weight itself.
    share
        above 0, at most 1.

    Returns
    -------
    float
        at least kappa.

    Raises
    ------
    InputError
        for numbers out of range.

    References
    ----------
    Theorem: origin-walk.
    """
    if not (0 < share <= 1 and kappa >= 0):
        raise InputError(f"a share is above 0, at most 1, and kappa >= 0; got {share}, {kappa}")
    return (1 + kappa) / share - 1


def slowest_mode_estimate(side: int, variance: float) -> float:
    """The second eigenvalue of the chain of locations on `side` of them: `exp(-pi^2 variance / (2 side^2))`.

    For a reflecting walk; an estimate for others.

    Parameters
    ----------
    side
        locations along an axis.
    variance
        of the walk along that axis, in the same pixels.

    Returns
    -------
    float
        in (0, 1].

    Raises
    ------
    InputError
        for numbers out of range.
    """
    if side < 1 or not variance >= 0:
        raise InputError(f"a map has locations and a walk a variance; got {side}, {variance}")
    return math.exp(-(math.pi**2) * variance / (2 * side**2))
