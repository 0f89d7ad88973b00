"""`conetheory simulate`: the paper's random-matrix chains with the closed form over them."""

from __future__ import annotations

import json as json_format
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from conetheory.cli.console import out as stdout
from conetheory.counts import SEEDS, VECTORS

if TYPE_CHECKING:
    import xarray as xr

MATRICES = "Variant of the matrices, such as positive or alpha2beta1 (repeatable). (default: all)"


def run_simulation(
    matrices: Annotated[
        list[str] | None, typer.Option(metavar="VARIANT", help=MATRICES, show_default=False)
    ] = None,
    starts: Annotated[int, typer.Option(min=2, max=VECTORS, help="Random starts.")] = 32,
    repeats: Annotated[int, typer.Option(min=1, help="Draws of the weights.")] = 20,
    seed: Annotated[int, typer.Option(metavar="S", min=0, max=SEEDS, help="Seed of starts and weights.")] = 0,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for the results.")] = Path("out/simulate"),
    json: Annotated[bool, typer.Option("--json", help="Print the errors as JSON, and nothing else.")] = False,
) -> None:
    """The paper's random-matrix chains (VGG-16 widths), simulated, with the closed form over them."""
    from conetheory.report.simulation_tables import table
    from conetheory.runs.progress import shown
    from conetheory.runs.store import folder
    from conetheory.simulate import simulate

    folder(out)
    with shown() as progress:
        dataset = simulate(
            list(dict.fromkeys(matrices or ())) or None,
            starts=starts,
            repeats=repeats,
            seed=seed,
            progress=progress,
        )
    dataset.to_netcdf(out / "simulation.nc", engine="h5netcdf")
    _figure(dataset).savefig(out / "simulation.png", dpi=150)
    text = json_format.dumps(_errors(dataset), indent=2)
    (out / "simulation.json").write_text(text + "\n")
    if json:
        typer.echo(text)
        return
    stdout().print(table(dataset))
    typer.echo(f"Written: {out}/simulation.nc, .json, .png")


def _errors(dataset: xr.Dataset) -> dict[str, Any]:
    """Median and largest |error| in decades over the layers, by variant."""
    found = {}
    for name in dataset["variant"].values:
        errors = abs(dataset["error_decades"].sel(variant=name, statistic="median")[1:])
        found[str(name)] = {
            "median_abs_error_decades": float(errors.median()),
            "max_abs_error_decades": float(errors.max()),
        }
    return {"errors": found, "settings": {k: dataset.attrs[k] for k in ("starts", "repeats", "seed")}}


def _figure(dataset: xr.Dataset) -> Any:
    from matplotlib.figure import Figure

    from conetheory.plotting.simulation import simulation

    figure = Figure(figsize=(7.5, 4.6), layout="constrained")
    simulation(dataset, figure.subplots(), [str(name) for name in dataset["variant"].values])
    return figure
