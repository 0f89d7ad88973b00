"""Rules bound to one chain that compare every tensor with its value at a reference input (`rules.deeplift`).

The forward pass sees the images and behind them their reference, one row for all or one row each. A pass is
made for one chain by `bind` and holds what it needs of the tensors that are still in use.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from conetheory.errors import UnsupportedLayerError
from conetheory.networks.attention import MatMul, Softmax
from conetheory.networks.bcos import Aligned
from conetheory.networks.coupling import Product, Standardise
from conetheory.networks.graph import INPUT, Graph, Node
from conetheory.networks.ops import (
    Add,
    Affine,
    AvgPool2d,
    Concat,
    LinearOp,
    MaxPool2d,
    Op,
    Part,
    PassThrough,
    negative,
    positive,
    whole,
)
from conetheory.rules.base import LocalMap, Rule
from conetheory.rules.bilinear import Bilinear, RankOne
from conetheory.rules.couplings import Factors, Standardisation
from conetheory.rules.gradient import derivative
from conetheory.rules.localmap import Bare
from conetheory.rules.maps import (
    Blockwise,
    Chained,
    Copies,
    Diagonal,
    ScaledMap,
    Selected,
    Transposed,
    WinnerTakesAll,
)

if TYPE_CHECKING:
    from conetheory.rules.reference import DeepLift

Components = tuple[Tensor, Tensor]  # Delta+ and Delta- of one tensor, (images, *shape)
COUPLINGS = {
    Product: "a product of branches",
    MatMul: "a product of branches",
    Standardise: "a norm by its own statistics",
    Softmax: "a softmax",
    Aligned: "a B-cos unit",
}
MEAN = Transposed(Copies((0.5, 0.5)))
TOTAL = Transposed(Copies((1.0, 1.0)))


class RescalePass(Rule):
    """One multiplier per unit."""

    def __init__(self, method: DeepLift, graph: Graph) -> None:
        refuse_coupled(graph, "DeepLIFT", (Aligned,))
        self.method, self.graph, self.images = method, graph, 0

    def inputs(self, images: Tensor) -> Tensor:
        self.images = len(images)
        return torch.cat([images, self.method.references(images)])

    def pair(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """A tensor at the reference, `(1 or images, *shape)`, and at the images."""
        return t[self.images :], t[: self.images]

    def delta(self, t: Tensor) -> Tensor:
        reference, image = self.pair(t)
        return image - reference

    def reads_contributions(self, name: str) -> bool:
        return name == INPUT or self.method.measure == "contributions"

    def exit(self, name: str, y: Tensor) -> LocalMap | None:
        return Diagonal(self.delta(y).unsqueeze(1)) if self.reads_contributions(name) else None

    def linear(self, op: LinearOp, xs: Sequence[Tensor], y: Tensor) -> LocalMap:
        return transposed(op, xs, y)

    def affine(self, op: Affine, x: Tensor, y: Tensor) -> LocalMap:
        return Diagonal(per_channel(op.scale, x).unsqueeze(1))

    def activation(self, op: PassThrough, x: Tensor, y: Tensor) -> LocalMap:
        return Diagonal(secant(op, *self.pair(x)).unsqueeze(1))

    def max_pool(self, op: MaxPool2d, x: Tensor, y: Tensor) -> LocalMap:
        reference, image = self.pair(x)
        if self.method.pool == "gradient":
            return WinnerTakesAll.of(op, image)
        return rescaled_winners(op, image, reference.expand_as(image))

    def product(self, op: Product, xs: Sequence[Tensor], y: Tensor) -> LocalMap:
        """`Delta y = (g + g0) / 2 Delta x + (x + x0) / 2 Delta g`: the mean over both orders of change."""
        factors = tuple(self._middle(x).unsqueeze(1) for x in reversed(xs))
        return Factors(factors, tuple(tuple(x.shape[1:]) for x in xs))

    def standardise(self, op: Standardise, x: Tensor, y: Tensor) -> LocalMap:
        """`y = i(v) c`, c the centred input: as the product of c and `i = (v + eps)^(-1/2)`, with the secant
        of i and `Delta v = sum (c + c0) Delta c / n`."""
        inverse, sizes = op.inverse(x), op.centred(x)
        (i0, i), (c0, c) = self.pair(inverse), self.pair(sizes)
        # (i - i0) / (v - v0), where nothing cancels
        secant = -((i * i0) ** 2) / (i + i0)
        share = secant / 2 / c.shape[-2]
        return Standardisation(op, ((i + i0) / 2).unsqueeze(1), share.unsqueeze(1), (c + c0).unsqueeze(1))

    def matmul(self, op: MatMul, xs: Sequence[Tensor], y: Tensor) -> LocalMap:
        """`Delta y = Delta A (v + v0) / 2 + (A + A0) / 2 Delta v`, as at products of branches."""
        return Bilinear.of(op, [self._middle(x) for x in xs])

    def softmax(self, op: Softmax, x: Tensor, y: Tensor) -> LocalMap:
        """`y_i = e_i / Z`: the product of `e_i = exp(x_i)`, with its secants, and of `1/Z`, whose secant is
        `-1 / (Z Z0)`; exp(-m) is taken out, m the largest of x and of x0."""
        x0, x1 = (op.view.read(t) for t in self.pair(x))
        m = torch.maximum(x0.amax(-1, keepdim=True), x1.amax(-1, keepdim=True))
        e0, e1 = (x0 - m).exp(), (x1 - m).exp()
        Z0, Z1 = e0.sum(-1, keepdim=True), e1.sum(-1, keepdim=True)
        slope = exp_secant(x0 - m, x1 - m)
        d = slope * (1 / Z0 + 1 / Z1) / 2
        w = (e0 + e1) / 2 / (Z0 * Z1)
        return RankOne(op, d.unsqueeze(1), slope.unsqueeze(1), w.unsqueeze(1))

    def _middle(self, t: Tensor) -> Tensor:
        reference, image = self.pair(t)
        return (reference + image) / 2


class SharedAblationPass(RescalePass):
    """`diag(1{Delta x != 0}) W+^T + diag(1{Delta x = 0}) W^T`: one chain, as in the code of Sixt et al."""

    def linear(self, op: LinearOp, xs: Sequence[Tensor], y: Tensor) -> LocalMap:
        if isinstance(op, AvgPool2d):
            return transposed(op, xs, y)
        still = [(self.delta(x) == 0).to(x.dtype).unsqueeze(1) for x in xs]
        one = y.new_ones((1,) * (y.ndim + 1))
        groups = [([1 - s for s in still], [(one, positive)]), (still, [(one, whole)])]
        return ScaledMap(op, [tuple(x.shape[1:]) for x in xs], groups)


class AblationPass(RescalePass):
    """Two blocks that never mix: W+^T, cut to the inputs that rose in the first, that fell in the second."""

    def entrance(self, name: str, y: Tensor) -> LocalMap:
        return Copies((1.0, 1.0))

    def exit(self, name: str, y: Tensor) -> LocalMap:
        if not self.reads_contributions(name):
            return MEAN
        delta = self.delta(y)
        return Chained((MEAN, Diagonal((delta.abs() if self.method.is_nonnegative else delta).unsqueeze(1))))

    def local(self, node: Node, xs: Sequence[Tensor], y: Tensor) -> LocalMap:
        blocks = Blockwise(super().local(node, xs, y), 2)
        if isinstance(node.op, AvgPool2d) or not isinstance(node.op, LinearOp | Affine):
            return blocks
        deltas = [self.delta(x) for x in xs]
        return Selected(blocks, [torch.cat([d > 0, d < 0], 1).to(d.dtype).unsqueeze(1) for d in deltas])

    def linear(self, op: LinearOp, xs: Sequence[Tensor], y: Tensor) -> LocalMap:
        return transposed(op, xs, y, positive)

    def affine(self, op: Affine, x: Tensor, y: Tensor) -> LocalMap:
        return Diagonal(per_channel(positive(op.scale), x).unsqueeze(1))

    def activation(self, op: PassThrough, x: Tensor, y: Tensor) -> LocalMap:
        return Diagonal(secant(op, *self.pair(x)).clamp_(min=0).unsqueeze(1))


class RevealCancelPass(RescalePass):
    """Two multipliers per unit; the components of a tensor are kept until its last use."""

    def __init__(self, method: DeepLift, graph: Graph) -> None:
        super().__init__(method, graph)
        self._kept: dict[str, Components] = {}

    def inputs(self, images: Tensor) -> Tensor:
        batch = super().inputs(images)
        self._kept[INPUT] = by_sign(self.delta(batch))
        return batch

    def entrance(self, name: str, y: Tensor) -> LocalMap:
        return Copies((1.0, 1.0))

    def exit(self, name: str, y: Tensor) -> LocalMap:
        if not self.reads_contributions(name):
            return MEAN
        return Chained((Diagonal(torch.cat(self._kept[name], 1).unsqueeze(1)), TOTAL))

    def local(self, node: Node, xs: Sequence[Tensor], y: Tensor) -> LocalMap:
        found = self._map(node, xs, y)
        if self._needed(node.name):
            self._kept[node.name] = self._components(node, xs, y, found)
        for name in node.inputs:
            if self.graph.consumers[name][-1] is node:
                self._kept.pop(name, None)
        return found

    def _needed(self, name: str) -> bool:
        return self.reads_contributions(name) or any(carries(u.op) for u in self.graph.consumers[name])

    def _map(self, node: Node, xs: Sequence[Tensor], y: Tensor) -> LocalMap:
        match node.op:
            case AvgPool2d():
                return Blockwise(transposed(node.op, xs, y), 2)
            case LinearOp():
                return BySign.of(node.op, xs, y, [self.delta(x) for x in xs])
            case MaxPool2d():
                pool = Blockwise(self.max_pool(node.op, xs[0], y), 2)
                return Chained((BySign.of(Add(), [y], y, [self.delta(y)]), pool))
            case PassThrough(kind="activation"):
                slopes = reveal_cancel(node.op, self.pair(xs[0])[0], *self._kept[node.inputs[0]])
                return Diagonal(torch.cat(slopes, 1).unsqueeze(1))
        return Blockwise(super().local(node, xs, y), 2)

    def _components(self, node: Node, xs: Sequence[Tensor], y: Tensor, found: LocalMap) -> Components:
        """Delta+ and Delta- of the output; they sum to Delta."""
        inside = [self._kept[name] for name in node.inputs] if carries(node.op) else []
        match node.op:
            case AvgPool2d():
                plus, minus = (node.op.linear([part]) for part in inside[0])
            case LinearOp():
                rises, falls = zip(*(by_sign(self.delta(x)) for x in xs), strict=True)
                plus = node.op.linear(rises, positive) + node.op.linear(falls, negative)
                minus = node.op.linear(rises, negative) + node.op.linear(falls, positive)
            case MaxPool2d():
                plus, minus = by_sign(self.delta(y))
            case Affine() | PassThrough(kind="activation"):
                # diagonal maps of the two blocks, m_x = s m_y where Delta y = s Delta x
                both = found.up([torch.cat(inside[0], 1).unsqueeze(1)])
                plus, minus = both.squeeze(1).chunk(2, 1)
            case Concat():
                plus, minus = (torch.cat(parts, 1) for parts in zip(*inside, strict=True))
            case _:
                plus, minus = (node.op.forward(part) for part in inside[0])
        return plus, minus


def carries(op: Op) -> bool:
    """Whether the components of the output come from those of the input, not from its Delta."""
    return isinstance(op, AvgPool2d) or not isinstance(op, LinearOp | MaxPool2d)


def refuse_coupled(graph: Graph, method: str, kinds: Iterable[type[Op]] = tuple(COUPLINGS)) -> None:
    """Raise `UnsupportedLayerError` at the first product, norm or B-cos unit, of these kinds."""
    kinds = tuple(kinds)
    for node in graph.nodes.values():
        if isinstance(node.op, kinds):
            kind = COUPLINGS[type(node.op)]
            way = "b-cos" if isinstance(node.op, Aligned) else "deeplift-rescale"
            raise UnsupportedLayerError(
                f"layer {node.name!r}: {method} has no rule for {kind}; {way} has one"
            )


def by_sign(delta: Tensor) -> Components:
    return delta.clamp(min=0), delta.clamp(max=0)


def per_channel(scale: Tensor, x: Tensor) -> Tensor:
    return scale.view((1, -1) + (1,) * (x.ndim - 2))


def secant(op: PassThrough, a: Tensor, b: Tensor) -> Tensor:
    """`(f(b) - f(a)) / (b - a)`, and f' halfway where the difference is lost to rounding.

    That is below `sqrt(eps) max(|a|, |b|)`, so that no kink at zero is stepped over.
    """
    step = b - a
    near = step.abs() <= torch.finfo(step.dtype).eps ** 0.5 * torch.maximum(a.abs(), b.abs())
    slope = (op.forward(b) - op.forward(a)) / torch.where(near, 1.0, step)
    return torch.where(near, derivative(op, (a + b) / 2), slope) if bool(near.any()) else slope


def exp_secant(a: Tensor, b: Tensor) -> Tensor:
    """`(exp(b) - exp(a)) / (b - a)` of numbers up to 0, exp where they are equal; 0 at -inf, in both."""
    masked = a.isinf() | b.isinf()
    step = torch.where(masked, 0.0, (b - a).abs())
    ratio = torch.where(step == 0, 1.0, -torch.expm1(-step) / torch.where(step == 0, 1.0, step))
    return torch.where(masked, 0.0, torch.maximum(a, b).exp() * ratio)


def reveal_cancel(op: PassThrough, x0: Tensor, plus: Tensor, minus: Tensor) -> Components:
    """`Delta y+ / Delta x+` and `Delta y- / Delta x-`, each the mean of two secants."""
    rise = secant(op, x0, x0 + plus) + secant(op, x0 + minus, x0 + minus + plus)
    fall = secant(op, x0, x0 + minus) + secant(op, x0 + plus, x0 + plus + minus)
    return rise / 2, fall / 2


def transposed(op: LinearOp, xs: Sequence[Tensor], y: Tensor, part: Part = whole) -> ScaledMap:
    """`part(W)^T`."""
    one = y.new_ones((1,) * (y.ndim + 1))
    return ScaledMap(op, [tuple(x.shape[1:]) for x in xs], [(None, [(one, part)])])


def rescaled_winners(op: MaxPool2d, x: Tensor, x0: Tensor) -> LocalMap:
    """`m Delta y / Delta x` to the winner of x where the maximum rose, of x0 where it fell."""
    (y, at), (y0, at0) = op.with_indices(x), op.with_indices(x0)
    delta, winners = y - y0, torch.where(y >= y0, at, at0)
    step = (x - x0).flatten(2).gather(-1, winners.flatten(2)).view_as(delta)
    share = torch.where(step == 0, 1.0, delta / torch.where(step == 0, 1.0, step))
    return Chained((Diagonal(share.unsqueeze(1)), WinnerTakesAll(op, winners, tuple(x.shape[1:]))))


@dataclass(frozen=True, eq=False)
class BySign(Bare):
    """`(m+, m-) -> (m, m)`, `m = 1/2 (W^T (m+ + m-) + sign(Delta x) |W|^T (m+ - m-))`."""

    mean: ScaledMap
    spread: ScaledMap

    @classmethod
    def of(cls, op: LinearOp, xs: Sequence[Tensor], y: Tensor, deltas: Sequence[Tensor]) -> BySign:
        half = y.new_full((1,) * (y.ndim + 1), 0.5)
        shapes, signs = [tuple(x.shape[1:]) for x in xs], [d.sign().unsqueeze(1) for d in deltas]
        mean = ScaledMap(op, shapes, [(None, [(half, whole)])])
        return cls(mean, ScaledMap(op, shapes, [(signs, [(half, torch.abs)])]))

    def down(self, r: Tensor) -> tuple[Tensor, ...]:
        plus, minus = r.chunk(2, 2)
        parts = zip(self.mean.down(plus + minus), self.spread.down(plus - minus), strict=True)
        return tuple(torch.cat([m := a + b, m], 2) for a, b in parts)

    def up(self, hs: Sequence[Tensor | None]) -> Tensor:
        sums = [None if h is None else torch.add(*h.chunk(2, 2)) for h in hs]
        a, b = self.mean.up(sums), self.spread.up(sums)
        return torch.cat([a + b, a - b], 2)
