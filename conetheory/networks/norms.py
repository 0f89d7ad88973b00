"""Layer, group and instance norms: a standardisation, and the factor and offset of each channel behind it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from conetheory.networks.calls import Call, RefusedError
from conetheory.networks.coupling import Standardise
from conetheory.networks.ops import Affine, Op

RMS: tuple[type[nn.Module], ...] = (nn.RMSNorm,) if hasattr(nn, "RMSNorm") else ()  # from torch 2.4 on
INSTANCE = (nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d)


def norm(call: Call) -> Sequence[Op]:
    """The operations of the call in their order; none where it is no such norm. Raises `RefusedError`.

    Norms that keep running statistics are batch norms at inference, and not for here.
    """
    module = call.target
    if isinstance(module, nn.LayerNorm):
        return _layer(module.normalized_shape, module.weight, module.bias, module.eps, call)
    if isinstance(module, RMS):
        held: Any = module  # of a class that older torch lacks
        return _layer(held.normalized_shape, held.weight, None, _rms_eps(held.eps, call), call, False)
    if isinstance(module, nn.GroupNorm):
        return _grouped(module.num_groups, module.weight, module.bias, module.eps)
    if isinstance(module, INSTANCE):
        return _grouped(_channels(call), module.weight, module.bias, module.eps)
    if call.kind == "layer_norm":
        weight, bias, eps = call.get(2, "weight"), call.get(3, "bias"), call.get(4, "eps", 1e-5)
        return _layer(call.get(1, "normalized_shape"), weight, bias, eps, call)
    if call.kind == "rms_norm":
        eps = _rms_eps(call.get(3, "eps"), call)
        return _layer(call.get(1, "normalized_shape"), call.get(2, "weight"), None, eps, call, False)
    if call.kind == "group_norm":
        weight, bias, eps = call.get(2, "weight"), call.get(3, "bias"), call.get(4, "eps", 1e-5)
        return _grouped(call.get(1, "num_groups"), weight, bias, eps)
    if call.kind == "instance_norm":
        return _grouped(_channels(call), call.get(3, "weight"), call.get(4, "bias"), call.get(7, "eps", 1e-5))
    return ()


def _rms_eps(eps: float | None, call: Call) -> float:
    return torch.finfo(call.source.like.dtype).eps if eps is None else eps


def _layer(
    over: Sequence[int],
    weight: Tensor | None,
    bias: Tensor | None,
    eps: float,
    call: Call,
    middle: bool = True,
) -> Sequence[Op]:
    inside = call.source.shape
    if call.last:  # the model normalises its last axis, which here is the first
        return _behind(Standardise(None, eps, middle), weight, bias)
    if tuple(over) != inside:
        raise RefusedError(
            f"{call.kind!r} over some axes of a tensor of shape {inside}, neither the last alone nor all"
        )
    if len(inside) > 1 and weight is not None:
        raise RefusedError(f"{call.kind!r} with a factor for each location (GroupNorm(1, C) has none)")
    return _behind(Standardise(1, eps, middle), weight, bias)


def _grouped(groups: int, weight: Tensor | None, bias: Tensor | None, eps: float) -> Sequence[Op]:
    return _behind(Standardise(groups, eps), weight, bias)


def _behind(op: Standardise, weight: Tensor | None, bias: Tensor | None) -> Sequence[Op]:
    if weight is None:
        return (op,)
    return op, Affine(weight, torch.zeros_like(weight) if bias is None else bias)


def _channels(call: Call) -> int:
    return call.source.shape[0]
