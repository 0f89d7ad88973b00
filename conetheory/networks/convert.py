"""One traced call to one operation of the graph."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from conetheory.networks.bcos import of_call
from conetheory.networks.calls import Call, RefusedError, Value
from conetheory.networks.multiply import OVER, TIMES, Gate, multiplication
from conetheory.networks.norms import norm
from conetheory.networks.ops import (
    Add,
    Affine,
    AvgPool2d,
    Concat,
    Conv2d,
    Derived,
    Linear,
    MaxPool2d,
    Op,
    PassThrough,
    Pointwise,
    PReLU,
    Shape,
    Upsample,
)
from conetheory.networks.rows import of_row
from conetheory.networks.transposed import ConvTranspose2d
from conetheory.networks.volumes import of_volume

ACTIVATIONS = (
    *(nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.CELU, nn.SELU, nn.GELU, nn.SiLU, nn.Mish, nn.Softplus),
    *(nn.Tanh, nn.Sigmoid, nn.Hardswish, nn.Hardsigmoid, nn.Hardtanh, nn.Softsign),
)
IDENTITIES = (
    nn.Dropout,
    nn.Dropout1d,
    nn.Dropout2d,
    nn.Dropout3d,
    nn.AlphaDropout,
    nn.FeatureAlphaDropout,
    nn.Identity,
)
ACTIVATION_CALLS = frozenset(
    [
        *("relu", "relu6", "leaky_relu", "elu", "celu", "selu", "gelu", "silu", "mish", "softplus"),
        *("tanh", "sigmoid", "hardswish", "hardsigmoid", "hardtanh", "softsign"),
    ]
)
MEANS = frozenset(["nearest", "nearest-exact", "bilinear", "trilinear", "area"])  # modes of interpolation
IDENTITY_CALLS = frozenset(["contiguous", "clone", "detach", "alias", "lift_fresh_copy"])
DROPOUT_CALLS = frozenset(
    [
        "dropout",
        "dropout2d",
        "dropout3d",
        "alpha_dropout",
        "feature_dropout",
        "feature_alpha_dropout",
        "stochastic_depth",
    ]
)
POINTWISE_MODULES = (*ACTIVATIONS, *IDENTITIES)  # what treats every number alike
POINTWISE_CALLS = ACTIVATION_CALLS | IDENTITY_CALLS | DROPOUT_CALLS


def convert(call: Call, gate: Gate = "smaller") -> tuple[Sequence[Op], Sequence[Value]]:
    """The operations that compute this call, one behind the other, and the first one's inputs in order.

    Their parameters are the module's own tensors, or what the call's parameters were when it was traced.
    Raises `RefusedError`.
    """
    if not isinstance(call.target, nn.Module):
        kind = call.kind.rstrip("_")
        if kind in TIMES | OVER:
            op, inputs = multiplication(call, gate)
            return (op,), inputs
        if kind == "aligned":
            op, inputs = of_call(call)
            return (op,), inputs
        if kind in ("add", "iadd", "cat", "concat", "concatenate"):
            op, inputs = _add(call) if kind in ("add", "iadd") else _concat(call)
            return (op,), inputs
        op = _from_function(call)
    else:
        op = _from_module(call.target, call)
    ops = norm(call) if op is None else (op,)
    if not ops:
        raise RefusedError(f"the operation {call.kind!r}")
    return ops, (call.source,)


def _from_module(module: nn.Module, call: Call) -> Op | None:
    match module:
        case nn.Conv2d():
            if module.padding_mode != "zeros":
                raise RefusedError(f"{call.kind!r} with padding_mode {module.padding_mode!r}")
            return _conv2d(
                module.weight, module.bias, module.stride, module.padding, module.dilation, module.groups
            )
        case nn.Linear():
            return _linear(module.weight, module.bias, call)
        case nn.ConvTranspose2d():
            rest = (module.stride, module.padding, module.output_padding, module.groups, module.dilation)
            return _conv_transpose(module.weight, module.bias, *rest)
        case nn.BatchNorm2d() | nn.BatchNorm1d() | nn.BatchNorm3d() | nn.SyncBatchNorm():
            return _affine(module.running_mean, module.running_var, module.weight, module.bias, module.eps)
        case nn.MaxPool2d():
            return MaxPool2d(
                module.kernel_size, module.stride, module.padding, module.dilation, module.ceil_mode
            )
        case nn.AdaptiveMaxPool2d():
            return MaxPool2d(None, output_size=module.output_size)
        case nn.AvgPool2d() | nn.AdaptiveAvgPool2d():
            return AvgPool2d(function=module)
        case nn.Upsample():
            return _upsample(module, module.mode, call)
        case nn.PReLU():
            return PReLU(weight=module.weight)
    if (found := of_row(call) or of_volume(call)) is not None:
        return found
    if isinstance(module, IDENTITIES):
        return PassThrough(identity)
    if isinstance(module, ACTIVATIONS):
        return PassThrough(_out_of_place(module), "activation")
    return None


def _from_function(call: Call) -> Op | None:
    kind = call.kind.rstrip("_")
    if (found := of_row(call) or of_volume(call)) is not None:
        return found
    if kind in ACTIVATION_CALLS:
        return PassThrough(_activation(call, kind), "activation")
    if kind in DROPOUT_CALLS:
        if call.get(1, "p", 0.5) and call.get(3 if kind == "stochastic_depth" else 2, "training", True):
            raise RefusedError(f"{kind!r} that stays active in evaluation (it needs training=self.training)")
        return PassThrough(identity)
    if kind in IDENTITY_CALLS:
        return PassThrough(identity)
    match kind:
        case "conv2d":
            defaults = {"weight": None, "bias": None, "stride": 1, "padding": 0, "dilation": 1, "groups": 1}
            return _conv2d(*(call.get(i, name, value) for i, (name, value) in enumerate(defaults.items(), 1)))
        case "conv_transpose2d":
            defaults = {"weight": None, "bias": None, "stride": 1, "padding": 0, "output_padding": 0}
            defaults |= {"groups": 1, "dilation": 1}
            given = (call.get(i, name, value) for i, (name, value) in enumerate(defaults.items(), 1))
            return _conv_transpose(*given)
        case "prelu":
            return PReLU(weight=call.get(1, "weight"))
        case "linear":
            return _linear(call.get(1, "weight"), call.get(2, "bias"), call)
        case "batch_norm" if not call.get(5, "training", False):
            names = ("running_mean", "running_var", "weight", "bias")
            if isinstance(call.target, torch._ops.OpOverload):
                names = ("weight", "bias", "running_mean", "running_var")
            given = {name: call.get(i, name) for i, name in enumerate(names, 1)}
            return _affine(**given, eps=call.get(7, "eps", 1e-5))
        case "max_pool2d":
            defaults = {"kernel_size": None, "stride": None, "padding": 0, "dilation": 1, "ceil_mode": False}
            return MaxPool2d(
                *(call.get(i, name, value) for i, (name, value) in enumerate(defaults.items(), 1))
            )
        case "adaptive_max_pool2d":
            return MaxPool2d(None, output_size=call.get(1, "output_size"))
        case "avg_pool2d" | "adaptive_avg_pool2d":
            return AvgPool2d(function=_rest_of(call, call.target))
        case "interpolate" | "upsample" if not call.get(6, "antialias", False):
            return _upsample(_rest_of(call, call.target), call.get(3, "mode", "nearest"), call)
        case "mean":
            return _mean(call)
    return None


def _add(call: Call) -> tuple[Op, Sequence[Value]]:
    """A sum of tensors of one shape, or a tensor plus zero, with which Python's `sum` starts."""
    terms = (call.get(0, "input"), call.get(1, "other"))
    if call.kwargs.get("alpha", 1) != 1:
        raise RefusedError(f"{call.kind!r} with alpha")
    tensors = [term for term in terms if isinstance(term, Value)]
    if len(tensors) == 1 and any(isinstance(term, int | float) and term == 0 for term in terms):
        return PassThrough(identity), tensors
    if len(tensors) < 2:
        raise RefusedError(f"{call.kind!r} of a constant")
    if any(term.shape != call.shape for term in tensors):
        raise RefusedError(f"{call.kind!r} of tensors of shapes {terms[0].shape} and {terms[1].shape}")
    return Add(), tensors


