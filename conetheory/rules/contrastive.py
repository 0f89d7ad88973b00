"""Contrastive methods: the map of what is explained minus the map of its opposite, in one sweep.

CLRP-1 (Gu et al. 2018) explains unit i against all others, which share its opposite:

    e_i -> e_i - (1 - e_i) / (n - 1),    in short   v -> n/(n-1) (v - mean(v)),

and goes on with a base rule. Contrastive Excitation BP (Zhang et al. 2016) and CLRP-2 negate the weights of
the first operation below the start: with M(W) the base rule's matrix, `M(W) - M(-W)` there, which is
Z+ - Z- for the z+ rule, and M(W) further down.

Both send a vector of sum zero into the base rule's chain: the columns of `Z+ - Z-` sum to zero where both
pools are filled. A stochastic chain C whose columns have merged, `C = c 1^T + E`, maps the sum to c and what
is left of a vector of sum zero by E alone: these maps are differences of two chains that have converged, c
drops out, and the second singular value and those below it decide about both their size and their CSC.

SGLRP (Iwana et al. 2019) starts from the gradient of the class's probability by the logits, with p the
probabilities: `e_i -> p_i (e_i - p)`, that is `v -> (D(p) - p p^T) v`, which sends the ones to zero. The
authors' code starts from the same numbers, sends those of the class and those of the others down apart and
gives both maps one sum before it subtracts. Where the base rule keeps sums they have one sum already, and
where it does not that scale is no linear map: it is left out.

All are linear in the relevance. The papers show `max(0, map)`, which is a matter of display:
`explain(...).clamp(min=0)`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal, Self

import torch
from torch import Tensor

from conetheory.errors import InputError
from conetheory.networks.graph import Graph, Node
from conetheory.networks.ops import Conv2d, Linear, LinearOp, Part, Shape, Terms, whole
from conetheory.networks.transposed import ConvTranspose2d
from conetheory.rules.base import Rule
from conetheory.rules.excitation import ExcitationBackprop
from conetheory.rules.localmap import Bare, single
from conetheory.rules.maps import Blockwise, Copies, LocalMap, Transposed
from conetheory.rules.registry import get_method, register


@dataclass(frozen=True)
class AgainstOthers(Rule):
    """CLRP-1: each unit of the start layer against the mean of the others, by the base rule below."""

    base: Rule

    def bind(self, graph: Graph) -> Self:
        return replace(self, base=self.base.bind(graph))

    def entrance(self, name: str, y: Tensor) -> LocalMap | None:
        units = y[0].numel()
        return Centred(units / (units - 1)) if units > 1 else None  # one unit has no others

    def local(self, node: Node, xs: Sequence[Tensor], y: Tensor) -> LocalMap:
        return self.base.local(node, xs, y)


@dataclass(frozen=True)
class AgainstNegated(Rule):
    """Contrastive Excitation BP and CLRP-2: `M(W) - M(-W)` at the first weights, then `M(W)`.

    As one sweep serves several start layers, the state is two relevances stacked along the channels:
    [r, d], where d is fresh, not yet through any weights. A start enters as [0, v]; operations with weights
    map to `[M(W) (r + d) - M(-W) d, 0]`; others map each block; `r + d` is the relevance. A path around
    an operation with weights (a residual connection) stays fresh until its own first one.
    """

    base: Rule

    def bind(self, graph: Graph) -> Self:
        return replace(self, base=self.base.bind(graph))

    def entrance(self, name: str, y: Tensor) -> Copies:
        return Copies((0.0, 1.0))

    def exit(self, name: str, y: Tensor) -> Transposed:
        return Transposed(Copies((1.0, 1.0)))

    def local(self, node: Node, xs: Sequence[Tensor], y: Tensor) -> LocalMap:
        own = self.base.local(node, xs, y)
        if not isinstance(node.op, Conv2d | Linear | ConvTranspose2d):
            return Blockwise(own, 2)
        return Contrast(own, self.base.at(node), node.op, tuple(xs), y)


@dataclass(frozen=True)
class SoftmaxGradient(Rule):
    """SGLRP: from logits the gradient of the probabilities by them, by the base rule below.

    output: the name of the logits, which `bind` finds; at other starts relevance is itself.
    """

    base: Rule
    output: str = ""

    def bind(self, graph: Graph) -> Self:
        return replace(self, base=self.base.bind(graph), output=graph.output)

    def entrance(self, name: str, y: Tensor) -> LocalMap | None:
        return Probabilities(y.softmax(1).unsqueeze(1)) if name == self.output and y.ndim == 2 else None

    def local(self, node: Node, xs: Sequence[Tensor], y: Tensor) -> LocalMap:
        return self.base.local(node, xs, y)


@dataclass(frozen=True, eq=False)
class Probabilities(Bare):
    """`D(p) - p p^T`, p `(images, 1, classes)`; symmetric."""

    p: Tensor

    def down(self, r: Tensor) -> tuple[Tensor, ...]:
        return (self.p * (r - (self.p * r).sum(-1, keepdim=True)),)

    def up(self, hs: Sequence[Tensor | None]) -> Tensor:
        return self.down(single(hs))[0]


@dataclass(frozen=True)
class Centred(Bare):
    """`v -> scale (v - mean(v))` over all units of a layer; symmetric."""

    scale: float

    def down(self, r: Tensor) -> tuple[Tensor, ...]:
        return (self.scale * (r - r.mean(tuple(range(2, r.ndim)), keepdim=True)),)

    def up(self, hs: Sequence[Tensor | None]) -> Tensor:
        return self.down(single(hs))[0]


@dataclass(frozen=True, eq=False)
class Contrast(Bare):
    """`[r, d] -> [M(W) (r + d) - M(-W) d, 0]`; M(-W) is made when a fresh vector first needs it."""

    own: LocalMap
    rule: Rule
    op: LinearOp
    xs: tuple[Tensor, ...]
    y: Tensor

    @cached_property
    def dual(self) -> LocalMap:
        return self.rule.linear(Negated.of(self.op), self.xs, -self.y)

    def down(self, r: Tensor) -> tuple[Tensor, ...]:
        r, d = r.chunk(2, 2)
        (below,) = self.own.down(r + d)
        fresh = d.flatten(2).any(2).any(0)  # the vectors that started right above
        if bool(fresh.any()):
            below = below.index_add(1, fresh.nonzero()[:, 0], self.dual.down(d[:, fresh])[0], alpha=-1)
        return (torch.cat([below, torch.zeros_like(below)], 2),)

    def up(self, hs: Sequence[Tensor | None]) -> Tensor:
        h, _ = single(hs).chunk(2, 2)
        own = self.own.up([h])
        return torch.cat([own, own - self.dual.up([h])], 2)


@dataclass(frozen=True, eq=False)
class Negated(LinearOp):
    """`-W x - b`; like all parts, those of -W are made as they are used."""

    inner: LinearOp = field(kw_only=True)

    @classmethod
    def of(cls, op: LinearOp) -> Negated:
        return cls(bias=None if op.bias is None else -op.bias, inner=op)

    def linear(self, xs: Sequence[Tensor], part: Part = whole) -> Tensor:
        return self.inner.linear(xs, _of_negative(part))

    def transpose(self, r: Tensor, terms: Terms, shapes: Sequence[Shape]) -> tuple[Tensor, ...]:
        return self.inner.transpose(r, [(share, _of_negative(part)) for share, part in terms], shapes)


def _of_negative(part: Part) -> Part:
    return lambda weight: part(-weight)


def base_rule(base: str | Rule) -> Rule:
    """A method's rule, where it can be the base of a contrastive one. Raises `InputError`."""
    rule = get_method(base).rule if isinstance(base, str) else base
    name = base if isinstance(base, str) else type(base).__name__
    hooks = ("inputs", "entrance", "exit")
    if not isinstance(rule, Rule) or any(getattr(type(rule), h) is not getattr(Rule, h) for h in hooks):
        raise InputError(f"{name} propagates something else than relevance: it is no base for a contrast")
    if not rule.is_linear:
        raise InputError(f"{name} is not linear in the relevance: it is no base for a contrast")
    return rule


