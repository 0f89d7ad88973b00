"""The evidence for a verdict: numbers from results, each held against a threshold that has a reason.

A result says something about the *channels* at a location of the input, about the whole *map*, or it is a
*check* by randomisation. Within each the strongest evidence comes first. An estimate speaks both ways; an
upper bound of a deficit says that something is forgotten, or nothing. Where a number has a 95% band, what its
ends would say is kept with it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import takewhile
from typing import Any

import numpy as np
import xarray as xr

from conetheory import schema
from conetheory.schema import BASELINE, DISTANCE, LIVE, MAP_UPPER, MEASURED, WHOLE_MAPS, WORST

FORGOTTEN = 1e-2
"""Channels forget at this deficit and below: two vectors with `1 - |cos| = d` differ in 2d of their energy,
so at most 2% of it can tell. Random vectors of as many channels are far from there (0.5 for three), except of
a single channel, whose cosine is always 1: see `ASKED`."""
ASKED = 10 * FORGOTTEN
"""Layers decide something where random vectors in the live channels have more than this: where a pool's
switches leave one channel alone at many places, the median says little of the decision."""
STILL = 0.05
"""A map stands still where a change of class moves it by at most this share of its norm, root mean square: a
few of 256 grey levels, which a reader does not see. A deficit d moves it by sqrt(2 d), a share v of its
variance by sqrt(v)."""
SIMILAR, CHANGED = 0.8, 0.5
"""Median similarity (SSIM) of maps before and after the last layers are randomised. Above the first the map
stays, under the second it changes, between them it can't be said."""
LAST_LAYERS = 2
"""How many layers count as the last: the one that makes the logits and the one that feeds it."""

_BANDS = {MEASURED: "measured_band", WHOLE_MAPS: "measured_flattened_band"}  # of others NAME_band


class Says(StrEnum):
    FORGETS = "forgets"
    REMEMBERS = "remembers"
    NOTHING = "decides nothing"


@dataclass(frozen=True)
class Evidence:
    """A number and what it says of `about`: the channels, the map or the check.

    name: its variable. label: in words. kind: of `schema.KINDS`. reference: what it is read against; for
    channels the deficit of random vectors, else the threshold. threshold: where it would say otherwise.
    band: the 95% band of the value, where it has one; ends: what its ends say.
    """

    name: str
    label: str
    kind: str
    about: str
    value: float
    reference: float
    says: Says
    threshold: float = math.nan
    band: tuple[float, float] | None = None
    ends: tuple[Says, ...] = ()

    @property
    def borderline(self) -> bool:
        """Whether the threshold lies inside the band: its ends do not both say what the value says."""
        return any(end is not self.says for end in self.ends)

    def record(self) -> dict[str, Any]:
        """Plain data."""
        kept = {name: value for name, value in vars(self).items() if name not in ("says", "ends")}
        return {**kept, "says": str(self.says), "borderline": self.borderline}


def _judged(
    name: str,
    label: str,
    kind: str,
    about: str,
    value: float,
    threshold: float,
    judge: Callable[[float], Says],
    reference: float | None = None,
    band: tuple[float, float] | None = None,
) -> Evidence:
    """Evidence whose value, and the ends of whose band, are judged alike."""
    if band is not None and not np.isfinite(band).all():
        band = None
    ends = tuple(judge(end) for end in band or ())
    against = threshold if reference is None else reference
    return Evidence(name, label, kind, about, value, against, judge(value), threshold, band, ends)


def of_channels(data: xr.Dataset | None) -> Iterator[Evidence]:
    """Deficits at the lowest layer that can tell anything (`ASKED`), from the highest start of one method.

    None where no relevance arrives there, however alive the layers above are.
    """
    if data is None:
        return
    one = from_the_top(data)
    for name, label, kind in estimates(one):
        yield from _at_the_input(one, name, label, kind)
    if WORST in one:
        yield from map(_bound, _at_the_input(one, WORST, "certified deficit", "certified"))


def estimates(data: xr.Dataset) -> list[tuple[str, str, str]]:
    """(variable, label, kind) of what says how far apart the channels are, the strongest first."""
    measured = [(MEASURED, "measured deficit", "measured")] if MEASURED in data else []
    predicted = [(t.predicted, f"predicted deficit, {t.label}", "predicted") for t in schema.theories(data)]
    return measured + predicted


def of_the_map(comparison: xr.Dataset | None, classes: xr.Dataset | None) -> Iterator[Evidence]:
    """How far the whole map moves: with real classes where they were looked at, else with random starts."""
    limit = STILL**2 / 2
    share, distance = (median_over_images(classes, name) for name in ("movable_share", DISTANCE))
    (whole, band), (bound, _) = (_lowest(comparison, name) for name in (WHOLE_MAPS, MAP_UPPER))
    known = (
        ("movable_share", "movable share", "classes", share, STILL**2, None),
        (DISTANCE, "class distance", "classes", distance, limit, None),
        (WHOLE_MAPS, "deficit of whole maps", "measured", whole, limit, band),
    )
    for name, label, kind, value, threshold, ends in known:
        if value is not None:
            yield _judged(name, label, kind, "map", value, threshold, _at_most(threshold), band=ends)
    if bound is not None:
        label = "certified deficit of whole maps"
        yield _bound(_judged(MAP_UPPER, label, "certified", "map", bound, limit, _at_most(limit)))


def dead_from(comparison: xr.Dataset | None) -> str | None:
    """The highest layer at and below which no relevance of the highest start arrives, on any image."""
    if comparison is None or "dead_fraction" not in comparison:
        return None
    one = from_the_top(comparison)
    measured = [
        (str(label), f) for label, f in zip(one["label"].values, one["dead_fraction"].values, strict=True)
    ]
    dead = takewhile(lambda layer: layer[1] == 1, reversed([m for m in measured if np.isfinite(m[1])]))
    return next((label for label, _ in reversed(list(dead))), None)


