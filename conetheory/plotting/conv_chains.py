"""The figure of random convolutions: drawn deficits against the depth, recursion and powers over them."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

COLOURS = {"zero-mean": "#d95f02", "positive": "#1f78b4"}


def conv_chain(dataset: xr.Dataset, axes: Axes) -> Axes:
    """Draw one chain of a dataset (`.sel(chain=...)`): circles drawn, lines the recursion, dashes the theory.

    The dashed line has the theory's power of the depth and meets the recursion halfway down the layers.
    """
    layers = dataset["layer"].values[1:]
    for start in dataset["start"].values:
        one = dataset.sel(start=start, layer=layers)
        colour = COLOURS.get(str(start), "#444444")
        axes.plot(layers, one["recursion"], color=colour, lw=1.6, zorder=2)
        axes.plot(layers, one["simulated"], "o", color=colour, ms=3.8, mec="white", mew=0.5, zorder=3)
        label, power = f"{start} starts", float(one["exponent_theory"])
        if np.isfinite(power):
            middle = layers[len(layers) // 2]
            line = float(one["recursion"].sel(layer=middle)) * (layers / middle) ** power
            axes.plot(layers, line, color="#444444", lw=0.9, ls=(0, (4, 3)), zorder=1)
            label += f", $\\ell^{{{power:g}}}$"
        early = layers[int(len(layers) ** 0.5)]  # a falling curve has room above what comes after
        place = (early, float(one["recursion"].sel(layer=early)))
        axes.annotate(label, place, (4, 8), textcoords="offset points", color=colour, fontsize=8.5)
    for layer in str(dataset["strides"].values).split():
        axes.axvline(int(layer), color="#bbbbbb", lw=0.8, zorder=0)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter("")
    axes.set_xlabel("layers")
    axes.set_ylabel("median deficit  $1-|\\cos|$")
    grid = f"{int(dataset['side'])} places" + (" a side" if int(dataset["dimensions"]) == 2 else "")
    title = f"{int(dataset['dimensions'])}-d, {grid}, n = {int(dataset['channels'])}"
    axes.set_title(title, loc="left", fontsize=10)
    axes.grid(axis="y", color="#dddddd", lw=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    return axes


def conv_figure(dataset: xr.Dataset) -> Figure:
    """A panel for each chain of the dataset."""
    chains = dataset["chain"].values
    figure = Figure(figsize=(1 + 4.6 * len(chains), 4.2), layout="constrained")
    for chain, axes in zip(chains, figure.subplots(1, len(chains), squeeze=False)[0], strict=True):
        conv_chain(dataset.sel(chain=chain), axes)
    return figure
