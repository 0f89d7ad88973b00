"""Chains of random convolutions: a walk of location weights, and the spread of channels that it leaves.

A layer of n channels above and k taps, `r'_i(p) = sum_delta sum_j W_delta,ij r_j(p + delta)` with
independent W of mean m and variance v, kappa = v / m^2. For starts x, y let `s_x(q)` be the mean of r_x
over the channels at q and `<r_x, r_y>(q) = n s_x s_y (1 + T_xy)(q)`. Given the layer above, exactly,
channels of the new layer are independent and alike, with mean `m n sum_delta s_x(p + delta)` and covariance
`v sum_delta <r_x, r_y>(p + delta)`. Divided by the product of the means, with `t_x(delta) = s_x(p + delta)
/ sum s_x`,

    T'_xy(p) = (kappa / n) sum_delta t_x t_y (1 + T_xy(p + delta)),

which is what T tends to for many channels below (there s' tends to its mean). A tap that finds nothing,
beyond a border of zeros or between the places of a layer with a stride, has the share 0. The deficit of x
and y is `1 - (1 + T_xy)/sqrt((1 + T_xx)(1 + T_yy))`, and `n deficit -> (kappa/2) |t_x - t_y|^2` as n grows.
Theorems: conv-two-scales, power-law.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce
from itertools import product
from typing import Any, Literal

import numpy as np

from conetheory.errors import InputError

Border = Literal["periodic", "zero"]
BORDERS: dict[str, Literal["wrap", "constant"]] = {
    "periodic": "wrap",
    "zero": "constant",
}  # and what numpy calls padding by them


@dataclass(frozen=True)
class Walk:
    """The state of a chain of random convolutions.

    Attributes
    ----------
    s
        location weights (starts, *space), up to a factor each.
    T
        (starts, starts, *space): `<r_x, r_y> / (n s_x s_y) - 1` over the n channels.
    """

    s: Any
    T: Any

    @property
    def deficits(self) -> Any:
        """`1 - |cos|` of all pairs x < y at every location, (pairs, *space); right down to 1e-16 times T.

        With A = 1 + T_xx, B = 1 + T_yy, C = |1 + T_xy| and D = A + B - 2 C, taken from T itself, it is `(A B
        - C^2) / (sqrt(A B) (sqrt(A B) + C))`, where `4 (A B - C^2) = 2 (A + B) D - D^2 - (A - B)^2`.
        """
        x, y = np.triu_indices(len(self.s), 1)
        own, other, shared = self.T[x, x], self.T[y, y], self.T[x, y]
        A, B, C = 1 + own, 1 + other, np.abs(1 + shared)
        D = own + other - 2 * np.where(shared >= -1, shared, -2 - shared)
        root = np.sqrt(A * B)
        return (2 * (A + B) * D - D**2 - (own - other) ** 2) / (4 * root * (root + C))


def white_walk(starts: Any) -> Walk:
    """The state of given starts: their channel means and T.

    Parameters
    ----------
    starts : (starts, channels, *space)
        of relevance.

    Returns
    -------
    Walk
        exactly theirs.

    References
    ----------
    Theorem: conv-two-scales.
    """
    r = np.asarray(starts, np.float64)
    s = r.mean(1)
    second = np.einsum("xc...,yc...->xy...", r, r) / r.shape[1]
    return Walk(s, second / (s[:, None] * s[None]) - 1)


def neighbours(values: Any, dimensions: int, reach: int, border: Border = "periodic") -> list[Any]:
    """`values(..., p + delta)` for the `(2 reach + 1)^d` taps delta.

    Parameters
    ----------
    values : (..., *space)
        space is the last d axes.
    dimensions
        d.
    reach
        of a kernel to each side.
    border
        `periodic` or `zero`.

    Returns
    -------
    list
        of as many arrays (..., *space), views.

    Raises
    ------
    InputError
        for an unknown border.
    """
    if border not in BORDERS:
        raise InputError(f"a border is one of {', '.join(BORDERS)}, not {border!r}")
    lead = values.ndim - dimensions
    padded = np.pad(values, [(0, 0)] * lead + [(reach, reach)] * dimensions, mode=BORDERS[border])
    return [
        padded[(..., *(slice(at, at + side) for at, side in zip(tap, values.shape[lead:], strict=True)))]
        for tap in product(range(2 * reach + 1), repeat=dimensions)
    ]


def tap_sums(values: Any, dimensions: int, reach: int, border: Border = "periodic") -> Any:
    """`sum_delta values(..., p + delta)`: the sum of `neighbours`, an axis at a time.

    Parameters
    ----------
    values : (..., *space)
        space is the last d axes.
    dimensions
        d.
    reach
        of a kernel to each side.
    border
        `periodic` or `zero`.

    Returns
    -------
    (..., *space)
        sums.
    """
    for axis in range(-dimensions, 0):
        values = np.moveaxis(
            reduce(np.add, neighbours(np.moveaxis(values, axis, -1), 1, reach, border)), -1, axis
        )
    return values


def between_zeros(values: Any, dimensions: int, stride: int) -> Any:
    """The places of a layer with a stride on the finer grid below it: every stride-th, zeros between.

    Parameters
    ----------
    values : (..., *space)
        space is the last d axes.
    dimensions
        d.
    stride
        of the layer.

    Returns
    -------
    (..., *space below)
        each side `stride` times as long.
    """
    lead = values.ndim - dimensions
    fine = np.zeros((*values.shape[:lead], *(side * stride for side in values.shape[lead:])), values.dtype)
    fine[(..., *[slice(None, None, stride)] * dimensions)] = values
    return fine


def walk_layer(
    walk: Walk, channels: int, kappa: float, reach: int = 1, stride: int = 1, border: Border = "periodic"
) -> Walk:
    """The state below one layer of n channels and `(2 reach + 1)^d` taps; a stride s makes the side s times.

    Parameters
    ----------
    walk
        the state above.
    channels
        n.
    kappa
        the weights' variance over their squared mean.
    reach
        of the kernel to each side.
    stride
        s.
    border
        `periodic` or `zero`.

    Returns
    -------
    Walk
        the state below.

    Raises
    ------
    InputError
        where taps don't reach every place below the stride, and for what is no layer.

    References
    ----------
    Theorem: conv-two-scales.
    """
    if channels < 1 or not kappa >= 0 or reach < 0:
        raise InputError(f"a layer has channels, kappa >= 0 and a reach, not {channels}, {kappa}, {reach}")
    if not 1 <= stride <= 2 * reach + 1:
        raise InputError(f"a stride is between 1 and the {2 * reach + 1} taps of an axis, not {stride}")
    d = walk.s.ndim - 1
    s, T = (
        (between_zeros(values, d, stride) for values in (walk.s, walk.T)) if stride > 1 else (walk.s, walk.T)
    )
    total = tap_sums(s, d, reach, border)
    spread = tap_sums(s[:, None] * s[None] * (1 + T), d, reach, border)
    T = (kappa / channels) * spread / (total[:, None] * total[None])
    return Walk(total / np.abs(total).max(axis=tuple(range(1, s.ndim)), keepdims=True), T)


def walk_layers(
    walk: Walk, layers: int, channels: int, kappa: float, reach: int = 1, border: Border = "periodic"
) -> Iterator[Walk]:
    """The state after each of so many layers of stride 1, all alike.

    Parameters
    ----------
    walk
        the state above.
    layers
        how many.
    channels, kappa, reach, border
        as in `walk_layer`.

    Yields
    ------
    Walk
        the state below each.

    References
    ----------
    theorems `conv-two-scales` and `power-law`.
    """
    for _ in range(layers):
        walk = walk_layer(walk, channels, kappa, reach, border=border)
        yield walk


def deficit_exponent(dimensions: int, zero_mean: bool) -> float:
    """The power of the depth that deficits fall by within a resolution.

    Parameters
    ----------
    dimensions
        of the grid.
    zero_mean
        whether the starts' entries have mean zero.

    Returns
    -------
    float
        negative.

    References
    ----------
    Theorem: power-law.
    """
    return -1.0 if zero_mean else -(1 + dimensions / 2)


def slowest_rate(side: int, reach: int = 1) -> float:
    """The factor of the deficit per layer far beyond side^2 layers: `w(2 pi / side)^2` for equal taps.

    `w(x) = (1 + 2 sum_(j <= reach) cos(j x)) / (2 reach + 1)`, on a periodic grid.

    Parameters
    ----------
    side
        of the grid.
    reach
        of the kernel to each side.

    Returns
    -------
    float
        below one.

    References
    ----------
    Theorem: power-law.
    """
    steps = 2 * np.pi / side * np.arange(-reach, reach + 1)
    return float(np.cos(steps).mean() ** 2)
