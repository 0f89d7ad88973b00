"""Distances of the maps of two classes."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from conetheory.plotting.csc import BASELINE, MEASURED, PREDICTED
from conetheory.schema import FORMULA


def classes_figure(data: xr.Dataset) -> Figure:
    """Distances of the maps of two classes, a line for each method, a mark for each image."""
    methods = [str(m) for m in data["method"].values]
    figure = Figure(figsize=(8, 1.4 + 0.4 * len(methods)), layout="constrained")
    axes = figure.subplots()
    styles = {
        "class_distance_median": ("o", MEASURED, MEASURED, "measured, median pair"),
        "class_distance_worst": ("o", "none", MEASURED, "measured, worst pair"),
        "predicted_class_distance": ("D", "none", PREDICTED, "predicted"),
    }
    for name, (marker, face, edge, label) in styles.items():
        if name not in data:
            continue
        values = np.asarray(data[name].transpose("method", "image").values, dtype=float)
        y = np.broadcast_to(np.arange(len(methods))[:, None], values.shape)
        y = y + (0.22 if name.startswith("predicted") else 0.0)
        live = np.isfinite(values) & (values > 0)
        axes.plot(values[live], y[live], marker, mfc=face, mec=edge, ls="none", ms=5, label=label)
    axes.set_xscale("log")
    axes.set_yticks(range(len(methods)), methods, fontsize=9)
    axes.invert_yaxis()
    axes.set_xlabel(f"distance {FORMULA} of the maps of two classes")
    axes.grid(axis="x", color=BASELINE, alpha=0.25, lw=0.6)
    axes.spines[["top", "right", "left"]].set_visible(False)
    figure.legend(frameon=False, fontsize=8.5, loc="outside lower center", ncols=len(styles))
    return figure