@register(
    "contrastive-excitation-bp",
    family="contrastive",
    description="Excitation BP minus that of the negated weights above",
    equation="M(W) - M(-W) at the first weights below the start, M(W) below them;  M of excitation-bp",
    source="Zhang et al. 2016, sec. 3.3",
    aliases=("cebp",),
)
def contrastive_excitation_backprop(
    negative_inputs: Literal["silent", "excite"] = "silent", stabiliser: float = 0.0
) -> AgainstNegated:
    return AgainstNegated(ExcitationBackprop(negative_inputs, stabiliser))


@register(
    "clrp-1",
    family="contrastive",
    description="a class minus the mean of the others, by a base rule",
    equation="v -> n/(n - 1) (v - mean(v)) at the n units of the start;  M of the base rule",
    source="Gu, Yang and Tresp 2018, sec. 4 (CLRP1)",
)
def clrp1(base: str | Rule = "deep-taylor") -> AgainstOthers:
    """base: a method's name, or a rule such as `get_method("deep-taylor", low=0, high=1).rule`."""
    return AgainstOthers(base_rule(base))


@register(
    "clrp-2",
    family="contrastive",
    description="a class minus its negated weights, by a base rule",
    equation="M(W) - M(-W) at the first weights below the start, M(W) below them;  M of the base rule",
    source="Gu, Yang and Tresp 2018, sec. 4 (CLRP2)",
)
def clrp2(base: str | Rule = "deep-taylor") -> AgainstNegated:
    """base: as in CLRP-1. LRP-0, epsilon and gamma have `M(-W) = M(W)`, so that nothing is left of theirs."""
    return AgainstNegated(base_rule(base))


@register(
    "sglrp",
    family="contrastive",
    description="the gradient of a class's probability by the logits, by a base rule",
    equation="v -> (D(p) - p p^T) v at the logits, p their softmax;  M of the base rule",
    source="Iwana et al. 2019",
)
def sglrp(base: str | Rule = "deep-taylor") -> SoftmaxGradient:
    """base: as in CLRP-1."""
    return SoftmaxGradient(base_rule(base))
