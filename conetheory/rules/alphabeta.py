"""The alpha-beta rule and its special case z+ (Bach et al. 2015, eq. 60; Montavon et al. 2017).

For `y = W x + b` let `x+ = max(x, 0)`, `x- = min(x, 0)` and likewise for `W`. The pools of an output are

    z+ = W+ x+ + W- x-        (positive contributions)
    z- = W- x+ + W+ x-        (negative contributions)

and relevance goes down by `M = alpha Z+ - beta Z-` with

    Z+ = (diag(x+) W+^T + diag(x-) W-^T) diag(1/z+),   Z- = (diag(x+) W-^T + diag(x-) W+^T) diag(1/z-).

Both are nonnegative with columns that sum to one, so `1^T M = 1^T` where both pools are non-empty.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from conetheory.errors import InputError
from conetheory.networks.ops import LinearOp, Part, Unweighted, negative, positive, spread
from conetheory.rules.base import Rule
from conetheory.rules.maps import ScaledMap
from conetheory.rules.registry import register
from conetheory.rules.smallness import Group, nonzero, occupied

Bias = Literal["none", "bach", "signed"]
EmptyPool = Literal["drop", "renormalise"]


@dataclass(frozen=True)
class AlphaBeta(Rule):
    """`alpha - beta = 1`, `alpha >= 1`.

    bias: `none` leaves it out of the pools (default; columns sum to one). `bach` adds its positive part
        to z+ and its negative part to z-, which absorb a share of the relevance. `signed` adds it whole
        to both, as innvestigate does: a pool can then change its sign, and the cone is lost.
    stabiliser: eps >= 0; pools become `z + eps sign(z)` with sign(0) = 1. With 0 only empty pools, whose
        numerators are zero too, are left out.
    on_zero: the denominator of pools that are exactly zero, which a signed bias brings about (innvestigate:
        1e-7; 0: such outputs are left out).
    empty_pool: what an output with one empty pool does. `drop`: that pool's share, alpha or -beta, is lost.
        `renormalise`: the other pool takes everything, so that the column still sums to one. Sums and
        averages, whose weights are all positive, always renormalise: with nonnegative inputs they
        have no negative pool at all.
    """

    alpha: float = 1.0
    beta: float = 0.0
    bias: Bias = "none"
    stabiliser: float = 0.0
    empty_pool: EmptyPool = "drop"
    on_zero: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (abs(self.alpha - self.beta - 1) <= 1e-9 and self.beta >= 0):
            raise InputError(
                f"alpha - beta must be 1 with beta >= 0, got alpha = {self.alpha:g}, beta = {self.beta:g}"
            )
        if not self.stabiliser >= 0:
            raise InputError(f"the stabiliser must be >= 0, not {self.stabiliser}")
        if not self.on_zero >= 0:
            raise InputError(f"on_zero must be >= 0, not {self.on_zero}")

    @property
    def is_nonnegative(self) -> bool:
        return self.beta == 0 and self.bias != "signed"

    @property
    def is_sum_preserving(self) -> bool:
        return self.bias == "none" and self.stabiliser == 0

    @property
    def has_fixed_pattern(self) -> bool:
        return self.is_nonnegative  # with beta > 0 two denominators scale a column

    @property
    def mass(self) -> float | None:
        # a bias of the pool's own sign only lowers its columns
        return None if self.bias == "signed" else self.alpha + self.beta

    def linear(self, op: LinearOp, xs: Sequence[Tensor], y: Tensor) -> ScaledMap:
        signed = any(bool((x < 0).any()) for x in xs)
        plus = [x.clamp(min=0) for x in xs] if signed else list(xs)
        minus = [x.clamp(max=0) for x in xs] if signed else None
        renormalise = self.empty_pool == "renormalise" or isinstance(op, Unweighted)
        pools = [(positive, self._pool(op, plus, minus, positive))]
        negative_possible = minus is not None or not isinstance(op, Unweighted)
        if negative_possible and (self.beta > 0 or renormalise):
            pools.append((negative, self._pool(op, plus, minus, negative)))
        empty = [self._empty(op, plus, minus, part, z) for part, z in pools] if renormalise else None
        shares = self._shares([pool for _, pool in pools], empty)
        terms = [(share.unsqueeze(1), part) for (part, _), share in zip(pools, shares, strict=True)]
        groups: list[Group] = [([x.unsqueeze(1) for x in plus], terms)]
        if minus is not None:
            flipped = [(share, opposite(part)) for share, part in terms]
            groups.append(([x.unsqueeze(1) for x in minus], flipped))
        return ScaledMap(op, [tuple(x.shape[1:]) for x in xs], groups, chosen=renormalise)

    def _pool(self, op: LinearOp, plus: list[Tensor], minus: list[Tensor] | None, part: Part) -> Tensor:
        pool = op.linear(plus, part)
        if minus is not None:
            pool = pool + op.linear(minus, opposite(part))
        if op.bias is None or self.bias == "none":
            return pool
        bias = part(op.bias) if self.bias == "bach" else op.bias
        return pool + spread(bias, pool)

    def _empty(
        self, op: LinearOp, plus: list[Tensor], minus: list[Tensor] | None, part: Part, z: Tensor
    ) -> Tensor:
        """Where a pool has nothing in it: by structure, as a sum of small contributions may underflow."""
        if self.bias == "signed":
            return z == 0
        count = op.linear([nonzero(x) for x in plus], occupied(part))
        if minus is not None:
            count = count + op.linear([nonzero(x) for x in minus], occupied(opposite(part)))
        if self.bias == "bach" and op.bias is not None:
            count = count + spread(nonzero(part(op.bias)), z)
        return count == 0

    def _shares(self, pools: list[Tensor], empty: list[Tensor] | None) -> list[Tensor]:
        """`alpha / z+` and `-beta / z-`, zero where a pool is empty; renormalised where `empty` is given."""
        weights = [self.alpha, -self.beta][: len(pools)]
        if empty is not None and len(pools) == 1:
            weights = [1.0]
        elif empty is not None:
            one = pools[0].new_ones(())  # of two Python numbers `where` would make a float32 tensor
            weights = [torch.where(empty[1 - i], one, w) for i, w in enumerate(weights)]
        if self.stabiliser > 0:
            pools = [torch.where(z >= 0, z + self.stabiliser, z - self.stabiliser) for z in pools]
        if self.on_zero > 0:
            pools = [torch.where(z == 0, self.on_zero, z) for z in pools]
        vanished = [z == 0 for z in pools] if empty is None else empty
        return [torch.where(v, 0.0, w / z) for v, w, z in zip(vanished, weights, pools, strict=True)]


def opposite(part: Part) -> Part:
    return negative if part is positive else positive


_NAME = re.compile(r"lrp-alpha(\d+(?:\.\d+)?)beta(\d+(?:\.\d+)?)")


def _named(name: str) -> dict[str, Any] | None:
    """alpha and beta from `lrp-alphaAbetaB`."""
    match = _NAME.fullmatch(name)
    return match and {"alpha": float(match[1]), "beta": float(match[2])}


register(
    "lrp-alpha1beta0",
    family="LRP",
    description="positive contributions only (z+)",
    equation="M = Z+ = (D(x+) W+^T + D(x-) W-^T) D(1/z+),  z+ = W+ x+ + W- x-",
    source="Bach et al. 2015, eq. 60; Montavon et al. 2017 (z+)",
    aliases=("lrp-zplus", "lrp-z+", "zplus", "z+", "z-plus", "lrp-z-plus"),
    fixed={"alpha": 1.0, "beta": 0.0},
)(AlphaBeta)
for _alpha, _beta in ((2, 1), (5, 4)):
    register(
        f"lrp-alpha{_alpha}beta{_beta}",
        family="LRP",
        description="positive minus negative contributions",
        equation="M = alpha Z+ - beta Z-,  Z- = (D(x+) W-^T + D(x-) W+^T) D(1/z-)",
        source="Bach et al. 2015, eq. 60",
        fixed={"alpha": float(_alpha), "beta": float(_beta)},
        naming=_named,
    )(AlphaBeta)
