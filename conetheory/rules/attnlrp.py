"""LRP on transformers: CP-LRP (Ali et al. 2022, arXiv 2202.07304) and AttnLRP (Achtibat et al. 2024, arXiv
2402.05602).

Both are LRP-epsilon on linear operations, and pass activations as they are. They differ at what couples
units. At attention `y = A v`, `A = softmax(S)`, and at a norm `c / s` with c the centred input,

    CP-LRP     A is a constant:  R_v = D(v) A^T D(1/y) R,  nothing to A
               s is a constant:  R_x = D(x) (I - 1 1^T / n) D(1/c) R
    AttnLRP    half to each:     R_v = 1/2 D(v) A^T D(1/y) R,  R_A = 1/2 A * (D(1/y) R v^T)
               softmax:          R_S = D(S) (R_A - A <1, R_A>)  for each row
               the norm passes relevance as it is

so that with epsilon = 0 CP-LRP from `v * logits` is the image times the gradient of a network whose weights
of attention, deviations s and slopes `f(x) / x` are constants. Neither keeps signs or sums.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from conetheory.networks.attention import MatMul, Softmax
from conetheory.networks.coupling import Product, Standardise
from conetheory.networks.ops import Affine
from conetheory.rules.bilinear import Bilinear, RankOne
from conetheory.rules.composite import Composite
from conetheory.rules.couplings import Factors, Standardisation
from conetheory.rules.lrp import Epsilon, Gamma
from conetheory.rules.maps import Chained, Diagonal, LocalMap
from conetheory.rules.registry import register
from conetheory.rules.shares import reciprocal


@register(
    "cp-lrp",
    family="LRP attention",
    description="LRP-epsilon with constant weights of attention and deviations of norms",
    equation="M = D(x) W^T D(1/z);  at A v  D(v) A^T D(1/y);  at a norm  D(x) (I - 1 1^T/n) D(1/c)",
    source="Ali et al. 2022, sec. 3",
    aliases=("lrp-cp",),
)
@dataclass(frozen=True)
class ConservativePropagation(Epsilon):
    """LRP-epsilon; attention's weights and norms' deviations are constants, their means are not.

    A factor and an offset of each channel, as behind a norm, are one more linear operation.
    """

    def standardise(self, op: Standardise, x: Tensor, y: Tensor) -> LocalMap:
        """`D(x) (I - 1 1^T / n) D(1/c)`, c the centred input."""
        centred = op.centred(x)
        one, none = torch.ones_like(op.inverse(x)).unsqueeze(1), torch.zeros_like(centred).unsqueeze(1)
        share = Diagonal(reciprocal(centred.reshape(x.shape), self.epsilon))
        mean = Standardisation(op, one, torch.zeros_like(one), none)
        return Scaled((share, mean, Diagonal(x.unsqueeze(1))))

    def affine(self, op: Affine, x: Tensor, y: Tensor) -> LocalMap:
        """`D(scale x) D(1/y)`; without a bias relevance as it is."""
        if self.bias == "none":
            return super().affine(op, x, y)
        linear = y - op.forward(torch.zeros_like(x))
        return Diagonal(linear.unsqueeze(1) * reciprocal(y, self.epsilon))


class Scaled(Chained):
    """A map between two diagonals: its squares are those of the three."""

    def squared(self) -> Scaled:
        return Scaled(tuple(part.squared() for part in self.maps))


@register(
    "attnlrp",
    family="LRP attention",
    description="LRP-epsilon; relevance goes through softmax, and in halves to both factors of a product",
    equation="M = D(x) W^T D(1/z);  at A v half to each;  at softmax  R -> D(x) (R - s <1, R>)",
    source="Achtibat et al. 2024, sec. 3",
)
@dataclass(frozen=True)
class AttnLrp(Epsilon):
    """LRP-epsilon, softmax by its expansion at x, products of branches by halves, norms as they are."""

    def matmul(self, op: MatMul, xs: Sequence[Tensor], y: Tensor) -> LocalMap:
        """Half of each contribution `A_ij v_jk / (y_ik + eps/2)` to A_ij, half to v_jk."""
        share = reciprocal(y, self.epsilon / 2) / 2
        return Bilinear.of(op, xs, share=share, scales=(xs[0].unsqueeze(1), xs[1].unsqueeze(1)))

    def softmax(self, op: Softmax, x: Tensor, y: Tensor) -> LocalMap:
        """`D(x) (I - s 1^T)`; inputs of -inf, masked, have a share of zero."""
        x = op.view.read(torch.where(x.isfinite(), x, 0.0)).unsqueeze(1)
        s = op.view.read(y).unsqueeze(1)
        return RankOne(op, x, x * s, torch.ones_like(s))

    def product(self, op: Product, xs: Sequence[Tensor], y: Tensor) -> LocalMap:
        """Half to the branch, half to its gate."""
        half = y.new_full((1,) * (y.ndim + 1), 0.5)
        return Factors((half, half), tuple(tuple(x.shape[1:]) for x in xs))


@register(
    "attnlrp-gamma",
    family="LRP attention",
    description="AttnLRP with LRP-gamma on convolutions and dense layers",
    equation="lrp-gamma at convolutions and dense layers, attnlrp elsewhere",
    source="Achtibat et al. 2024, sec. 4 (vision transformers)",
)
def attnlrp_gamma(gamma: float = 0.25, epsilon: float = 1e-6) -> Composite:
    """gamma: of LRP-gamma; epsilon: of sums, means, and the factors of products."""
    weighted, rest = Gamma(gamma), AttnLrp(epsilon)
    return Composite(weighted, weighted, rest, coupled=rest)
