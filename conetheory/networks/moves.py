"""Where the numbers of a model's tensor stand in a tensor of the graph.

A model moves numbers about: channels to the end for norms and dense layers, tokens into windows, heads beside
images. None of this is computation. So a call that only moves is run on the numbers of places instead: what
it gives is *held* as a tensor of the graph and, for each entry, the place that it has there. What computes
next is told in which order it finds its axes; and only where that is not the order of the graph's tensor
does an operation move anything. So channels stay in front, (channels, height, width), whatever axis the model
has them on, and tokens are the locations of a map of height one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from conetheory.networks.attention import View
from conetheory.networks.calls import RefusedError, plain_kind
from conetheory.networks.index import BATCH, Batch, Index, batch_of, in_order
from conetheory.networks.ops import Shape

PARTS = frozenset(["chunk", "split", "split_with_sizes", "unbind", "tensor_split"])
RESHAPES = frozenset(["flatten", "view", "reshape", "squeeze", "unsqueeze", "unflatten", "_unsafe_view"])
MOVES = RESHAPES | frozenset(
    [
        *("permute", "transpose", "swapaxes", "swapdims", "movedim", "moveaxis", "t"),
        *("getitem", "getattr", "select", "slice", "narrow", "roll", "flip", "expand", "mT"),
        *("pad", "constant_pad_nd", "pixel_shuffle", "pixel_unshuffle", "channel_shuffle"),
    ]
)
MODULES = (nn.Flatten, nn.Unflatten, nn.ZeroPad2d, nn.ConstantPad2d, nn.ZeroPad1d, nn.ConstantPad1d)
MODULES += (nn.ZeroPad3d, nn.ConstantPad3d)
MODULES += (nn.PixelShuffle, nn.PixelUnshuffle, nn.ChannelShuffle)
Step = Callable[[Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class Layout:
    """A tensor of the graph of a `shape`, read by a `view` as the model's with the images in front."""

    view: View
    shape: Shape


@dataclass(frozen=True, eq=False)
class Held:
    """A model's tensor: the graph's tensor `name` of a `shape`, and where its numbers are in the model's.

    index: the numbers of places, in the model's shape; None where they are in order.
    steps: functions from the graph's tensor to the model's for any number of images; None where there are
        none.
    label: the name of the last call that moved it.
    weights: whether it is what a softmax gave, moved or not.
    root: the numbers in order that the index was made of, kept for the next tensor of their shape.
    """

    name: str
    shape: Shape
    like: Tensor
    index: Index | None = None
    steps: tuple[Step, ...] | None = ()
    label: str | None = None
    weights: bool = False
    root: Index | None = None

    @cached_property
    def places(self) -> Index:
        """The index, made where there is none."""
        return in_order(self.shape) if self.index is None else self.index

    @property
    def whole(self) -> bool:
        """Whether the model's tensor has all numbers of the graph's, and nothing else."""
        return self.index is None or self.index.whole

    @property
    def model_shape(self) -> Shape:
        return (BATCH, *self.shape) if self.index is None else tuple(self.index.t.shape)

    @property
    def batch(self) -> Batch:
        """Where the images are: none are mixed, or treated differently. Raises `RefusedError`."""
        return Batch() if self.index is None else batch_of(self.index, self.name)


def move(held: Held, target: Any, args: Sequence[Any], kwargs: Mapping[str, Any], label: str) -> list[Held]:
    """What a call that moves makes of its first argument, whose others are given; several of a split."""
    options = {k: v for k, v in kwargs.items() if k != "input"}
    kind = plain_kind(target)
    if kind in ("pad", "constant_pad_nd") or isinstance(
        target, nn.ConstantPad1d | nn.ConstantPad2d | nn.ConstantPad3d
    ):
        _check_zeros(target, args, options)
    several, parts = _moved(held.places, target, args, options)
    found = []
    for number, index in enumerate(parts):
        step = _step(target, args, options, tuple(index.t.shape)) if batch_of(index, kind).first else None
        steps = None if step is None or held.steps is None else (*held.steps, step)
        steps = (*steps, _Part(number)) if several and steps is not None else steps
        found.append(Held(held.name, held.shape, held.like, index, steps, label, held.weights))
    return found


def _moved(
    index: Index, target: Any, args: Sequence[Any], options: Mapping[str, Any]
) -> tuple[bool, list[Index]]:
    """Whether a call gives several tensors, and what is where in each; once for each index and call."""

    def make() -> tuple[bool, list[Index]]:
        try:
            result = _function(target)(index.t.double(), *args, **options)
        except Exception as error:  # an index of another kind, such as one by a tensor of the image's
            raise RefusedError(f"the operation {plain_kind(target)!r} with these arguments") from error
        several = isinstance(result, tuple | list)
        parts = [part.long() for part in (result if several else [result])]
        if plain_kind(target) == "expand" and parts[0].numel() > index.t.numel():
            raise RefusedError("'expand' that repeats")
        return several, [Index(part, index.shape) for part in parts]

    given = (*args, *options.values())
    if any(isinstance(a, Tensor) for a in given):
        return make()
    which = (type(target), repr(target)) if isinstance(target, nn.Module) else target
    return index.once((which, repr(args), repr(options)), make)


def moves(target: Any) -> bool:
    """Whether a call only moves numbers."""
    return isinstance(target, MODULES) or (
        not isinstance(target, nn.Module) and plain_kind(target) in MOVES | PARTS
    )


def _function(target: Any) -> Callable[..., Any]:
    if plain_kind(target) == "constant_pad_nd":
        return F.pad
    if plain_kind(target) in ("view", "_unsafe_view"):  # places need not lie in memory as the numbers do
        return torch.Tensor.reshape
    return getattr(torch.Tensor, target) if isinstance(target, str) else target


def _check_zeros(target: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
    if isinstance(target, nn.Module):
        mode, value = "constant", target.value
    elif plain_kind(target) == "constant_pad_nd":
        mode, value = "constant", args[1] if len(args) > 1 else kwargs.get("value")
    else:
        mode = args[1] if len(args) > 1 else kwargs.get("mode", "constant")
        value = args[2] if len(args) > 2 else kwargs.get("value")
    if mode != "constant" or value not in (None, 0):
        raise RefusedError(f"{plain_kind(target)!r} with anything but zeros")


def _step(target: Any, args: Sequence[Any], kwargs: Mapping[str, Any], shape: Shape) -> Step | None:
    """The call as a function of any number of images; shape: of what it gives here."""
    kind = plain_kind(target)
    if kind in RESHAPES or isinstance(target, nn.Flatten | nn.Unflatten):
        return partial(_reshaped, shape=shape[1:])
    if isinstance(target, torch._ops.OpOverload):  # these can't be pickled
        named = getattr(torch.Tensor, kind, None) or getattr(F, kind, None)
        return (
            None
            if not callable(named)
            else partial(_applied, function=named, args=tuple(args), kwargs=dict(kwargs))
        )
    return partial(_applied, function=_function(target), args=tuple(args), kwargs=dict(kwargs))


def _reshaped(x: Tensor, shape: Shape) -> Tensor:
    return x.reshape(len(x), *shape)


def _applied(x: Tensor, function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    return function(x, *args, **kwargs)


@dataclass(frozen=True)
class _Part:
    """One of several tensors."""

    number: int

    def __call__(self, x: Any) -> Any:
        return x[self.number]
