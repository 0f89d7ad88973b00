"""One explanation in words: where the decision is lost, to what, what is left of it, what brings it back.

Every sentence is a measurement, an estimate or a theorem about the numbers of a result, and says which. What
was not run is not spoken of.

    lost   the layer from which on the deficit is at most `evidence.FORGOTTEN`, or that there is none
    to     the falls of the deficit between a layer and the one whose relevance it gets, in decades, and what
           lies between; each split into the start's own channels (T) and the origins (A): with tau the share
           of T in the tail and d the deficit, `(tau_above d_above - tau d) / (d_above - d)` of a fall is T's.
           A goes with (apart / width)^2 of the origins (theorem origin-law): where channels are averaged
           their mean origins come together, where locations are mixed they widen; which does more is said
    left   shares of the tail at the lowest layer: in the span of G, of T; the field that is left
    back   what was measured to remember: other methods, other starts, layers further up
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import xarray as xr

from conetheory.results import evidence
from conetheory.results.curves import Curve, Fall, curve_of
from conetheory.schema import (
    APART,
    BASELINE,
    CUT,
    FORMULA,
    GRADIENT,
    PROJECTION,
    STRIDE,
    TRANSIENT,
    WHOLE_MAPS,
    WIDTH,
)

MOST = 3  # falls that are named one by one
LEAST = 0.3  # decades: a factor of two, less is not named
MAINLY = 2 / 3  # of a fall or of a tail
SAMPLED = "origin, sampled"


@dataclass(frozen=True)
class Sentence:
    """about: lost, to, left or back. source: measured, a theory, or a theorem by its id."""

    about: str
    text: str
    source: str

    def __str__(self) -> str:
        return f"{self.text} ({self.source})."


@dataclass(frozen=True)
class Explanation:
    """What the numbers say of one method from one start layer."""

    method: str
    start: str
    sentences: tuple[Sentence, ...]

    @property
    def text(self) -> str:
        return " ".join(map(str, self.sentences))

    def record(self) -> dict[str, Any]:
        """Plain data, as written to JSON."""
        said = [vars(sentence) for sentence in self.sentences]
        return {"method": self.method, "start": self.start, "text": self.text, "sentences": said}


def explanations(data: xr.Dataset) -> list[Explanation]:
    """One for each method and start layer of a comparison of which a deficit is known below the start."""
    found = []
    for method in map(str, data["method"].values):
        for start in map(str, data["start"].values):
            curve = curve_of(data.sel({"method": method, "start": start}))
            if curve is not None:
                parts = (_lost(curve), _to(curve), _left(curve), _back(data, curve, method, start))
                sentences = tuple(sentence for part in parts for sentence in part)
                found.append(Explanation(method, start, sentences))
    return found


# ---------------------------------------------------------------- lost


def _lost(curve: Curve) -> Iterator[Sentence]:
    last = curve.lowest
    random = curve.random.get(last) if BASELINE in curve.data else None
    beside = f", of {_number(random)} for random vectors" if random is not None else ""
    from_here = curve.forgotten_from
    now = f"a median {FORMULA} of {_number(curve.value(last))}{beside}"
    if from_here is None:
        keeps = curve.value(last) > evidence.FORGOTTEN
        text = "The decision is not lost" if keeps else "Whether the decision is lost is not known"
        yield Sentence(
            "lost", f"{text}: at {curve.label(last)} the channels of two starts have {now}", curve.source
        )
        return
    first = curve.label(from_here)
    text = f"The decision is lost from {first} down, where {FORMULA} is {_number(curve.value(from_here))}"
    if from_here != last:
        text += f"; at {curve.label(last)} the channels of two starts have {now}"
    yield Sentence("lost", text, curve.source)


# ---------------------------------------------------------------- to what


def _to(curve: Curve) -> Iterator[Sentence]:
    total = sum(fall.decades for fall in curve.falls if math.isfinite(fall.decades))
    largest = sorted((f for f in curve.falls if f.decades >= LEAST), key=lambda f: -f.decades)[:MOST]
    if not largest:
        return
    named = "; ".join(_said(curve, fall) for fall in largest)
    verb = "are" if len(largest) > 1 else "is"
    text = f"Of {total:.1f} decades from {curve.label(curve.falls[0].above)} down the largest {verb} {named}"
    sources = [curve.source, *([SAMPLED] if any(curve.split(f) is not None for f in largest) else [])]
    yield Sentence("to", text, "; ".join(dict.fromkeys(sources)))
    yield from _blocks(curve)


def _said(curve: Curve, fall: Fall) -> str:
    """A fall with what lies between its layers, and what is averaged away there."""
    size = f"{fall.decades:.1f}" if math.isfinite(fall.decades) else "all that is left"
    where = f"{size} between {curve.label(fall.above)} and {curve.label(fall.layer)}"
    crossing = f" ({fall.crossing})" if fall.crossing else ""
    share = curve.split(fall)
    if share is None:
        return where + crossing
    if share >= MAINLY:
        return f"{where}{crossing}, channels averaged: {_part(share)} of it is the start's own channels"
    if share <= 1 - MAINLY:
        return f"{where}{crossing}, {_overlap(curve, fall, _part(1 - share))}"
    return (
        f"{where}{crossing}, {_part(share)} of it the start's own channels that are averaged, "
        f"{_part(1 - share)} the overlap of origins"
    )


def _overlap(curve: Curve, fall: Fall, part: str) -> str:
    """How origins come to overlap: averaged channels bring means together, mixed locations widen them."""
    said = f"{part} of it is the overlap of origins"
    apart, now_apart = (curve.at(APART, layer) for layer in (fall.above, fall.layer))
    wide, now_wide = (curve.at(WIDTH, layer) for layer in (fall.above, fall.layer))
    if not apart or not now_apart or not wide or not now_wide:
        return said
    if apart / now_apart >= now_wide / wide:
        return f"channels averaged: {said}, whose means come together ({apart:.2g} to {now_apart:.2g} pixels)"
    return f"locations mixed: {said}, which widen ({wide:.2g} to {now_wide:.2g} pixels)"


def _blocks(curve: Curve) -> Iterator[Sentence]:
    """What all projection blocks and all other strides cost together."""
    projections = [f for f in curve.falls if f.crossing.startswith(PROJECTION)]
    strides = [f for f in curve.falls if STRIDE in f.crossing and f not in projections]
    for name, group in (("projection block", projections), ("stride", strides)):
        total = sum(f.decades for f in group)
        if group and math.isfinite(total):
            named = f"{len(group)} {name}{'s' if len(group) > 1 else ''}"
            verb = "falls" if total >= 0 else "rises"
            text = f"Across {named} {FORMULA} {verb} by {abs(total):.1f} decades"
            yield Sentence("to", text, curve.source)


# ---------------------------------------------------------------- left


def _left(curve: Curve) -> Iterator[Sentence]:
    layer = curve.lowest_with(GRADIENT)
    inside, own = (None if layer is None else curve.at(name, layer) for name in (GRADIENT, TRANSIENT))
    if layer is not None and inside is not None and own is not None:
        text = (
            f"Of what still differs at {curve.label(layer)} {_percent(inside)} lies in the span of G and "
            f"{_percent(own)} comes from the start's own channels, at the median location"
        )
        yield Sentence("left", text, SAMPLED)
        yield from _field(curve, layer, inside, own)
    whole = curve.at(WHOLE_MAPS, curve.lowest)
    if whole is not None:
        text = (
            f"Whole maps, with how much goes to which location, have a median {FORMULA} of {_number(whole)}"
        )
        yield Sentence("left", text, "measured")


def _field(curve: Curve, layer: str, inside: float, own: float) -> Iterator[Sentence]:
    """What two maps can differ by there, where one thing explains most of it."""
    cut, width, apart = curve.text(CUT), curve.at(WIDTH, layer), curve.at(APART, layer)
    if own >= MAINLY:
        yield Sentence("left", "Two maps differ there mostly by what the start's own channels show", SAMPLED)
    elif own > 1 - MAINLY:
        where = f"on {cut}" if cut else "of the cut"
        text = f"Two maps differ there by the location weights {where} and by the start's own channels"
        yield Sentence("left", text, SAMPLED)
    elif inside >= MAINLY and cut and width is not None and apart is not None:
        text = (
            f"Two maps differ there by the value and, to that share, by the gradient of one field, the "
            f"location weights on {cut}: the value times what all maps share, the gradient times G; an "
            f"origin is {width:.2g} of its pixels wide (standard deviation), and channels' mean origins lie "
            f"{apart:.1g} from their mean (rms)"
        )
        yield Sentence("left", text, "theorem gradient-expansion; origin")


# ---------------------------------------------------------------- back


def _back(data: xr.Dataset, curve: Curve, method: str, start: str) -> Iterator[Sentence]:
    if curve.forgotten_from is None:
        return
    others = [
        (str(m), found)
        for m in data["method"].values
        if m != method and (found := curve_of(data.sel({"method": m, "start": start}))) is not None
    ]
    kept = {name: c for name, c in others if _remembers(c)}
    if kept:
        values = [f"{name} {_number(c.value(c.lowest))} at {c.label(c.lowest)}" for name, c in kept.items()]
        text = f"Other methods from {start} remember: {_listed(values)}"
        yield Sentence("back", text, _sources(kept.values()))
    lower = [
        (str(s), found)
        for s in data["start"].values
        if s != start and (found := curve_of(data.sel({"method": method, "start": s}))) is not None
    ]
    kept = {name: c for name, c in lower if _remembers(c)}
    if kept:
        values = [f"from {name} {_number(c.value(c.lowest))}" for name, c in kept.items()]
        yield Sentence(
            "back", f"From other start layers it remembers: {_listed(values)}", _sources(kept.values())
        )
    above = curve.remembers_at
    if above is not None:
        text = f"Read at {curve.label(above)} it still has {FORMULA} {_number(curve.value(above))}"
        yield Sentence("back", text, curve.source)


def _remembers(curve: Curve) -> bool:
    return curve.forgotten_from is None and curve.value(curve.lowest) > evidence.FORGOTTEN


def _sources(curves: Iterable[Curve]) -> str:
    return "; ".join(dict.fromkeys(curve.source for curve in curves))


def _listed(words: list[str], most: int = 4) -> str:
    more = f" and {len(words) - most} more" if len(words) > most else ""
    return ", ".join(words[:most]) + more


def _number(value: float) -> str:
    if value >= 0.001 or value == 0:
        return f"{value:.2g}"
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{mantissa}e{int(exponent)}"


def _part(share: float) -> str:
    """A share of a fall; the other part may have risen."""
    return _percent(share) if share < 1 else "all"


def _percent(share: float) -> str:
    return f"{100 * share:.0f}%"
