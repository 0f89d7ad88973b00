"""The paper's simulation with the closed form drawn over it.

    python -m experiments.simulate_chains --out DIR          # half a minute on two cores
    python -m experiments.simulate_chains --out DIR --smoke  # a second

Writes simulate_chains.png and .pdf (left: the fixed variants, right: the alpha-beta family; circles
simulated, lines closed form), the dataset as netCDF, and the errors as JSON.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
import xarray as xr
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from rich.console import Console

from conetheory.plotting.simulation import simulation
from conetheory.report.simulation_tables import table
from conetheory.runs.progress import shown
from conetheory.simulate import VGG16_BACKWARD, simulate
from experiments.small_png import save_small


def figure(dataset: xr.Dataset, statistic: str = "median") -> Figure:
    """Two panels, the fixed variants and the alpha-beta family."""
    names = [str(name) for name in dataset["variant"].values]
    family = [name for name in names if name.startswith("alpha")]
    fig = Figure(figsize=(11, 4.6), layout="constrained")
    FigureCanvasAgg(fig)
    left, right = fig.subplots(1, 2)
    simulation(dataset, left, [name for name in names if name not in family], statistic)
    simulation(dataset, right, family, statistic)
    left.set_title("one matrix law per curve", loc="left", fontsize=10)
    right.set_title("$\\alpha W^+ - \\beta\\,|W^-|$,  $\\beta = \\alpha - 1$", loc="left", fontsize=10)
    drawn = f"simulated, {dataset.attrs['starts']} starts, {dataset.attrs['repeats']} repeats"
    left.plot([], [], "o", color="#444444", ms=4.2, label=drawn)
    left.plot([], [], color="#444444", lw=1.6, label="closed form")
    left.legend(frameon=False, fontsize=8.5, loc="lower left")
    return fig


def main(
    out: Annotated[Path, typer.Option(help="directory for the figure, the dataset and the errors")],
    repeats: int = 20,
    seed: int = 0,
    smoke: Annotated[bool, typer.Option(help="small widths and few repeats")] = False,
) -> dict:
    """Simulate, compare, draw and save; returns the errors in decades by variant."""
    widths = [1 + (w + 7) // 8 for w in VGG16_BACKWARD[:-1]] + [3] if smoke else VGG16_BACKWARD
    with shown() as progress:
        dataset = simulate(widths=widths, repeats=2 if smoke else repeats, seed=seed, progress=progress)
    out.mkdir(parents=True, exist_ok=True)
    fig = figure(dataset)
    save_small(fig, out / "simulate_chains.png", dpi=200)
    fig.savefig(out / "simulate_chains.pdf")
    dataset.to_netcdf(out / "simulate_chains.nc", engine="h5netcdf")
    Console().print(table(dataset))
    errors = np.abs(dataset["error_decades"].sel(statistic="median").values)
    made = {
        str(name): {
            "median_error_decades": float(np.median(row[1:-1])),
            "worst_error_decades": float(row[1:-1].max()),
            "last_step_error_decades": float(row[-1]) if np.isfinite(row[-1]) else None,
        }
        for name, row in zip(dataset["variant"].values, errors, strict=True)
    }
    (out / "simulate_chains.json").write_text(json.dumps(made, indent=2) + "\n")
    return made


if __name__ == "__main__":
    typer.run(main)
