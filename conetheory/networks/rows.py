"""Convolutions and pools over one axis: those of maps of height one."""

from __future__ import annotations

from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from conetheory.networks.calls import Call, RefusedError
from conetheory.networks.ops import AvgPool2d, Conv2d, Derived, MaxPool2d, Op

MODULES = ("Conv1d", "MaxPool1d", "AvgPool1d", "AdaptiveAvgPool1d", "AdaptiveMaxPool1d")
CALLS = ("conv1d", "max_pool1d", "avg_pool1d", "adaptive_avg_pool1d", "adaptive_max_pool1d")
NORMS = ("BatchNorm1d", "SyncBatchNorm", "batch_norm", "InstanceNorm1d", "Dropout1d")
ROWS = frozenset([*MODULES, *CALLS, *NORMS])


def of_row(call: Call) -> Op | None:
    """The operation of a convolution or pool over one axis; None of any other call. Raises `RefusedError`."""
    if (kind := call.kind) not in {*MODULES, *CALLS}:
        return None
    m = call.target if isinstance(call.target, nn.Module) else None
    match kind.lower().replace("_", ""):
        case "conv1d" if isinstance(m, nn.Conv1d):
            if m.padding_mode != "zeros":
                raise RefusedError(f"{kind!r} with padding_mode {m.padding_mode!r}")
            return _conv(m.weight, m.bias, m.stride, m.padding, m.dilation, m.groups)
        case "conv1d":
            defaults = {"weight": None, "bias": None, "stride": 1, "padding": 0, "dilation": 1, "groups": 1}
            return _conv(*(call.get(i, name, value) for i, (name, value) in enumerate(defaults.items(), 1)))
        case "maxpool1d":
            names = {"kernel_size": None, "stride": None, "padding": 0, "dilation": 1, "ceil_mode": False}
            size, stride, padding, dilation, ceil = _arguments(call, names)
            wide = (_wide(size), _wide(stride or size), _wide(padding, 0), _wide(dilation))
            return MaxPool2d(*wide, ceil)
        case "avgpool1d":
            names = {"kernel_size": None, "stride": None, "padding": 0, "ceil_mode": False}
            size, stride, padding, ceil, counted = _arguments(call, names | {"count_include_pad": True})
            wide = (_wide(size), _wide(stride or size), _wide(padding, 0))
            return AvgPool2d(function=partial(_mean, arguments=(*wide, ceil, counted)))
        case "adaptiveavgpool1d":
            (size,) = _arguments(call, {"output_size": None})
            return AvgPool2d(function=partial(F.adaptive_avg_pool2d, output_size=_wide(size)))
        case _:
            (size,) = _arguments(call, {"output_size": None})
            return MaxPool2d(None, output_size=_wide(size))


def _mean(x: Tensor, arguments: tuple[Any, ...]) -> Tensor:
    return F.avg_pool2d(x, *arguments)


def _arguments(call: Call, names: dict[str, Any]) -> list[Any]:
    if isinstance(call.target, nn.Module):
        return [getattr(call.target, name) for name in names]
    return [call.get(i, name, value) for i, (name, value) in enumerate(names.items(), 1)]


def _conv(
    weight: Tensor, bias: Tensor | None, stride: Any, padding: Any, dilation: Any, groups: int
) -> Conv2d:
    if padding == "same":
        reach = _wide(dilation)[1] * (weight.shape[2] - 1)
        if reach % 2:
            raise RefusedError("'Conv1d' with padding 'same' that differs between the two sides")
        padding = reach // 2
    sides = (_wide(stride), _wide(0 if padding == "valid" else padding, 0), _wide(dilation))
    made = _taps(weight, bias)
    return Conv2d(
        **made,
        stride=sides[0],
        padding=sides[1],
        dilation=sides[2],
        groups=groups,
        origin=Derived(_taps, (weight, bias), made),
    )


def _taps(weight: Tensor, bias: Tensor | None) -> dict[str, Any]:
    return {"weight": weight.unsqueeze(2), "bias": bias}


def _wide(value: Any, height: int = 1) -> tuple[int, int]:
    """A number along the one axis, beside that of the height."""
    value = value[0] if isinstance(value, tuple | list) else value
    return height, value
