"""The local maps that rules are made of: each with its way down and, where it is linear, its adjoint."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from itertools import combinations

import torch
from torch import Tensor

from conetheory.networks.ops import (
    Add,
    AvgPool2d,
    Conv2d,
    LinearOp,
    MaxPool2d,
    Part,
    Shape,
    SquaredMeans,
    negative,
    positive,
)
from conetheory.rules.localmap import LocalMap, single
from conetheory.rules.smallness import COUNTS, Group, Lossy, ScaledLoss, merge, nonzero, occupied, split


@dataclass(frozen=True)
class Same:
    """The identity (an activation, dropout, a batch norm of its own), or a reshape."""

    inside: Shape
    outside: Shape

    def down(self, r: Tensor) -> tuple[Tensor, ...]:
        return (r if self.inside == self.outside else r.reshape(*r.shape[:2], *self.inside),)

    def up(self, hs: Sequence[Tensor | None]) -> Tensor:
        h = single(hs)
        return h if self.inside == self.outside else h.reshape(*h.shape[:2], *self.outside)

    def pattern(self) -> Same:
        return self

    def loss(self) -> Same:
        return self

    def squared(self) -> Same:
        return self


@dataclass(frozen=True, eq=False)
class Diagonal:
    """`diag(scale)`, scale `(images, 1, *shape)`."""

    scale: Tensor

    def down(self, r: Tensor) -> tuple[Tensor, ...]:
        return (r * self.scale,)

    def up(self, hs: Sequence[Tensor | None]) -> Tensor:
        return single(hs) * self.scale

    def pattern(self) -> Diagonal:
        return Diagonal(nonzero(self.scale))

    def loss(self) -> Lossy:
        return Lossy(Diagonal(self.scale.abs()))

    def squared(self) -> Diagonal:
        return Diagonal(self.scale**2)


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

    def pattern(self) -> Split:
        return self

    def loss(self) -> Split:
        return self

    def squared(self) -> Split:
        return self


@dataclass(frozen=True, eq=False)
class WinnerTakesAll:
    """A max pool: all relevance goes to the input that won (the first, where several are equal)."""

    op: MaxPool2d
    winners: Tensor  # (images, C, *space), flat spatial index into the input
    inside: Shape

    @classmethod
    def of(cls, op: MaxPool2d, x: Tensor) -> WinnerTakesAll:
        return cls(op, op.with_indices(x)[1], tuple(x.shape[1:]))

    def _index(self, vectors: int) -> Tensor:
        return self.winners.unsqueeze(1).expand(-1, vectors, *self.winners.shape[1:]).flatten(3)

    def down(self, r: Tensor) -> tuple[Tensor, ...]:
        channels, *space = self.inside
        blank = r.new_zeros((*r.shape[:2], channels, math.prod(space)))
        return (blank.scatter_add_(-1, self._index(r.shape[1]), r.flatten(3)).unflatten(-1, space),)

    def up(self, hs: Sequence[Tensor | None]) -> Tensor:
        h = single(hs)
        taken = h.flatten(3).gather(-1, self._index(h.shape[1]))
        return taken.unflatten(-1, self.winners.shape[2:])

    def pattern(self) -> WinnerTakesAll:
        return self

    def loss(self) -> Lossy:
        return Lossy(self)

    def squared(self) -> WinnerTakesAll:
        return self  # every output has one winner: the entries are 0 and 1


@dataclass(frozen=True, eq=False)
class ScaledMap:
    """`M = sum_g diag(x_g) (sum_k part_gk(W)^T diag(share_gk))`: what any rule does at a linear operation.

    groups: `(x, [(share, part), ...])` with x one tensor `(images, 1, *shape)` for each input of the
    operation, or None for ones; shares `(images, 1, *shape of the output)`, or anything that broadcasts.
    The terms of a group go through one stacked transposed operation. The pattern is that of `x` and `part(W)`
    (parts look at signs alone); `chosen` says that a share may be zero though its output has contributions.
    """

    op: LinearOp
    shapes: Sequence[Shape]  # of the inputs, without the batch axis
    groups: Sequence[Group]
    chosen: bool = False

    def down(self, r: Tensor) -> tuple[Tensor, ...]:
        if isinstance(self.op, Add) and any(xs for xs, _ in self.groups):
            return tuple(r * weight for weight in self._diagonals(self.op))
        return reduce(
            lambda total, out: tuple(a.add_(b) for a, b in zip(total, out, strict=True)),
            (self._scaled(out, xs) for out, (xs, _) in zip(self._transposed(r), self.groups, strict=True)),
        )

    def _diagonals(self, op: Add) -> list[Tensor]:
        """Of a sum, `W = [I I ...]`, the whole map to each input: r is gone through once for each."""
        totals = [(xs or [None] * len(self.shapes), op.diagonal(terms)) for xs, terms in self.groups]
        parts = [[total if x is None else total * x for x in xs] for xs, total in totals]
        return [reduce(torch.add, each) for each in zip(*parts, strict=True)]

    def _transposed(self, r: Tensor) -> Iterator[tuple[Tensor, ...]]:
        """For each group `sum_k part_k(W)^T diag(share_k) r`; by one convolution where they share shares."""
        groups, one = [terms for _, terms in self.groups], isinstance(self.op, Conv2d) and self.op.groups == 1
        shares = [[id(share) for share, _ in terms] for terms in groups]
        if len(groups) == 1 or not one or any(ids != shares[0] for ids in shares):
            yield from (self.op.transpose(r, terms, self.shapes) for terms in groups)
            return
        channels, *space = self.shapes[0]
        terms = [(pairs[0][0], _joined([part for _, part in pairs])) for pairs in zip(*groups, strict=True)]
        (out,) = self.op.transpose(r, terms, [(channels * len(groups), *space)])
        yield from ((part,) for part in out.split(channels, 2))

    def _scaled(self, out: tuple[Tensor, ...], xs: Sequence[Tensor] | None) -> tuple[Tensor, ...]:
        if xs is None:
            shared = len(out) > 1  # a sum hands the same tensor to all of its inputs
            return tuple(o.clone() for o in out) if shared and len(self.groups) > 1 else out
        (only,), (x,) = out, xs  # of sums, which alone have several inputs, `_diagonals` are the maps
        return (only.mul_(x),)

    def up(self, hs: Sequence[Tensor | None]) -> Tensor:
        like = next(h for h in hs if h is not None)
        hs = [
            like.new_zeros(()).expand(*like.shape[:2], *shape) if h is None else h
            for h, shape in zip(hs, self.shapes, strict=True)
        ]
        return reduce(torch.add, self._raised(hs, len(like)))

    def _raised(self, hs: Sequence[Tensor], images: int) -> Iterator[Tensor]:
        """What each term of each group adds to the covector above."""
        for xs, terms in self.groups:
            scaled = [merge(h if xs is None else h * x) for h, x in zip(hs, xs or hs, strict=True)]
            for share, part in terms:
                yield split(self.op.linear(scaled, part), images) * share

    def pattern(self) -> ScaledMap:
        groups = [
            (
                None if xs is None else [nonzero(x) for x in xs],
                [
                    (nonzero(s) if self.chosen else torch.ones_like(s, dtype=COUNTS), occupied(part))
                    for s, part in terms
                ],
            )
            for xs, terms in self.groups
        ]
        return replace(self, groups=groups)

    def loss(self) -> ScaledLoss:
        return ScaledLoss(self.op, self.shapes, self.groups, self.chosen)

    def squared(self) -> ScaledMap:
        """`(sum_t x_t part_t(w) share_t)^2`, multiplied out; products that vanish everywhere are left out."""
        terms = [(xs, share, part) for xs, pairs in self.groups for share, part in pairs]
        groups = [_product(term, term, 1) for term in terms]
        groups += [_product(*pair, 2) for pair in combinations(terms, 2) if not _disjoint(*pair)]
        like = terms[0][1]
        op = SquaredMeans.of(self.op, self.shapes[0], like) if isinstance(self.op, AvgPool2d) else self.op
        return replace(self, op=op, groups=groups)


def _joined(parts: Sequence[Part]) -> Part:
    """Several parts of a convolution's weights, side by side at its inputs."""
    return lambda weight: torch.cat([part(weight) for part in parts], 1)


