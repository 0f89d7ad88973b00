"""A constant that is added to a tensor, one number a unit: positions of tokens, a class token, a mask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from conetheory.networks.ops import Part, Shape, Terms, Unweighted, whole


@dataclass(frozen=True, eq=False)
class Offset(Unweighted):
    """`y = x + b`, b of the shape of one x: the identity with a bias, which rules treat as any other bias."""

    def linear(self, xs: Sequence[Tensor], part: Part = whole) -> Tensor:
        return xs[0] * self._scale(part)

    def transpose(self, r: Tensor, terms: Terms, shapes: Sequence[Shape]) -> tuple[Tensor, ...]:
        return (r * self.diagonal(terms),)
