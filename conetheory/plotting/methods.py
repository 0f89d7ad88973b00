"""All methods of one network in one panel for each start layer: the paper's CSC figure, with predictions.

A line is a method's measured median cosine, named at its end; hollow marks of its colour are what the first
theory in rank that speaks of it predicts. Colours tell the families apart, line styles the methods of a
family.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from conetheory import schema
from conetheory.plotting.csc import LAYERS_PER_INCH, cosine_axis, lowest_power, positive
from conetheory.plotting.ends import End, name_ends
from conetheory.schema.labels import short_label

# Okabe and Ito's colours, by family in the order of first appearance
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C6D31")
STYLES: tuple[Any, ...] = (
    "-",
    "--",
    "-.",
    ":",
    (0, (5, 1, 1, 1, 1, 1)),
    (0, (1, 1)),
    (0, (7, 2)),
    (0, (3, 3)),
)
WIDTHS = (1.6, 3.0, 0.8, 4.4)  # of lines, where all styles are taken
# inches: a label, the room at the sides of a panel, above it, and the legend
LABEL, LEFT, RIGHT, ABOVE, LEGEND = 0.145, 1.1, 2.3, 0.4, 0.5
FLATTEST = 4.5  # of a panel's sides: lines of deep networks would be pressed together


def methods_figure(data: xr.Dataset) -> Figure:
    """A comparison's methods, a panel for each start layer; save it with `figure.savefig`."""
    measured = schema.MEASURED
    top = lowest_power(data[[measured]] if measured in data else data)  # predictions of rounding are off it
    starts = [str(s) for s in data["start"].values]
    styles = method_styles(families(data))
    width = max(5.0, data.sizes["layer"] / LAYERS_PER_INCH)
    height = max(3.4, width / FLATTEST, 1.15 * LABEL * len(styles))
    under = ABOVE + 0.4 + 0.055 * max((len(short_label(str(n))) for n in data["label"].values), default=0)
    figure = Figure(figsize=(LEFT + width + RIGHT, (height + under) * len(starts) + LEGEND))
    panels = figure.subplots(len(starts), 1, squeeze=False)[:, 0]
    whole = figure.get_size_inches()
    for number, (axes, start) in enumerate(zip(panels, starts, strict=True)):
        bottom = LEGEND + under - ABOVE + (height + under) * (len(starts) - 1 - number)
        axes.set_position((LEFT / whole[0], bottom / whole[1], width / whole[0], height / whole[1]))
        ends = _panel(data.sel(start=start), axes, start, styles)
        cosine_axis(axes, top)
        axes.set_ylabel("cosine similarity")
        name_ends(axes, ends, LABEL / height)
    _legend(figure, panels[0], families(data), styles)
    return figure


def _legend(
    figure: Figure, axes: Axes, families: Mapping[str, str], styles: Mapping[str, dict[str, Any]]
) -> None:
    """The colours' families, and the random vectors."""
    handles, names = axes.get_legend_handles_labels()
    known: dict[str, str] = {}
    for name, family in families.items():
        known.setdefault(family, styles[name]["color"])
    keys = [Line2D([], [], color=colour, lw=2) for colour in known.values()]
    found = [*keys, *handles], [*known, *names]
    figure.legend(*found, loc="lower left", frameon=False, fontsize=8, ncols=6, handlelength=1.6)


def families(data: xr.Dataset) -> dict[str, str]:
    """The family of each method; those of which it is not known are one of their own."""
    names = [str(m) for m in data["method"].values]
    known = data["family"].values if "family" in data.coords else [""] * len(names)
    return {m: f if isinstance(f, str) and f else "external" for m, f in zip(names, known, strict=True)}


def method_styles(families: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Colour, by family, and line, within it, of each method: no two are alike.

    Where there are more families than colours, those that share one go on with each other's lines.
    """
    order = list(dict.fromkeys(families.values()))
    colours = {family: COLOURS[i % len(COLOURS)] for i, family in enumerate(order)}
    lines = {colour: product(WIDTHS, STYLES) for colour in COLOURS}
    found = {}
    for name, family in families.items():
        width, style = next(lines[colours[family]])
        found[name] = {"color": colours[family], "ls": style, "lw": width}
    return found


def _panel(data: xr.Dataset, axes: Axes, start: str, styles: dict[str, dict[str, Any]]) -> list[End]:
    """Draw one start layer; where each method's line ends, of those that have one."""
    ends, labels, x = [], [], np.arange(data.sizes["layer"])
    if schema.BASELINE in data:
        baseline = data[schema.BASELINE]
        baseline = baseline.max("method") if "method" in baseline.dims else baseline
        axes.plot(x, baseline, color="#bbbbbb", lw=4, zorder=1, label="random vectors")
    for name, style in styles.items():
        one = data.sel({"method": name})  # `method` is a keyword of sel itself
        if schema.MEASURED in one:
            measured = positive(one[schema.MEASURED])
            live = np.isfinite(measured)  # a method of whole maps has no layer between output and input
            axes.plot(x[live], measured[live], zorder=3, **style)
            if live.any():
                ends.append(End(name, float(x[live][-1]), float(measured[live][-1]), style["color"]))
        if (theory := _first(one)) is not None:
            labels.append(theory.label)
            predicted = positive(one[theory.predicted])
            options = {"marker": "o", "ls": "", "ms": 4, "mfc": "white", "zorder": 4}
            axes.plot(x, predicted, color=style["color"], **options)
    axes.set_xticks(x, [short_label(str(label)) for label in data["label"].values], rotation=60, ha="right")
    axes.tick_params(axis="x", labelsize=8 if len(x) < 25 else 6.5, length=2)
    hollow = f"; hollow: predicted by {', '.join(dict.fromkeys(labels))}" if labels else ""
    axes.set_title(f"CSC from {start}{hollow}", loc="left", fontsize=10)
    axes.grid(axis="y", color="#e2e2e2", lw=0.6, zorder=0)
    axes.spines[["top", "right"]].set_visible(False)
    return ends


def _first(data: xr.Dataset) -> schema.Theory | None:
    """The first theory in rank that says anything of one method from one start layer."""
    spoken = (t for t in schema.theories(data) if np.isfinite(data[t.predicted]).any())
    return next(spoken, None)