Term = tuple[Sequence[Tensor] | None, Tensor, Part]


def _product(first: Term, second: Term, times: int) -> Group:
    (xs, share, part), (ys, other, another) = first, second
    factors = [x * y for x, y in zip(xs, ys, strict=True)] if xs and ys else xs or ys
    return factors, [(times * share * other, lambda weight: part(weight) * another(weight))]


def _disjoint(first: Term, second: Term) -> bool:
    """Whether no entry has both terms: no weight, no output, or no input does."""
    (xs, share, part), (ys, other, another) = first, second
    if {part, another} == {positive, negative} or not bool((share * other).any()):
        return True
    if not xs or not ys:
        return False
    return not any(bool((x * y).any()) for x, y in zip(xs, ys, strict=True))


@dataclass(frozen=True, eq=False)
class Blockwise:
    """One map applied to each of `count` blocks that are stacked along the channels.

    A method whose state is several relevances at once keeps them as `(images, vectors, count * C, ...)`;
    what does not mix them (pools, reshapes, concatenations) is applied to each.
    """

    inner: LocalMap
    count: int

    def down(self, r: Tensor) -> tuple[Tensor, ...]:
        return tuple(self._stack(part, r.shape[1]) for part in self.inner.down(self._flat(r)))

    def up(self, hs: Sequence[Tensor | None]) -> Tensor:
        vectors = next(h.shape[1] for h in hs if h is not None)
        return self._stack(self.inner.up([None if h is None else self._flat(h) for h in hs]), vectors)

    def pattern(self) -> Blockwise:
        return Blockwise(self.inner.pattern(), self.count)

    def loss(self) -> Blockwise:
        return Blockwise(self.inner.loss(), self.count)

    def squared(self) -> Blockwise:
        return Blockwise(self.inner.squared(), self.count)

    def _flat(self, r: Tensor) -> Tensor:
        return r.unflatten(2, (self.count, -1)).flatten(1, 2)

    def _stack(self, r: Tensor, vectors: int) -> Tensor:
        return r.unflatten(1, (vectors, self.count)).flatten(2, 3)


