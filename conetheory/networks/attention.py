"""Attention, taken apart: products of matrices of two branches, and softmax. What a rule does at them:

    rule                       product y = A v, A the weights       softmax s = softmax(x)
    LRP and its kin            A is a constant: the rule's own      relevance as it is; none arrives where
                               for a linear map of weights A        the softmax gives weights
    AttnLRP                    half to each factor                  R -> D(x) (R - s <1, R>)
    gradient and its kin       r v^T to A, A^T r to v               the Jacobian
    DeepLIFT, Rescale          means of A and of v, complete        secants, complete
    DeepLIFT, the others       refused                              refused

The first line is CP-LRP (Ali et al. 2022): it is the choice for gates and norms, made for attention. The
second is Achtibat et al. 2024.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from conetheory.networks.ops import LinearOp, Op, Part, Shape, Terms, whole


@dataclass(frozen=True)
class View:
    """How a tensor of the graph, `(N, *shape)`, is read: its axes divided into `sizes`, in an `order`."""

    sizes: Shape
    order: tuple[int, ...]

    def read(self, x: Tensor, lead: int = 1) -> Tensor:
        """`(..., *shape)` as it is read; `lead` axes stay in front."""
        front = range(lead)
        return x.reshape(*x.shape[:lead], *self.sizes).permute(*front, *(lead + i for i in self.order))

    def written(self, y: Tensor, shape: Shape, lead: int = 1) -> Tensor:
        """The inverse: what is read as y, `(..., *shape)`."""
        back = sorted(range(len(self.order)), key=self.order.__getitem__)
        return y.permute(*range(lead), *(lead + i for i in back)).reshape(*y.shape[:lead], *shape)

    @property
    def shape(self) -> Shape:
        """What is read has this shape."""
        return tuple(self.sizes[i] for i in self.order)


@dataclass(frozen=True, eq=False)
class MatMul(Op):
    """`y = left @ right`, each read by its view as `(N, ..., rows, columns)`; `gate` is the number of the one
    that rules of relevance take as a constant, in attention the weights. shapes: of left, right and y."""

    gate: int
    views: tuple[View, View, View]
    shapes: tuple[Shape, Shape, Shape]

    def forward(self, *xs: Tensor) -> Tensor:
        left, right = self.read(xs)
        return self.views[2].written(left @ right, self.shapes[2])

    def read(self, xs: Sequence[Tensor], lead: int = 1) -> list[Tensor]:
        """Both factors as matrices."""
        return [view.read(x, lead) for view, x in zip(self.views, xs, strict=False)]

    def held(self, xs: Sequence[Tensor]) -> Mixing:
        """The linear map of the other factor that a constant gate makes of it."""
        view, shape = self.views[1 - self.gate], self.shapes[1 - self.gate]
        weight = self.views[self.gate].read(xs[self.gate])
        views, shapes = (view, self.views[2]), (shape, self.shapes[2])
        return Mixing(weight, left=self.gate == 0, views=views, shapes=shapes)


@dataclass(frozen=True, eq=False)
class Mixing(LinearOp):
    """`y = A v` (or `v A`, not `left`), A `(images, ..., rows, columns)`, another for each image."""

    weight: Tensor  # pyright: ignore[reportGeneralTypeIssues] (always given: the base's default is no case)
    left: bool = field(kw_only=True)
    views: tuple[View, View] = field(kw_only=True)  # of v and of y
    shapes: tuple[Shape, Shape] = field(kw_only=True)

    def linear(self, xs: Sequence[Tensor], part: Part = whole) -> Tensor:
        """Of `(images, ...)`, of several vectors an image one behind the other, or of one for all images."""
        (x,), images = xs, len(self.weight)
        x = x.expand(images, *x.shape[1:]) if len(x) == 1 else x
        v = self.views[0].read(x).unflatten(0, (images, -1))
        A = part(self.weight).unsqueeze(1).to(v.dtype)
        y = A @ v if self.left else v @ A
        return self.views[1].written(y.flatten(0, 1), self.shapes[1])

    def transpose(self, r: Tensor, terms: Terms, shapes: Sequence[Shape]) -> tuple[Tensor, ...]:
        v = 0
        for share, part in terms:
            y = self.views[1].read(r * share, 2)
            A = part(self.weight).unsqueeze(1).mT.to(y.dtype)
            v = v + (A @ y if self.left else y @ A)
        return (self.views[0].written(torch.as_tensor(v), self.shapes[0], 2),)


@dataclass(frozen=True, eq=False)
class Softmax(Op):
    """`exp(x_i) / sum_j exp(x_j)` over the last axis of what the view reads."""

    view: View

    def forward(self, *xs: Tensor) -> Tensor:
        return self.written(self.view.read(xs[0]).softmax(-1), xs[0])

    def written(self, y: Tensor, like: Tensor, lead: int = 1) -> Tensor:
        """What is read as y, in the shape of `(..., *shape)`."""
        return self.view.written(y, tuple(like.shape[lead:]), lead)
