"""Rules that Deep Taylor Decomposition derives from the domain of an operation's inputs.

    anywhere     M = (W^2)^T diag(1 / sum W^2)                                               w-square
                 M = 1(W)^T diag(1 / fan-in)                                                 flat
    [l, h]       M = (diag(x) W^T - diag(l) W+^T - diag(h) W-^T) diag(1 / their sum)         z-box

(and z+ where x >= 0). All are nonnegative with columns that sum to one. The first two don't look at the
activations: below a start layer they depend on the image through the winners of max pools alone. z-box is
z+ with the distances x - l and x - h in the place of x+ and x-, as x W = x W+ + x W-, and is computed so:
nothing cancels, and a bias drops out of the sum.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from conetheory.errors import InputError
from conetheory.networks.ops import LinearOp, Part, negative, positive, spread
from conetheory.rules.base import Rule
from conetheory.rules.maps import ScaledMap
from conetheory.rules.parameters import check_stabiliser
from conetheory.rules.registry import register
from conetheory.rules.shares import reciprocal, scaled

Bound = float | Sequence[float] | None
SLACK = 1e-5  # of the box's width: how far the rounding of a preprocessing may leave the box


def uniform(op: LinearOp, xs: Sequence[Tensor], part: Part, bias: Tensor | None, eps: float) -> ScaledMap:
    """`part(W)^T diag(1 / (part(W) 1 + bias))`: one set of shares for all images."""
    z = op.linear([x.new_ones((1, *x.shape[1:])) for x in xs], part)
    if bias is not None:
        z = z + spread(bias, z)
    return scaled(op, xs, [(None, [(reciprocal(z, eps), part)])])


@register(
    "w-square",
    family="LRP",
    description="squared weights, whatever the activations",
    equation="M = (W^2)^T D(1/sum W^2)",
    source="Montavon et al. 2017, sec. 4.1 (w^2-rule)",
    aliases=("lrp-wsquare",),
)
@dataclass(frozen=True)
class WSquare(Rule):
    """`M = (W^2)^T diag(1 / sum W^2)`.

    bias: `none` (default), or `squared` adds b^2 to the denominators, as zennit does.
    stabiliser: eps >= 0, added to the denominators.
    """

    bias: Literal["none", "squared"] = "none"
    stabiliser: float = 0.0
    is_nonnegative = True
    has_fixed_pattern = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_stabiliser(self.stabiliser)

    @property
    def is_sum_preserving(self) -> bool:
        return self.bias == "none" and self.stabiliser == 0

    def linear(self, op: LinearOp, xs: Sequence[Tensor], y: Tensor) -> ScaledMap:
        bias = None if self.bias == "none" or op.bias is None else op.bias.square()
        return uniform(op, xs, torch.square, bias, self.stabiliser)


@register(
    "flat",
    family="LRP",
    description="equal shares for all inputs of a unit",
    equation="M = 1(W)^T D(1/fan-in)",
    source="Lapuschkin et al. 2019, supplementary note (flat rule)",
    aliases=("lrp-flat",),
)
@dataclass(frozen=True)
class Flat(Rule):
    """`M = 1(W)^T diag(1 / fan-in)`: all weights, those that are zero too, count as one."""

    stabiliser: float = 0.0
    is_nonnegative = True
    has_fixed_pattern = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_stabiliser(self.stabiliser)

    @property
    def is_sum_preserving(self) -> bool:
        return self.stabiliser == 0

    def linear(self, op: LinearOp, xs: Sequence[Tensor], y: Tensor) -> ScaledMap:
        return uniform(op, xs, torch.ones_like, None, self.stabiliser)


@register(
    "z-box",
    family="LRP",
    description="contributions of the distances to the bounds of what arrives",
    equation="M = (D(x) W^T - D(l) W+^T - D(h) W-^T) D(1/their sum),  l <= x <= h",
    source="Montavon et al. 2017, sec. 4.3 (z^B-rule)",
    aliases=("lrp-zbox",),
)
@dataclass(frozen=True)
class ZBox(Rule):
    """`M = (diag(x - l) W+^T + diag(x - h) W-^T) diag(1 / z)`, z the sum of each output's contributions.

    low, high: the box, one number or one for each channel; where a picture's black and white are, see
        `pixel_box`. None (default): the least and the largest value of the tensor, for each image.
        Values outside raise `InputError`.
    stabiliser: eps >= 0, added to z.
    """

    low: Bound = None
    high: Bound = None
    stabiliser: float = 0.0
    is_nonnegative = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_stabiliser(self.stabiliser)

    @property
    def is_sum_preserving(self) -> bool:
        return self.stabiliser == 0

    def linear(self, op: LinearOp, xs: Sequence[Tensor], y: Tensor) -> ScaledMap:
        above, below = zip(*(self._distances(x) for x in xs), strict=True)
        share = reciprocal(op.linear(above, positive) + op.linear(below, negative), self.stabiliser)
        return scaled(op, xs, [(above, [(share, positive)]), (below, [(share, negative)])])

    def _distances(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x - l >= 0 and x - h <= 0."""
        low, high = _bound(self.low, x, torch.amin), _bound(self.high, x, torch.amax)
        above, below = x - low, x - high
        slack = SLACK * (high - low)
        if bool((above < -slack).any()) or bool((below > slack).any()):
            raise InputError(
                f"values from {float(x.min()):.4g} to {float(x.max()):.4g} lie outside the box "
                f"from {_text(self.low)} to {_text(self.high)}"
            )
        return above.clamp(min=0), below.clamp(max=0)


def _bound(value: Bound, x: Tensor, extreme: Any) -> Tensor:
    if value is None:
        return extreme(x, tuple(range(1, x.ndim)), keepdim=True)
    bound = x.new_tensor(value)
    if bound.ndim > 0 and bound.shape != x.shape[1:2]:
        raise InputError(f"a box of {len(bound)} channels does not fit the {x.shape[1]} of a tensor")
    return bound.view((1, -1) + (1,) * (x.ndim - 2))


def _text(value: Bound) -> str:
    return "its own" if value is None else str(value)


def pixel_box(preprocess: Any) -> dict[str, tuple[float, ...]]:
    """`low` and `high` of a `Preprocess`: what becomes of black and white, for each channel.

    `RelevanceChain(net, images, "deep-taylor", parameters=pixel_box(net.preprocess))`.
    """
    try:
        channels = list(zip(preprocess.mean, preprocess.std, strict=True))
    except AttributeError:
        raise InputError("the preprocessing has no mean and std: give low and high") from None
    ends = [sorted(((0 - mean) / std, (1 - mean) / std)) for mean, std in channels]
    return {"low": tuple(e[0] for e in ends), "high": tuple(e[1] for e in ends)}
