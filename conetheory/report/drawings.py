"""Small drawings for the page, as SVG in its text: cones, what the channels keep, distances of classes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
import xarray as xr

from conetheory.report.findings import Findings
from conetheory.results.evidence import FORGOTTEN
from conetheory.results.verdict import Verdict
from conetheory.schema import MEASURED, WORST
from conetheory.schema.labels import short_label
from conetheory.theory.cone import angle_of_deficit

DISTANCES = {  # variable: what it is, tag, class, and what goes with it
    "class_distance_median": ("measured, median of pairs", "circle", "dot", {"r": 4}),
    "class_distance_worst": ("measured, worst pair", "circle", "ring", {"r": 4}),
    "predicted_class_distance": ("predicted", "path", "diamond", {"d": "M0,-5l5,5l-5,5l-5,-5z"}),
}


@dataclass(frozen=True)
class Cone:
    """One layer of one chain: the angle of the worst pair and of a median pair of starts, in degrees."""

    layer: str
    worst: float | None
    median: float | None
    diameter: float | None

    @property
    def label(self) -> str:
        parts = [
            f"nonnegative starts that arrive at most {angle(self.worst)} apart at every certified location"
            if self.worst is not None
            else "",
            f"median of random starts {angle(self.median)}" if self.median is not None else "",
            f"projective diameter at most {self.diameter:.3g}" if self.diameter is not None else "",
        ]
        return f"{self.layer}: {', '.join(part for part in parts if part)}"


def cones(findings: Findings) -> Iterator[tuple[str, str, list[Cone]]]:
    """(method, start, cones from the output to the input) of every chain."""
    chains: dict[tuple[str, str], list[Cone]] = {}
    for row in findings.comparison.rows() if findings.comparison is not None else ():
        worst, median = (
            None if (d := row.get(name)) is None else math.degrees(float(angle_of_deficit(d)))
            for name in (WORST, MEASURED)
        )
        cone = Cone(short_label(row["label"]), worst, median, row.get("certified_diameter_upper"))
        if worst is not None or median is not None:
            chains.setdefault((row["method"], row["start"]), []).append(cone)
    yield from ((*key, found) for key, found in chains.items())


def cone_svg(cone: Cone, width: float = 84, height: float = 64) -> str:
    """A quarter circle, all that a nonnegative cone can span, and in it the worst and the median pair."""
    radius = 0.92 * height
    sectors = [
        ("orthant", 90.0, radius),
        ("worst", cone.worst, radius),
        ("median", cone.median, 0.82 * radius),
    ]
    drawn = [_sector(width / 2, height - 1, r, max(d, 0.6), kind) for kind, d, r in sectors if d is not None]
    return _svg(width, height, cone.label, *drawn)


def angle(degrees: float | None) -> str:
    """Two digits of degrees, minutes or seconds of arc."""
    if degrees is None:
        return ""
    unit, factor = next((u for u in (("°", 1), ("′", 60)) if degrees * u[1] >= 0.995), ("″", 3600))
    value = degrees * factor
    return f"{value:.0f}{unit}" if value >= 9.95 else f"{value:.1f}{unit}"


def memory_svg(verdict: Verdict, exponent: int, width: float = 150) -> str:
    """Where the measured deficit, the random one and the certified one lie between cosine 0 and 1 - 10^-k."""
    known = next((e for e in verdict.evidence if e.about == "channels" and e.kind != "certified"), None)
    if known is None:
        return ""
    certified = verdict.find(WORST)
    at = lambda d: 5 + (width - 10) * min(1.0, -math.log10(min(max(d, 1e-30), 1.0)) / exponent)  # noqa: E731
    zone, random = at(FORGOTTEN), at(known.reference)
    parts = [
        _tag("rect", class_="zone", x=zone, y=1, width=width - zone, height=18),
        _tag("line", class_="rule", x1=5, x2=width - 5, y1=10, y2=10),
        _tag("line", class_="random", x1=random, x2=random, y1=5, y2=15),
    ]
    if certified is not None:
        x = at(certified.value)
        parts.append(_tag("path", class_="bound", d=f"M{x:.1f},3V17M{x:.1f},10h6m-3,-3l3,3l-3,3"))
    parts.append(_tag("circle", class_="dot", cx=at(known.value), cy=10, r=4.5))
    label = f"{known.label} {known.value:.2g}, random {known.reference:.2g}"
    label += f", certified at most {certified.value:.2g}" if certified is not None else ""
    return _svg(width, 20, label, *parts, class_="memory")


def distance_svg(classes: xr.Dataset, width: float = 640, row: float = 34, left: float = 150) -> str:
    """Class distances on a log axis: one line for each method, marks for each image."""
    methods = [str(m) for m in classes["method"].values]
    values = {n: classes[n].transpose("method", "image").values for n in DISTANCES if n in classes}
    live = np.concatenate([v[np.isfinite(v) & (v > 0)] for v in values.values()])
    low = math.floor(math.log10(live.min(initial=0.1)))
    at = lambda v: left + (width - left - 14) * (1 - math.log10(v) / low)  # noqa: E731
    height = row * len(methods) + 30
    parts = []
    for k in range(low, 1, max(1, math.ceil(-low / 8))):
        x, power = at(10.0**k), _tag("tspan", str(k).replace("-", "−"), dy=-4, font_size=8) if k else ""
        parts.append(_tag("line", class_="rule", x1=x, x2=x, y1=6, y2=height - 24))
        parts.append(_tag("text", f"10{power}" if k else "1", x=x, y=height - 8, text_anchor="middle"))
    for number, method in enumerate(methods):
        y = 6 + row * (number + 0.5)
        marks = _distances({name: found[number] for name, found in values.items()}, at, y)
        name = _tag("text", escape(method), class_="name", x=0, y=y + 4)
        parts.append(_tag("g", name, *marks, data_method=method))
    label = "Distances between the maps of two classes, by method"
    return _svg(width, height, label, *parts, class_="distances")


def _distances(values: dict[str, np.ndarray], at: Callable[[float], float], y: float) -> Iterator[str]:
    for name, found in values.items():
        words, tag, kind, more = DISTANCES[name]
        level = y + (8 if kind == "diamond" else -3)
        for value in found[np.isfinite(found) & (found > 0)]:
            place = f"translate({at(value):.1f} {level:.1f})"
            title = _tag("title", f"{words}: {value:.3g}")
            yield _tag(tag, title, class_=kind, transform=place, **more)


def _sector(x: float, y: float, radius: float, degrees: float, kind: str) -> str:
    dx, dy = (radius * f(math.radians(degrees / 2)) for f in (math.sin, math.cos))
    sides = f"M{x:.2f},{y:.2f}L{x - dx:.2f},{y - dy:.2f}"
    return _tag("path", class_=kind, d=f"{sides}A{radius:.2f},{radius:.2f} 0 0 1 {x + dx:.2f},{y - dy:.2f}Z")


def _svg(width: float, height: float, label: str, *inside: str, **attributes: Any) -> str:
    box = f"0 0 {width:g} {height:g}"
    attributes |= {"viewBox": box, "role": "img", "aria_label": label}
    return _tag("svg", _tag("title", escape(label)), *inside, **attributes)


def _tag(name: str, *inside: str, **attributes: Any) -> str:
    """An element. `inside` is markup already, attributes are escaped; `class_` is `class`, `a_b` is `a-b`."""
    text = {k: f"{v:.4g}" if isinstance(v, float) else escape(str(v)) for k, v in attributes.items()}
    said = "".join(f' {k.rstrip("_").replace("_", "-")}="{v}"' for k, v in text.items())
    return f"<{name}{said}>{''.join(inside)}</{name}>"
