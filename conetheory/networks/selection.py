"""Calls that only move numbers: axes, slices, parts, channel shuffles, padding with zeros, pixel shuffles.

Each output is one of the inputs, or zero, and no input goes to two outputs: `y = W x` with entries 0 and 1,
at most one in each row and column. Every rule sends relevance back where the number came from, `W^T r`, as it
does at a reshape; at inputs that are dropped it is zero, and what arrives at padding is lost.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from conetheory.networks.calls import Call, RefusedError, shape
from conetheory.networks.ops import PassThrough, Shape

Places = Literal["kept", "shifted", "mixed"]
PARTS = frozenset(["chunk", "split"])
AXES = frozenset(["permute", "transpose", "swapaxes", "swapdims", "movedim", "moveaxis"])
PADS = (nn.ZeroPad2d, nn.ConstantPad2d)


@dataclass(frozen=True, eq=False)
class Selection(PassThrough):
    """A function that gives each output one of the inputs or zero, and each input to one output at most.

    places: what becomes of locations. `kept`: each stays what it was (parts of channels, channel shuffles);
        `shifted`: they keep their order, rows and columns apart (padding, crops, pixel shuffles); `mixed`:
        anything else.
    """

    kind: str = "selection"
    places: Places = "mixed"


def selection(call: Call) -> Selection | None:
    """The call as a selection; None where it is of another kind. Raises `RefusedError`."""
    if isinstance(call.target, nn.Module):
        return _of_module(call.target, call)
    kind = call.kind.rstrip("_")
    if kind in AXES:
        function = _rest(call, _batch_kept)
        return Selection(function, places=places_of(function, shape(call.source)))
    if kind == "getitem":
        return _of_slices(call)
    if kind == "pad":
        return _padded(call.get(1, "pad"), call.get(2, "mode", "constant"), call.get(3, "value"), call)
    if kind in ("pixel_shuffle", "pixel_unshuffle", "channel_shuffle"):
        places: Places = "kept" if kind == "channel_shuffle" else "shifted"
        return Selection(_rest(call), places=places)
    return None


def parts(call: Call) -> Sequence[Selection]:
    """`chunk` or `split` as one selection for each part. Raises `RefusedError`."""
    axis = call.get(2, "dim", 0) % (len(shape(call.source)) + 1)
    if axis == 0:
        raise RefusedError(f"{call.kind!r} across images")
    function = _rest(call)
    count = len(function(torch.zeros((1, *shape(call.source)))))
    places: Places = "mixed" if len(shape(call.source)) != 3 else "kept" if axis == 1 else "shifted"
    return [Selection(partial(_part, function, i), places=places) for i in range(count)]


def _of_module(module: nn.Module, call: Call) -> Selection | None:
    if isinstance(module, PADS):
        return _padded(module.padding, "constant", module.value, call)
    if isinstance(module, nn.PixelShuffle):
        return Selection(partial(F.pixel_shuffle, upscale_factor=module.upscale_factor), places="shifted")
    if isinstance(module, nn.PixelUnshuffle):
        return Selection(
            partial(F.pixel_unshuffle, downscale_factor=module.downscale_factor), places="shifted"
        )
    if isinstance(module, nn.ChannelShuffle):
        return Selection(partial(F.channel_shuffle, groups=module.groups), places="kept")
    return None


def _padded(pad: Sequence[int] | int, mode: str, value: Any, call: Call) -> Selection:
    if mode != "constant" or value not in (None, 0):
        raise RefusedError(f"{call.kind!r} with anything but zeros")
    inside = shape(call.source)
    pad = (pad,) * 4 if isinstance(pad, int) else tuple(pad)
    if len(pad) > 2 * len(inside):
        raise RefusedError(f"{call.kind!r} across images")
    spatial = len(inside) == 3 and not any(pad[4:])
    return Selection(partial(F.pad, pad=pad), places="shifted" if spatial else "mixed")


def _of_slices(call: Call) -> Selection:
    """`x[:, :k]` and the like, whole images at a time."""
    index = call.args[1] if isinstance(call.args[1], tuple) else (call.args[1],)
    first, rest = index[0], index[1:]
    if not all(isinstance(i, slice | int) or i in (None, ...) for i in index) or not (
        first == slice(None) or (first is ... and len(rest) < len(shape(call.source)) + 1)
    ):
        raise RefusedError(f"{call.kind!r} of other parts than slices of whole images")
    shifted = (
        first == slice(None)
        and len(index) <= 4
        and all(isinstance(i, slice) and i.step in (None, 1) for i in rest)
        and len(shape(call.source)) == 3
    )
    places: Places = "mixed"
    if shifted:
        places = "kept" if len(index) == 2 else "shifted"
    return Selection(partial(_sliced, index=index), places=places)


def places_of(function: Callable[[Tensor], Tensor], inside: Shape) -> Places:
    """`kept` where maps stay maps of the same locations, as when channels change places; else `mixed`."""
    if len(inside) != 3:
        return "mixed"
    space = math.prod(inside[1:])
    moved = function(torch.arange(math.prod(inside)).view(1, *inside))
    same = moved.shape[2:] == inside[1:] and bool((moved.flatten(2) % space == torch.arange(space)).all())
    return "kept" if same else "mixed"


def _batch_kept(before: Tensor, after: Tensor) -> None:
    if after.stride(0) != before.stride(0) or len(after) != len(before):
        raise RefusedError("axes moved across images")


def _rest(call: Call, check: Callable[[Tensor, Tensor], None] | None = None) -> Callable[..., Any]:
    """The call as a function of its tensor."""
    function = getattr(torch.Tensor, call.target) if isinstance(call.target, str) else call.target
    done = partial(_applied, function, call.args[1:], {k: v for k, v in call.kwargs.items() if k != "input"})
    if check is not None:
        probe = torch.zeros((3, *shape(call.source)))
        check(probe, done(probe))
    return done


def _applied(function: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any], x: Tensor) -> Any:
    return function(x, *args, **kwargs)


def _sliced(x: Tensor, index: tuple[Any, ...]) -> Tensor:
    return x[index]


def _part(function: Callable[[Tensor], Sequence[Tensor]], number: int, x: Tensor) -> Tensor:
    return function(x)[number]
