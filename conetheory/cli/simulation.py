"""`conetheory simulate`: random chains with their theory over them, dense as the paper's or convolutions."""

from __future__ import annotations

import json as json_format
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Group, Parameter

from conetheory.cli import console
from conetheory.cli.options import Json, group
from conetheory.cli.values import whole
from conetheory.counts import SEEDS, VECTORS
from conetheory.errors import InputError

if TYPE_CHECKING:
    import xarray as xr

    from conetheory.progress import Progress
    from conetheory.simulate_conv import ConvChain

MATRICES = "Variant of the matrices, such as positive or alpha2beta1 (repeatable). (default: all)"
CONV = "Random convolutions on grids, with the recursion and its power laws, in place of the matrices."
STARTS = "Random starts, with --conv of each kind. (default: 32, with --conv 4)"
REPEATS = "Draws of the weights. (default: 20, with --conv 8)"
SIDE = "Places a side. (default: 1024 and 48)"
OF_KAPPA = "Variance of the weights over their squared mean. (default: 1)"

BORDER = "Periodic, or zero beyond it. (default: periodic)"
Border = Literal["periodic", "zero"]


@group(Group("With --conv"))
@dataclass(frozen=True, kw_only=True)
class ConvOptions:
    """Which convolutions; None and () stand for the usual ones."""

    dimensions: Annotated[
        tuple[int, ...], whole("D", "1 or 2, of the grid (repeatable). (default: both)", 1, 2)
    ] = ()
    side: Annotated[int | None, whole("N", SIDE, 2, VECTORS)] = None
    depth: Annotated[int | None, whole("N", "Layers. (default: 48)", 2, VECTORS)] = None
    channels: Annotated[int | None, whole("N", "Channels. (default: 64)", 2, VECTORS)] = None
    kappa: Annotated[float | None, Parameter(metavar="K", help=OF_KAPPA)] = None
    border: Annotated[Border | None, Parameter(metavar="BORDER", help=BORDER)] = None

    @property
    def given(self) -> list[str]:
        """The options that are not at their defaults."""
        return [name for name, value in asdict(self).items() if value not in (None, ())]

    def chains(self) -> list[ConvChain]:
        """One on each grid."""
        from conetheory.simulate_conv import CHANNELS, DEPTH, KAPPA, SIDES, ConvChain

        return [
            ConvChain(
                grid,
                self.side or SIDES[grid],
                depth=self.depth or DEPTH,
                channels=self.channels or CHANNELS,
                kappa=KAPPA if self.kappa is None else self.kappa,
                border=self.border or "periodic",
            )
            for grid in dict.fromkeys(self.dimensions or SIDES)
        ]


def run_simulation(
    *,
    matrices: Annotated[tuple[str, ...], Parameter(metavar="VARIANT", help=MATRICES)] = (),
    starts: Annotated[int | None, whole("N", STARTS, 2, VECTORS)] = None,
    repeats: Annotated[int | None, whole("N", REPEATS, 1)] = None,
    seed: Annotated[int, whole("S", "Seed of starts and weights.", 0, SEEDS)] = 0,
    conv: Annotated[bool, Parameter(help=CONV)] = False,
    of_conv: ConvOptions = ConvOptions(),
    out: Annotated[Path, Parameter(metavar="DIR", help="Folder for the results.")] = Path("out/simulate"),
    json: Json = False,
) -> None:
    """Random chains, drawn, with theory over them: the paper's matrices (VGG-16 widths), or convolutions."""
    from conetheory.report.simulation_tables import conv_table, table
    from conetheory.runs.progress import shown
    from conetheory.runs.store import folder

    if conv and matrices:
        raise InputError("--matrices are of dense chains: leave them out with --conv")
    if of_conv.given and not conv:
        raise InputError(f"--{of_conv.given[0]} is an option of --conv")
    folder(out)
    with shown() as progress:
        if conv:
            dataset = _conv(of_conv, starts, repeats, seed, progress)
        else:
            dataset = _dense(matrices, starts, repeats, seed, progress)
    dataset.to_netcdf(out / "simulation.nc", engine="h5netcdf")
    (_conv_figure if conv else _figure)(dataset).savefig(out / "simulation.png", dpi=150)
    text = json_format.dumps((_conv_errors if conv else _errors)(dataset), indent=2)
    (out / "simulation.json").write_text(text + "\n")
    if json:
        print(text)
        return
    stdout = console.out()
    console.show(stdout, (conv_table if conv else table)(dataset))
    console.say(stdout, f"Written: {out}/simulation.nc, .json, .png")


def _dense(
    matrices: tuple[str, ...], starts: int | None, repeats: int | None, seed: int, progress: Progress
) -> xr.Dataset:
    from conetheory.simulate import REPEATS, STARTS, simulate

    names = list(dict.fromkeys(matrices)) or None
    return simulate(names, starts=starts or STARTS, repeats=repeats or REPEATS, seed=seed, progress=progress)


def _conv(
    asked: ConvOptions, starts: int | None, repeats: int | None, seed: int, progress: Progress
) -> xr.Dataset:
    from conetheory.simulate_conv import REPEATS, STARTS, simulate_conv

    return simulate_conv(
        asked.chains(), starts=starts or STARTS, repeats=repeats or REPEATS, seed=seed, progress=progress
    )


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
