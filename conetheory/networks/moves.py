"""Where the numbers of a model's tensor stand in a tensor of the graph.

A model moves numbers about: channels to the end for norms and dense layers, tokens into windows, heads beside
images. None of this is computation. So a call that only moves is run on the numbers of places instead: what
it gives is *held* as a tensor of the graph and, for each entry, the place that it has there. What computes
next is told in which order it finds its axes; and only where that is not the order of the graph's tensor
does an operation move anything. So channels stay in front, (channels, height, width), whatever axis the model
has them on, and tokens are the locations of a map of height one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from conetheory.networks.attention import View
from conetheory.networks.calls import RefusedError, plain_kind
from conetheory.networks.ops import Shape

BATCH = 2  # of the traced calls: with 1, a reshape that mixes images would go unnoticed
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
MODULES += (nn.PixelShuffle, nn.PixelUnshuffle, nn.ChannelShuffle)
Step = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Batch:
    """Where a model's tensor has its images: on an axis, of length `outer * BATCH * inner`."""

    axis: int = 0
    outer: int = 1
    inner: int = 1

    @property
    def first(self) -> bool:
        return self == Batch()

    @property
    def beside(self) -> int:
        """How many axes the images' axis leaves: one for what is outside of them, one for what is inside."""
        return (self.outer > 1) + (self.inner > 1)

    def front(self, t: Tensor) -> Tensor:
        """The model's tensor with the images as its first axis."""
        t = t.unflatten(self.axis, (self.outer, BATCH, self.inner)).movedim(self.axis + 1, 0)
        rest = [n for n in (self.outer, self.inner) if n > 1]
        return t.reshape(*t.shape[: self.axis + 1], *rest, *t.shape[self.axis + 3 :])

    def back(self, t: Tensor) -> Tensor:
        """The inverse."""
        rest = t.shape[self.axis + 1 + self.beside :]
        t = t.reshape(*t.shape[: self.axis + 1], self.outer, self.inner, *rest)
        return t.movedim(0, self.axis + 1).flatten(self.axis, self.axis + 2)


@dataclass(frozen=True, eq=False)
class Layout:
    """A tensor of the graph of a `shape`, read by a `view` as the model's with the images in front."""

    view: View
    shape: Shape


@dataclass(frozen=True, eq=False)
class Held:
    """A model's tensor: the graph's tensor `name` of a `shape`, and where its numbers are in the model's.

    index: in the model's shape, for each entry one more than its place in `(BATCH, *shape)`, or 0 for a zero;
        None where both are the same.
    steps: functions from the graph's tensor to the model's for any number of images; None where there are
        none.
    label: the name of the last call that moved it.
    weights: whether it is what a softmax gave, moved or not.
    """

    name: str
    shape: Shape
    like: Tensor
    index: Tensor | None = None
    steps: tuple[Step, ...] | None = ()
    label: str | None = None
    weights: bool = False

    @property
    def places(self) -> Tensor:
        """The index, made where there is none."""
        return places(self.shape) if self.index is None else self.index

    @property
    def whole(self) -> bool:
        """Whether the model's tensor has all numbers of the graph's, and nothing else."""
        if self.index is None:
            return True
        return self.index.numel() == BATCH * math.prod(self.shape) and bool((self.index > 0).all())

    @property
    def model_shape(self) -> Shape:
        return (BATCH, *self.shape) if self.index is None else tuple(self.index.shape)

    @cached_property
    def batch(self) -> Batch:
        """Where the images are: none are mixed, or treated differently."""
        return Batch() if self.index is None else batch_of(self.index, math.prod(self.shape), self.name)


def places(shape: Shape) -> Tensor:
    """The places of the graph's tensors, one more than their numbers."""
    return torch.arange(1, BATCH * math.prod(shape) + 1).view(BATCH, *shape)


def batch_of(index: Tensor, size: int, kind: str) -> Batch:
    image = torch.div(index - 1, size, rounding_mode="floor")
    for axis, length in enumerate(index.shape):
        for inner in _divisors(length // BATCH) if length % BATCH == 0 else ():
            found = Batch(axis, length // BATCH // inner, inner)
            wanted = torch.arange(length).div(inner, rounding_mode="floor") % BATCH
            wanted = wanted.view(-1, *(1 for _ in index.shape[axis + 1 :]))
            if bool(((image == wanted) | (index == 0)).all()) and _alike(found.front(index), size):
                return found
    raise RefusedError(f"{kind!r} across images")


def _divisors(n: int) -> list[int]:
    return [k for k in range(1, n + 1) if n % k == 0]


def _alike(index: Tensor, size: int) -> bool:
    """Whether every image is treated as the first."""
    own = index - size * torch.arange(BATCH).view(-1, *(1 for _ in index.shape[1:]))
    own = torch.where(index > 0, own, 0)
    return bool((own == own[:1]).all())


def move(held: Held, target: Any, args: Sequence[Any], kwargs: Mapping[str, Any], label: str) -> list[Held]:
    """What a call that moves makes of its first argument, whose others are given; several of a split."""
    function = _function(target)
    options = {k: v for k, v in kwargs.items() if k != "input"}
    if plain_kind(target) in ("pad", "constant_pad_nd") or isinstance(
        target, nn.ConstantPad2d | nn.ConstantPad1d
    ):
        _check_zeros(target, args, options)
    index = held.places.double()
    try:
        result = function(index, *args, **options)
    except Exception as error:  # an index of another kind, such as one by a tensor of the image's
        raise RefusedError(f"the operation {plain_kind(target)!r} with these arguments") from error
    several = isinstance(result, tuple | list)
    found = []
    for number, part in enumerate(result if several else [result]):
        moved = part.long()
        kind = plain_kind(target)
        if moved.numel() > index.numel() and kind == "expand":
            raise RefusedError(f"{kind!r} that repeats")
        first = batch_of(moved, math.prod(held.shape), kind).first
        step = _step(target, function, args, options, moved) if first else None
        steps = None if step is None or held.steps is None else (*held.steps, step)
        steps = steps if not several or steps is None else (*steps, partial(_part, number=number))
        found.append(Held(held.name, held.shape, held.like, moved, steps, label, held.weights))  # pyright: ignore
    return found


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


def _step(
    target: Any, function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any], result: Tensor
) -> Step | None:
    """The call as a function of any number of images."""
    kind = plain_kind(target)
    if kind in RESHAPES or isinstance(target, nn.Flatten | nn.Unflatten):
        return partial(_reshaped, shape=tuple(result.shape[1:]))
    if isinstance(target, torch._ops.OpOverload):  # these can't be pickled
        named = getattr(torch.Tensor, kind, None) or getattr(F, kind, None)
        return (
            None
            if not callable(named)
            else partial(_applied, function=named, args=tuple(args), kwargs=dict(kwargs))
        )
    return partial(_applied, function=function, args=tuple(args), kwargs=dict(kwargs))


def _reshaped(x: Tensor, shape: Shape) -> Tensor:
    return x.reshape(len(x), *shape)


def _applied(x: Tensor, function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    return function(x, *args, **kwargs)


def _part(x: Sequence[Tensor], number: int) -> Tensor:
    return x[number]
