"""How fast random chains merge, against depth and width: simulation, closed form and the rate kappa/n.

    python -m experiments.rate_depth_width --out DIR [--smoke]

Left: the median deficit of alpha2-beta1 chains of constant width against depth. Right: the factor per layer
of merged pairs against the width, for five matrix laws, with the line kappa/n. Writes rate_depth_width.png,
.pdf and .json (the factors with the prediction).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
import xarray as xr
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from rich.progress import track

from conetheory.simulate import simulate, variants
from conetheory.theory.randomlayers import rate
from experiments.small_png import save_small

LAWS = {
    "positive": "#1f78b4",
    "nonnegative": "#e7298a",
    "alpha2beta1": "#1b9e77",
    "alpha3beta2": "#d95f02",
    "alpha5beta4": "#7570b3",
}
LABELS = {"alpha2beta1": "$\\alpha$ = 2", "alpha3beta2": "$\\alpha$ = 3", "alpha5beta4": "$\\alpha$ = 5"}


def factors(data: xr.Dataset, kind: str, skip: int) -> np.ndarray:
    """Geometric mean of the factor of the median deficit per layer, from layer `skip` on, by variant."""
    curve = np.log(data[kind].sel(statistic="median").values)
    return np.exp((curve[:, -1] - curve[:, skip]) / (curve.shape[1] - 1 - skip))


def draw_depth(axes: Axes, runs: dict[int, xr.Dataset]) -> None:
    """Median deficit of alpha2-beta1 against depth, one curve per width."""
    shades = colormaps["viridis"]
    for place, (width, data) in enumerate(runs.items()):
        colour = shades(0.82 * (1 - place / max(1, len(runs) - 1)))
        one = data.sel(variant="alpha2beta1", statistic="median")
        axes.plot(one["layer"], one["closed_form"], color=colour, lw=1.6)
        axes.plot(one["layer"], one["simulated"], "o", color=colour, ms=4.2, mec="white", mew=0.5)
        end = float(one["closed_form"][-1])
        axes.annotate(
            f"n = {width}",
            (float(one["layer"][-1]), end),
            (6, 0),
            textcoords="offset points",
            color=colour,
            fontsize=8.5,
            va="center",
            annotation_clip=False,
        )
    axes.set_yscale("log")
    axes.set_xlabel("layers")
    axes.set_ylabel("median deficit  $1-|\\cos|$")
    axes.set_title(
        "$\\alpha$ = 2, $\\beta$ = 1: circles simulated, lines closed form", loc="left", fontsize=10
    )


def draw_rates(axes: Axes, widths: Sequence[int], measured: dict[str, list[float]]) -> None:
    """Factor per layer against width; the lines are kappa/n where it is below 1."""
    table = variants([2, 3, 5])
    grid = np.geomspace(min(widths) / 1.3, max(widths) * 1.3, 200)
    for name, colour in LAWS.items():
        line = np.array([rate(table[name].layer, float(n)) for n in grid])
        axes.plot(grid[line < 1], line[line < 1], color=colour, lw=1.4)
        axes.plot(widths, measured[name], "o", color=colour, ms=5, mec="white", mew=0.5)
        axes.annotate(
            LABELS.get(name, name),
            (grid[-1], line[-1]),
            (5, 0),
            textcoords="offset points",
            color=colour,
            fontsize=8.5,
            va="center",
            annotation_clip=False,
        )
    axes.axhline(1, color="#999999", lw=0.8, ls=(0, (4, 3)))
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xticks(widths, [str(n) for n in widths])
    axes.minorticks_off()
    axes.set_xlabel("width n")
    axes.set_ylabel("factor of the deficit per layer")
    axes.set_title("circles simulated, lines $\\kappa/n$", loc="left", fontsize=10)


def main(
    out: Annotated[Path, typer.Option(help="directory for the figure and the numbers")],
    seed: int = 0,
    smoke: Annotated[bool, typer.Option(help="small widths, few repeats")] = False,
) -> dict:
    """Simulate chains of constant width, draw, and save; returns the factors by law and width."""
    widths = (16, 32) if smoke else (32, 64, 128, 256, 512, 1024)
    depth, repeats, skip = (8, 2, 4) if smoke else (14, 12, 6)
    runs = {
        n: simulate(list(LAWS), widths=[n] * (depth + 1), repeats=repeats, seed=seed, alphas=(2, 3, 5))
        for n in track(widths, "widths")
    }
    measured = np.stack([factors(data, "simulated", skip) for data in runs.values()])
    by_law = {name: [float(x) for x in measured[:, i]] for i, name in enumerate(LAWS)}
    fig = Figure(figsize=(10.5, 4.2), layout="constrained")
    FigureCanvasAgg(fig)
    left, right = fig.subplots(1, 2)
    draw_depth(left, runs)
    draw_rates(right, widths, by_law)
    for axes in (left, right):
        axes.grid(axis="y", color="#dddddd", lw=0.6)
        axes.spines[["top", "right"]].set_visible(False)
    out.mkdir(parents=True, exist_ok=True)
    save_small(fig, out / "rate_depth_width.png", dpi=200)
    fig.savefig(out / "rate_depth_width.pdf")
    table = variants([2, 3, 5])
    made = {
        name: {
            str(n): {"measured": value, "kappa_over_n": rate(table[name].layer, n)}
            for n, value in zip(widths, by_law[name], strict=True)
        }
        for name in LAWS
    }
    (out / "rate_depth_width.json").write_text(json.dumps(made, indent=2) + "\n")
    return made


if __name__ == "__main__":
    typer.run(main)
