"""How much of what is left of the decision lies in two directions: the tail of the exact local spectrum.

    python -m experiments.spectrum_tail --out DIR [--weights FILE --images DIR]
    python -m experiments.spectrum_tail --out DIR --smoke

The local cosine of two Gaussian starts depends on the singular values of the chain at a location alone
(theorem gaussian-law), and its deficit to leading order on the tail, `sum_(i>=2) (sigma_i / sigma_1)^2`. If
relevance is one scalar field, its value and its gradient (theorems gradient-expansion, origin-law), two of
these values hold all of it: the share `(sigma_2^2 + sigma_3^2) / sum_(i>=2) sigma_i^2` is one. Here it is
measured at every layer of a z+ chain from the logits, whose columns give every singular value. With three
channels or fewer, as at the input, it is one whatever the network. Writes spectrum_tail.png, .pdf and .json.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from rich.progress import track

from conetheory import networks
from conetheory.chain.layers import below
from conetheory.chain.relevance import RelevanceChain
from conetheory.predict import LocalSpectrum
from conetheory.results.layout import provenance
from experiments.small_png import save_small

SHARE, TAIL = "#1b9e77", "#444444"
DIRECTIONS = 2


def tail_shares(spectra: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(share of the tail in sigma_2 and sigma_3, tail over sigma_1^2) of live spectra (locations, values)."""
    squares = spectra[spectra[:, 0] > 0] ** 2
    tail = squares[:, 1:].sum(1)
    kept = tail > 0
    share = squares[kept, 1 : 1 + DIRECTIONS].sum(1) / tail[kept]
    return share, tail[kept] / squares[kept, 0]


def records(network: networks.Network, images: torch.Tensor, start: str, positions: int) -> list[dict]:
    """One record for each layer below the start, from it down; medians over live locations of all images."""
    theory = LocalSpectrum(start, positions=positions)
    for image in track(images, network.name):
        chain = RelevanceChain(network, image)
        theory.add(chain)
    found = []
    for layer in below(chain, start, None):
        share, tail = tail_shares(np.concatenate(list(theory.spectra[layer].values())))
        if not len(share):
            continue
        found.append(
            {
                "layer": chain.graph.label(layer),
                "channels": chain.shape(layer)[0],
                "locations": len(share),
                "share_median": float(np.median(share)),
                "share_p10": float(np.quantile(share, 0.1)),
                "tail_median": float(np.median(tail)),
            }
        )
    return found


def draw(runs: dict[str, dict]) -> Figure:
    """A column for each network: above the share, below the tail that it is a share of."""
    fig = Figure(figsize=(1.8 + 4.6 * len(runs), 5.2), layout="constrained")
    FigureCanvasAgg(fig)
    grid = fig.subplots(2, len(runs), sharex="col", sharey="row", squeeze=False, height_ratios=(3, 2))
    for (name, run), (upper, lower) in zip(runs.items(), grid.T, strict=True):
        layers = run["layers"]
        at = np.arange(len(layers))
        share, tenth, tail = (
            np.array([r[key] for r in layers]) for key in ("share_median", "share_p10", "tail_median")
        )
        upper.fill_between(at, tenth, share, color=SHARE, alpha=0.18, lw=0)
        upper.plot(at, share, "o-", color=SHARE, ms=4.5, mec="white", mew=0.5)
        upper.set_title(f"{name} from {run['start']}", loc="left", fontsize=10)
        lower.plot(at, tail, "o-", color=TAIL, ms=4, mec="white", mew=0.5)
        lower.set_yscale("log")
        labels = [r["layer"] for r in layers]
        lower.set_xticks(at, labels, rotation=60, ha="right", fontsize=8 if len(at) < 16 else 5)
        lower.set_xlim(-0.4, at[-1] + 0.4)
    grid[0, 0].set_ylim(0, 1.03)
    grid[0, 0].set_ylabel("share of the tail in $\\sigma_2$, $\\sigma_3$")
    grid[1, 0].set_ylabel("tail  $\\sum_{i\\geq 2}(\\sigma_i/\\sigma_1)^2$")
    for axes in grid.ravel():
        axes.grid(axis="y", color="#dddddd", lw=0.6)
        axes.spines[["top", "right"]].set_visible(False)
    return fig


def main(
    out: Annotated[Path, typer.Option(help="directory for the figure and the numbers")],
    weights: Annotated[
        str | None, typer.Option(help="weights of SqueezeNet 1.1, which is left out else")
    ] = None,
    images: Annotated[Path | None, typer.Option(help="photographs for it; default: the bundled one")] = None,
    limit: Annotated[int, typer.Option(min=1, help="images of each network")] = 2,
    positions: Annotated[int, typer.Option(min=1, help="locations of each layer and image")] = 64,
    smoke: Annotated[bool, typer.Option(help="few locations of one image")] = False,
) -> dict:
    """Measure and draw; returns the records by network."""
    limit, positions = (1, 4) if smoke else (limit, positions)
    runs = {}
    for name, file in [("cifar10_cnn", None), *([("squeezenet1_1", weights)] if weights else [])]:
        network = networks.load(name, weights=file) if file else networks.load(name)
        seen = networks.load_images(images if file else None, network, limit)
        runs[name] = {
            "start": "logits",
            "layers": records(network, seen.tensor, "logits", positions),
            "provenance": provenance(network, images=len(seen), positions=positions),
        }
    out.mkdir(parents=True, exist_ok=True)
    fig = draw(runs)
    save_small(fig, out / "spectrum_tail.png", dpi=150)
    fig.savefig(out / "spectrum_tail.pdf")
    (out / "spectrum_tail.json").write_text(json.dumps(runs, indent=2) + "\n")
    return runs


if __name__ == "__main__":
    typer.run(main)
