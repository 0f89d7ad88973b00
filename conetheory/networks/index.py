"""The numbers of places in a tensor of the graph, as a model's tensor has them, and what follows from them.

A network repeats its blocks: calls that move the same numbers in the same way, layer after layer. What is
found out about numbers of places is therefore kept with them, and found once for all tensors that have them.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar, cast
from weakref import WeakValueDictionary

import torch
from torch import Tensor

from conetheory.networks.calls import RefusedError
from conetheory.networks.ops import Shape
from conetheory.networks.selection import Places, places_of

BATCH = 2  # of the traced calls: with 1, a reshape that mixes images would go unnoticed
Found = TypeVar("Found")


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


class Index:
    """`t`: for each entry of a tensor one more than its place in `(BATCH, *shape)`, 0 for a zero."""

    def __init__(self, t: Tensor, shape: Shape) -> None:
        self.t, self.shape = t, shape
        self._known: dict[Hashable, Any] = {}

    def once(self, key: Hashable, make: Callable[[], Found]) -> Found:
        """What `make` gives, made once for a key."""
        if key not in self._known:
            self._known[key] = make()
        return cast(Found, self._known[key])

    @property
    def size(self) -> int:
        """Of the graph's tensor of one image."""
        return math.prod(self.shape)

    @cached_property
    def whole(self) -> bool:
        """Whether all of the graph's numbers are there, and nothing else."""
        return self.t.numel() == BATCH * self.size and bool((self.t > 0).all())

    @cached_property
    def same(self) -> bool:
        """Whether they are all there, one behind the other."""
        return self.t.numel() == BATCH * self.size and bool((self.t.flatten().diff() == 1).all())

    @cached_property
    def digest(self) -> bytes:
        return hashlib.blake2b(self.t.contiguous().numpy().data).digest()

    @cached_property
    def batch(self) -> Batch | None:
        """Where the images are; None where they are mixed, or treated differently."""
        return next(self._batches(), None)

    def _batches(self) -> Iterator[Batch]:
        second = self.t > self.size
        first = (self.t > 0) & ~second
        for axis, length in enumerate(self.t.shape):
            if length % BATCH:
                continue
            theirs = [part.movedim(axis, 0).reshape(length, -1).any(1) for part in (second, first)]
            if bool((theirs[0] & theirs[1]).any()):
                continue
            for inner in _divisors(length // BATCH):
                wanted = torch.arange(length).div(inner, rounding_mode="floor") % BATCH == 1
                found = Batch(axis, length // BATCH // inner, inner)
                if not bool(((theirs[0] & ~wanted) | (theirs[1] & wanted)).any()) and self._alike(found):
                    yield found

    def _alike(self, batch: Batch) -> bool:
        """Whether every image is treated as the first."""
        first, second = batch.front(self.t)
        return torch.equal(torch.where(second > 0, second - self.size, 0), first)

    def places(self, batch: Batch) -> Places:
        """What becomes of locations."""
        return self.once(("places", batch), lambda: places_of(batch.front(self.t)[0], self.shape))


def _divisors(n: int) -> list[int]:
    return [k for k in range(1, n + 1) if n % k == 0]


def batch_of(index: Index, name: str) -> Batch:
    """Where the images are. Raises `RefusedError`."""
    if index.batch is None:
        raise RefusedError(f"{name!r} across images")
    return index.batch


_IN_ORDER: WeakValueDictionary[Shape, Index] = WeakValueDictionary()  # alive while a trace has them


def in_order(shape: Shape) -> Index:
    """The numbers of the graph's tensors of a shape as they are."""
    found = _IN_ORDER.get(shape)
    if found is None:
        places = torch.arange(1, BATCH * math.prod(shape) + 1).view(BATCH, *shape)
        found = _IN_ORDER[shape] = Index(places, shape)
    return found
