"""Saliency maps beside the picture they explain, as the paper draws them.

Positive and negative values are scaled by themselves, each by its 99th percentile, and shown from -1 (blue)
to 1 (red) with white at zero; a map of one sign is scaled by the percentile of its absolute value.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

STYLE = {"vmin": -1, "vmax": 1, "cmap": "seismic", "interpolation": "nearest"}
PERCENTILE = 99.0
COLUMNS = 7  # of a figure, the picture's included
SIDE = 1.9  # inches of a panel


def visible(values: np.ndarray, percentile: float = PERCENTILE) -> np.ndarray:
    """A map `(H, W)` scaled to [-1, 1] for the eye (see the module); zero where the scale is zero."""
    values = np.asarray(values, dtype=float)
    if (values > 0).all() or (values < 0).all():
        scaled = values / np.percentile(np.abs(values), percentile)
    else:
        high, low = np.percentile(values, [percentile, 100 - percentile])
        scaled = np.where(values >= 0, _over(values, high), -_over(values, low))
    return np.clip(scaled, -1, 1)


def maps_figure(data: xr.Dataset, image: str) -> Figure:
    """One image of a `maps` dataset: for each target the picture and the map of every method."""
    one = data.sel({"image": image})
    methods, targets = [str(m) for m in one["method"].values], [str(t) for t in one["target"].values]
    block = math.ceil(len(methods) / (COLUMNS - 1))  # rows of a target, of as many methods each
    width = 1 + math.ceil(len(methods) / block)
    size = (SIDE * width, (SIDE + 0.25) * block * len(targets))
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(block * len(targets), width, squeeze=False)
    for panel in axes.flat:
        panel.set_axis_off()
    for number, target in enumerate(targets):
        rows = axes[number * block : (number + 1) * block]
        _picture(rows[0, 0], one, target)
        for panel, method in zip(rows[:, 1:].flat, methods, strict=False):
            map_panel(panel, one["map"].sel({"method": method, "target": target}).values, method)
    return figure


def map_panel(axes: Axes, values: np.ndarray, title: str = "") -> Any:
    """One map; grey where there is none."""
    axes.set_title(title, fontsize=7)
    axes.set_axis_off()
    if not np.isfinite(values).all():
        return axes.imshow(np.full((*values.shape, 3), 0.8))
    return axes.imshow(visible(values), **STYLE)


def _picture(axes: Axes, one: xr.Dataset, target: str) -> None:
    axes.imshow(np.clip(one["picture"].values, 0, 1))
    name = str(one["class_name"].sel({"target": target}).item())
    axes.set_title(name if target == name else f"{target}: {name}", fontsize=7)


def _over(values: np.ndarray, scale: float) -> np.ndarray:
    return values / scale if scale != 0 else np.zeros_like(values)
