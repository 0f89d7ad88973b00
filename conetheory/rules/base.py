"""A rule turns one operation, at given activations, into the linear map that it applies to relevance.

Relevance is `(images, vectors, *shape)`; what a map keeps of the activations is `(images, 1, *shape)`,
so that one forward pass and one set of denominators serve every vector of an image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from conetheory.networks.graph import Node
from conetheory.networks.ops import Affine, Concat, LinearOp, MaxPool2d, PassThrough, Shape


class LocalMap(Protocol):
    """`M` of one operation, for one batch of images."""

    def down(self, r: Tensor) -> tuple[Tensor, ...]:
        """`M r`: relevance at the output to relevance at each input."""
        ...

    def up(self, hs: Sequence[Tensor | None]) -> Tensor:
        """`M^T h`: covectors at the inputs (None for zero) to the covector at the output."""
        ...


class Rule:
    """What a method does at each operation; subclasses say what a linear operation does."""

    def local(self, node: Node, xs: Sequence[Tensor], y: Tensor) -> LocalMap:
        """The map of `node`, whose inputs are `xs` and whose output is `y` (first axis: images)."""
        match node.op:
            case LinearOp():
                return self.linear(node.op, xs)
            case MaxPool2d():
                return WinnerTakesAll.of(node.op, xs[0])
            case Concat():
                return Split(tuple(x.shape[1] for x in xs))
            case PassThrough() | Affine():
                return Same(tuple(xs[0].shape[1:]), tuple(y.shape[1:]))
        raise NotImplementedError(type(node.op).__name__)

    def linear(self, op: LinearOp, xs: Sequence[Tensor]) -> LocalMap:
        raise NotImplementedError


def merge(t: Tensor) -> Tensor:
    """`(images, vectors, ...)` to `(images * vectors, ...)`, as the operations want it."""
    return t.flatten(0, 1)


def split(t: Tensor, images: int) -> Tensor:
    """The inverse of `merge`."""
    return t.unflatten(0, (images, -1))


@dataclass(frozen=True)
class Same:
    """The identity (an activation, dropout, a batch norm of its own), or a reshape."""

    inside: Shape
    outside: Shape

    def down(self, r: Tensor) -> tuple[Tensor, ...]:
        return (r if self.inside == self.outside else r.reshape(*r.shape[:2], *self.inside),)

    def up(self, hs: Sequence[Tensor | None]) -> Tensor:
        return hs[0] if self.inside == self.outside else hs[0].reshape(*hs[0].shape[:2], *self.outside)


@dataclass(frozen=True)
class Split:
    """A concatenation: each input gets its own channels."""

    widths: tuple[int, ...]

    def down(self, r: Tensor) -> tuple[Tensor, ...]:
        return r.split(self.widths, 2)

    def up(self, hs: Sequence[Tensor | None]) -> Tensor:
        like = next(h for h in hs if h is not None)
        blank = {w: like.new_zeros((*like.shape[:2], w, *like.shape[3:])) for w in self.widths}
        return torch.cat([blank[w] if h is None else h for h, w in zip(hs, self.widths, strict=True)], 2)


@dataclass(frozen=True, eq=False)
class WinnerTakesAll:
    """A max pool: all relevance goes to the input that won (the first, where several are equal)."""

    op: MaxPool2d
    winners: Tensor  # (images, C, H', W'), flat spatial index into the input
    inside: Shape

    @classmethod
    def of(cls, op: MaxPool2d, x: Tensor) -> WinnerTakesAll:
        return cls(op, op.with_indices(x)[1], tuple(x.shape[1:]))

    def _index(self, vectors: int) -> Tensor:
        return self.winners.unsqueeze(1).expand(-1, vectors, *self.winners.shape[1:]).flatten(-2)

    def down(self, r: Tensor) -> tuple[Tensor, ...]:
        channels, height, width = self.inside
        blank = r.new_zeros((*r.shape[:2], channels, height * width))
        return (
            blank.scatter_add_(-1, self._index(r.shape[1]), r.flatten(-2)).unflatten(-1, (height, width)),
        )

    def up(self, hs: Sequence[Tensor | None]) -> Tensor:
        (h,) = hs
        taken = h.flatten(-2).gather(-1, self._index(h.shape[1]))
        return taken.unflatten(-1, self.winners.shape[-2:])
