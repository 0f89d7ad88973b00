"""What only moves numbers: axes, slices, parts, channel shuffles, padding with zeros, shuffles, windows.

Each output is one of the inputs, or zero, and no input goes to two outputs: `y = W x` with entries 0 and 1,
at most one in each row and column. Every rule sends relevance back where the number came from, `W^T r`, as it
does at a reshape; at inputs that are dropped it is zero, and what arrives at padding is lost.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from conetheory.networks.ops import PassThrough, Shape

Places = Literal["kept", "shifted", "mixed"]


@dataclass(frozen=True, eq=False)
class Selection(PassThrough):
    """A function that gives each output one of the inputs or zero, and each input to one output at most.

    places: what becomes of locations. `kept`: each stays what it was (parts of channels, channel shuffles);
        `shifted`: they keep their order, rows and columns apart (padding, crops, pixel shuffles); `mixed`:
        anything else.
    """

    kind: str = "selection"
    places: Places = "mixed"


@dataclass(frozen=True, eq=False)
class Composed:
    """Functions of one tensor, one behind the other."""

    functions: Sequence[Callable[[Tensor], Tensor]]

    def __call__(self, x: Tensor) -> Tensor:
        for function in self.functions:
            x = function(x)
        return x


@dataclass(frozen=True, eq=False)
class Gathered:
    """`index`: for each output of an image one more than the number of the input that it is, 0 for a zero."""

    index: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        flat, index = x.flatten(1), self.index.flatten().to(x.device)
        if bool((self.index == 0).any()):
            flat, index = F.pad(flat, (1, 0)), index + 1
        return flat.index_select(1, index - 1).unflatten(1, self.index.shape)


def places_of(index: Tensor, inside: Shape) -> Places:
    """What a `Gathered` index makes of the locations of tensors of shape `inside`."""
    if len(inside) != 3 or index.ndim != 3:
        return "mixed"
    held, place = index > 0, (index - 1) % (inside[1] * inside[2])
    here = torch.arange(inside[1] * inside[2]).view(inside[1:])
    if index.shape[1:] == inside[1:] and bool(((place == here) | ~held).all()):
        return "kept"
    rows, columns = place // inside[2], place % inside[2]
    apart = _in_order(rows, held) and _in_order(columns.mT, held.mT)
    return "shifted" if apart else "mixed"


def _in_order(rows: Tensor, held: Tensor) -> bool:
    """Whether each row of outputs has one row of inputs in each channel, and these never go back."""
    most = int(rows.max()) + 1
    low = torch.where(held, rows, most).amin(2)
    high = torch.where(held, rows, -1).amax(2)
    filled = high >= 0
    first = torch.where(filled, low, most).amin(0)
    last = torch.where(filled, high, -1).amax(0)
    first, last = first[last >= 0], last[last >= 0]
    kept = bool((first.diff() >= 0).all()) and bool((last.diff() >= 0).all())
    return kept and bool((low == high)[filled].all())
