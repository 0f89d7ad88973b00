"""Random convolutions: a power law within a resolution, 1/4 a stride, an exponential beyond side^2 layers.

    python -m experiments.random_conv_chains --out DIR          # some two minutes of one core
    python -m experiments.random_conv_chains --out DIR --smoke

Drawn chains on a ring and on a torus, with the recursion and the powers over them; the recursion alone on a
torus that is far from mixed; chains of both grids through three strides of 2, of which each is scored at its
last layer before the next; the recursion on rings of several sides, each far beyond side^2 layers, with the
factor a layer that is left there; and the first layer below starts that differ in their channels alone, with
kappa/(n k). Writes random_conv_chains.png, .pdf and .json. Theorems: conv-two-scales, power-law.
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

from conetheory.plotting.conv_chains import conv_chain
from conetheory.runs.progress import shown
from conetheory.simulate_conv import (
    KINDS,
    ConvChain,
    draw_starts,
    fitted_exponent,
    median_deficit,
    next_layer,
    recursion_medians,
    simulate_conv,
    summary,
)
from conetheory.theory.convchains import deficit_exponent, slowest_rate, white_walk
from experiments.small_png import save_small


def stride_factors(data: xr.Dataset) -> list[dict]:
    """The deficit at the last layer of a resolution over that at the last layer of the one above it."""
    found = []
    for chain in data["chain"].values:
        strides = [int(layer) for layer in str(data["strides"].sel(chain=chain).values).split()]
        ends = [*(layer - 1 for layer in strides), int(data["layer"][-1])]
        for start in data["start"].values:
            one = data.sel(chain=chain, start=start, layer=ends)
            factors = {
                name: (one[name].values[1:] / one[name].values[:-1]).tolist()
                for name in ("simulated", "recursion")
            }
            found.append({"dimensions": int(one["dimensions"]), "starts": str(start), **factors})
    return found


def deep_powers(chain: ConvChain, pairs: int, seed: int) -> list[dict]:
    """The power of the recursion alone, of the geometric mean over pairs of starts."""
    rng = np.random.default_rng(seed)
    found = []
    for kind in KINDS:
        curves = [recursion_medians(chain, draw_starts(kind, 2, chain, rng)) for _ in range(pairs)]
        theory = deficit_exponent(chain.dimensions, kind == "zero-mean")
        power = fitted_exponent(np.exp(np.log(curves).mean(0)))
        found.append({"starts": kind, "pairs": pairs, "side": chain.side, "depth": chain.depth})
        found[-1] |= {"exponent_recursion": power, "exponent_theory": theory}
    return found


def crossovers(sides: tuple[int, ...], seed: int) -> dict[int, np.ndarray]:
    """Median deficits of positive starts by the recursion on rings, to half of side^2 layers each."""
    rng = np.random.default_rng(seed)
    chains = [ConvChain(1, side, side**2 // 2) for side in sides]
    return {c.side: recursion_medians(c, draw_starts("positive", 6, c, rng)) for c in chains}


def channel_collapse(chain: ConvChain, repeats: int, seed: int) -> dict[str, float]:
    """The factor of the deficit in the first layer below starts of one location weight, and kappa/(n k)."""
    rng = np.random.default_rng(seed)
    r = draw_starts("positive", 6, chain, rng)
    r /= r.mean(1, keepdims=True)
    T = white_walk(r).T
    x, y = np.triu_indices(len(r), 1)
    above = np.median(T[x, x] + T[y, y] - 2 * T[x, y]) / 2
    below = np.mean([median_deficit(next_layer(r, chain, 1, rng)) for _ in range(repeats)])
    return {"drawn": float(below / above), "kappa_over_nk": chain.kappa / (chain.channels * chain.taps)}


def draw_strides(data: xr.Dataset, axes: Axes) -> None:
    conv_chain(data, axes)
    axes.set_xscale("linear")
    axes.set_title(axes.get_title(loc="left") + ", strides at the grey lines", loc="left", fontsize=10)


def draw_crossovers(curves: dict[int, np.ndarray], axes: Axes) -> None:
    """Every ring's curve over layers / side^2, each times side^3: one curve while both laws hold."""
    shades = colormaps["viridis"]
    for place, (side, curve) in enumerate(curves.items()):
        layers = np.arange(1, len(curve))
        colour = shades(0.82 * place / max(1, len(curves) - 1))
        axes.plot(layers / side**2, curve[1:] * side**3, color=colour, lw=1.6, label=f"{side} places")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.xaxis.set_minor_formatter("")
    axes.set_xlabel("layers / side$^2$")
    axes.set_ylabel("median deficit $\\times$ side$^3$")
    axes.set_title("rings, positive starts, by the recursion", loc="left", fontsize=10)
    axes.legend(frameon=False, fontsize=8.5, loc="lower left")
    axes.grid(axis="y", color="#dddddd", lw=0.6)
    axes.spines[["top", "right"]].set_visible(False)


