"""The maps of operations that only move numbers, and of those whose units act on each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from conetheory.networks.bcos import Aligned
from conetheory.networks.coupling import Standardise
from conetheory.networks.ops import Shape, whole
from conetheory.networks.selection import Selection
from conetheory.rules.localmap import Bare, LocalMap, single
from conetheory.rules.smallness import merge, nonzero, split


@dataclass(frozen=True, eq=False)
class Moved:
    """`W^T` of a selection: relevance goes where the number came from. Entries are 0 and 1; none add up."""

    op: Selection
    inside: Shape

    def down(self, r: Tensor) -> tuple[Tensor, ...]:
        y = merge(r)
        with torch.inference_mode(False), torch.enable_grad():
            x = torch.zeros((len(y), *self.inside), dtype=y.dtype, device=y.device, requires_grad=True)
            (out,) = torch.autograd.grad(self.op.forward(x), x, y.clone())
            return (split(out, len(r)),)

    def up(self, hs: Sequence[Tensor | None]) -> Tensor:
        h = single(hs)
        return split(self.op.forward(merge(h)), len(h))

    def pattern(self) -> Moved:
        return self

    def loss(self) -> Moved:
        return self

    def squared(self) -> Moved:
        return self


@dataclass(frozen=True)
class OneBranch:
    """All relevance to one of the inputs, as it is; zero to the others. shapes: of the inputs."""

    branch: int
    shapes: tuple[Shape, ...]

    def down(self, r: Tensor) -> tuple[Tensor, ...]:
        return tuple(
            r if i == self.branch else r.new_zeros((*r.shape[:2], *shape))
            for i, shape in enumerate(self.shapes)
        )

    def up(self, hs: Sequence[Tensor | None]) -> Tensor:
        if (h := hs[self.branch]) is not None:
            return h
        like = next(h for h in hs if h is not None)
        return like.new_zeros((*like.shape[:2], *self.shapes[self.branch]))

    def pattern(self) -> OneBranch:
        return self

    def loss(self) -> OneBranch:
        return self

    def squared(self) -> OneBranch:
        return self


@dataclass(frozen=True, eq=False)
class Factors(Bare):
    """To each input `r` times its factor, summed over what the input was broadcast to.

    factors: `(images, 1, ...)`, of the other operand's shape; shapes: of the inputs.
    """

    factors: tuple[Tensor, ...]
    shapes: tuple[Shape, ...]

    def down(self, r: Tensor) -> tuple[Tensor, ...]:
        lead = r.shape[:2]
        pairs = zip(self.factors, self.shapes, strict=True)
        return tuple((r * factor).sum_to_size((*lead, *shape)) for factor, shape in pairs)

    def up(self, hs: Sequence[Tensor | None]) -> Tensor:
        parts = [h * factor for h, factor in zip(hs, self.factors, strict=True) if h is not None]
        found = torch.stack(torch.broadcast_tensors(*parts)).sum(0)
        whole = [max(sizes) for sizes in zip(*self.shapes, strict=True)]
        return found.expand(*found.shape[:2], *whole)

    def pattern(self) -> Factors:
        return Factors(tuple(nonzero(f) for f in self.factors), self.shapes)

    def squared(self) -> Factors:
        """An output has one entry for each input, so that the squares are those of the factors."""
        return Factors(tuple(f.square() for f in self.factors), self.shapes)


@dataclass(frozen=True, eq=False)
class Standardisation(Bare):
    """`scale (I - 1 1^T / n) + share u u^T` in each group of n units: a symmetric matrix, `u` of sum zero.

    scale, share: `(images, 1, groups, 1, locations)`; u: `(images, 1, groups, n, locations)`. The Jacobian of
    `(x - mean) / s`, `s^2 = variance + eps`, has scale 1/s, u the centred input and share -1/(n s^3). Where
    the mean stays, `1 1^T / n` does not come off and u is the input.
    """

    op: Standardise
    scale: Tensor
    share: Tensor
    u: Tensor

    @classmethod
    def jacobian(cls, op: Standardise, x: Tensor) -> Standardisation:
        u, inverse = op.centred(x), op.inverse(x)
        share = -(inverse**3) / u.shape[-2]
        return cls(op, inverse.unsqueeze(1), share.unsqueeze(1), u.unsqueeze(1))

    def down(self, r: Tensor) -> tuple[Tensor, ...]:
        grouped = self.op.grouped(r, r.shape[2:])
        centred = self.op.less_mean(grouped)
        along = (self.u * grouped).sum(-2, keepdim=True)
        return ((self.scale * centred + self.share * along * self.u).reshape(r.shape),)

    def up(self, hs: Sequence[Tensor | None]) -> Tensor:
        return self.down(single(hs))[0]

    def squared(self) -> LocalMap:
        return _Squares(self)


@dataclass(frozen=True, eq=False)
class _Squares(Bare):
    """`(a_ij + k u_i u_j)^2` with `a = scale (I - 1 1^T / n)`, multiplied out."""

    inner: Standardisation

    def down(self, r: Tensor) -> tuple[Tensor, ...]:
        op, scale, share, u = self.inner.op, self.inner.scale, self.inner.share, self.inner.u
        v, m = op.grouped(r, r.shape[2:]), 1 / u.shape[-2] if op.middle else 0.0
        total, first, second = ((v * u**k).sum(-2, keepdim=True) for k in (0, 1, 2))
        own = (scale**2 * (1 - 2 * m) + 2 * scale * share * u**2) * v
        others = (scale * m) ** 2 * total - 2 * scale * share * m * u * first + share**2 * u**2 * second
        return ((own + others).reshape(r.shape),)

    def up(self, hs: Sequence[Tensor | None]) -> Tensor:
        return self.down(single(hs))[0]


@dataclass(frozen=True, eq=False)
class Alignment(Bare):
    """`r -> (own r, x N^T sum over each group of (share r))`, N the sums over windows.

    own, share: `(images, 1, *shape of y)`; x `(images, 1, *shape)`. The Jacobian of `z (|z| / |x|)^(b - 1)`
    has `own = b |cos|^(b - 1)` and `share = -(b - 1) y / |x|^2`.
    """

    op: Aligned
    own: Tensor
    share: Tensor
    x: Tensor

    @classmethod
    def jacobian(cls, op: Aligned, xs: Sequence[Tensor]) -> Alignment:
        z, x = xs
        gate = op.gate(z, x)
        share = -(op.b - 1) * z * gate / op.spread(op.squares(x), z)
        return cls(op, (op.b * gate).unsqueeze(1), share.unsqueeze(1), x.unsqueeze(1))

    def down(self, r: Tensor) -> tuple[Tensor, ...]:
        groups = (r * self.share).unflatten(2, (len(self.op.ones), -1)).sum(3)
        one = groups.new_ones((1,) * groups.ndim)
        (below,) = self.op.windows.transpose(groups, [(one, whole)], [tuple(self.x.shape[2:])])
        return r * self.own, self.x * below

    def up(self, hs: Sequence[Tensor | None]) -> Tensor:
        own, below = hs
        parts = [] if own is None else [own * self.own]
        if below is not None:
            sums = split(self.op.windows.linear([merge(below * self.x)]), len(below))
            parts.append(self.op.spread(sums, self.share, 2) * self.share)
        return torch.stack(parts).sum(0)

    def squared(self) -> Alignment:
        """An output has one entry for each number of z and of x."""
        return Alignment(self.op, self.own.square(), self.share.square(), self.x.square())
