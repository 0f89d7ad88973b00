"""Where the decision is forgotten: decades of the deficit lost at each operation."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from conetheory.plotting.csc import MEASURED, THEORY_STYLES
from conetheory.schema import CROSSING, PROJECTION, STRIDE
from conetheory.schema.labels import short_label

LOST = "rate_lost_"


def rates_figure(data: xr.Dataset) -> Figure:
    """Bars of what was measured, marks of what theories say, from the start down."""
    one = data.isel(method=0, start=0)
    figure = Figure(figsize=(max(5.0, 1.5 + 0.32 * one.sizes["layer"]), 3.6), layout="constrained")
    lost_panel(one, figure.subplots())
    return figure


def _narrowing(one: xr.Dataset) -> np.ndarray:
    """Which operations have a stride or are in a projection block, as the row below has it."""
    if CROSSING not in one.coords:
        return np.zeros(one.sizes["layer"], bool)
    crossed = [str(text) for text in one[CROSSING].values[1:]]
    return np.array([*(STRIDE in text or PROJECTION in text for text in crossed), False])


def lost_panel(one: xr.Dataset, axes: Axes) -> Axes:
    """One method and start of a dataset of rates; strides and projection blocks are shaded."""
    x = np.arange(one.sizes["layer"])
    for place in np.flatnonzero(_narrowing(one)):
        axes.axvspan(place - 0.5, place + 0.5, color="#f0e6d2", lw=0, zorder=0)
    known = [str(name) for name in one.data_vars if str(name).startswith(LOST)]
    measured, theories = f"{LOST}measured", [name for name in known if name != f"{LOST}measured"]
    if measured in known:
        axes.bar(x, one[measured], color=MEASURED, alpha=0.25, width=0.8, label="measured", zorder=2)
    for number, name in enumerate(theories):
        style = {k: v for k, v in THEORY_STYLES[number % len(THEORY_STYLES)].items() if k != "ls"}
        label = one[name].attrs.get("label", name.removeprefix(LOST))
        axes.plot(x, one[name], ls="none", ms=4.5, mfc="white", mew=1.2, label=label, zorder=3, **style)
    labels = [short_label(str(label)) for label in one["label"].values]
    axes.set_xticks(x, labels, rotation=60, ha="right", rotation_mode="anchor")
    axes.tick_params(axis="x", labelsize=7, length=2)
    axes.axhline(0.0, color="#999999", lw=0.8)
    axes.set_ylabel("decades of the deficit lost")
    axes.set_title(f"{one['method'].item()} from {one['start'].item()}", loc="left", fontsize=10)
    axes.grid(axis="y", color="#e2e2e2", lw=0.6, zorder=0)
    axes.spines[["top", "right"]].set_visible(False)
    if known:
        axes.legend(fontsize=8, frameon=False)
    return axes
