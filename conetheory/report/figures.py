"""The figures of a report for Markdown and PDF, drawn by matplotlib; the page draws its own."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from conetheory.plotting.csc import BASELINE, MEASURED, SPECTRUM, csc_figure
from conetheory.report.pictures import rgb, scaled
from conetheory.report.studies import Study

COLUMNS = 3


def figures(study: Study) -> Iterator[tuple[str, str, Figure]]:
    """(name, title, figure) of everything in a study that can be drawn."""
    if study.comparison is not None:
        yield "csc", "Predicted over measured", csc_figure(study.comparison)
    if study.sanity is not None:
        yield "sanity", "Randomising the network", sanity_figure(study.sanity)
    if study.classes is not None and "class_distance_median" in study.classes:
        yield "classes", "Another class, another map?", classes_figure(study.classes)
    if study.maps is not None:
        yield "maps", "Maps, side by side", gallery_figure(study.maps)


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
    labels = [str(layer) for layer in (data["label"] if "label" in data else data["layer"]).values]
    panel.set_xticks(range(len(labels)), labels, rotation=60, ha="right", rotation_mode="anchor", fontsize=8)
    panel.grid(axis="y", color="#e2e2e2", lw=0.6)
    panel.spines[["top", "right"]].set_visible(False)


def classes_figure(data: xr.Dataset) -> Figure:
    """Distances of the maps of two classes, a line for each method, a mark for each image."""
    methods = [str(m) for m in data["method"].values]
    figure = Figure(figsize=(8, 1.4 + 0.4 * len(methods)), layout="constrained")
    axes = figure.subplots()
    styles = {
        "class_distance_median": ("o", MEASURED, MEASURED, "measured, median pair"),
        "class_distance_worst": ("o", "none", MEASURED, "measured, worst pair"),
        "predicted_class_distance": ("D", "none", SPECTRUM, "predicted"),
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
    axes.set_xlabel("distance 1 − |cos| of the maps of two classes")
    axes.grid(axis="x", color=BASELINE, alpha=0.25, lw=0.6)
    axes.spines[["top", "right", "left"]].set_visible(False)
    figure.legend(frameon=False, fontsize=8.5, loc="outside lower center", ncols=len(styles))
    return figure


def gallery_figure(data: xr.Dataset) -> Figure:
    """A row for each image and target: the picture, then the map of every method."""
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
            panel.imshow(scaled(one.values), cmap="RdBu_r", vmin=-1, vmax=1)
    for panel in axes.flat:
        panel.set_xticks([])
        panel.set_yticks([])
        panel.spines[:].set_visible(False)
    for panel, method in zip(axes[0, 1:], methods, strict=True):
        panel.set_title(method, fontsize=7)
    return figure
