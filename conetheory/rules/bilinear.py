"""The maps of products of matrices and of softmax, and of a linear map beside a factor that is a constant."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from conetheory.networks.attention import MatMul, Softmax
from conetheory.networks.ops import Shape
from conetheory.rules.localmap import Bare, LocalMap, single
from conetheory.rules.smallness import nonzero


@dataclass(frozen=True, eq=False)
class Branch:
    """A map of one input as that of several: nothing comes down to the others. shapes: of the inputs."""

    inner: LocalMap
    branch: int
    shapes: tuple[Shape, ...]

    def down(self, r: Tensor) -> tuple[Tensor, ...]:
        (own,) = self.inner.down(r)
        return tuple(
            own if i == self.branch else own.new_zeros((*own.shape[:2], *shape))
            for i, shape in enumerate(self.shapes)
        )

    def up(self, hs: Sequence[Tensor | None]) -> Tensor:
        h = hs[self.branch]
        if h is None:
            like = next(h for h in hs if h is not None)
            h = like.new_zeros((*like.shape[:2], *self.shapes[self.branch]))
        return self.inner.up([h])

    def pattern(self) -> Branch:
        return replace(self, inner=self.inner.pattern())

    def loss(self) -> Branch:
        return replace(self, inner=self.inner.loss())

    def squared(self) -> Branch:
        return replace(self, inner=self.inner.squared())


@dataclass(frozen=True, eq=False)
class Bilinear(Bare):
    """At `y = A v`, with factors B, w in their places: `r -> (x_A r' w^T, x_v B^T r')`, `r' = share r`.

    factors: B and w as matrices, `(images, 1, ..., rows, columns)`; share `(images, 1, *shape of y)` and the
    scales x `(images, 1, *shape)` of each input, or None for ones. The Jacobian has the factors alone.
    """

    op: MatMul
    factors: tuple[Tensor, Tensor]
    share: Tensor | None = None
    scales: tuple[Tensor, Tensor] | None = None

    @classmethod
    def of(
        cls,
        op: MatMul,
        xs: Sequence[Tensor],
        share: Tensor | None = None,
        scales: tuple[Tensor, Tensor] | None = None,
    ) -> Bilinear:
        left, right = op.read(xs)
        return cls(op, (left.unsqueeze(1), right.unsqueeze(1)), share, scales)

    def down(self, r: Tensor) -> tuple[Tensor, ...]:
        y = self.op.views[2].read(r if self.share is None else r * self.share, 2)
        left, right = (factor.to(y.dtype) for factor in self.factors)
        found = y @ right.mT, left.mT @ y
        parts = [v.written(f, s, 2) for v, f, s in zip(self.op.views, found, self.op.shapes, strict=False)]
        return tuple(
            parts if self.scales is None else [p * x for p, x in zip(parts, self.scales, strict=True)]
        )

    def up(self, hs: Sequence[Tensor | None]) -> Tensor:
        scales = self.scales or (None, None)
        scaled = [h if h is None or x is None else h * x for h, x in zip(hs, scales, strict=True)]
        parts = []
        if scaled[0] is not None:
            left = self.op.views[0].read(scaled[0], 2)
            parts.append(left @ self.factors[1].to(left.dtype))
        if scaled[1] is not None:
            right = self.op.views[1].read(scaled[1], 2)
            parts.append(self.factors[0].to(right.dtype) @ right)
        found = self.op.views[2].written(torch.stack(parts).sum(0), self.op.shapes[2], 2)
        return found if self.share is None else found * self.share

    def pattern(self) -> Bilinear:
        return self._each(nonzero)

    def squared(self) -> Bilinear:
        """An entry is one product of a factor, the share and a scale."""
        return self._each(torch.square)

    def _each(self, function: Callable[[Tensor], Tensor]) -> Bilinear:
        left, right = (function(f) for f in self.factors)
        share = None if self.share is None else function(self.share)
        scales = None if self.scales is None else (function(self.scales[0]), function(self.scales[1]))
        return Bilinear(self.op, (left, right), share, scales)


@dataclass(frozen=True, eq=False)
class RankOne(Bare):
    """`D(d) - u w^T` over the axis of a softmax; d, u, w as its view reads them, `(images, 1, ..., n)`.

    The Jacobian, with s the softmax, has d = u = w = s but for one of the three: `D(s) - s s^T`.
    """

    op: Softmax
    d: Tensor
    u: Tensor
    w: Tensor

    @classmethod
    def jacobian(cls, op: Softmax, y: Tensor) -> RankOne:
        s = op.view.read(y).unsqueeze(1)
        return cls(op, s, s, s)

    def down(self, r: Tensor) -> tuple[Tensor, ...]:
        return (self._applied(r, self.u, self.w),)

    def up(self, hs: Sequence[Tensor | None]) -> Tensor:
        return self._applied(single(hs), self.w, self.u)

    def _applied(self, r: Tensor, u: Tensor, w: Tensor) -> Tensor:
        q = self.op.view.read(r, 2)
        return self.op.written(self.d * q - u * (w * q).sum(-1, keepdim=True), r, 2)

    def squared(self) -> RankOne:
        """`(d_i 1{i = j} - u_i w_j)^2`, multiplied out."""
        return RankOne(self.op, self.d**2 - 2 * self.d * self.u * self.w, -(self.u**2), self.w**2)