def one_valued(comparison: xr.Dataset | None) -> bool:
    """Whether the measured maps have one value a location, as those of occlusion and IBA."""
    if comparison is None or not {MEASURED, WHOLE_MAPS} <= set(comparison):
        return False
    lowest = comparison.isel(layer=-1)
    return bool(np.isfinite(lowest[WHOLE_MAPS]).any() and not np.isfinite(lowest[MEASURED]).any())


def of_the_check(sanity: xr.Dataset | None) -> Iterator[Evidence]:
    """Similarity to the map of the trained network when the last layers have been randomised together.

    None where all cascades go further down: that a map changes with the whole network says nothing.
    """
    if sanity is None or "similarity_median" not in sanity:
        return
    measure, mode = _first(sanity, "measure", "ssim"), _first(sanity, "mode", "cascading")
    chosen = {"mode": mode, "measure": measure}
    curve = sanity["similarity_median"].sel(chosen).values.ravel()
    depth = sanity["depth"].values if "depth" in sanity else np.arange(1, len(curve) + 1)
    live = np.flatnonzero(np.isfinite(curve) & (depth <= LAST_LAYERS))
    if len(live):
        value, label = float(curve[live[-1]]), f"{measure} after randomising the last layers"
        band = None
        if "similarity_band" in sanity:
            ends = sanity["similarity_band"].sel(chosen).transpose(..., "side").values
            band = _ends(ends.reshape(-1, 2)[live[-1]])
        given = {"reference": SIMILAR, "band": band}
        near = SIMILAR if band is None or band[1] >= SIMILAR else CHANGED
        yield _judged("similarity_median", label, "randomised", "check", value, near, _similar, **given)


def forgotten(one: xr.Dataset) -> list[bool | None]:
    """Whether the channels of each layer have forgotten the start, by all of the 95% band where there is one;
    None where nothing is known.
    """
    name = next((name for name, *_ in estimates(one) if np.isfinite(one[name]).any()), None)
    if name is None:
        return [None] * one.sizes["layer"]
    values = one[name].values
    if (banded := _BANDS.get(name, f"{name}_band")) in one:
        values = np.fmax(values, one[banded].sel(side="upper").values)
    pairs = zip(values, baseline(one), strict=True)
    return [bool(v <= FORGOTTEN) if np.isfinite(v) and b > ASKED else None for v, b in pairs]


def from_the_top(data: xr.Dataset) -> xr.Dataset:
    """The highest start layer: that of the decision."""
    return data.sel(start=min(data["start"].values, key=lambda start: depth(data, start)))


def depth(data: xr.Dataset, start: str) -> int:
    """How far down the layers the first value of a start is."""
    one = data.sel(start=start).drop_vars(BASELINE, errors="ignore")
    known = [v.values for v in one.data_vars.values() if v.dims == ("layer",) and v.dtype.kind == "f"]
    return min(
        (int(np.argmax(np.isfinite(v))) for v in known if np.isfinite(v).any()), default=one.sizes["layer"]
    )


def median_over_images(data: xr.Dataset | None, name: str) -> float | None:
    """None where there is no value."""
    if data is None or name not in data:
        return None
    live = data[name].values[np.isfinite(data[name].values)]
    return float(np.median(live)) if len(live) else None


def _at_the_input(one: xr.Dataset, name: str, label: str, kind: str) -> Iterator[Evidence]:
    values, random = one[name].values, baseline(one)
    lowest = max((k for k, b in enumerate(random) if b > ASKED), default=None)
    if lowest is not None and np.isfinite(values[lowest]):
        given = {"reference": float(random[lowest]), "band": _band(one, name, lowest)}
        value, judge = float(values[lowest]), _at_most(FORGOTTEN)
        yield _judged(name, label, kind, "channels", value, FORGOTTEN, judge, **given)


def _bound(found: Evidence) -> Evidence:
    return found if found.says is Says.FORGETS else replace(found, says=Says.NOTHING)


def baseline(one: xr.Dataset) -> np.ndarray:
    """The median deficit of random vectors at each layer, in its live channels where these are known.

    1 where nothing is known.
    """
    known = one[BASELINE].values if BASELINE in one else np.ones(one.sizes["layer"])
    return np.fmin(known, one[LIVE].values) if LIVE in one else known


def _lowest(data: xr.Dataset | None, name: str) -> tuple[float | None, tuple[float, float] | None]:
    """The value at the lowest layer that has one, from the highest start, and its band; None where not."""
    if data is None or name not in data:
        return None, None
    one = from_the_top(data)
    live = np.flatnonzero(np.isfinite(one[name].values))
    return (float(one[name].values[live[-1]]), _band(one, name, live[-1])) if len(live) else (None, None)


def _band(one: xr.Dataset, name: str, layer: int) -> tuple[float, float] | None:
    """The 95% band of a variable at a layer."""
    banded = _BANDS.get(name, f"{name}_band")
    return _ends(one[banded].isel(layer=layer).values) if banded in one else None


def _ends(band: np.ndarray) -> tuple[float, float]:
    lower, upper = (float(end) for end in band)
    return lower, upper


def _first(data: xr.Dataset, dim: str, wanted: str) -> str:
    values = [str(value) for value in data[dim].values]
    return wanted if wanted in values else values[0]


def _at_most(threshold: float) -> Callable[[float], Says]:
    return lambda value: Says.FORGETS if value <= threshold else Says.REMEMBERS


def _similar(value: float) -> Says:
    return Says.FORGETS if value >= SIMILAR else Says.REMEMBERS if value <= CHANGED else Says.NOTHING
