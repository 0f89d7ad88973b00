"""Which axes of a model's tensor are channels here, and which are locations."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from conetheory.networks.attention import View
from conetheory.networks.index import Batch, Index, in_order
from conetheory.networks.moves import Held, Layout
from conetheory.networks.ops import Shape


def grid(sizes: Sequence[int]) -> Shape:
    """Axes of locations as two: a single one has a height of one, of several the last stays apart."""
    return () if not sizes else (math.prod(sizes[:-1]), sizes[-1])


def plain(sizes: Shape) -> Layout:
    """Every axis of the model's as it is; one number an image is a channel."""
    return Layout(View(sizes, tuple(range(len(sizes)))), sizes or (1,))


def row(sizes: Shape) -> Layout:
    """`(channels, length)` as a map of height one."""
    return Layout(View(sizes, (0, 1)), (sizes[0], 1, sizes[1]))


def tokens(sizes: Shape, space: Shape | None = None) -> Layout:
    """`(..., channels)`, the other axes being locations, or `space` the way in which those lie."""
    *rest, channels = sizes
    view = View((channels, *rest), (*range(1, len(sizes)), 0))
    return Layout(view, (channels, *(grid(rest) if space is None else space)))


def divided(sizes: Shape, channels: Sequence[bool]) -> Layout:
    """Axes that are channels in front, in their order, and the locations behind."""
    order = [*(i for i, c in enumerate(channels) if c), *(i for i, c in enumerate(channels) if not c)]
    own = math.prod(n for n, c in zip(sizes, channels, strict=True) if c)
    rest = [n for n, c in zip(sizes, channels, strict=True) if not c]
    back = tuple(order.index(i) for i in range(len(sizes)))
    return Layout(View(tuple(sizes[i] for i in order), back), (own, *grid(rest)))


def own_channels(held: Held, batch: Batch) -> list[bool]:
    """For each axis of the model's tensor, images in front, whether only the channel changes along it."""
    return held.places.once(("channels", batch), lambda: _own_channels(held.places, batch))


def _own_channels(places: Index, batch: Batch) -> list[bool]:
    index = batch.front(places.t)[0]
    space = math.prod(places.shape[1:])
    known, channel, place = index > 0, (index - 1) // space, (index - 1) % space
    return [_varies(channel, known, a) and not _varies(place, known, a) for a in range(index.ndim)]


def _varies(t: Tensor, known: Tensor, axis: int) -> bool:
    rest = t.shape[axis] - 1
    both = known.narrow(axis, 1, rest) & known.narrow(axis, 0, rest)
    return bool(((t.diff(dim=axis) != 0) & both).any())


def arranged(places: Index, batch: Batch, layout: Layout) -> Index:
    """A tensor in the model's shape as `(BATCH, *shape)`."""

    def make() -> Index:
        return Index(layout.view.written(batch.front(places.t), layout.shape).contiguous(), places.shape)

    return places.once(("arranged", batch, layout.view, layout.shape), make)


def held_by(layout: Layout, batch: Batch, name: str, like: Tensor, weights: bool = False) -> Held:
    """A tensor of the graph as the model has it: none of its numbers is anywhere else."""
    if batch.first and layout.view == plain(layout.shape).view:
        return Held(name, layout.shape, like, weights=weights)
    places = in_order(layout.shape)

    def make() -> Index:
        return Index(batch.back(layout.view.read(places.t)), places.shape)

    index = places.once(("held", batch, layout.view), make)
    steps = (layout.view.read,) if batch.first else None
    return Held(name, layout.shape, like, index, steps, weights=weights, root=places)


def sizes_of(held: Held, batch: Batch) -> Shape:
    """The model's shape, images in front and left out."""
    return front_of(held.model_shape, batch)[1:]


def front_of(shape: Shape, batch: Batch) -> Shape:
    """A shape of the model's with its images in front."""
    return tuple(batch.front(torch.empty(shape, device="meta")).shape)
