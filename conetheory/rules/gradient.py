"""The gradient and the methods that only change what a ReLU does to it.

With `M = W^T` at a linear operation and `D = diag(f'(x))` at an activation, relevance is the gradient of
`<v, h>` with h the start layer and v the start vector. Guided backpropagation and the deconvnet replace
`D r` by a rectification of r itself; both are positively homogeneous but not linear.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from conetheory.errors import InputError
from conetheory.networks.attention import MatMul, Softmax
from conetheory.networks.bcos import Aligned
from conetheory.networks.coupling import Product, Standardise
from conetheory.networks.graph import INPUT
from conetheory.networks.ops import Affine, LinearOp, PassThrough, whole
from conetheory.rules.base import Rule
from conetheory.rules.bilinear import Bilinear, RankOne
from conetheory.rules.couplings import Alignment, Factors, Standardisation
from conetheory.rules.maps import Diagonal, LocalMap, ScaledMap
from conetheory.rules.rectifiers import Rectified, Thresholded
from conetheory.rules.registry import register


@register(
    "gradient",
    family="gradient",
    description="the derivative of the explained output",
    equation="M = W^T;  at an activation D(f'(x))",
    source="Simonyan, Vedaldi and Zisserman 2014",
)
@dataclass(frozen=True)
class Gradient(Rule):
    """`M = W^T` and `diag(f'(x))`; products and norms by their Jacobians."""

    reduce = "absmax"

    @property
    def has_fixed_pattern(self) -> bool:
        return self.is_linear  # not of the methods below, which rectify what they send down

    def linear(self, op: LinearOp, xs: Sequence[Tensor], y: Tensor) -> ScaledMap:
        one = y.new_ones((1,) * (y.ndim + 1))
        return ScaledMap(op, [tuple(x.shape[1:]) for x in xs], [(None, [(one, whole)])])

    def activation(self, op: PassThrough, x: Tensor, y: Tensor) -> LocalMap:
        return Diagonal(derivative(op, x).unsqueeze(1))

    def affine(self, op: Affine, x: Tensor, y: Tensor) -> Diagonal:
        return Diagonal(op.scale.view((1, 1, -1) + (1,) * (x.ndim - 2)))

    def product(self, op: Product, xs: Sequence[Tensor], y: Tensor) -> Factors:
        """The product rule: to each branch, the gate among them, r times the other."""
        factors = tuple(x.unsqueeze(1) for x in reversed(xs))
        return Factors(factors, tuple(tuple(x.shape[1:]) for x in xs))

    def standardise(self, op: Standardise, x: Tensor, y: Tensor) -> Standardisation:
        """The Jacobian, through mean and deviation too."""
        return Standardisation.jacobian(op, x)

    def matmul(self, op: MatMul, xs: Sequence[Tensor], y: Tensor) -> LocalMap:
        """To each factor the relevance times the other."""
        return Bilinear.of(op, xs)

    def softmax(self, op: Softmax, x: Tensor, y: Tensor) -> LocalMap:
        """The Jacobian `D(s) - s s^T`."""
        return RankOne.jacobian(op, y)

    def aligned(self, op: Aligned, xs: Sequence[Tensor], y: Tensor) -> LocalMap:
        """The Jacobian, through the cosine too."""
        return Alignment.jacobian(op, xs)


@register(
    "input-x-gradient",
    family="gradient",
    description="the gradient, times the image at the input",
    equation="the gradient's M;  D(x) at the input",
    source="Shrikumar et al. 2016",
)
@dataclass(frozen=True)
class InputTimesGradient(Gradient):
    """The gradient down to the input, where it is multiplied by the image."""

    reduce = "sum"

    def exit(self, name: str, y: Tensor) -> Diagonal | None:
        return Diagonal(y.unsqueeze(1)) if name == INPUT else None

    @property
    def has_fixed_pattern(self) -> bool:
        return False  # the image stands at the input only, so that blocks don't compose


@register(
    "guided-backprop",
    family="rectified",
    description="the gradient, rectified at each ReLU",
    equation="M = W^T;  at a ReLU r -> D(1{x > 0}) max(r, 0)",
    source="Springenberg et al. 2015",
)
@dataclass(frozen=True)
class GuidedBackprop(Gradient):
    """At a ReLU `r -> max(r, 0)` where the ReLU is active, 0 elsewhere."""

    is_linear = False
    rectifies = True

    def activation(self, op: PassThrough, x: Tensor, y: Tensor) -> LocalMap:
        return Rectified(derivative(op, x).unsqueeze(1))


@register(
    "deconvnet",
    family="rectified",
    description="the transposed network, with ReLUs on what goes down",
    equation="M = W^T;  at a ReLU r -> max(r, 0)",
    source="Zeiler and Fergus 2014",
)
@dataclass(frozen=True)
class Deconvnet(Gradient):
    """At a ReLU `r -> max(r, 0)`, whatever the ReLU did."""

    is_linear = False
    rectifies = True

    def activation(self, op: PassThrough, x: Tensor, y: Tensor) -> LocalMap:
        return Rectified(None)


@register(
    "rectgrad",
    family="rectified",
    description="the gradient, cut at each ReLU to the units of largest activation x gradient",
    equation="M = W^T;  at a ReLU with output a: r -> D(f'(x)) D(1{a r > its percentile}) r",
    source="Kim et al. 2019",
)
@dataclass(frozen=True)
class RectGrad(Gradient):
    """At a ReLU of output a: `r -> f'(x) r` where `a r` is above its percentile over the layer, else 0.

    The percentile is numpy's (linear between order statistics) of each image and vector; the comparison
    is strict. Where it is negative the paper's formula, without f', would let inactive units pass; the
    code of Sixt et al. 2020 stops them, as here.
    """

    percentile: float = 98.0
    is_linear = False
    rectifies = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.percentile < 100:
            raise InputError(f"the percentile must be from 0 to below 100, not {self.percentile:g}")

    def activation(self, op: PassThrough, x: Tensor, y: Tensor) -> LocalMap:
        return Thresholded(derivative(op, x).unsqueeze(1), y.unsqueeze(1), self.percentile / 100)


def derivative(op: PassThrough, x: Tensor) -> Tensor:
    """f'(x) of an elementwise activation."""
    with torch.inference_mode(False), torch.enable_grad():
        point = x.clone().requires_grad_()
        return torch.autograd.grad(op.forward(point).sum(), point)[0]
