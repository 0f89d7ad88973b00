"""Convolutions and pools over three axes, of volumes and of clips `(channels, depth, height, width)`.

To rules they are the convolutions and pools of pictures with one axis more. What asks for places on a map of
two axes (the origin theory, pictures of maps) says that there is none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from conetheory.networks.calls import Call, RefusedError
from conetheory.networks.ops import AvgPool2d, Conv2d, MaxPool2d, Op, Part, Shape, float32, whole

CONVOLUTION = {"weight": None, "bias": None, "stride": 1, "padding": 0, "dilation": 1, "groups": 1}
WINDOWS = {"kernel_size": None, "stride": None, "padding": 0}
MAXIMA = {**WINDOWS, "dilation": 1, "ceil_mode": False}
MEANS = {**WINDOWS, "ceil_mode": False, "count_include_pad": True, "divisor_override": None}
SIZE = {"output_size": None}


@dataclass(frozen=True, eq=False)
class Conv3d(Conv2d):
    """`y = W x + b`, W of shape (outputs, inputs, depth, height, width), as in `torch.nn.Conv3d`."""

    stride: tuple[int, ...] = (1, 1, 1)
    padding: tuple[int, ...] = (0, 0, 0)
    dilation: tuple[int, ...] = (1, 1, 1)

    @float32()
    def linear(self, xs: Sequence[Tensor], part: Part = whole) -> Tensor:
        rest = (self.stride, self.padding, self.dilation, self.groups)
        return F.conv3d(xs[0], part(self.weight), None, *rest)

    @float32()
    def _transpose(self, y: Tensor, weight: Tensor, shape: Shape) -> Tensor:
        sides = zip(
            *(shape[1:], y.shape[2:], weight.shape[2:]),
            *(self.stride, self.padding, self.dilation),
            strict=True,
        )
        extra = [n + 2 * p - d * (k - 1) - 1 - (m - 1) * s for n, m, k, s, p, d in sides]
        rest = (self.stride, self.padding, extra, self.groups, self.dilation)
        return F.conv_transpose3d(y, weight, None, *rest)


@dataclass(frozen=True, eq=False)
class MaxPool3d(MaxPool2d):
    """Maximum over windows, as in `torch.nn.MaxPool3d`; adaptive where `kernel` is None."""

    def with_indices(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The maxima and the flat spatial index of each winner, `(N, C, D', H', W')`."""
        if self.kernel is None:
            return F.adaptive_max_pool3d(x, self.output_size, return_indices=True)
        windows = (self.kernel, self.stride, self.padding, self.dilation, self.ceil_mode)
        return F.max_pool3d(x, *windows, return_indices=True)


def of_volume(call: Call) -> Op | None:
    """The operation of a convolution or pool over three axes; None of any other. Raises `RefusedError`."""
    match call.kind.lower().rstrip("_").replace("_", ""):
        case "conv3d":
            return _conv(call)
        case "maxpool3d":
            return MaxPool3d(*_arguments(call, MAXIMA))
        case "avgpool3d":
            return _mean(F.avg_pool3d, _arguments(call, MEANS))
        case "adaptivemaxpool3d":
            return MaxPool3d(None, output_size=_arguments(call, SIZE)[0])
        case "adaptiveavgpool3d":
            return _mean(F.adaptive_avg_pool3d, _arguments(call, SIZE))
    return None


def _conv(call: Call) -> Conv3d:
    mode = getattr(call.target, "padding_mode", "zeros")
    if mode != "zeros":
        raise RefusedError(f"{call.kind!r} with padding_mode {mode!r}")
    weight, bias, stride, padding, dilation, groups = _arguments(call, CONVOLUTION)
    dilation = _triple(dilation)
    if padding == "same":
        reach = [d * (k - 1) for d, k in zip(dilation, weight.shape[2:], strict=True)]
        if any(r % 2 for r in reach):
            raise RefusedError("'Conv3d' with padding 'same' that differs between the two sides")
        padding = tuple(r // 2 for r in reach)
    padding = _triple(0 if padding == "valid" else padding)
    return Conv3d(weight, bias, _triple(stride), padding, dilation, groups)


def _mean(function: Callable[..., Tensor], arguments: Sequence[Any]) -> AvgPool2d:
    return AvgPool2d(function=partial(_applied, function=function, arguments=tuple(arguments)))


def _applied(x: Tensor, function: Callable[..., Tensor], arguments: Sequence[Any]) -> Tensor:
    return function(x, *arguments)


def _arguments(call: Call, names: dict[str, Any]) -> list[Any]:
    if isinstance(call.target, nn.Module):
        return [getattr(call.target, name) for name in names]
    return [call.get(i, name, value) for i, (name, value) in enumerate(names.items(), 1)]


def _triple(value: Any) -> tuple[int, ...]:
    return (value,) * 3 if isinstance(value, int) else tuple(value) * (3 if len(value) == 1 else 1)