def figure(plain: xr.Dataset, strided: xr.Dataset, curves: dict[int, np.ndarray]) -> Figure:
    """Above the ring and the torus, below the strides and the crossover."""
    fig = Figure(figsize=(10.5, 8), layout="constrained")
    FigureCanvasAgg(fig)
    grid = fig.subplots(2, 2)
    for axes, chain in zip(grid[0], plain["chain"].values, strict=True):
        conv_chain(plain.sel(chain=chain), axes)
    draw_strides(strided.isel(chain=0), grid[1, 0])
    draw_crossovers(curves, grid[1, 1])
    settings = f"drawn, {plain.attrs['repeats']} draws of {plain.attrs['starts']} starts"
    grid[0, 0].plot([], [], "o", color="#444444", ms=4.2, label=settings)
    grid[0, 0].plot([], [], color="#444444", lw=1.6, label="recursion")
    grid[0, 0].plot([], [], color="#444444", lw=0.9, ls=(0, (4, 3)), label="power of the theory")
    grid[0, 0].legend(frameon=False, fontsize=8.5, loc="lower left")
    return fig


def main(
    out: Annotated[Path, typer.Option(help="directory for the figure and the numbers")],
    repeats: int = 8,
    seed: int = 0,
    smoke: Annotated[bool, typer.Option(help="small grids, few layers and draws")] = False,
) -> dict:
    """Draw, compare, and save; returns the numbers."""
    repeats = 1 if smoke else repeats
    ring, torus = (ConvChain(1, 64, 8, 8), ConvChain(2, 12, 8, 8))
    strided = [ConvChain(1, 8, 8, 8, strides=(3, 5)), ConvChain(2, 4, 8, 8, strides=(3, 5))]
    deep, sides = ConvChain(2, 16, 8, 8), (4, 8)
    if not smoke:
        ring, torus = ConvChain(1, 768, 48, 64), ConvChain(2, 40, 48, 32)
        strided = [ConvChain(d, side, 22, 32, strides=(11, 15, 19)) for d, side in ((1, 64), (2, 16))]
        deep, sides = ConvChain(2, 256, 96, 64), (16, 32, 64)
    with shown() as progress:
        plain = simulate_conv([ring, torus], repeats=repeats, seed=seed, progress=progress)
        through = simulate_conv(strided, repeats=repeats, seed=seed, progress=progress)
    curves = crossovers(sides, seed)
    late = {side: float((c[-1] / c[-1 - side]) ** (1 / side)) for side, c in curves.items()}
    made = {
        "chains": summary(plain),
        "recursion_alone": deep_powers(deep, 1 if smoke else 4, seed),
        "strides": {"chains": summary(through), "factors": stride_factors(through)},
        "crossover": {
            str(side): {"late_factor": value, "slowest_mode": slowest_rate(side)}
            for side, value in late.items()
        },
        "channel_collapse": channel_collapse(ConvChain(1, 64, 2, 64), repeats, seed),
        "settings": {
            "starts": plain.attrs["starts"],
            "repeats": repeats,
            "seed": seed,
            "numpy": np.__version__,
        },
    }
    out.mkdir(parents=True, exist_ok=True)
    fig = figure(plain, through, curves)
    save_small(fig, out / "random_conv_chains.png", dpi=150)
    fig.savefig(out / "random_conv_chains.pdf")
    (out / "random_conv_chains.json").write_text(json.dumps(made, indent=2) + "\n")
    return made


if __name__ == "__main__":
    typer.run(main)
