"""Where relevance comes from: origins of channels over the picture, and the field of location weights."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from conetheory.plotting.maps import map_panel, rgb

# Okabe and Ito's colours and strokes, one for each channel
CHANNELS = (("#0072B2", "-"), ("#D55E00", "--"), ("#009E73", "-."), ("#CC79A7", ":"))
MASS = (0.5, 0.9)  # what the contours of a density enclose
SIDE = 2.3  # inches of a panel
FINE = 8  # points to a location of the cut, between which densities are interpolated


def origins_figure(data: xr.Dataset, image: str) -> Figure:
    """One image of a `maps` dataset with origins: a row a method: densities, then field and map by target."""
    one = data.sel({"image": image})
    methods = drawn_methods(data)
    targets = [str(t) for t in one["target"].values]
    size = (SIDE * (1 + 2 * len(targets)), (SIDE + 0.35) * len(methods) + 0.3)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(len(methods), 1 + 2 * len(targets), squeeze=False)
    for row, method in zip(axes, methods, strict=True):
        found = one.sel({"method": method})
        density_panel(row[0], found, f"{method}\norigins at {found['origin_layer'].item()}")
        for number, target in enumerate(targets):
            of = found.sel({"target": target})
            field_panel(row[1 + 2 * number], of, f"{target}\nweights on {found['origin_cut'].item()}")
            map_panel(row[2 + 2 * number], of["map"].values, f"{target}\nmap")
        options = {"loc": "upper center", "bbox_to_anchor": (0.5, 0.0), "frameon": False, "fontsize": 6}
        row[0].legend(
            ncols=len(CHANNELS),
            handlelength=1.4,
            columnspacing=0.8,
            title="channels",
            title_fontsize=6,
            **options,
        )
    return figure


def drawn_methods(data: xr.Dataset) -> list[str]:
    """The methods whose origins are known."""
    if "origin_density" not in data:
        return []
    dims = [d for d in data["origin_density"].dims if d != "method"]
    known = data["origin_density"].notnull().any(dims)
    return [str(m) for m, there in zip(data["method"].values, known.values, strict=True) if there]


def density_panel(axes: Axes, one: xr.Dataset, title: str = "") -> None:
    """Half and nine tenths of each origin over the grey picture, its mean, and the location as a cross."""
    axes.set_title(title, fontsize=7)
    axes.set_axis_off()
    height, width = one["picture"].shape[:2]
    grey = rgb(one["picture"].values).mean(-1)
    axes.imshow(0.35 + 0.65 * grey, cmap="gray", vmin=0, vmax=1)
    for (colour, stroke), (channel, x, y, density) in zip(CHANNELS, _densities(one), strict=False):
        levels = _levels(density)
        axes.contourf(x, y, density, [levels[0], density.max() * 1.01], colors=[colour], alpha=0.22)
        axes.contour(x, y, density, levels, colors=[colour], linestyles=[stroke], linewidths=1.3)
        mean = [float((grid * density).sum() / density.sum()) for grid in (x, y)]
        axes.plot(*mean, "o", color=colour, mec="white", mew=0.8, ms=5)
        axes.plot([], [], color=colour, ls=stroke, label=f"{channel}")
    y, x = one["origin_place"].values * (height, width) - 0.5
    axes.plot(x, y, "x", color="black", mew=3.2, ms=8)
    axes.plot(x, y, "x", color="white", mew=1.4, ms=7)
    axes.set_xlim(-0.5, width - 0.5)
    axes.set_ylim(height - 0.5, -0.5)


def field_panel(axes: Axes, one: xr.Dataset, title: str = "") -> None:
    """s over its mean, red above and blue below it, with arrows up its gradient (central differences)."""
    axes.set_title(title, fontsize=7)
    axes.set_axis_off()
    field = one["location_field"].values.astype(float)
    limit = max(np.nanmax(np.abs(field - 1), initial=0.0), 1e-12)
    axes.imshow(field, cmap="RdBu_r", vmin=1 - limit, vmax=1 + limit)
    if min(field.shape) < 2 or not np.isfinite(field).all():
        return
    down, right = np.gradient(field)
    size = np.hypot(down, right).max() or 1.0
    options = {"angles": "xy", "scale_units": "xy", "scale": 1.0, "width": 0.007, "color": "#222222"}
    y, x = np.mgrid[: field.shape[0], : field.shape[1]]
    axes.quiver(x, y, 1.4 * right / size, 1.4 * down / size, **options)


def _densities(one: xr.Dataset) -> Iterator[tuple[int, np.ndarray, np.ndarray, np.ndarray]]:
    """(channel, x, y, density) of each, interpolated, in pixels of the picture; a signed one by its positive
    part.
    """
    from scipy.ndimage import zoom

    height, width = one["picture"].shape[:2]
    for channel, values in zip(one["origin_channel"].values, one["origin_density"].values, strict=True):
        if not np.isfinite(values).all() or not (values > 0).any():
            continue
        fine = zoom(np.pad(values.astype(float), 1), FINE, order=1, grid_mode=True, mode="nearest")
        fine = np.clip(cast(np.ndarray, fine), 0, None)  # scipy declares no types
        rows, columns = values.shape
        y = (np.arange(fine.shape[0]) + 0.5) / FINE - 1
        x = (np.arange(fine.shape[1]) + 0.5) / FINE - 1
        grids: tuple[Any, Any] = np.meshgrid(x * width / columns - 0.5, y * height / rows - 0.5)
        yield int(channel), *grids, fine


def _levels(density: np.ndarray) -> list[float]:
    """The heights above which `MASS` of a density lies, ascending."""
    ordered = np.sort(density.ravel())[::-1]
    mass = np.cumsum(ordered) / ordered.sum()
    found = sorted({float(ordered[np.searchsorted(mass, share)]) for share in MASS})
    return found if len(found) > 1 else [found[0] * 0.5, found[0]]
