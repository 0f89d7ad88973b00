"""All methods of one network in one panel for each start layer: the paper's CSC figure, with predictions.

A line is a method's measured median cosine; hollow marks of its colour are the prediction. Colours tell
the families apart, line styles the methods of a family.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from conetheory.errors import InputError
from conetheory.plotting.csc import LAYERS_PER_INCH, cosine_axis, lowest_power, positive, short_label
from conetheory.results.comparison import Comparison
from conetheory.rules.registry import find

# Okabe and Ito's colours, by family in the order of first appearance
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C6D31")
STYLES: tuple[Any, ...] = (
    "-",
    "--",
    "-.",
    ":",
    (0, (5, 1, 1, 1, 1, 1)),
    (0, (1, 1)),
    (0, (7, 2)),
    (0, (3, 3)),
)


def methods_figure(comparison: Comparison) -> Figure:
    """A figure with a panel for each start layer; save it with `figure.savefig`."""
    data = comparison.dataset
    measured = "measured_deficit_median"
    top = lowest_power(data[[measured]] if measured in data else data)  # predictions of rounding are off it
    starts = [str(s) for s in data["start"].values]
    styles = method_styles([str(m) for m in data["method"].values])
    width = max(5.0, data.sizes["layer"] / LAYERS_PER_INCH)
    figure = Figure(
        figsize=(3.2 + width, 0.8 + max(4.2, 0.21 * len(styles)) * len(starts)), layout="constrained"
    )
    panels = figure.subplots(len(starts), 1, squeeze=False)[:, 0]
    for axes, start in zip(panels, starts, strict=True):
        _panel(comparison, axes, start, styles)
        cosine_axis(axes, top)
        axes.set_ylabel("cosine similarity")
    handles, names = panels[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside right upper", frameon=False, fontsize=8, handlelength=3.2)
    return figure


def method_styles(names: list[str]) -> dict[str, dict[str, Any]]:
    """Colour and line style of each method; those that are not registered are a family of their own."""
    families: dict[str, list[str]] = {}
    for name in names:
        families.setdefault(_family(name), []).append(name)
    return {
        name: {"color": COLOURS[i % len(COLOURS)], "ls": STYLES[j % len(STYLES)]}
        for i, members in enumerate(families.values())
        for j, name in enumerate(members)
    }


def _family(name: str) -> str:
    try:
        return find(name).family
    except InputError:
        return "external"


def _panel(comparison: Comparison, axes: Axes, start: str, styles: dict[str, dict[str, Any]]) -> None:
    data = comparison.dataset.sel(start=start)
    x = np.arange(data.sizes["layer"])
    if "baseline_deficit" in data:
        baseline = data["baseline_deficit"]
        baseline = baseline.max("method") if "method" in baseline.dims else baseline
        axes.plot(x, baseline, color="#bbbbbb", lw=4, zorder=1, label="random vectors")
    for name, style in styles.items():
        one = data.sel({"method": name})  # `method` is a keyword of sel itself
        if "measured_deficit_median" in one:
            measured = positive(one["measured_deficit_median"])
            live = np.isfinite(measured)  # a method of whole maps has no layer between output and input
            axes.plot(x[live], measured[live], lw=1.6, zorder=3, label=name, **style)
        for theory in comparison.theories:
            predicted = positive(one[f"predicted_{theory}"])
            options = {"marker": "o", "ls": "", "ms": 4, "mfc": "white", "zorder": 4}
            axes.plot(x, predicted, color=style["color"], **options)
    axes.set_xticks(x, [short_label(str(label)) for label in data["label"].values], rotation=60, ha="right")
    axes.tick_params(axis="x", labelsize=8 if len(x) < 25 else 6.5, length=2)
    axes.set_title(f"CSC from {start}; hollow: predicted", loc="left", fontsize=10)
    axes.grid(axis="y", color="#e2e2e2", lw=0.6, zorder=0)
    axes.spines[["top", "right"]].set_visible(False)
