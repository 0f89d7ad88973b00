"""Critical alpha: where alpha-beta chains of a given width stop converging.

    python -m experiments.critical_alpha --out DIR [--smoke]

Left: the median deficit after 40 layers against alpha, for four widths, with alpha*(n) marked. Right: the
factor per layer against rho = kappa/n, where all widths fall on one curve, min(rho, 1) for wide layers.
Writes critical_alpha.png, .pdf and .json.
"""

from __future__ import annotations

import json
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

from conetheory.simulate import simulate
from conetheory.theory.randomlayers import alpha_beta, critical_alpha, rate
from experiments.small_png import save_small


def names_of(alphas: np.ndarray) -> list[str]:
    return [alpha_beta(float(alpha)).name for alpha in alphas]


def sweep(width: int, layers: int, points: int, repeats: int, seed: int) -> tuple[np.ndarray, xr.Dataset]:
    """Chains of one width for alphas from 1 to 1.6 alpha*(width)."""
    alphas = np.round(np.linspace(1, 1.6 * critical_alpha(width), points), 2)
    widths = [width] * (layers + 1)
    return alphas, simulate(
        names_of(alphas), widths=widths, repeats=repeats, seed=seed, alphas=alphas.tolist()
    )


def half_life_factor(data: xr.Dataset, kind: str) -> np.ndarray:
    """Geometric mean of the factor per layer over the second half of the chain, by variant."""
    curve = np.log(data[kind].sel(statistic="median").values)
    half = (curve.shape[1] - 1) // 2
    return np.exp((curve[:, -1] - curve[:, half]) / (curve.shape[1] - 1 - half))


def draw_deficits(
    axes: Axes, runs: dict[int, tuple[np.ndarray, xr.Dataset]], colours: dict[int, tuple]
) -> None:
    """Deficit at the end against alpha; a tick and a thin line at each alpha*(n)."""
    for width, (alphas, data) in runs.items():
        one = data.sel(statistic="median").isel(layer=-1)
        axes.plot(alphas, one["closed_form"], color=colours[width], lw=1.6)
        axes.plot(alphas, one["simulated"], "o", color=colours[width], ms=4.2, mec="white", mew=0.5)
        border = critical_alpha(width)
        axes.axvline(border, color=colours[width], lw=0.9, ls=(0, (4, 3)))
        axes.annotate(
            f"n = {width}",
            (border, 1),
            (0, 3),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            ha="center",
            color=colours[width],
            fontsize=8.5,
            annotation_clip=False,
        )
    layers = next(iter(runs.values()))[1].sizes["layer"] - 1
    axes.set_yscale("log")
    axes.set_xlabel("$\\alpha$")
    axes.set_ylabel(f"median deficit after {layers} layers")
    axes.set_xlim(0.5, 1.3 * max(map(critical_alpha, runs)))
    axes.text(0.97, 0.05, "dashed: $\\alpha^*(n)$", transform=axes.transAxes, ha="right", fontsize=8.5)


def draw_collapse(
    axes: Axes, runs: dict[int, tuple[np.ndarray, xr.Dataset]], colours: dict[int, tuple]
) -> None:
    """Factor per layer against rho, every width on min(rho, 1)."""
    rho = np.geomspace(0.003, 3, 200)
    axes.plot(rho, np.minimum(rho, 1), color="#444444", lw=1.2, label="$\\min(\\rho, 1)$")
    for width, (alphas, data) in runs.items():
        at = [rate(alpha_beta(float(alpha)), width) for alpha in alphas]
        found = half_life_factor(data, "simulated")
        axes.plot(at, found, "o", color=colours[width], ms=4.6, mec="white", mew=0.5, label=f"n = {width}")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("$\\rho = (\\pi(\\alpha^2+\\beta^2)-1)/n$")
    axes.set_ylabel("factor of the deficit per layer")
    axes.legend(frameon=False, fontsize=8.5, loc="lower right")


def main(
    out: Annotated[Path, typer.Option(help="directory for the figure and the numbers")],
    seed: int = 0,
    smoke: Annotated[bool, typer.Option(help="small widths, few points")] = False,
) -> dict:
    """Sweep alpha at several widths, draw, and save; returns deficits and factors by width."""
    widths = (16, 32) if smoke else (64, 128, 256, 512)
    layers, points, repeats = (8, 4, 2) if smoke else (40, 20, 8)
    runs = {n: sweep(n, layers, points, repeats, seed) for n in track(widths, "widths")}
    shades = colormaps["viridis"]
    colours = {n: shades(0.82 * (1 - i / (len(widths) - 1))) for i, n in enumerate(widths)}
    fig = Figure(figsize=(10.5, 4.3), layout="constrained")
    FigureCanvasAgg(fig)
    left, right = fig.subplots(1, 2)
    draw_deficits(left, runs, colours)
    draw_collapse(right, runs, colours)
    for axes in (left, right):
        axes.grid(axis="y", color="#dddddd", lw=0.6)
        axes.spines[["top", "right"]].set_visible(False)
    out.mkdir(parents=True, exist_ok=True)
    save_small(fig, out / "critical_alpha.png", dpi=200)
    fig.savefig(out / "critical_alpha.pdf")
    made = {
        str(n): {
            "alpha_critical": critical_alpha(n),
            "alphas": alphas.tolist(),
            "deficit_simulated": data["simulated"].sel(statistic="median").values[:, -1].tolist(),
            "deficit_closed_form": data["closed_form"].sel(statistic="median").values[:, -1].tolist(),
            "factor_simulated": half_life_factor(data, "simulated").tolist(),
        }
        for n, (alphas, data) in runs.items()
    }
    (out / "critical_alpha.json").write_text(json.dumps(made, indent=2) + "\n")
    return made


if __name__ == "__main__":
    typer.run(main)