def _concat(call: Call) -> tuple[Op, Sequence[Value]]:
    tensors = call.get(0, "tensors")
    if not all(isinstance(x, Value) for x in tensors):
        raise RefusedError(f"{call.kind!r} with a constant")
    if not call.last and call.get(1, "dim", 0) % (len(call.shape) + 1) != 1:
        raise RefusedError(f"{call.kind!r} along another axis than the channels")
    return Concat(), tensors


def _conv2d(
    weight: Tensor, bias: Tensor | None, stride: Any, padding: Any, dilation: Any, groups: int
) -> Conv2d:
    stride, dilation = _pair(stride), _pair(dilation)
    if padding == "same":
        reach = [d * (k - 1) for d, k in zip(dilation, weight.shape[2:], strict=True)]
        if any(r % 2 for r in reach):
            raise RefusedError("'Conv2d' with padding 'same' that differs between the two sides")
        padding = tuple(r // 2 for r in reach)
    padding = (0, 0) if padding == "valid" else _pair(padding)
    return Conv2d(weight, bias, stride, padding, dilation, groups)


def _conv_transpose(
    weight: Tensor,
    bias: Tensor | None,
    stride: Any,
    padding: Any,
    output_padding: Any,
    groups: int,
    dilation: Any,
) -> ConvTranspose2d:
    sides = (_pair(stride), _pair(padding), _pair(output_padding))
    return ConvTranspose2d(weight, bias, *sides, groups, _pair(dilation))


def _linear(weight: Tensor, bias: Tensor | None, call: Call) -> Linear | Conv2d:
    if call.last:
        made = _taps(weight, bias)
        return Pointwise(**made, origin=Derived(_taps, (weight, bias), made))
    if len(call.shape) != 1:
        raise RefusedError(f"{call.kind!r} on tensors of shape {call.source.shape}")
    return Linear(weight, bias)


def _taps(weight: Tensor, bias: Tensor | None) -> dict[str, Any]:
    """A dense layer over the channels of each location, as a convolution of one tap."""
    return {"weight": weight[:, :, None, None], "bias": bias}


def _affine(
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
    eps: float,
) -> Affine:
    if running_mean is None or running_var is None:
        raise RefusedError("a batch norm that keeps no running statistics")
    sources = (running_mean, running_var, weight, bias)
    made = norm_parameters(eps, *sources)
    origin = Derived(partial(norm_parameters, eps), sources, made, centred=True)
    return Affine(made["scale"], made["shift"], origin=origin)


def norm_parameters(
    eps: float, mean: Tensor, variance: Tensor, weight: Tensor | None, bias: Tensor | None
) -> dict[str, Tensor]:
    """`scale` and `shift` of a batch norm, `(x - mean) / sqrt(variance + eps) weight + bias`."""
    scale = (variance + eps).rsqrt()
    scale = scale if weight is None else scale * weight
    return {"scale": scale, "shift": -mean * scale if bias is None else bias - mean * scale}


def _mean(call: Call) -> Op | None:
    dims = call.get(1, "dim")
    dims = dims if isinstance(dims, tuple | list) else (dims,)
    rank = len(call.source.shape) + 1
    locations = tuple(range(2, rank))
    space = rank > 3 and {d % rank for d in dims if isinstance(d, int)} == set(locations)
    if not (space or call.last):
        sides = "height and width" if rank < 5 else "depth, height and width"
        raise RefusedError(f"'mean' over other axes than {sides}")
    return AvgPool2d(function=partial(torch.mean, dim=locations, keepdim=len(call.shape) == rank - 1))


def _upsample(function: Callable[[Tensor], Tensor], mode: str, call: Call) -> Upsample:
    if mode not in MEANS:
        raise RefusedError(f"{call.kind!r} with mode {mode!r}, whose weights are not those of a mean")
    return Upsample(function=function)


def reshape(shape: Shape) -> PassThrough:
    """The operation that gives every image's tensor this shape."""
    return PassThrough(partial(_to_shape, shape=shape), "reshape")


def _to_shape(x: Tensor, shape: Shape) -> Tensor:
    return x.reshape(len(x), *shape)


def identity(x: Tensor) -> Tensor:
    return x


def _out_of_place(module: nn.Module) -> nn.Module:
    if getattr(module, "inplace", False):
        module = copy.copy(module)
        module.inplace = False  # pyright: ignore[reportArgumentType] (a module takes any attribute)
    return module


def _activation(call: Call, kind: str) -> Callable[[Tensor], Tensor]:
    return _rest_of(call, getattr(functional, kind, None) or getattr(torch, kind))


def _rest_of(call: Call, function: Callable[..., Tensor]) -> Callable[[Tensor], Tensor]:
    """`function` with the call's other arguments, without `inplace` (the only flag that activations take)."""
    drop_flags = call.kind.rstrip("_") in ACTIVATION_CALLS
    args = [a for a in call.args[1:] if not (drop_flags and isinstance(a, bool))]
    kwargs = {k: v for k, v in call.kwargs.items() if k not in ("input", "inplace")}
    return partial(_apply, function, args, kwargs)


def _apply(
    function: Callable[..., Tensor], args: Sequence[Any], kwargs: Mapping[str, Any], x: Tensor
) -> Tensor:
    return function(x, *args, **kwargs)


def _pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else tuple(value)
