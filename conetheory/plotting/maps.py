"""Saliency maps beside the picture they explain, as the paper draws them.

A map is shown from -1 (blue) to 1 (red) with white at zero, both signs on one scale: relevance is clipped
where its absolute value has its percentile `CLIP`. Figures and the page of a report share it (`scaled`).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from conetheory.errors import InputError

STYLE = {"vmin": -1, "vmax": 1, "cmap": "RdBu_r", "interpolation": "nearest"}
CLIP = 99.5  # percentile of |relevance| at which a map's colours saturate, as in Sixt et al. (2020)
COLUMNS = 7  # of a figure, the picture's included
SIDE = 1.9  # inches of a panel


def maps_figure(data: xr.Dataset, image: str) -> Figure:
    """One image of a `maps` dataset: for each target the picture and the map of every method.

    Parameters
    ----------
    data
        (method, image, target, y, x), as `Maps.dataset`.
    image
        by name.

    Returns
    -------
    Figure
        a row for each target.
    """
    _checked(data)
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


def _checked(data: xr.Dataset) -> None:
    if not {"y", "x"} <= set(data["map"].dims):
        raise InputError("maps of vectors are no pictures: there is no figure of them")


def map_panel(axes: Axes, values: np.ndarray, title: str = "") -> Any:
    """One map; grey where there is none."""
    axes.set_title(title, fontsize=7)
    axes.set_axis_off()
    if not np.isfinite(values).all():
        return axes.imshow(np.full((*values.shape, 3), 0.8))
    return axes.imshow(scaled(values), **STYLE)


def _picture(axes: Axes, one: xr.Dataset, target: str) -> None:
    axes.imshow(np.clip(one["picture"].values, 0, 1))
    name = str(one["class_name"].sel({"target": target}).item())
    axes.set_title(name if target == name else f"{target}: {name}", fontsize=7)


def scaled(values: np.ndarray) -> np.ndarray:
    """A map in [-1, 1], zero staying zero, clipped at the percentile `CLIP`; absent values are zero."""
    values = np.nan_to_num(np.asarray(values, dtype=float))
    limit = np.percentile(np.abs(values), CLIP) or np.abs(values).max(initial=0.0) or 1.0
    return np.clip(values / limit, -1, 1)


def rgb(values: np.ndarray) -> np.ndarray:
    """A picture of numbers from 0 to 1, or from 0 to 255, in [0, 1]."""
    values = np.nan_to_num(np.asarray(values, dtype=float))
    return np.clip(values / (255.0 if values.max(initial=0.0) > 1.5 else 1.0), 0, 1)


def gallery_figure(data: xr.Dataset) -> Figure:
    """A row for each image and target: the picture, then the map of every method."""
    _checked(data)
    methods = [str(m) for m in data["method"].values]
    maps = data["map"].transpose("method", "image", "target", "y", "x")
    shown = maps.notnull().any(("method", "y", "x"))
    rows = [
        (i, t) for i in data["image"].values for t in data["target"].values if shown.sel(image=i, target=t)
    ]
    figure = Figure(figsize=(1.5 * (1 + len(methods)), 0.3 + 1.55 * max(1, len(rows))), layout="constrained")
    axes = figure.subplots(max(1, len(rows)), 1 + len(methods), squeeze=False)
    for row, (image, target) in zip(axes, rows, strict=False):
        if "picture" in data:
            row[0].imshow(rgb(data["picture"].sel(image=image).values))
        row[0].set_ylabel(f"{image}\n{target}", fontsize=7)
        for panel, method in zip(row[1:], methods, strict=True):
            one = maps.sel({"method": method, "image": image, "target": target})
            panel.imshow(scaled(one.values), **STYLE)
    for panel in axes.flat:
        panel.set_xticks([])
        panel.set_yticks([])
        panel.spines[:].set_visible(False)
    for panel, method in zip(axes[0, 1:], methods, strict=True):
        panel.set_title(method, fontsize=7)
    return figure
