"""Channels that a model moves to the end for norms and dense layers, and back: here they stay in front.

ConvNeXt computes `permute(0, 2, 3, 1)`, a layer norm and dense layers over the last axis, and the permutation
back. With the channels in front these are the same numbers: a norm over the channels of each location, and
convolutions of one tap. So locations stay locations, whatever axis the model has them on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import fx, nn
from torch.fx.node import map_arg

from conetheory.networks.selection import AXES

KEPT = frozenset(["gelu", "relu", "relu6", "silu", "hardswish", "sigmoid", "tanh", "elu", "leaky_relu"])
CALLS = KEPT | {"dropout", "contiguous", "layer_norm", "linear"}
ACTIVATIONS = (nn.GELU, nn.ReLU, nn.ReLU6, nn.SiLU, nn.Hardswish, nn.Sigmoid, nn.Tanh, nn.ELU, nn.LeakyReLU)
MODULES = (*ACTIVATIONS, nn.Identity, nn.Dropout, nn.LayerNorm, nn.Linear)


def keep_channels_first(traced: fx.GraphModule) -> None:
    """Mark (`meta["last"]`) the calls whose results have channels last in the model, and give them the shapes
    that they have with the channels first. A permutation is left as it is where anything else follows it."""
    for item in traced.graph.nodes:
        if _moves(item, to_end=True):
            inside = _region(item, traced)
            for each in inside:
                batch, *space, channels = each.meta["shape"]
                each.meta |= {"last": True, "shape": (batch, channels, *space)}


def _region(start: fx.Node, traced: fx.GraphModule) -> list[fx.Node]:
    """The call and what follows it up to the permutations back; nothing where something else does."""
    found, ahead = [], [start]
    while ahead:
        item = ahead.pop()
        found.append(item)
        for user in item.users:
            if _moves(user, to_end=False):
                continue
            if not _pointwise(user, traced) or user in found:
                return []
            ahead.append(user)
    return found


def _moves(item: fx.Node, to_end: bool) -> bool:
    """Whether a call moves the channels of `(N, C, H, W)` to the end, or from there to the front."""
    name = item.target if isinstance(item.target, str) else getattr(item.target, "__name__", "")
    if item.op not in ("call_function", "call_method") or name not in AXES or "shape" not in item.meta:
        return False
    source = item.args[0]
    if not isinstance(source, fx.Node) or "shape" not in source.meta or len(source.meta["shape"]) != 4:
        return False
    rest = map_arg((item.args[1:], dict(item.kwargs)), lambda n: n.meta.get("value", n))
    return _order(name, *rest) == ((0, 2, 3, 1) if to_end else (0, 3, 1, 2))


def _order(name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[int, ...]:
    """Where each axis of four comes from."""
    sizes = (2, 3, 5, 7)
    options = {k: v for k, v in kwargs.items() if k != "input"}
    moved = getattr(torch.Tensor, name)(torch.empty(sizes), *args, **options)
    return tuple(sizes.index(n) for n in moved.shape)


def _pointwise(item: fx.Node, traced: fx.GraphModule) -> bool:
    """Whether a call treats the vector of channels, on the last axis, of each location for itself."""
    if sum("shape" in n.meta for n in item.all_input_nodes) != 1:
        return False
    if item.op == "call_module":
        module = traced.get_submodule(str(item.target))
        whole = not isinstance(module, nn.LayerNorm) or len(module.normalized_shape) == 1
        return isinstance(module, MODULES) and whole
    name = item.target if isinstance(item.target, str) else getattr(item.target, "__name__", "")
    over = item.args[1] if len(item.args) > 1 else item.kwargs.get("normalized_shape")
    single = name != "layer_norm" or (isinstance(over, tuple | list) and len(over) == 1)
    return name.rstrip("_") in CALLS and single
