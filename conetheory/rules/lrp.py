"""LRP-0, LRP-epsilon and LRP-gamma: each contribution over the signed sum of all (Bach et al. 2015).

For `y = W x + b` relevance goes down by

    M = diag(x) W^T diag(1 / (z + eps sign(z))),        z = W x + b,  sign(0) = 1           (0, epsilon)
    M = diag(x) (W + gamma W+)^T diag(1 / (z + gamma z+)),  z+ = W+ x (+ b+)                (gamma, x >= 0)

Contributions of both signs meet in one denominator, so that neither the cone nor, with a bias, the sum is
kept: on networks of ReLUs, pools and sums LRP-0 from `v * logits` is the gradient times the image, and it
converges no more than the gradient does. LRP-gamma goes to z+ as gamma grows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from conetheory.networks.ops import LinearOp, Part, negative, positive, spread, whole
from conetheory.rules.base import Rule
from conetheory.rules.maps import ScaledMap
from conetheory.rules.parameters import check_stabiliser
from conetheory.rules.registry import register
from conetheory.rules.shares import reciprocal, scaled

Bias = Literal["signed", "none"]
GammaBias = Literal["gamma", "signed", "none"]
Form = Literal["generalised", "simple"]


@register(
    "lrp-0",
    family="LRP",
    description="each contribution over the output (LRP-z)",
    equation="M = D(x) W^T D(1/z),  z = W x + b",
    source="Bach et al. 2015, eq. 56; Montavon et al. 2019, sec. 10.2.1",
    aliases=("lrp-z",),
    fixed={"epsilon": 0.0},
)
@register(
    "lrp-epsilon",
    family="LRP",
    description="each contribution over the output, stabilised",
    equation="M = D(x) W^T D(1/(z + epsilon sign(z))),  z = W x + b",
    source="Bach et al. 2015, eq. 58; Montavon et al. 2019, sec. 10.2.1",
)
@dataclass(frozen=True)
class Epsilon(Rule):
    """`M = diag(x) W^T diag(1 / (z + epsilon sign(z)))`.

    epsilon: >= 0. With 0 there is no stabiliser, and only outputs that are exactly zero are left out.
    bias: `signed` (default) is the textbook's z = W x + b: the bias is a contribution that takes its share
        of the relevance and sends it nowhere. `none` leaves it out, and columns sum to one with epsilon 0.
    """

    epsilon: float = 1e-6
    bias: Bias = "signed"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_stabiliser(self.epsilon, "epsilon")

    @property
    def is_sum_preserving(self) -> bool:
        return self.bias == "none" and self.epsilon == 0

    def linear(self, op: LinearOp, xs: Sequence[Tensor], y: Tensor) -> ScaledMap:
        z = y if self.bias == "signed" or op.bias is None else op.linear(xs)
        return scaled(op, xs, [(xs, [(reciprocal(z, self.epsilon), whole)])])


@register(
    "lrp-gamma",
    family="LRP",
    description="contributions of the output's sign count 1 + gamma times",
    equation="M = D(x) (W + gamma W+)^T D(1/(z + gamma z+)),  z+ = W+ x + b+,  where x >= 0 and z > 0",
    source="Montavon et al. 2019, sec. 10.2.1; generalised: Andéol et al. 2021",
)
@dataclass(frozen=True)
class Gamma(Rule):
    """Contributions that agree with the output's sign are raised by `1 + gamma`.

    form: `generalised` is for any signs (zennit's five branches): with the pools z+ = W+ x+ + W- x- and
        z- = W- x+ + W+ x- of positive and negative contributions, a positive output divides
        `x+ (W + gamma W+) + x- (W + gamma W-)` by `z + gamma z+`; a negative one
        `x+ (W + gamma W-) + x- (W + gamma W+)` by `z + gamma z-`; a zero passes nothing on.
        `simple` is the formula for x >= 0 and z > 0, taken literally: `x (W + gamma W+)` over its sum.
    bias: `gamma` (default) treats b as one more weight, of an input that is 1, as the paper's sums from 0
        do: z holds b and z+ holds b+. `signed` adds b alone (captum). `none` leaves it out of both, and out
        of the sign that picks the branch.
    stabiliser: eps >= 0 as in LRP-epsilon.
    """

    gamma: float = 0.25
    form: Form = "generalised"
    bias: GammaBias = "gamma"
    stabiliser: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_stabiliser(self.gamma, "gamma")
        check_stabiliser(self.stabiliser)

    @property
    def is_sum_preserving(self) -> bool:
        return self.bias == "none" and self.stabiliser == 0

    def linear(self, op: LinearOp, xs: Sequence[Tensor], y: Tensor) -> ScaledMap:
        z = op.linear(xs) if self.bias == "none" and op.bias is not None else y
        if self.form == "simple":
            pool = op.linear(xs, positive)
            return scaled(op, xs, [(xs, [(self._share(op, z, pool, positive), self._raised(positive))])])
        signed = any(bool((x < 0).any()) for x in xs)
        plus = [x.clamp(min=0) for x in xs] if signed else list(xs)
        minus = [x.clamp(max=0) for x in xs] if signed else None
        shares = []
        for part, other, takes in ((positive, negative, z > 0), (negative, positive, z < 0)):
            pool = op.linear(plus, part)
            if minus is not None:
                pool = pool + op.linear(minus, other)
            shares.append(self._share(op, z, pool, part) * takes.unsqueeze(1))
        raised, lowered = self._raised(positive), self._raised(negative)
        groups = [(plus, list(zip(shares, (raised, lowered), strict=True)))]
        if minus is not None:
            groups.append((minus, list(zip(shares, (lowered, raised), strict=True))))
        return scaled(op, xs, groups)

    def _share(self, op: LinearOp, z: Tensor, pool: Tensor, part: Part) -> Tensor:
        if self.bias == "gamma" and op.bias is not None:
            pool = pool + spread(part(op.bias), pool)
        return reciprocal(z + self.gamma * pool, self.stabiliser)

    def _raised(self, part: Part) -> Part:
        return lambda weight: weight + self.gamma * part(weight)
