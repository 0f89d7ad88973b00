"""The main figure: measured CSC, the predictions drawn over it, and the certified bounds, layer by layer.

The y axis is the cosine on a logarithmic scale of its distance from 1 (0, 0.9, 0.99, ...), convergence
upwards; the x axis goes from the output to the input. One panel for each method and start layer.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from conetheory import schema
from conetheory.schema.labels import short_label

# Okabe and Ito's colours, which stay apart for colour-blind readers
MEASURED, PREDICTED, CERTIFIED, BASELINE = "#000000", "#0072B2", "#009E73", "#999999"
# of theories, by their place among them
THEORY_STYLES: tuple[dict[str, Any], ...] = (
    {"color": PREDICTED, "ls": "--", "marker": "o"},
    {"color": "#D55E00", "ls": ":", "marker": "D"},
    {"color": "#CC79A7", "ls": "-.", "marker": "s"},
    {"color": "#8C6D31", "ls": (0, (3, 1, 1, 1)), "marker": "^"},
    {"color": "#5A4FCF", "ls": (0, (6, 2)), "marker": "v"},
    {"color": "#B2182B", "ls": (0, (1, 1)), "marker": "P"},
    {"color": "#117A65", "ls": (0, (9, 1.5, 1, 1.5)), "marker": "X"},
    {"color": "#6E6E6E", "ls": (0, (5, 1, 1, 1, 1, 1)), "marker": "*"},
)
ORDER = ("measured", "95%", "5 to", "predicted", "certified", "random")  # of the legend, by first word
MAX_COLUMNS = 3
LAYERS_PER_INCH = 4.2


def csc_figure(data: xr.Dataset) -> Figure:
    """A comparison's figure, a panel for each method and start layer; save it with `figure.savefig`."""
    panels = [
        (str(m), str(s))
        for m in data["method"].values
        for s in data["start"].values
        if _reached(data, m, s).any()
    ]
    width = max(4.4, data.sizes["layer"] / LAYERS_PER_INCH)
    columns = max(1, min(len(panels), MAX_COLUMNS, int(15 // width)))
    rows = max(1, math.ceil(len(panels) / columns))
    names = 0.05 * max((len(short_label(str(label))) for label in data["label"].values), default=0)
    figure = Figure(figsize=(1.0 + columns * width, 1.0 + (2.9 + names) * rows), layout="constrained")
    top = lowest_power(data)
    axes = figure.subplots(rows, columns, sharey=True, squeeze=False)
    for number, (method, start) in enumerate(panels):
        panel = axes.flat[number]
        csc_panel(data, panel, method, start, top)
        if number % columns == 0:
            panel.set_ylabel("cosine similarity")
    for empty in axes.flat[len(panels) :]:
        empty.set_visible(False)
    cosine_axis(axes[0, 0], top)
    _legend(figure, axes.flat[: len(panels)])
    return figure


def csc_panel(data: xr.Dataset, axes: Axes, method: str, start: str, top: int) -> Axes:
    """One method and start layer of a comparison's dataset.

    Parameters
    ----------
    data
        (method, start, layer), as `Comparison.dataset`.
    axes
        to draw on.
    method, start
        by name.
    top
        the axis ends at the cosine `1 - 10^top`.

    Returns
    -------
    Axes
        the same.
    """
    one = data.sel({"method": method, "start": start}).isel(
        layer=np.flatnonzero(_reached(data, method, start))
    )
    x = np.arange(one.sizes["layer"])
    _certified(one, axes, x)
    if schema.BASELINE in one:
        axes.plot(x, one[schema.BASELINE], color=BASELINE, lw=0.9, zorder=2, label="random vectors")
    if schema.MEASURED in one:
        _measured(one, axes, x, 10.0**top)
    for theory in schema.theories(one):
        size = 4.4 if one.sizes["layer"] < 25 else 3.2
        hollow = {"mfc": "white", "mew": 1.2, "ms": size, "lw": 1.3, "zorder": 5}
        style = THEORY_STYLES[theory.rank % len(THEORY_STYLES)]
        axes.plot(x, positive(one[theory.predicted]), label=f"predicted: {theory.label}", **style, **hollow)
    axes.set_xticks(
        x,
        [short_label(str(label)) for label in one["label"].values],
        rotation=60,
        ha="right",
        rotation_mode="anchor",
    )
    axes.tick_params(axis="x", labelsize=8 if one.sizes["layer"] < 25 else 6.5, length=2)
    axes.set_xlim(-0.5, len(x) - 0.5)
    axes.set_title(f"{method} from {start}", loc="left", fontsize=10)
    axes.grid(axis="y", color="#e2e2e2", lw=0.6, zorder=0)
    axes.spines[["top", "right"]].set_visible(False)
    return axes


def _measured(one: xr.Dataset, axes: Axes, x: np.ndarray, least: float) -> None:
    if "measured_deficit_quantile" in one:
        low, high = (_within(one["measured_deficit_quantile"].sel(quantile=q), least) for q in (0.05, 0.95))
        axes.fill_between(
            x,
            low,
            high,
            color=MEASURED,
            alpha=0.07,
            lw=0,
            zorder=2.5,
            label="5 to 95% of pairs and locations",
        )
    if "measured_band" in one:
        low, high = (_within(one["measured_band"].sel(side=s), least) for s in ("lower", "upper"))
        axes.fill_between(
            x, low, high, color=MEASURED, alpha=0.28, lw=0, zorder=3, label="95% band of the median"
        )
    median = positive(one[schema.MEASURED])
    axes.plot(x, median, color=MEASURED, lw=2.0, zorder=4, label="measured median")


def _certified(one: xr.Dataset, axes: Axes, x: np.ndarray) -> None:
    """Steps at the lower bounds of the cosine; what is excluded at every certified location is shaded."""
    if schema.WORST not in one or not np.isfinite(one[schema.WORST]).any():
        return
    edges = np.append(x - 0.5, x[-1] + 0.5)
    for name, style in ((schema.WORST, "-"), (schema.TYPICAL, (0, (4, 1.5)))):
        bound, where = positive(one[name]), f"{schema.declared_as(name).label} {_certified_where(one)}"
        options = {
            "color": CERTIFIED,
            "lw": 1.4,
            "ls": style,
            "zorder": 3.5,
            "label": f"certified for nonnegative starts, {where}",
        }
        axes.stairs(bound, edges, baseline=None, **options)
        if style == "-":
            axes.stairs(bound, edges, baseline=2.0, fill=True, color=CERTIFIED, alpha=0.13, lw=0, zorder=1)


def _certified_where(one: xr.Dataset) -> str:
    """The worst of a sample is not the worst: a figure says which it is."""
    there = {"certified_positions", "locations"} <= set(one)
    all_of_them = there and bool(
        (one["certified_positions"] >= one["locations"]).sum() == one["locations"].count()
    )
    return "location" if all_of_them else "of the sampled locations"


def cosine_axis(axes: Axes, top: int) -> None:
    """Cosines 0, 0.9, 0.99, 1 - 1e-3, ... upwards."""
    axes.set_yscale("log")
    axes.set_ylim(1.25, 10.0**top)
    step = max(1, math.ceil(-top / 9))
    axes.yaxis.set_major_locator(FixedLocator([10.0**k for k in range(0, top - 1, -step)]))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda deficit, _: _cosine(round(math.log10(deficit)))))


def _cosine(exponent: int) -> str:
    known = {0: "0", -1: "0.9", -2: "0.99"}
    return known.get(exponent, f"$1-10^{{{exponent}}}$")


def _legend(figure: Figure, panels: Any) -> None:
    entries: dict[str, Any] = {}
    for axes in panels:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    if entries:
        names = sorted(entries, key=lambda name: next(i for i, o in enumerate(ORDER) if name.startswith(o)))
        options = {"frameon": False, "fontsize": 8.5}
        columns = min(len(entries), max(2, int(figure.get_figwidth() // 3)))
        figure.legend(
            [entries[n] for n in names], names, loc="outside lower center", ncols=columns, **options
        )


def _reached(data: xr.Dataset, method: str, start: str) -> np.ndarray:
    """Which layers have a value for this method and start."""
    one = data.sel({"method": method, "start": start})
    names = [schema.MEASURED, schema.WORST, *(t.predicted for t in schema.theories(data))]
    found = [np.isfinite(one[name].values) for name in names if name in one]
    return np.any(found, axis=0) if found else np.zeros(data.sizes["layer"], dtype=bool)


def lowest_power(data: xr.Dataset) -> int:
    """The power of ten below the smallest deficit that is drawn, the bands aside."""
    names = [schema.MEASURED, schema.TYPICAL, *(t.predicted for t in schema.theories(data))]
    values = [positive(data[name]).ravel() for name in names if name in data]
    live = np.concatenate([v[np.isfinite(v)] for v in values] or [np.array([])])
    return math.floor(math.log10(live.min(initial=0.1)) - 0.05)


def _within(deficit: xr.DataArray, least: float) -> np.ndarray:
    """Edges of a band, held within the axis: a deficit of zero is at its top."""
    return np.maximum(deficit.values, least)


def positive(deficit: Any) -> np.ndarray:
    """Deficits for a log axis: NaN where they are not positive."""
    values = np.asarray(deficit, dtype=float)
    return np.where(values > 0, values, np.nan)
