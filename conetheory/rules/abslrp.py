"""AbsLRP: positive contributions over the size of the output (Vukadin et al. 2024, arXiv 2412.09311).

For `y = W x + b` relevance goes down by

    M = (D(x+) W+^T + D(x-) W-^T) D(1/|y|)

with the pools of the z+ rule: `M = Z+ D(z+ / |y|)`. An output whose contributions cancel hands on more than
it got, one that they agree in hands on what it got. So the cone is kept and the sum is not; columns point
where those of z+ do, and a chain weighs its inner units by `z+ / |y|`.

The authors divide the relevance of every layer by its sum, at sums that of each branch. Of a chain without
branches that is one number an image and vector, which changes no angle; it is left out. They explain a class
minus the mean of the others, which is CLRP-1 with this rule as its base.

Held against the authors' code: it sends down `x (W + |W| sign(x)) / |y|`, twice the positive contributions,
with the bias in y and 1e-9 beside |y|, as here. Batch norms are layers of their own there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from conetheory.networks.ops import LinearOp, negative, positive
from conetheory.rules.base import Rule
from conetheory.rules.maps import ScaledMap
from conetheory.rules.parameters import check_stabiliser
from conetheory.rules.registry import register
from conetheory.rules.shares import reciprocal, scaled
from conetheory.rules.smallness import Group


@register(
    "abslrp",
    family="LRP",
    description="positive contributions over the size of the output",
    equation="M = (D(x+) W+^T + D(x-) W-^T) D(1/|y|),  y = W x + b",
    source="Vukadin et al. 2024",
    aliases=("abs-lrp",),
)
@dataclass(frozen=True)
class AbsLrp(Rule):
    """`M = (D(x+) W+^T + D(x-) W-^T) D(1 / (|y| + stabiliser))`; outputs that are zero pass nothing on.

    stabiliser: eps >= 0.
    """

    stabiliser: float = 1e-9
    is_nonnegative = True
    has_fixed_pattern = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_stabiliser(self.stabiliser)

    def linear(self, op: LinearOp, xs: Sequence[Tensor], y: Tensor) -> ScaledMap:
        share = reciprocal(y.abs(), self.stabiliser)
        signed = any(bool((x < 0).any()) for x in xs)
        groups: list[Group] = [([x.clamp(min=0) for x in xs], [(share, positive)])]
        if signed:
            groups.append(([x.clamp(max=0) for x in xs], [(share, negative)]))
        return scaled(op, xs, groups)