@dataclass(frozen=True)
class Copies:
    """`M = (w_1 I, w_2 I, ...)^T`: the relevance enters each block of a stacked state with its weight."""

    weights: tuple[float, ...]

    def down(self, r: Tensor) -> tuple[Tensor, ...]:
        return (torch.cat([w * r for w in self.weights], 2),)

    def up(self, hs: Sequence[Tensor | None]) -> Tensor:
        blocks = single(hs).chunk(len(self.weights), 2)
        return reduce(torch.add, (w * block for w, block in zip(self.weights, blocks, strict=True)))

    def pattern(self) -> Copies:
        return Copies(tuple(float(w != 0) for w in self.weights))

    def loss(self) -> Lossy:
        return Lossy(Copies(tuple(abs(w) for w in self.weights)))

    def squared(self) -> Copies:
        return Copies(tuple(w * w for w in self.weights))


@dataclass(frozen=True)
class Transposed:
    """The transpose of a map of one input and one output."""

    inner: LocalMap

    def down(self, r: Tensor) -> tuple[Tensor, ...]:
        return (self.inner.up([r]),)

    def up(self, hs: Sequence[Tensor | None]) -> Tensor:
        return self.inner.down(single(hs))[0]

    def pattern(self) -> Transposed:
        return Transposed(self.inner.pattern())

    def loss(self) -> Transposed:
        return Transposed(self.inner.loss())

    def squared(self) -> Transposed:
        return Transposed(self.inner.squared())


@dataclass(frozen=True, eq=False)
class Chained:
    """Maps of one input and one output, one after the other."""

    maps: tuple[LocalMap, ...]

    def down(self, r: Tensor) -> tuple[Tensor, ...]:
        for part in self.maps:
            (r,) = part.down(r)
        return (r,)

    def up(self, hs: Sequence[Tensor | None]) -> Tensor:
        h = single(hs)
        for part in reversed(self.maps):
            h = part.up([h])
        return h

    def pattern(self) -> Chained:
        return Chained(tuple(part.pattern() for part in self.maps))

    def loss(self) -> Chained:
        return Chained(tuple(part.loss() for part in self.maps))

    def squared(self) -> LocalMap:
        raise NotImplementedError("the squares of a product are no product of squares")


@dataclass(frozen=True, eq=False)
class Selected:
    """`diag(mask) M`, one mask for each input."""

    inner: LocalMap
    masks: Sequence[Tensor]

    def down(self, r: Tensor) -> tuple[Tensor, ...]:
        return tuple(part * mask for part, mask in zip(self.inner.down(r), self.masks, strict=True))

    def up(self, hs: Sequence[Tensor | None]) -> Tensor:
        return self.inner.up([None if h is None else h * m for h, m in zip(hs, self.masks, strict=True)])

    def pattern(self) -> Selected:
        return Selected(self.inner.pattern(), [nonzero(mask) for mask in self.masks])

    def loss(self) -> Selected:
        return Selected(self.inner.loss(), self.masks)

    def squared(self) -> Selected:
        return Selected(self.inner.squared(), [mask**2 for mask in self.masks])
