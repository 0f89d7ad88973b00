"""Measured curves of real networks against the depth, with the places where the resolution changes.

    python -m experiments.real_curves --out DIR

The medians are those that `experiments.score_predictions` measured (`results/score-*.json`, pooled over its
seeds and images); here they are cut where a stride or a pool changes the side of the maps, and what a
resolution and what a change of it multiplies the deficit by is told apart. A curve that is exponential in the
depth is straight where the axis is linear, a power law where it is logarithmic. Writes real_curves.png, .pdf
and .json.
"""

from __future__ import annotations

import json
from itertools import groupby, pairwise
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from conetheory import networks
from experiments.small_png import save_small

RESULTS = Path(__file__).parent / "results"
SCORED = ("cifar10_cnn", "squeezenet1_1", "squeezenet1_1-alpha2beta1")
COLOURS = {"lrp-alpha1beta0": "#1f78b4", "lrp-alpha2beta1": "#d95f02"}
LABELS = {"lrp-alpha1beta0": "z+", "lrp-alpha2beta1": "$\\alpha$ = 2, $\\beta$ = 1"}


def curve(by_layer: dict[str, dict], graph: networks.Graph) -> list[dict]:
    """A record for each layer, from the start down, with the side of its map: 1 without locations."""
    found = []
    for layer, row in by_layer.items():
        shape = graph.shape(graph.resolve(layer))
        side = shape[-1] if len(shape) == 3 else 1
        found.append({"layer": layer, "side": int(side), "measured": row["measured"]})
    return found


def resolutions(records: list[dict]) -> list[dict]:
    """What the deficit does within each resolution and at the step down from it to the next."""
    parts = [list(part) for _, part in groupby(records, key=lambda r: r["side"])]
    found = [
        {
            "side": part[0]["side"],
            "layers": len(part),
            "first": part[0]["layer"],
            "last": part[-1]["layer"],
            "deficit_first": part[0]["measured"],
            "deficit_last": part[-1]["measured"],
            "decades_within": float(np.log10(part[-1]["measured"] / part[0]["measured"])),
        }
        for part in parts
    ]
    for above, below in pairwise(found):
        above["decades_to_the_next"] = float(np.log10(below["deficit_first"] / above["deficit_last"]))
    return found


def draw(runs: dict[str, dict[str, list[dict]]], axes: Axes, name: str, log: bool) -> None:
    """The curves of one network; grey lines stand between two resolutions."""
    for method, records in runs[name].items():
        depth = np.arange(1, len(records) + 1)
        values = [r["measured"] for r in records]
        axes.plot(
            depth, values, "o-", color=COLOURS[method], ms=4, mec="white", mew=0.5, label=LABELS[method]
        )
    for at, (above, below) in enumerate(pairwise(records), 1):
        if above["side"] != below["side"]:
            axes.axvline(at + 0.5, color="#bbbbbb", lw=0.8, zorder=0)
    axes.set_yscale("log")
    if log:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
        axes.minorticks_off()
    axes.set_xlabel("layers below the logits" + (", logarithmic" if log else ""))
    axes.grid(axis="y", color="#dddddd", lw=0.6)
    axes.spines[["top", "right"]].set_visible(False)


def figure(runs: dict[str, dict[str, list[dict]]]) -> Figure:
    """A column for each network: above with a linear depth, below with a logarithmic one."""
    fig = Figure(figsize=(1 + 4.6 * len(runs), 6.4), layout="constrained")
    FigureCanvasAgg(fig)
    grid = fig.subplots(2, len(runs), sharey="col", squeeze=False)
    for name, column in zip(runs, grid.T, strict=True):
        for axes, log in zip(column, (False, True), strict=True):
            draw(runs, axes, name, log)
        column[0].set_title(f"{name}, resolutions change at the grey lines", loc="left", fontsize=10)
    for row in grid:
        row[0].set_ylabel("median deficit  $1-|\\cos|$")
    grid[0, 0].legend(frameon=False, fontsize=8.5, loc="lower left")
    return fig


def main(
    out: Annotated[Path, typer.Option(help="directory for the figure and the numbers")],
    scores: Annotated[Path, typer.Option(help="directory of the measured curves")] = RESULTS,
    smoke: Annotated[bool, typer.Option(help="the bundled network alone")] = False,
) -> dict:
    """Cut the curves, draw and save; returns what each resolution does, by network and rule."""
    runs: dict[str, dict[str, list[dict]]] = {}
    for name in SCORED[:1] if smoke else SCORED:
        scored = json.loads((scores / f"score-{name}.json").read_text())
        model = scored["provenance"]["network"]
        graph = networks.load(model, None if model == "cifar10_cnn" else "random:0").graph
        for method in COLOURS:
            if method in scored:
                runs.setdefault(model, {})[method] = curve(scored[method]["by_layer"], graph)
    made = {
        model: {method: resolutions(records) for method, records in found.items()}
        for model, found in runs.items()
    }
    out.mkdir(parents=True, exist_ok=True)
    fig = figure(runs)
    save_small(fig, out / "real_curves.png", dpi=150)
    fig.savefig(out / "real_curves.pdf")
    (out / "real_curves.json").write_text(json.dumps(made, indent=2) + "\n")
    return made


if __name__ == "__main__":
    typer.run(main)
