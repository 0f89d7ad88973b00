"""The deficit of one method and start layer from the start down, and where it falls."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import xarray as xr

from conetheory import schema
from conetheory.results import evidence


@dataclass(frozen=True)
class Fall:
    """Between a layer and the one above it whose relevance it gets, and what relevance crosses there.

    decades: of the deficit; infinite where it is zero below.
    """

    above: str
    layer: str
    crossing: str
    decades: float


@dataclass(frozen=True, eq=False)
class Curve:
    """Deficits by layer, of a dataset with the dimension `layer` alone; `source` says where they are from."""

    data: xr.Dataset
    values: dict[str, float]
    source: str

    def value(self, layer: str) -> float:
        return self.values[layer]

    @cached_property
    def lowest(self) -> str:
        """The lowest layer that can tell anything (`evidence.ASKED`), as far as is known, else the last."""
        live = [n for n in self.values if not self.random[n] <= evidence.ASKED]
        return (live or list(self.values))[-1]

    @cached_property
    def random(self) -> dict[str, float]:
        """The deficits of random vectors at each layer."""
        return dict(zip(_texts(self.data["layer"]), evidence.baseline(self.data), strict=True))

    @cached_property
    def forgotten_from(self) -> str | None:
        """The highest layer from which on, down to the lowest, the channels have forgotten the start."""
        known = zip(self.data["layer"].values, evidence.forgotten(self.data), strict=True)
        found = None
        for name, forgets in reversed([(str(n), f) for n, f in known if f is not None]):
            if not forgets:
                break
            found = name
        return found

    @cached_property
    def remembers_at(self) -> str | None:
        """The lowest layer of those above `lowest` on its way that has not forgotten."""
        ways = [fall.above for fall in reversed(self.falls)]
        return next((name for name in ways if self.values[name] > evidence.FORGOTTEN), None)

    @cached_property
    def falls(self) -> list[Fall]:
        """On the way that all relevance of the lowest layer takes, from the top down; a rise is negative."""
        found: list[Fall] = []
        layer = self.lowest
        while (step := self._above.get(layer)) is not None and step[0] in self.values:
            above, crossing = step
            here, there = self.values[layer], self.values[above]
            if there > 0:
                decades = float(np.log10(there / here)) if here > 0 else math.inf
                found.append(Fall(above, layer, crossing, decades))
            layer = above
        return found[::-1]

    def split(self, fall: Fall) -> float | None:
        """The share of a fall of the deficit that is the start's own channels (T), as tails say.

        None where one of the ends has no share, and where the deficit rises. Deficits go with tails where
        they are small; above 0.1 less so.
        """
        above, here = (self.at(schema.TRANSIENT, name) for name in (fall.above, fall.layer))
        if above is None or here is None or fall.decades <= 0:
            return None
        there, now = self.values[fall.above], self.values[fall.layer]
        return (above * there - here * now) / (there - now)

    def at(self, name: str, layer: str) -> float | None:
        """A variable at a layer, None where it is not known."""
        return self._column(name).get(layer)

    def text(self, name: str) -> str:
        """A text of this method and start, empty where there is none."""
        value = _text(self.data[name].item()) if name in self.data else ""
        return value if isinstance(value, str) else ""

    def lowest_with(self, name: str) -> str | None:
        """The lowest layer down to `lowest` at which a variable is known."""
        known = self._column(name)
        return next((n for n in reversed(self._down_to_lowest) if n in known), None)

    def label(self, layer: str) -> str:
        return self._labels.get(layer, layer)

    @cached_property
    def _labels(self) -> dict[str, str]:
        if "label" not in self.data.coords:
            return {}
        return dict(zip(_texts(self.data["layer"]), _texts(self.data["label"]), strict=True))

    @cached_property
    def _down_to_lowest(self) -> list[str]:
        names = _texts(self.data["layer"])
        return names[: names.index(self.lowest) + 1]

    @cached_property
    def _above(self) -> dict[str, tuple[str, str]]:
        """For each layer the one above it and the crossing, where the result says so."""
        if schema.ABOVE not in self.data.coords:
            return {}
        rows = zip(
            *(_texts(self.data[name]) for name in ("layer", schema.ABOVE, schema.CROSSING)), strict=True
        )
        return {name: (above, crossing) for name, above, crossing in rows if above}

    def _column(self, name: str) -> dict[str, float]:
        return _finite(self.data, name) if name in self.data else {}


def curve_of(one: xr.Dataset) -> Curve | None:
    """The strongest estimate of the deficits of one method and start (`evidence.estimates`), None where none
    is known below the start.
    """
    for name, _, kind in evidence.estimates(one):
        values = _finite(one, name)
        if len(values) > (kind == "measured"):  # which has the start itself
            said = schema.variable(name, one[name].attrs)
            source = (
                "measured" if kind == "measured" else f"predicted by {name if said is None else said.label}"
            )
            return Curve(one, values, source)
    return None


def _finite(one: xr.Dataset, name: str) -> dict[str, float]:
    pairs: Iterator[tuple[str, float]] = zip(_texts(one["layer"]), one[name].values, strict=True)
    return {layer: float(value) for layer, value in pairs if np.isfinite(value)}


def _texts(values: xr.DataArray) -> list[str]:
    return [value if isinstance(value, str) else "" for value in map(_text, values.values)]


def _text(value: object) -> object:
    return str(value) if isinstance(value, str | np.str_) else value
