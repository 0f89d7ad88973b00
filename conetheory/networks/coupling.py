"""Operations whose units act on each other: products of two branches, and standardisation by own statistics.

Neither is linear, nor elementwise. What a rule does at them (see `rules.base` and `rules.couplings`):

    rule                       product y = x g, g the gate        standardisation y = (x - mean) / deviation
    LRP and its kin            relevance to x as it is            relevance as it is (detached statistics)
    gradient and its kin       g r to x, x r to g                 the Jacobian
    DeepLIFT, Rescale          means of g and of x, complete      differences of all three, complete
    DeepLIFT, the others       refused                            refused

The first line is the literature's choice: a gate's part of the product, and the statistics, are taken as
constants (Arras et al. 2017 for gates; Achtibat et al. 2024 for norms, where relevance passes as it does a
batch norm that can't be folded; CP-LRP, which keeps the mean, is a method of its own).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from conetheory.networks.ops import Op, Shape


@dataclass(frozen=True, eq=False)
class Product(Op):
    """`y = x g`, one of the shape of y, the other broadcast to it; `gate` is the number of g."""

    gate: int

    def forward(self, *xs: Tensor) -> Tensor:
        return xs[0] * xs[1]


@dataclass(frozen=True, eq=False)
class Standardise(Op):
    """`(x - mean) / sqrt(variance + eps)` over groups of units of the image itself.

    middle: whether the mean is taken away; else `x / sqrt(mean of x^2 + eps)`, as in an RMS norm.
    groups: that many groups of channels, each over all locations (1: all of the image, C: each channel);
        None: the channels of each location alone.
    """

    groups: int | None
    eps: float
    middle: bool = True

    def forward(self, *xs: Tensor) -> Tensor:
        (x,) = xs
        centred, inverse = self.centred(x), self.inverse(x)
        return (centred * inverse).reshape(x.shape)

    def centred(self, x: Tensor) -> Tensor:
        """`x - mean`, grouped; x itself where the mean stays."""
        return self.less_mean(self.grouped(x, x.shape[1:]))

    def less_mean(self, grouped: Tensor) -> Tensor:
        """Grouped numbers less their groups' means; as they are where the mean stays."""
        return grouped - grouped.mean(-2, keepdim=True) if self.middle else grouped

    def variance(self, x: Tensor) -> Tensor:
        """(N, groups, 1, locations): of each group."""
        return self.centred(x).square().mean(-2, keepdim=True)

    def inverse(self, x: Tensor) -> Tensor:
        """`1 / sqrt(variance + eps)` of each group."""
        return (self.variance(x) + self.eps).rsqrt()

    def grouped(self, t: Tensor, shape: Shape | torch.Size) -> Tensor:
        """`(..., *shape)` as `(..., groups, units of a group, locations that have their own)`."""
        lead: Sequence[int] = t.shape[: t.ndim - len(shape)]
        if self.groups is None:
            return t.reshape(*lead, 1, shape[0], -1)
        return t.reshape(*lead, self.groups, -1, 1)
