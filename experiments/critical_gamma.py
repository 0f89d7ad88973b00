"""Critical gamma: up to which gamma LRP-gamma's relevance shows the decision, layer by layer of a network.

    python -m experiments.critical_gamma --out DIR [--network NAME --weights W --images DIR] [--smoke]

At each layer the gamma, the same at all operations above it, at which the median deficit by the local
spectrum falls to what a verdict calls forgotten; beside it the border of random dense layers of each width.
Writes critical_gamma.png, .pdf and .json.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Annotated

import typer
import xarray as xr
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from conetheory import networks
from conetheory.chain import RelevanceChain
from conetheory.predict.critical import HIGHEST, LOWEST, critical_gamma
from conetheory.theory import randomlayers
from experiments.small_png import save_small

ENDS = ("critical_gamma_remembered", "critical_gamma_forgotten")


def records(data: xr.Dataset, graph: networks.Graph) -> list[dict]:
    """A record for each layer, from the start down, with its width and the border of random layers."""
    found = []
    for layer in map(str, data["layer"].values):
        lower, upper = (data[name].sel(layer=layer).item() for name in ENDS)
        width = graph.shape(graph.resolve(layer))[0]
        border = randomlayers.critical_gamma(width) if width > math.pi - 1 else math.nan
        found.append({"layer": layer, "channels": width, "lower": lower, "upper": upper, "random": border})
    return found


def figure(rows: list[dict], title: str) -> Figure:
    """A bar from the lower to the upper gamma of each layer; arrows where no gamma that was tried reaches."""
    fig = Figure(figsize=(max(5.5, 1.8 + 0.42 * len(rows)), 4.2), layout="constrained")
    FigureCanvasAgg(fig)
    axes = fig.subplots()
    for at, row in enumerate(rows):
        if math.isnan(row["lower"]):
            continue
        lower, upper = max(row["lower"], LOWEST / 4), min(row["upper"], HIGHEST * 4)
        axes.plot([at, at], [lower, upper], color="#1f78b4", lw=5, solid_capstyle="butt")
        if math.isinf(row["upper"]):
            axes.plot(at, upper, "^", color="#1f78b4", ms=7)
        if row["lower"] == 0:
            axes.plot(at, lower, "v", color="#1f78b4", ms=7)
    axes.plot(
        [row["random"] for row in rows], "o", color="#d95f02", ms=4, label="random dense layers as wide"
    )
    axes.axhline(0.25, color="#777777", lw=0.9, ls=(0, (4, 3)), label="usual gamma, 0.25")
    axes.set_yscale("log")
    axes.set_xticks(range(len(rows)), [row["layer"] for row in rows], rotation=60, ha="right", fontsize=8)
    axes.set_ylabel("gamma, forgets above")
    axes.set_title(title, loc="left", fontsize=10)
    axes.grid(axis="y", color="#dddddd", lw=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8.5)
    return fig


def main(
    out: Annotated[Path, typer.Option(help="directory for the figure and the numbers")],
    network: Annotated[str, typer.Option(help="a model's name")] = "cifar10_cnn",
    weights: Annotated[str | None, typer.Option(help="as `conetheory` takes them")] = None,
    images: Annotated[Path | None, typer.Option(help="directory of pictures; none: the bundled ones")] = None,
    count: Annotated[int, typer.Option(help="how many images")] = 3,
    theory: Annotated[str, typer.Option(help="what predicts the deficit")] = "local-spectrum",
    smoke: Annotated[bool, typer.Option(help="one image, two layers, a wide bracket")] = False,
) -> dict:
    """Search, draw and save; returns the two gammas of every layer."""
    net = networks.load(network, weights)
    pictures = networks.load_images(images, net, limit=1 if smoke else count)
    chain = RelevanceChain(net, pictures.tensor, "lrp-gamma")
    asked = {"layers": [*net.layers[:2]], "ratio": 4.0} if smoke else {}
    data = critical_gamma(chain, "logits", theory=theory, **asked)
    made = {"network": net.name, "theory": theory, "images": len(pictures.tensor)}
    made["layers"] = records(data.squeeze(["method", "start"]), net.graph)
    out.mkdir(parents=True, exist_ok=True)
    fig = figure(made["layers"], f"{net.name}, LRP-gamma from the logits, by {theory}")
    save_small(fig, out / "critical_gamma.png", dpi=200)
    fig.savefig(out / "critical_gamma.pdf")
    (out / "critical_gamma.json").write_text(json.dumps(made, indent=2) + "\n")
    return made


if __name__ == "__main__":
    typer.run(main)
