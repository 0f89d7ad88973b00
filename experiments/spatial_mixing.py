"""Two scales: the channels at each location collapse, the map of location weights mixes slowly.

    python -m experiments.spatial_mixing --out DIR [--weights FILE] [--smoke]

For each step of a z+ chain from one cut of the network to the next: the Markov chain t_pq on locations that
carries the location weights (`theory.twoscale`), by one pass per location, its second singular value in the
chi-square norm of the weights that it carries (what one step contracts global differences by) and the
product of these along the chain. Beside it the measured median deficits, per location and of whole maps.
Writes spatial_mixing.png, .pdf and .json.
"""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from rich.progress import track

from conetheory import networks
from conetheory.chain.relevance import RelevanceChain
from conetheory.measure.meter import draw, local_deficits
from conetheory.predict import state_cuts
from conetheory.theory.ergodicity import chi_square_contraction
from experiments.small_png import save_small

LOCAL, GLOBAL, BOUND = "#1b9e77", "#d95f02", "#7570b3"
BATCH = 2**25  # numbers in the widest relevance of one batch of locations


def location_weights(chain: RelevanceChain, c: torch.Tensor, top: str, bottom: str) -> np.ndarray:
    """t_pq = <c'(p), M_pq c(q)> / |c'(p)|^2, (locations of bottom, of top): c(q) alone is sent for each q.

    c: (channels, locations) at `top`. Only products along the channels are kept of each pass.
    """
    channels, count = c.shape
    below = chain.down(c.view(1, 1, *chain.shape(top)), top, bottom)[0, 0].reshape(chain.shape(bottom)[0], -1)
    norm2 = (below * below).sum(0)
    widest = max(int(np.prod(chain.graph.shape(n))) for n in (top, bottom))
    columns = []
    for qs in torch.arange(count).split(max(1, BATCH // (4 * widest))):
        alone = torch.zeros((len(qs), channels, count), dtype=c.dtype)
        alone[torch.arange(len(qs)), :, qs] = c[:, qs].T
        r = chain.down(alone.view(1, len(qs), *chain.shape(top)), top, bottom)[0]
        columns.append((r.reshape(len(qs), len(below), -1) * below).sum(1) / torch.where(norm2 > 0, norm2, 1))
    return torch.cat(columns).T.numpy()


def contraction(t: np.ndarray, c: torch.Tensor, below: torch.Tensor) -> float:
    """The chi-square contraction of the mass that the locations pass on; one where only one location is.

    Mass at q: s(q) |c(q)|_1, so that mass goes down by t_pq |c'(p)|_1 / |c(q)|_1; its columns, which sum to
    one where all channels of a location share their map, are divided by their sums.
    """
    upper, lower = c.sum(0).numpy(), below.sum(0).numpy()
    live_q, live_p = upper > 0, lower > 0
    Z = t[np.ix_(live_p, live_q)] * lower[live_p, None] / upper[live_q]
    alive = Z.sum(0) > 0
    Z, w = Z[:, alive] / Z[:, alive].sum(0), upper[live_q][alive]
    return float(chi_square_contraction(Z, w)) if min(Z.shape) > 1 else float("nan")


def mixing(chain: RelevanceChain, top: str, vectors: int, seed: int, largest: int) -> list[dict]:
    """One record for each cut below `top`: deficits there, and the contraction of the step down to it."""
    cuts = [name for name in state_cuts(chain, top) if len(chain.shape(name)) == 3]
    x = draw(chain.shape(top), [0], vectors, start=top, seed=seed).to(chain.dtype)
    ones = torch.ones((1, 1, *chain.shape(top)), dtype=chain.dtype)
    r = torch.cat([x, ones], 1)
    r = r if cuts[0] == chain.graph.resolve(top) else chain.down(r, top, cuts[0])
    records = [record(cuts[0], chain, r)]
    for above, below in track(list(pairwise(cuts)), "steps"):
        lower = chain.down(r, above, below)
        found = record(below, chain, lower)
        if int(np.prod(chain.shape(above)[1:])) <= largest:
            c, under = (z[0, -1].reshape(z.shape[2], -1) for z in (r, lower))
            found["chi_square_contraction"] = contraction(location_weights(chain, c, above, below), c, under)
        records.append(found)
        r = lower
    return records


def record(layer: str, chain: RelevanceChain, r: torch.Tensor) -> dict:
    local, flattened = local_deficits(r[:, :-1])
    return {
        "layer": chain.graph.label(layer),
        "shape": list(chain.shape(layer)),
        "local_deficit": float(local.nanmedian()),
        "global_deficit": float(flattened.nanmedian()),
        "chi_square_contraction": float("nan"),
    }


def draw_records(runs: dict[str, list[dict]]) -> Figure:
    """Above the deficits, below what one step contracts global differences by; a column per network."""
    fig = Figure(figsize=(1.8 + 4.6 * len(runs), 5.6), layout="constrained")
    FigureCanvasAgg(fig)
    grid = fig.subplots(2, len(runs), sharex="col", sharey="row", squeeze=False, height_ratios=(3, 2))
    for (name, records), (upper, lower) in zip(runs.items(), grid.T, strict=True):
        at = np.arange(len(records))
        for key, colour, label in (
            ("global_deficit", GLOBAL, "whole map"),
            ("local_deficit", LOCAL, "location"),
        ):
            values = [r[key] for r in records]
            upper.plot(at, values, "o-", color=colour, ms=4.5, mec="white", mew=0.5)
            place = (at[-1], values[-1])
            upper.annotate(label, place, (7, 0), textcoords="offset points", color=colour, va="center")
        upper.set_yscale("log")
        upper.set_title(name, loc="left", fontsize=10)
        steps = np.array([np.nan if (v := r["chi_square_contraction"]) is None else v for r in records])
        lower.plot(at, steps, "o", color=BOUND, ms=4.5, mec="white", mew=0.5)
        # A single location has nothing to mix; the line ends where the map is too large for the matrix.
        steps[: int(np.argmax(np.isfinite(steps)))] = 1.0
        lower.plot(at, np.cumprod(steps), "-", color=BOUND, lw=1.2)
        lower.set_xticks(
            at, [r["layer"] for r in records], rotation=60, ha="right", fontsize=8 if len(at) < 12 else 6
        )
        lower.set_xlim(-0.4, at[-1] + 0.3)
    grid[0, 0].set_ylabel("median deficit  $1-|\\cos|$")
    lowest = min(line.get_ydata()[np.isfinite(line.get_ydata())].min() for ax in grid[1] for line in ax.lines)
    grid[1, 0].set_ylim(1 - 1.15 * (1 - lowest), 1 + 0.1 * (1 - lowest))
    grid[1, 0].set_ylabel("$\\sigma_2$ of the location chain")
    grid[1, 0].set_title("circles: one step; line: product", loc="left", fontsize=9)
    for axes in grid.ravel():
        axes.grid(axis="y", color="#dddddd", lw=0.6)
        axes.spines[["top", "right"]].set_visible(False)
    return fig


def main(
    out: Annotated[Path, typer.Option(help="directory for the figure and the numbers")],
    weights: Annotated[
        str | None, typer.Option(help="weights of SqueezeNet 1.1, which is left out else")
    ] = None,
    vectors: int = 16,
    seed: int = 0,
    smoke: Annotated[bool, typer.Option(help="small maps, few vectors")] = False,
) -> dict:
    """Measure and draw; returns the records by network and start."""
    largest, vectors = (256, 4) if smoke else (1024, vectors)
    runs: dict[str, list[dict]] = {}
    jobs = [("cifar10_cnn", None, "conv4"), ("cifar10_cnn", None, "logits")]
    jobs += [("squeezenet1_1", weights, "logits")] if weights else []
    for name, file, start in jobs:
        network = networks.load(name, weights=file) if file else networks.load(name)
        image = networks.bundled_images(network, limit=1).tensor
        chain = RelevanceChain(network, image, dtype=torch.float64)
        runs[f"{name} from {start}"] = mixing(chain, start, vectors, seed, largest)
    for records in runs.values():
        for found in records:
            value = found["chi_square_contraction"]
            found["chi_square_contraction"] = None if np.isnan(value) else value
    out.mkdir(parents=True, exist_ok=True)
    fig = draw_records(runs)
    save_small(fig, out / "spatial_mixing.png", dpi=200)
    fig.savefig(out / "spatial_mixing.pdf")
    (out / "spatial_mixing.json").write_text(json.dumps(runs, indent=2) + "\n")
    return runs


if __name__ == "__main__":
    typer.run(main)
