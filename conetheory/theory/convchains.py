"""Chains of random convolutions: a walk of location weights, and the spread of channels that it leaves.

A layer of n channels above and k taps, `r'_i(p) = sum_delta sum_j W_delta,ij r_j(p + delta)` with
independent W of mean m and variance v, kappa = v / m^2. For starts x, y let `s_x(q)` be the mean of r_x
over the channels at q and `<r_x, r_y>(q) = n s_x s_y (1 + T_xy)(q)`. Given the layer above, exactly,
channels of the new layer are independent and alike, with mean `m n sum_delta s_x(p + delta)` and covariance
`v sum_delta <r_x, r_y>(p + delta)`. Divided by the product of the means, with `t_x(delta) = s_x(p + delta)
/ sum s_x`,

    T'_xy(p) = (kappa / n) sum_delta t_x t_y (1 + T_xy(p + delta)),

which is what T tends to for many channels below (there s' tends to its mean). The deficit of x and y is `1
- (1 + T_xy)/sqrt((1 + T_xx)(1 + T_yy))`, and `n deficit -> (kappa/2) |t_x - t_y|^2` as n grows. Theorem:
conv-two-scales.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from conetheory.errors import InputError


@dataclass(frozen=True)
class Walk:
    """Location weights s (starts, *space), up to a factor each, and T (starts, starts, *space)."""

    s: Any
    T: Any

    @property
    def deficits(self) -> Any:
        """`1 - |cos|` of all pairs x < y at every location, (pairs, *space)."""
        x, y = np.triu_indices(len(self.s), 1)
        cosine = (1 + self.T[x, y]) / np.sqrt((1 + self.T[x, x]) * (1 + self.T[y, y]))
        return 1 - np.abs(cosine)


def white_walk(starts: Any) -> Walk:
    """The state of given starts (starts, channels, *space): their channel means and T."""
    r = np.asarray(starts, np.float64)
    s = r.mean(1)
    second = np.einsum("xc...,yc...->xy...", r, r) / r.shape[1]
    return Walk(s, second / (s[:, None] * s[None]) - 1)


def walk_layers(walk: Walk, layers: int, channels: int, kappa: float, reach: int = 1) -> Iterator[Walk]:
    """The state after each of the layers, of n channels and `(2 reach + 1)^d` taps, on a periodic grid."""
    if channels < 1 or not kappa >= 0 or reach < 0:
        raise InputError(f"a layer has channels, kappa >= 0 and a reach, not {channels}, {kappa}, {reach}")
    s, T = walk.s, walk.T
    space = tuple(range(1, s.ndim))
    taps = list(product(range(-reach, reach + 1), repeat=len(space)))
    for _ in range(layers):
        moved = [np.roll(s, [-d for d in tap], space) for tap in taps]
        total = sum(moved)
        shares = [part / total for part in moved]
        T = (kappa / channels) * sum(
            t[:, None] * t[None] * (1 + np.roll(T, [-d for d in tap], [a + 1 for a in space]))
            for t, tap in zip(shares, taps, strict=True)
        )
        s = total / np.abs(total).max(axis=space, keepdims=True)
        yield Walk(s, T)
