"""B-cos units (Böhle et al. 2022): a linear unit times a power of its cosine with what it sees.

    y = z (|z| / |x|)^(B - 1),    z = w^ x,  w^ = w / |w|,  |x| of the window (plus 1e-6 in its square)

so that `|z| / |x| = |cos(x, w)|`: a unit speaks as far as its input is aligned with its weights. For B = 1 it
is linear; B = 2 is usual. `BCosConv2d` and `BCosLinear` are such layers. In a graph each is two operations:
the convolution or dense layer of unit-norm weights, and `Aligned`, which every rule takes as its own:

    LRP and its kin        relevance to z as it is: the cosine is a constant
    b-cos                  g r to z, g = |cos|^(B-1) a constant: the weights of the paper's dynamic linear map
    gradient and its kin   the Jacobian, through |z| and |x| too
    DeepLIFT               refused
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from conetheory.networks.calls import Call, Value
from conetheory.networks.ops import Conv2d, Linear, LinearOp, Op

SMALL = 1e-6  # in the square of a window's norm, as in the authors' code
Pair = tuple[int, int]


@dataclass(frozen=True, eq=False)
class Aligned(Op):
    """`z (|z| / |x|)^(b - 1)` of z and x; ones: the weights that add up a window of x in each group.

    stride, padding, dilation: of the windows; not used of vectors, `ones` of shape (1, features).
    """

    b: float
    ones: Tensor
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)

    def forward(self, *xs: Tensor) -> Tensor:
        z, x = xs
        return z * self.gate(z, x)

    def gate(self, z: Tensor, x: Tensor) -> Tensor:
        """`|cos|^(b - 1)` of each unit."""
        return (z.abs() * self.spread(self.squares(x), z).rsqrt()).pow(self.b - 1)

    @property
    def windows(self) -> LinearOp:
        """The sum over each window, a channel for each group."""
        if self.ones.ndim == 2:
            return Linear(self.ones)
        return Conv2d(self.ones, None, self.stride, self.padding, self.dilation, len(self.ones))

    def squares(self, x: Tensor) -> Tensor:
        """`|x|^2` of each window and group."""
        return self.windows.linear([x.square()]) + SMALL

    @staticmethod
    def spread(t: Tensor, z: Tensor, axis: int = 1) -> Tensor:
        """What a group has, at each of its units."""
        return t.repeat_interleave(z.shape[axis] // t.shape[axis], axis)


@fx.wrap
def aligned(z: Tensor, x: Tensor, b: float, *windows: Any) -> Tensor:
    """`Aligned` of z and x, one call of the network's in this module; windows: those of `_made`."""
    return _made(x.shape[1], x, b, *windows).forward(z, x)


def of_call(call: Call) -> tuple[Op, Sequence[Value]]:
    """The operation of a call of `aligned`, and its inputs."""
    z, x, *rest = call.args
    return _made(x.shape[0], x.like, *rest), (z, x)


def _made(
    channels: int,
    like: Tensor,
    b: float,
    kernel: Pair | None = None,
    stride: Pair = (1, 1),
    padding: Pair = (0, 0),
    dilation: Pair = (1, 1),
    groups: int = 1,
) -> Aligned:
    shape = (1, channels) if kernel is None else (groups, channels // groups, *kernel)
    return Aligned(b, torch.ones(shape, dtype=like.dtype, device=like.device), stride, padding, dilation)


class BCosConv2d(nn.Module):
    """A convolution of B-cos units, without bias; padding with zeros.

    Parameters
    ----------
    inputs, outputs
        channels.
    kernel, stride, padding, dilation, groups
        as those of `torch.nn.Conv2d`.
    b
        B >= 1.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int | Pair,
        stride: int | Pair = 1,
        padding: int | Pair = 0,
        dilation: int | Pair = 1,
        groups: int = 1,
        b: float = 2.0,
    ) -> None:
        super().__init__()
        layer = nn.Conv2d(inputs, outputs, kernel, stride, padding, dilation, groups, bias=False)
        self.weight, self.b = layer.weight, b
        self.kernel: Any = layer.kernel_size
        self.geometry: tuple[Any, ...] = (layer.stride, layer.padding, layer.dilation, groups)

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight / self.weight.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
        z = F.conv2d(x, weight, None, *self.geometry)
        return aligned(z, x, self.b, self.kernel, *self.geometry)


class BCosLinear(nn.Module):
    """A dense layer of B-cos units, without bias, on vectors `(N, inputs)`; b as in `BCosConv2d`."""

    def __init__(self, inputs: int, outputs: int, b: float = 2.0) -> None:
        super().__init__()
        self.weight, self.b = nn.Linear(inputs, outputs, bias=False).weight, b

    def forward(self, x: Tensor) -> Tensor:
        return aligned(F.linear(x, self.weight / self.weight.norm(dim=1, keepdim=True)), x, self.b)
