"""Similarity of maps against the layers that were randomised."""

from __future__ import annotations

import math

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from conetheory.plotting.csc import MEASURED
from conetheory.schema.labels import short_label

COLUMNS = 3


def sanity_figure(data: xr.Dataset) -> Figure:
    """Similarity against the layers randomised, a panel for each method, a line for each measure."""
    methods = [str(m) for m in data["method"].values]
    rows, columns = math.ceil(len(methods) / COLUMNS), min(len(methods), COLUMNS)
    figure = Figure(figsize=(1 + 3.4 * columns, 0.8 + 2.6 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, sharey=True, squeeze=False)
    for method, panel in zip(methods, axes.flat, strict=False):
        one = data.sel({"method": method}).isel(mode=0)
        for measure, style in zip(one["measure"].values, ("-", "--", ":", "-.", (0, (1, 4))), strict=False):
            curve = one.sel(measure=measure)
            x = np.arange(curve.sizes["layer"])
            panel.plot(
                x, curve["similarity_median"], color=MEASURED, ls=style, marker=".", label=str(measure)
            )
            if style == "-" and "similarity_band" in curve:
                low, high = (curve["similarity_band"].sel(side=side) for side in ("lower", "upper"))
                panel.fill_between(x, low, high, color=MEASURED, alpha=0.2, lw=0)
        _layers(panel, one)
        panel.set_title(method, loc="left", fontsize=10)
    for empty in axes.flat[len(methods) :]:
        empty.set_visible(False)
    axes[0, 0].set_ylabel("similarity")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, frameon=False, fontsize=8.5, loc="outside lower center", ncols=len(labels))
    return figure


def _layers(panel: Axes, data: xr.Dataset) -> None:
    labels = [
        short_label(str(layer)) for layer in (data["label"] if "label" in data else data["layer"]).values
    ]
    panel.set_xticks(range(len(labels)), labels, rotation=60, ha="right", rotation_mode="anchor", fontsize=8)
    panel.grid(axis="y", color="#e2e2e2", lw=0.6)
    panel.spines[["top", "right"]].set_visible(False)
