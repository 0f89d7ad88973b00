"""What every local map does, and what is needed of it beside that where certificates are made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor


class LocalMap(Protocol):
    """`M` of one operation, for one batch of images.

    `pattern` and `loss` are what certificates need of it, `squared` what second moments do; a `Bare` map has
    none of them.
    """

    def down(self, r: Tensor) -> tuple[Tensor, ...]:
        """`M r`: relevance at the output to relevance at each input."""
        ...

    def up(self, hs: Sequence[Tensor | None]) -> Tensor:
        """`M^T h`: covectors at the inputs (None for zero, but never for all) to that at the output."""
        ...

    def pattern(self) -> LocalMap:
        """A map with positive entries where those of M are not structurally zero, zeros elsewhere."""
        ...

    def squared(self) -> LocalMap:
        """The map whose entries are the squares of those of M: what it does to independent variances."""
        ...

    def loss(self) -> LocalMap:
        """Carries what underflow has cost at most, in units of 2^-1022, and adds what M's own costs."""
        ...


class Bare:
    """The base of maps that relevance can be sent through, and of which nothing else is known."""

    def pattern(self) -> LocalMap:
        raise NotImplementedError(f"{type(self).__name__} has no pattern")

    def squared(self) -> LocalMap:
        raise NotImplementedError(f"{type(self).__name__} has no squares")

    def loss(self) -> LocalMap:
        raise NotImplementedError(f"{type(self).__name__} has no loss")


def single(hs: Sequence[Tensor | None]) -> Tensor:
    """The covector of a map of one input, which is not asked for that of zero."""
    (h,) = hs
    if h is None:
        raise TypeError("a map of one input was asked for its adjoint at no covector")
    return h
