"""Relevance that leaves the range of its dtype, seen where a sweep yields it: one check for every room.

Overflow is relevance that is infinite or NaN. Underflow is relevance that is not zero and whose largest entry
lies below the least normal number, where digits are lost until nothing is left: what is said of its direction
is then said of rounding. Relevance that is zero all over an image is dead if it is so in float64 as well. The
same goes for the activations that relevance is made with, a tensor of an image at a time.

What is largest is taken over what is compared as one: the channels at a location (`location`), the map of one
vector (`map`), or all vectors of an image (`image`); smaller numbers beside it cost nothing. Not seen is what
happens inside of one operation at some locations alone: relevance that falls from far above the least normal
number to zero at once.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
import torch
from torch import Tensor

from conetheory.errors import InputError
from conetheory.networks.ops import Shape

Unit = Literal["location", "map", "image"]
FIRST = {"map": 2, "image": 1}  # the axis from which on the largest entry is taken
NOUNS = {"location": "vectors at a location", "map": "maps", "image": "images"}
Parts = Iterator[tuple[str, dict[str, Tensor]]]


@dataclass
class _Seen:
    """Of one start at one tensor, on its device.

    peak: the largest entry of each image. low, live: how many units are alive and below `least`, and alive.
    """

    beyond: Tensor
    peak: Tensor
    low: Tensor
    live: Tensor

    @classmethod
    def of(cls, size: Tensor, least: float, most: float) -> _Seen:
        """size: the largest entry of each unit, images first."""
        live = size > 0
        beyond, low = ~(size <= most).all(), (live & (size < least)).sum()
        return cls(beyond, size.flatten(1).amax(1) if size.ndim > 1 else size, low, live.sum())

    @property
    def suspect(self) -> Tensor:
        return self.beyond | (self.low > 0) | (self.peak == 0).any()


def largest(y: Tensor, axes: int | tuple[int, ...]) -> Tensor:
    """The largest absolute entry over some axes, NaN where there is one; sooner than by a norm."""
    return torch.maximum(y.amax(axes), y.amin(axes).neg_())


def peak(y: Tensor) -> Tensor:
    """The largest absolute entry of each image."""
    return largest(y.detach().flatten(1), 1)


class Watch:
    """What sweeps of one chain yield; nothing is read from a device before `check`.

    unit: what is compared as one (see above). squares: whether squares of relevance are formed in its dtype,
    so that they too must lie within the range. As a context it checks at the end, also where what was beyond
    the range has led to another error.
    """

    def __init__(self, unit: Unit = "map", *, squares: bool = False) -> None:
        self.unit, self.power = unit, 2 if squares else 1
        self._seen: dict[tuple[str, str], _Seen] = {}
        self._probes: dict[str, Tensor] = {}
        self._chain: Any = None

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: Any) -> None:
        if kind is None or issubclass(kind, Exception):
            self.check()

    def over(
        self, chain: Any, starts: Mapping[str, Any], sweep: Callable[[Mapping[str, Any]], Parts]
    ) -> Parts:
        """What `sweep(starts)` of a chain yields, seen on the way."""
        for layer, parts in sweep({name: self._probed(name, start) for name, start in starts.items()}):
            for start, r in parts.items():
                self.see(chain, start, layer, r)
            yield layer, parts

    def see(self, chain: Any, start: str, layer: str, r: Tensor) -> None:
        """Relevance `(images, vectors, *shape)` from a start at a layer."""
        # without this watch: in a circle both would stay until Python looks for such
        self._chain = chain.watched(None) if getattr(chain, "_watch", None) is self else chain
        axes = 2 if self.unit == "location" else tuple(range(FIRST[self.unit], r.ndim))
        ends = _ends(r, self.power)
        before, found = self._seen.get((start, layer)), _Seen.of(largest(r, axes), *ends)
        if before is not None and self.unit == "image":  # in blocks, of which one may have next to nothing
            found = _Seen.of(torch.maximum(before.peak, found.peak), *ends)
        elif before is not None:
            both = torch.maximum(before.peak, found.peak)
            counts = before.low + found.low, before.live + found.live
            found = _Seen(before.beyond | found.beyond, both, *counts)
        self._seen[start, layer] = found

    def check(self) -> None:
        """Raises `InputError` where activations or relevance have left the range of the dtype."""
        if not self._seen:
            return
        active = {n: _Seen.of(p, *_ends(p, 1)) for n, p in getattr(self._chain, "peaks", {}).items()}
        if not bool(torch.stack([seen.suspect for seen in (*active.values(), *self._seen.values())]).any()):
            return
        for layer, seen in active.items():
            self._refuse("activations", layer, seen, NOUNS["image"])
        for (start, layer), seen in self._seen.items():
            self._refuse(self._from(start), layer, seen, NOUNS[self.unit])
        if getattr(self._chain, "dtype", None) != torch.float64 and hasattr(self._chain, "double"):
            self._compare(active)

    def _refuse(self, what: str, layer: str, seen: _Seen, noun: str) -> None:
        if bool(seen.beyond):
            raise self._error(what, "overflow", layer)
        if bool(seen.low > 0):
            raise self._error(what, "underflow", layer, f" in {int(seen.low)} of {int(seen.live)} {noun}")

    def _compare(self, active: Mapping[str, _Seen]) -> None:
        """Raises `InputError` where images are dead that are not so in float64, by one vector an image."""
        nothing = " to nothing, which float64 does not"
        activations, relevance = _dead(active), _dead(self._seen)
        if not (activations or relevance):
            return
        double = self._chain.double()
        for layer, found in double.peaks.items():
            if layer in activations and bool((activations[layer] & (found > 0)).any()):
                raise self._error("activations", "underflow", layer, nothing)
        for start in dict.fromkeys(start for start, _ in relevance if start in self._probes):
            for layer, parts in double.sweep({start: self._probes[start].to(torch.float64)}):
                dead = relevance.get((start, layer))
                if dead is not None and bool((dead & (peak(parts[start]) > 0)).any()):
                    raise self._error(self._from(start), "underflow", layer, nothing)

    def _error(self, what: str, verb: str, layer: str, more: str = "") -> InputError:
        wide = getattr(self._chain, "dtype", None) == torch.float64
        help = "use other parameters" if wide else "use dtype float64, or other parameters"
        verb = verb if what == "activations" else f"{verb}s"
        return InputError(f"{what} {verb} at {self._chain.graph.label(layer)!r}{more}: {help}")

    def _from(self, start: str) -> str:
        """Whose relevance; that of the output is of the logits, whatever the output is called."""
        graph = self._chain.graph
        output = getattr(graph, "output", None)
        name = "logits" if graph.resolve(start) == output else start
        return f"relevance from {name!r}"

    def _probed(self, name: str, start: Any) -> Callable[[Shape], Any]:
        """The start as a function; a random mixture of its vectors is kept."""

        def made(shape: Shape) -> Any:
            vectors = start(shape) if callable(start) else start
            known = torch.as_tensor(vectors) if isinstance(vectors, Tensor | np.ndarray) else None
            if known is not None and known.ndim == len(shape) + 2:
                g = torch.randn(known.shape[1], generator=torch.Generator().manual_seed(0)).to(known)
                mixed = (known * g.view(1, -1, *[1] * len(shape))).sum(1, keepdim=True)
                before = self._probes.get(name)
                self._probes[name] = mixed if before is None else before + mixed
            return vectors

        return made


class Watchable:
    """A chain that a watch may see: its `_sweep` is what a sweep does."""

    _watch: Watch | None = None

    def _sweep(self, starts: Mapping[str, Any], stop: str) -> Parts:
        raise NotImplementedError

    def _seen(self, starts: Mapping[str, Any], stop: str) -> Parts:
        """The sweep, before the watch's eyes where there is one."""
        if self._watch is None:
            return self._sweep(starts, stop)
        return self._watch.over(self, starts, lambda given: self._sweep(given, stop))

    def watched(self, watch: Watch | None) -> Self:
        """The same chain, all of whose sweeps a watch sees (None: none does)."""
        found = copy.copy(self)
        found._watch = watch
        return found


def _dead(seen: Mapping[Any, _Seen]) -> dict[Any, Tensor]:
    """Which images are zero all over, where there are such."""
    found = {key: one.peak == 0 for key, one in seen.items()}
    return {key: where for key, where in found.items() if bool(where.any())}


def _ends(r: Tensor, power: int) -> tuple[float, float]:
    """The least and the largest number whose powers are normal numbers where r is. GPUs may flush others."""
    known = torch.finfo(r.dtype)
    least = known.tiny / (known.eps if r.device.type == "cuda" else 1)
    return least ** (1 / power), known.max ** (1 / power)
