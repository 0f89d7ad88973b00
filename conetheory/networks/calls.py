"""A traced call as the converters see it, and how one refuses it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx.node import map_aggregate

from conetheory.networks.ops import Shape


class RefusedError(Exception):
    """No operation of ours does what the call does; the message says which part of it."""


@dataclass(frozen=True, eq=False)
class Value:
    """A tensor of the graph, by name, with the shape that it has there; `like` has its dtype and device."""

    name: str
    shape: Shape
    like: Tensor


@dataclass(frozen=True)
class Call:
    """`target(*args, **kwargs)`, where each tensor that depends on the image is a `Value`.

    `target` is a module, a function (of torch, or an operator of ATen) or a method's name, `shape` the
    result's without the batch axis; `last` says that the model has its tensors with the channels last, which
    here come first (see `moves`).
    """

    target: Any
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    shape: Shape
    last: bool = False

    @property
    def kind(self) -> str:
        return kind(self.target)

    def get(self, position: int, name: str, default: Any = None) -> Any:
        """The argument at a position, or by its name."""
        return self.args[position] if position < len(self.args) else self.kwargs.get(name, default)

    @property
    def values(self) -> list[Value]:
        """All tensors that depend on the image."""
        found: list[Value] = []
        map_aggregate(
            (self.args, dict(self.kwargs)), lambda a: found.append(a) if isinstance(a, Value) else a
        )
        return found

    @property
    def source(self) -> Value:
        """The one tensor that a call of one input works on."""
        tensors = self.values
        if len(tensors) != 1 or tensors[0] is not self.get(0, "input"):
            raise RefusedError(f"the operation {self.kind!r} with {len(tensors)} inputs")
        return tensors[0]


def kind(target: Any) -> str:
    """What is called: a module's class, or a function's name; of `aten.relu_.default` it is `relu_`."""
    if isinstance(target, nn.Module):
        return type(target).__name__
    if isinstance(target, torch._ops.OpOverload):
        return target.overloadpacket.__name__
    return getattr(target, "__name__", str(target))


def plain_kind(target: Any) -> str:
    """The same without the mark of what works in place."""
    return kind(target).rstrip("_")
