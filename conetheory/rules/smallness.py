"""Zeros and underflow of relevance maps: which entries are zero by structure, and what small numbers cost.

A number that is zero in floating point may stand for one that is not. A map's pattern has positive entries
where M's are not zero: a product of an activation and a weight of which neither is zero, however small. Its
loss bounds the absolute error of underflow: every operation is off by at most 2^-1022, the least normal
number (whether results below it are rounded or flushed to zero), beside its relative error. In units of
that,

    lost -> |x| (|W|^T (|share| lost + 1) + terms) + 1                                               (down)
    lost -> |share| (|W| (|x| lost + 1) + terms) + 1                                                 (up)

An infinite loss says that a share itself is not known: its pool underflowed, cancelled or overflowed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce

import torch
from torch import Tensor

from conetheory.networks.ops import LinearOp, Part, Shape, Terms
from conetheory.rules.localmap import Bare, LocalMap

TERMS = 2.0**32  # more than there are terms in a sum
Group = tuple[Sequence[Tensor] | None, Terms]
COUNTS = torch.float32  # of patterns, whose numbers are zero, one, and counts, which lose no digit below 2^24
LARGEST = 1e250  # shares from its inverse up to it come from pools in which no underflow counts


def merge(t: Tensor) -> Tensor:
    """`(images, vectors, ...)` to `(images * vectors, ...)`, as the operations want it."""
    return t.flatten(0, 1)


def split(t: Tensor, images: int) -> Tensor:
    """The inverse of `merge`."""
    return t.unflatten(0, (images, -1))


def nonzero(t: Tensor) -> Tensor:
    """One where t is not zero, NaN and infinities too; zero elsewhere; in `COUNTS`."""
    return (t != 0).to(COUNTS)


def occupied(part: Part) -> Part:
    """The pattern of `part(W)`: parts look at signs alone, and their own arithmetic may underflow (W^2)."""
    return lambda weight: nonzero(part(weight.sign()))


@dataclass(frozen=True, eq=False)
class Binary(Bare):
    """A pattern as a map of zeros and ones."""

    inner: LocalMap

    def down(self, r: Tensor) -> tuple[Tensor, ...]:
        return tuple(nonzero(part) for part in self.inner.down(r))

    def up(self, hs: Sequence[Tensor | None]) -> Tensor:
        return nonzero(self.inner.up(hs))


@dataclass(frozen=True, eq=False)
class Lossy(Bare):
    """A nonnegative map, and the loss of one operation behind it."""

    inner: LocalMap

    def down(self, r: Tensor) -> tuple[Tensor, ...]:
        return tuple(_known(part + 1) for part in self.inner.down(r))

    def up(self, hs: Sequence[Tensor | None]) -> Tensor:
        return _known(self.inner.up(hs) + 1)


@dataclass(frozen=True, eq=False)
class ScaledLoss(Bare):
    """The loss of a `ScaledMap`, whose fields it has."""

    op: LinearOp
    shapes: Sequence[Shape]
    groups: Sequence[Group]
    chosen: bool = False

    def down(self, r: Tensor) -> tuple[Tensor, ...]:
        ones = torch.ones_like(r)
        total = tuple(r.new_ones((*r.shape[:2], *shape)) for shape in self.shapes)
        for xs, terms in self._absolute():
            carried = self.op.transpose(r, terms, self.shapes)
            own = self.op.transpose(ones, [(torch.ones_like(s), part) for s, part in terms], self.shapes)
            out = [a + b + TERMS for a, b in zip(carried, own, strict=True)]
            scaled = out if xs is None else [o * x for o, x in zip(out, xs, strict=True)]
            total = tuple(t + s for t, s in zip(total, scaled, strict=True))
        return tuple(_known(t) for t in total)

    def up(self, hs: Sequence[Tensor | None]) -> Tensor:
        like = next(h for h in hs if h is not None)
        hs = [
            like.new_zeros((*like.shape[:2], *s)) if h is None else h
            for h, s in zip(hs, self.shapes, strict=True)
        ]
        return _known(reduce(torch.add, self._raised(hs, len(like))))

    def _raised(self, hs: Sequence[Tensor], images: int) -> Iterator[Tensor]:
        for xs, terms in self._absolute():
            scaled = [merge((h if xs is None else h * x) + 1) for h, x in zip(hs, xs or hs, strict=True)]
            for share, part in terms:
                yield (split(self.op.linear(scaled, part), images) + TERMS) * share + 1

    def _absolute(self) -> Iterator[Group]:
        """The groups with absolute values, and infinite shares where they are not known."""
        for xs, terms in self.groups:
            sizes = None if xs is None else [x.abs() for x in xs]
            yield sizes, [(self._share(xs, share, part), _size(part)) for share, part in terms]

    def _share(self, xs: Sequence[Tensor] | None, share: Tensor, part: Part) -> Tensor:
        if xs is None:
            present = [share.new_ones((1, 1, *shape), dtype=COUNTS) for shape in self.shapes]
        else:
            present = [nonzero(x) for x in xs]
        fed = split(self.op.linear([merge(x) for x in present], occupied(part)), len(present[0])) > 0
        size = share.abs()
        zero = (size == 0) if self.chosen else torch.zeros_like(size, dtype=torch.bool)
        known = ((size >= 1 / LARGEST) & (size <= LARGEST)) | zero
        return torch.where(fed & ~known, torch.inf, torch.where(known, size, 0.0))


def _size(part: Part) -> Part:
    return lambda weight: part(weight).abs()


def _known(t: Tensor) -> Tensor:
    """Infinite where nothing is known."""
    return t.nan_to_num(nan=torch.inf, posinf=torch.inf)
