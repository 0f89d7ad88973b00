"""A traced call as the converters see it, and how one refuses it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import fx, nn
from torch.fx.node import map_arg

from conetheory.networks.ops import Shape


class RefusedError(Exception):
    """No operation of ours does what the call does; the message says which part of it."""


@dataclass(frozen=True)
class Call:
    """`target(*args, **kwargs)`, where each tensor that depends on the image is an `fx.Node`.

    `target` is a module, a function or a method's name, `shape` the result's without the batch axis; `last`
    says that the model has the result with its channels last, which here come first (see `layout`); `whole`
    is the call that gave several tensors, of which this takes one.
    """

    target: Any
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    shape: Shape
    last: bool = False
    whole: Call | None = None

    @property
    def kind(self) -> str:
        if isinstance(self.target, nn.Module):
            return type(self.target).__name__
        return getattr(self.target, "__name__", str(self.target))

    def get(self, position: int, name: str, default: Any = None) -> Any:
        """The argument at a position, or by its name."""
        return self.args[position] if position < len(self.args) else self.kwargs.get(name, default)

    @property
    def source(self) -> fx.Node:
        """The one tensor that a call of one input works on."""
        if self.whole is not None:
            return self.whole.source
        tensors: list[fx.Node] = []
        map_arg((self.args, dict(self.kwargs)), tensors.append)
        if len(tensors) != 1 or tensors[0] is not self.get(0, "input"):
            raise RefusedError(f"the operation {self.kind!r} with {len(tensors)} inputs")
        return tensors[0]


def shape(item: fx.Node) -> Shape:
    """The shape of a traced tensor without the batch axis."""
    return tuple(item.meta["shape"][1:])
