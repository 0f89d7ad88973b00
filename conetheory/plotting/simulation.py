"""The simulation figure: deficits of the paper's random-matrix chains, closed form drawn over simulation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib import colormaps
from matplotlib.axes import Axes

from conetheory.plotting.ends import spread

COLOURS = {
    "vanilla": "#7f7f7f",
    "relu": "#d95f02",
    "positive-sums": "#a6761d",
    "pattern": "#7570b3",
    "row-stochastic": "#66a61e",
    "column-stochastic": "#1b9e77",
    "positive": "#1f78b4",
    "nonnegative": "#e7298a",
}
LABELS = {"relu": "ReLU", "positive-sums": "positive sums", "pattern": "pattern $A\\odot W$"}


def _label(name: str) -> str:
    return LABELS.get(
        name, f"$\\alpha$ = {name[5 : name.index('beta')]}" if name.startswith("alpha") else name
    )


def simulation(dataset: xr.Dataset, axes: Axes, names: Sequence[str], statistic: str = "median") -> Axes:
    """Draw the variants `names` of a simulation dataset: circles simulated, lines closed form."""
    layers = dataset["layer"].values
    shades = colormaps["viridis"]
    family = [name for name in names if name not in COLOURS]
    ends, colours = [], []
    for name in names:
        one = dataset.sel(variant=name, statistic=statistic)
        place = family.index(name) / max(1, len(family) - 1) if name in family else 0.0
        colour = COLOURS.get(name) or shades(0.82 * (1 - place))
        axes.plot(layers, one["closed_form"], color=colour, lw=1.6, zorder=2)
        axes.plot(layers, one["simulated"], "o", color=colour, ms=4.2, mec="white", mew=0.5, zorder=3)
        ends.append(float(np.log10(one["closed_form"].values[-1])))
        colours.append(colour)
    axes.set_yscale("log")
    lowest = float(np.floor(min(ends)))
    axes.set_ylim(10 ** (lowest - 1), 10**1.2)
    axes.set_xlim(-0.3, layers[-1] + 0.3)
    for name, end, height, colour in zip(
        names, ends, spread(ends, (2.2 - lowest) * 0.045), colours, strict=True
    ):
        axes.annotate(
            _label(name),
            xy=(layers[-1], 10**end),
            xytext=(layers[-1] + 0.9, 10**height),
            color=colour,
            fontsize=8.5,
            va="center",
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": colour, "lw": 0.6, "shrinkA": 1, "shrinkB": 4},
        )
    axes.set_xlabel("matrix products (VGG-16 widths, from the logits down)")
    axes.set_ylabel("deficit  $1-|\\cos|$")
    axes.set_xticks(layers[::4])
    axes.grid(axis="y", color="#dddddd", lw=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    return axes
