"""Which locations of a layer the relevance at a location below can come from, counted from the graph.

Along each axis a layer's location hears an interval of the locations of the layer above, and its ends never
decrease from one location to the next: so intervals compose, and locations whose distance is at least the
longest interval are never heard together. A layer without locations has one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from conetheory.networks.attention import MatMul, Softmax
from conetheory.networks.bcos import Aligned
from conetheory.networks.coupling import Standardise
from conetheory.networks.graph import Graph, Node
from conetheory.networks.ops import AvgPool2d, Conv2d, MaxPool2d, Op, Shape
from conetheory.networks.selection import Selection
from conetheory.networks.transposed import ConvTranspose2d


@dataclass(frozen=True, eq=False)
class Interval:
    """For each location below, the first and the last location above that it hears; `size` of them above."""

    first: np.ndarray
    last: np.ndarray
    size: int

    @property
    def longest(self) -> int:
        return int((self.last - self.first).max()) + 1

    def after(self, upper: Interval) -> Interval:
        """Through this one and then through `upper`, from its locations on."""
        return Interval(upper.first[self.first], upper.last[self.last], upper.size)

    def hull(self, other: Interval) -> Interval:
        return Interval(np.minimum(self.first, other.first), np.maximum(self.last, other.last), self.size)

    def reversed(self) -> Interval:
        """For each location above, the locations below that hear it."""
        above = np.arange(self.size)
        first = np.minimum(np.searchsorted(self.last, above), len(self.last) - 1)
        last = np.maximum(np.searchsorted(self.first, above, side="right") - 1, 0)
        return Interval(np.minimum(first, last), np.maximum(first, last), len(self.first))

    def heard(self, period: int) -> np.ndarray:
        """For each residue modulo `period` and each location below, the location above of that residue.

        `(period, locations)`; none outside the layer, where residues that are not heard have their nearest.
        """
        residue = np.arange(period)[:, None]
        return np.minimum(self.first + (residue - self.first) % period, self.size - 1)


Reach = tuple[Interval, Interval]


def on_axes(function: Callable[..., Interval], *pairs: Sequence[Any]) -> Reach:
    """A function of what each pair has for the rows, and of what it has for the columns."""
    rows, columns = zip(*pairs, strict=True)
    return function(*rows), function(*columns)


def space(shape: Shape) -> tuple[int, int]:
    """Height and width of a layer; `(1, 1)` without locations, one axis for any other number of them."""
    match shape[1:]:
        case (height, width):
            return height, width
        case rest:
            return int(np.prod(rest, dtype=int)), 1


def reaches(graph: Graph, top: str, bottom: str) -> dict[str, Reach]:
    """For every tensor from `top` down to `bottom`, what its locations hear of those of `top`."""
    found: dict[str, Reach] = {top: on_axes(_same, space(graph.shape(top)))}
    for node in graph.between(top, bottom):
        for source in node.inputs:
            reach = on_axes(Interval.after, _of_node(node, graph.shape(source)), found[node.name])
            known = found.get(source)
            found[source] = reach if known is None else on_axes(Interval.hull, known, reach)
    return found


def periods(found: list[Reach]) -> tuple[int, int]:
    """The distances along both axes at which locations are never heard together, in any of the reaches."""
    rows, columns = zip(*found, strict=True)
    return max(one.longest for one in rows), max(one.longest for one in columns)


def heard(reach: Reach, period: tuple[int, int], width: int) -> np.ndarray:
    """Flat locations above, `(residues of both axes, locations below)`; `width` that of the layer above."""
    rows, columns = (one.heard(n) for one, n in zip(reach, period, strict=True))
    return (rows[:, None, :, None] * width + columns[None, :, None, :]).reshape(
        rows.shape[0] * columns.shape[0], -1
    )


def colours(shape: Shape, period: tuple[int, int]) -> np.ndarray:
    """For each pair of residues, 1 at the locations that have it: `(residues, height, width)`."""
    rows, columns = (np.arange(n) % p for n, p in zip(space(shape), period, strict=True))
    colour = rows[:, None] * period[1] + columns[None, :]
    return (colour[None] == np.arange(period[0] * period[1])[:, None, None]).astype(np.float32)


def _same(size: int) -> Interval:
    return Interval(np.arange(size), np.arange(size), size)


def _of_node(node: Node, inside: Shape) -> Reach:
    below, above = space(inside), space(node.shape)
    if max(len(inside), len(node.shape)) > 3 and isinstance(node.op, Conv2d | AvgPool2d | MaxPool2d):
        return on_axes(_every, below, above)  # windows of three axes, which `space` has as one
    match node.op:
        case Conv2d(weight=weight, stride=stride, padding=padding, dilation=dilation):
            return on_axes(_window, below, above, weight.shape[2:], stride, padding, dilation)
        case Aligned(stride=stride) if below == above and max(stride) > 1:
            return on_axes(_same, below)  # z, or vectors
        case Aligned(ones=ones, stride=stride, padding=padding, dilation=dilation) if ones.ndim > 2:
            return on_axes(_window, below, above, ones.shape[2:], stride, padding, dilation)
        case MaxPool2d(kernel=None):
            return on_axes(_adaptive, below, above)
        case MaxPool2d(kernel=k, stride=s, padding=p, dilation=d):
            return on_axes(_window, below, above, _pair(k), _pair(k if s is None else s), _pair(p), _pair(d))
        case AvgPool2d() if len(inside) == 3:
            return _probed(node.op, below, above, 0), _probed(node.op, below, above, 1)
        case Selection(places="shifted"):
            rows, columns = (_probed(node.op, below, above, axis, inside[0]) for axis in (0, 1))
            return rows, columns
        case Selection(places="mixed"):
            return on_axes(_every, below, above)
        case Standardise(groups=int()) | MatMul() | Softmax():
            return on_axes(_every, below, above)
        case ConvTranspose2d(weight=weight, stride=stride, padding=padding, dilation=dilation):
            return on_axes(_spread, below, above, weight.shape[2:], stride, padding, dilation)
    return on_axes(_same, below) if below == above else on_axes(_every, below, above)


def _every(below: int, above: int) -> Interval:
    """Each location below hears all above."""
    return Interval(np.zeros(below, int), np.full(below, above - 1), above)


def _pair(value: int | tuple[int, int]) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[1])


def _window(below: int, above: int, kernel: int, stride: int, padding: int, dilation: int) -> Interval:
    place = np.arange(below) + padding
    first = -((dilation * (kernel - 1) - place) // stride)
    return _clipped(first, place // stride, above)


def _spread(below: int, above: int, kernel: int, stride: int, padding: int, dilation: int) -> Interval:
    first = np.arange(below) * stride - padding
    return _clipped(first, first + dilation * (kernel - 1), above)


def _adaptive(below: int, above: int) -> Interval:
    outputs = np.arange(above)
    starts, ends = outputs * below // above, -(-(outputs + 1) * below // above)
    place = np.arange(below)
    return _clipped(np.searchsorted(ends, place, "right"), np.searchsorted(starts, place, "right") - 1, above)


def _probed(op: Op, below: tuple[int, int], above: tuple[int, int], axis: int, channels: int = 1) -> Interval:
    """The same of an operation that is only known as a function: what it makes of one row after the other."""
    rows = torch.eye(below[axis])
    shape = (1, below[0], 1) if axis == 0 else (1, 1, below[1])
    out = op.forward(rows.view(-1, *shape).expand(-1, channels, *below).contiguous())
    hit = out.reshape(below[axis], -1, *above).amax((1, 3 - axis)).numpy() > 0
    place = np.arange(above[axis])
    first = np.where(hit, place, above[axis]).min(1)
    last = np.where(hit, place, -1).max(1)
    return _clipped(first, last, above[axis])


def _clipped(first: np.ndarray, last: np.ndarray, size: int) -> Interval:
    """Intervals inside the layer, monotone and not empty: those that hear nothing get a neighbour."""
    last = np.maximum.accumulate(np.clip(last, 0, size - 1))
    first = np.minimum.accumulate(np.clip(first, 0, size - 1)[::-1])[::-1]
    return Interval(np.minimum(first, last), last, size)
