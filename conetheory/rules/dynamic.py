"""Dynamic linear maps: the image times the gradient with everything that depends on it held constant.

A network whose operations are linear but for factors is `f(x) = W(x) x`: the slopes `f(x) / x` of
activations, gates, the weights of attention, the deviations of norms and the cosines of B-cos units are
numbers in W(x). The map of v is `D(x) W(x)^T v`, which sums to <v, f(x)> where no operation has a bias. For a
network of ReLUs it is the image times the gradient; for B-cos networks (Böhle et al. 2022) it is the
explanation that they are built for, and for transformers CP-LRP with epsilon = 0 from `v * f(x)`. Nothing in
it keeps signs: every matrix is as signed as the weights are, so that no cone contracts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from conetheory.networks.attention import MatMul
from conetheory.networks.bcos import Aligned
from conetheory.networks.coupling import Product, Standardise
from conetheory.networks.ops import PassThrough
from conetheory.rules.base import Rule
from conetheory.rules.bilinear import Branch
from conetheory.rules.couplings import Standardisation
from conetheory.rules.differences import secant
from conetheory.rules.gradient import InputTimesGradient
from conetheory.rules.maps import Diagonal, LocalMap
from conetheory.rules.registry import register


@register(
    "b-cos",
    family="gradient",
    description="the image times the gradient with constant gates, slopes and deviations",
    equation="M = W^T;  at an activation D(f(x)/x);  at a gate D(g), of a B-cos unit g = (|z|/|x|)^(B-1)",
    source="Böhle, Fritz and Schiele 2022, sec. 3",
    aliases=("dynamic-linear",),
)
@dataclass(frozen=True)
class DynamicLinear(InputTimesGradient):
    """`D(x) W(x)^T`; a softmax that is no attention is sent through by its Jacobian."""

    def activation(self, op: PassThrough, x: Tensor, y: Tensor) -> Diagonal:
        """`(f(x) - f(0)) / x`, and f' near zero."""
        return Diagonal(secant(op, torch.zeros_like(x), x).unsqueeze(1))

    def product(self, op: Product, xs: Sequence[Tensor], y: Tensor) -> LocalMap:
        """The gate times r to the branch, nothing to the gate."""
        shapes = tuple(tuple(x.shape[1:]) for x in xs)
        return Branch(Diagonal(xs[op.gate].unsqueeze(1)), 1 - op.gate, shapes)

    def standardise(self, op: Standardise, x: Tensor, y: Tensor) -> Standardisation:
        """`(I - 1 1^T / n) / s`: the mean is linear, the deviation s a constant."""
        inverse = op.inverse(x).unsqueeze(1)
        return Standardisation(
            op, inverse, torch.zeros_like(inverse), torch.zeros_like(op.centred(x)).unsqueeze(1)
        )

    def matmul(self, op: MatMul, xs: Sequence[Tensor], y: Tensor) -> LocalMap:
        """The weights of attention are constants."""
        return Rule.matmul(self, op, xs, y)

    def aligned(self, op: Aligned, xs: Sequence[Tensor], y: Tensor) -> LocalMap:
        """The cosine is a constant."""
        return Branch(Diagonal(op.gate(*xs).unsqueeze(1)), 0, tuple(tuple(x.shape[1:]) for x in xs))
