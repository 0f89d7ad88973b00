"""The evidence for a verdict: numbers from results, each held against a threshold that has a reason.

A result says something about the *channels* at a location of the input, about the whole *map*, or it is a
*check* by randomisation. Within each the strongest evidence comes first. An estimate speaks both ways; an
upper bound of a deficit says that something is forgotten, or nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import takewhile

import numpy as np
import xarray as xr

from conetheory import schema
from conetheory.schema import BASELINE, DISTANCE, MAP_UPPER, MEASURED, WHOLE_MAPS, WORST

FORGOTTEN = 1e-2
"""Channels forget at this deficit and below: two vectors with `1 - |cos| = d` differ in 2d of their energy,
so at most 2% of it can tell. Random vectors of as many channels are far from there (0.5 for three), except of
a single channel, whose cosine is always 1: such layers are not asked."""
STILL = 0.05
"""A map stands still where a change of class moves it by at most this share of its norm, root mean square: a
few of 256 grey levels, which a reader does not see. A deficit d moves it by sqrt(2 d), a share v of its
variance by sqrt(v)."""
SIMILAR, CHANGED = 0.8, 0.5
"""Median similarity (SSIM) of maps before and after the last layers are randomised. Above the first the map
stays, under the second it changes, between them it can't be said."""
LAST_LAYERS = 2
"""How many layers count as the last: the one that makes the logits and the one that feeds it."""


class Says(StrEnum):
    FORGETS = "forgets"
    REMEMBERS = "remembers"
    NOTHING = "decides nothing"


@dataclass(frozen=True)
class Evidence:
    """A number and what it says of `about`: the channels, the map or the check.

    name: its variable. label: in words. kind: of `schema.KINDS`. reference: what it is read against; for
    channels the deficit of random vectors, else the threshold.
    """

    name: str
    label: str
    kind: str
    about: str
    value: float
    reference: float
    says: Says


def of_channels(data: xr.Dataset | None) -> Iterator[Evidence]:
    """Deficits at the lowest layer with more than one channel, from the highest start of one method.

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
    known = (
        ("movable_share", "movable share", "classes", median_over_images(classes, "movable_share"), STILL**2),
        (DISTANCE, "class distance", "classes", median_over_images(classes, DISTANCE), limit),
        (WHOLE_MAPS, "deficit of whole maps", "measured", _lowest(comparison, WHOLE_MAPS), limit),
    )
    for name, label, kind, value, threshold in known:
        if value is not None:
            yield Evidence(name, label, kind, "map", value, threshold, _says(value <= threshold))
    bound, label = _lowest(comparison, MAP_UPPER), "certified deficit of whole maps"
    if bound is not None:
        yield _bound(Evidence(MAP_UPPER, label, "certified", "map", bound, limit, _says(bound <= limit)))


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
    curve = sanity["similarity_median"].sel({"mode": mode, "measure": measure}).values.ravel()
    depth = sanity["depth"].values if "depth" in sanity else np.arange(1, len(curve) + 1)
    live = curve[np.isfinite(curve) & (depth <= LAST_LAYERS)]
    if len(live):
        value = float(live[-1])
        says = Says.FORGETS if value >= SIMILAR else Says.REMEMBERS if value <= CHANGED else Says.NOTHING
        label = f"{measure} after randomising the last layers"
        yield Evidence("similarity_median", label, "randomised", "check", value, SIMILAR, says)


def forgotten(one: xr.Dataset) -> list[bool | None]:
    """Whether the channels of each layer have forgotten the start; None where nothing is known."""
    name = next((name for name, *_ in estimates(one) if np.isfinite(one[name]).any()), None)
    if name is None:
        return [None] * one.sizes["layer"]
    pairs = zip(one[name].values, _baseline(one), strict=True)
    return [bool(v <= FORGOTTEN) if np.isfinite(v) and b > FORGOTTEN else None for v, b in pairs]


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
    values, baseline = one[name].values, _baseline(one)
    lowest = max((k for k, b in enumerate(baseline) if b > FORGOTTEN), default=None)
    if lowest is not None and np.isfinite(values[lowest]):
        value, says = float(values[lowest]), _says(values[lowest] <= FORGOTTEN)
        yield Evidence(name, label, kind, "channels", value, float(baseline[lowest]), says)


def _bound(found: Evidence) -> Evidence:
    return found if found.says is Says.FORGETS else replace(found, says=Says.NOTHING)


def _baseline(one: xr.Dataset) -> np.ndarray:
    return one[BASELINE].values if BASELINE in one else np.ones(one.sizes["layer"])


def _lowest(data: xr.Dataset | None, name: str) -> float | None:
    """The value at the lowest layer that has one, from the highest start."""
    if data is None or name not in data:
        return None
    values = from_the_top(data)[name].values
    live = values[np.isfinite(values)]
    return float(live[-1]) if len(live) else None


def _first(data: xr.Dataset, dim: str, wanted: str) -> str:
    values = [str(value) for value in data[dim].values]
    return wanted if wanted in values else values[0]


def _says(forgets: bool) -> Says:
    return Says.FORGETS if forgets else Says.REMEMBERS
