"""`conetheory simulate`: random chains with their theory over them, dense as the paper's or convolutions."""

from __future__ import annotations

import json as json_format
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from conetheory.cli.console import out as stdout
from conetheory.counts import SEEDS, VECTORS
from conetheory.errors import InputError

if TYPE_CHECKING:
    import xarray as xr

MATRICES = "Variant of the matrices, such as positive or alpha2beta1 (repeatable). (default: all)"
CONV = "Random convolutions on grids, with the recursion and its power laws, in place of the matrices."
STARTS = "Random starts, with --conv of each kind. (default: 32, with --conv 4)"
REPEATS = "Draws of the weights. (default: 20, with --conv 8)"
OF_CONV = "With --conv: "


def _conv_option(help: str, metavar: str, **limits: Any) -> Any:
    return typer.Option(help=OF_CONV + help, metavar=metavar, show_default=False, **limits)


def run_simulation(
    matrices: Annotated[
        list[str] | None, typer.Option(metavar="VARIANT", help=MATRICES, show_default=False)
    ] = None,
    starts: Annotated[int | None, typer.Option(min=2, max=VECTORS, help=STARTS, show_default=False)] = None,
    repeats: Annotated[int | None, typer.Option(min=1, help=REPEATS, show_default=False)] = None,
    seed: Annotated[int, typer.Option(metavar="S", min=0, max=SEEDS, help="Seed of starts and weights.")] = 0,
    conv: Annotated[bool, typer.Option("--conv", help=CONV)] = False,
    dimensions: Annotated[
        list[int] | None, _conv_option("1 or 2, of the grid (repeatable). (default: both)", "D", min=1, max=2)
    ] = None,
    side: Annotated[
        int | None, _conv_option("places a side. (default: 1024 and 48)", "N", min=2, max=VECTORS)
    ] = None,
    depth: Annotated[int | None, _conv_option("layers. (default: 48)", "N", min=2, max=VECTORS)] = None,
    channels: Annotated[int | None, _conv_option("channels. (default: 64)", "N", min=2, max=VECTORS)] = None,
    kappa: Annotated[
        float | None, _conv_option("variance of the weights over their squared mean. (default: 1)", "K")
    ] = None,
    border: Annotated[
        str | None, _conv_option("periodic, or zero beyond it. (default: periodic)", "BORDER")
    ] = None,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for the results.")] = Path("out/simulate"),
    json: Annotated[bool, typer.Option("--json", help="Print the errors as JSON, and nothing else.")] = False,
) -> None:
    """Random chains, drawn, with theory over them: the paper's matrices (VGG-16 widths), or convolutions."""
    from conetheory.report.simulation_tables import conv_table, table
    from conetheory.runs.progress import shown
    from conetheory.runs.store import folder
    from conetheory.simulate import simulate

    of_chains = dict(
        dimensions=dimensions, side=side, depth=depth, channels=channels, kappa=kappa, border=border
    )
    given = {name: value for name, value in of_chains.items() if value not in (None, [])}
    given_to = {name: n for name, n in (("starts", starts), ("repeats", repeats)) if n is not None}
    if conv and matrices:
        raise InputError("--matrices are of dense chains: leave them out with --conv")
    if given and not conv:
        raise InputError(f"--{next(iter(given))} is an option of --conv")
    folder(out)
    with shown() as progress:
        settings = dict(given_to, seed=seed, progress=progress)
        if conv:
            dataset = _conv(given, settings)
        else:
            dataset = simulate(list(dict.fromkeys(matrices or ())) or None, **settings)
    dataset.to_netcdf(out / "simulation.nc", engine="h5netcdf")
    (_conv_figure if conv else _figure)(dataset).savefig(out / "simulation.png", dpi=150)
    text = json_format.dumps((_conv_errors if conv else _errors)(dataset), indent=2)
    (out / "simulation.json").write_text(text + "\n")
    if json:
        typer.echo(text)
        return
    stdout().print((conv_table if conv else table)(dataset))
    typer.echo(f"Written: {out}/simulation.nc, .json, .png")


def _conv(given: dict[str, Any], settings: dict[str, Any]) -> xr.Dataset:
    from conetheory.simulate_conv import SIDES, ConvChain, simulate_conv

    grids, side = dict.fromkeys(given.pop("dimensions", SIDES)), given.pop("side", None)
    return simulate_conv([ConvChain(d, side or SIDES[d], **given) for d in grids], **settings)


def _settings(dataset: xr.Dataset) -> dict[str, Any]:
    return {k: dataset.attrs[k] for k in ("starts", "repeats", "seed")}


def _errors(dataset: xr.Dataset) -> dict[str, Any]:
    """Median and largest |error| in decades over the layers, by variant."""
    found = {}
    for name in dataset["variant"].values:
        errors = abs(dataset["error_decades"].sel(variant=name, statistic="median")[1:])
        found[str(name)] = {
            "median_abs_error_decades": float(errors.median()),
            "max_abs_error_decades": float(errors.max()),
        }
    return {"errors": found, "settings": _settings(dataset)}


def _conv_errors(dataset: xr.Dataset) -> dict[str, Any]:
    from conetheory.simulate_conv import summary

    return {"chains": summary(dataset), "settings": _settings(dataset)}


def _figure(dataset: xr.Dataset) -> Any:
    from matplotlib.figure import Figure

    from conetheory.plotting.simulation import simulation

    figure = Figure(figsize=(7.5, 4.6), layout="constrained")
    simulation(dataset, figure.subplots(), [str(name) for name in dataset["variant"].values])
    return figure


def _conv_figure(dataset: xr.Dataset) -> Any:
    from conetheory.plotting.conv_chains import conv_figure

    return conv_figure(dataset)
