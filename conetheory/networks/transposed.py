"""Transposed convolutions, as `torch.nn.ConvTranspose2d` computes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import torch
from torch import Tensor
from torch.nn import functional as F

from conetheory.networks.ops import LinearOp, Part, Shape, Terms, float32, whole


@dataclass(frozen=True, eq=False)
class ConvTranspose2d(LinearOp):
    """A convolution's transposed linear map, and a bias; `weight` is (inputs, outputs, height, width)."""

    weight: Tensor  # pyright: ignore[reportGeneralTypeIssues] (always given: the base's default is no case)
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    output_padding: tuple[int, int] = (0, 0)
    groups: int = 1
    dilation: tuple[int, int] = (1, 1)

    @float32()
    def linear(self, xs: Sequence[Tensor], part: Part = whole) -> Tensor:
        rest = (self.stride, self.padding, self.output_padding, self.groups, self.dilation)
        return F.conv_transpose2d(xs[0], part(self.weight), None, *rest)

    @float32()
    def transpose(self, r: Tensor, terms: Terms, shapes: Sequence[Shape]) -> tuple[Tensor, ...]:
        rest = (self.stride, self.padding, self.dilation, self.groups)
        found = (F.conv2d((r * share).flatten(0, 1), part(self.weight), None, *rest) for share, part in terms)
        _, height, width = shapes[0]  # padding of the output may make room for one more
        return (reduce(torch.add, found)[..., :height, :width].unflatten(0, r.shape[:2]),)
