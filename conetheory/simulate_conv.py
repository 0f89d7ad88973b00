"""Chains of random convolutions, drawn, with the recursion and its power laws over them.

Protocol: weights independent, Gamma(1/kappa, kappa), so positive of mean 1 and variance kappa, on a grid of
one or two dimensions; starts with independent entries, N(0, 1) ("zero-mean") or uniform on [0, 1]
("positive"), sent down together; 1 - |cos| over the channels at every location between all pairs of starts.
What is kept of a draw is the median over pairs and locations at each layer, and of several draws the
geometric mean. The recursion (`theory/convchains.py`) gets the same starts, and of the weights kappa, n and
the taps only. The spread that it speaks of is drawn as the sample variance of n channels, so the medians of
one draw scatter around it by some sqrt(2/n)/log(10) decades at every layer anew. A power law is fitted over
the layers from a quarter of the depth on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from conetheory.errors import InputError
from conetheory.progress import Progress, silent
from conetheory.theory.convchains import (
    BORDERS,
    Border,
    between_zeros,
    deficit_exponent,
    neighbours,
    slowest_rate,
    walk_layer,
    white_walk,
)
from conetheory.theory.cosine import pairwise_deficits

Array = NDArray[np.float64]
STARTS, REPEATS, DEPTH, CHANNELS, KAPPA = 4, 8, 48, 64, 1.0
SIDES = {1: 1024, 2: 48}  # not mixed after DEPTH layers
KINDS = ("zero-mean", "positive")
CHAIN = ("dimensions", "side", "channels", "kappa", "taps", "border", "strides")  # what is said of each chain


@dataclass(frozen=True)
class ConvChain:
    """`depth` layers of n channels and `taps^d` taps on a grid of `side^d` places at the start.

    Attributes
    ----------
    dimensions
        d.
    side
        of the grid at the start.
    depth
        layers.
    channels
        n.
    kappa
        variance over squared mean of the weights.
    taps
        along a side, odd.
    border
        `periodic` or `zero`.
    strides
        the layers, counted from 1, below which a side is twice as long.
    """

    dimensions: int
    side: int
    depth: int = DEPTH
    channels: int = CHANNELS
    kappa: float = KAPPA
    taps: int = 3
    border: Border = "periodic"
    strides: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.dimensions not in SIDES:
            raise InputError(f"a grid has 1 or 2 dimensions, not {self.dimensions}")
        if min(self.side, self.depth) < 2 or self.channels < 2:
            raise InputError("need a side, a depth and channels of at least 2")
        if not 0 < self.kappa < math.inf:
            raise InputError(
                f"kappa, the weights' variance over their squared mean, is positive: {self.kappa}"
            )
        if self.taps < 3 or self.taps % 2 == 0:
            raise InputError(f"an axis has an odd number of taps from 3 on, not {self.taps}")
        if not all(1 <= layer <= self.depth for layer in self.strides):
            raise InputError(f"strides are at layers between 1 and {self.depth}, not {self.strides}")
        if self.border not in BORDERS:
            raise InputError(f"a border is one of {', '.join(BORDERS)}, not {self.border!r}")

    @property
    def reach(self) -> int:
        return self.taps // 2

    def stride(self, layer: int) -> int:
        """Of a layer, counted from 1."""
        return 2 if layer in self.strides else 1

    @property
    def mixing_layers(self) -> float:
        """Layers in which the slowest difference on a periodic grid falls by e: some (side / 2 pi)^2 / a."""
        return -1 / math.log(slowest_rate(self.side, self.reach))


def draw_starts(kind: str, starts: int, chain: ConvChain, rng: np.random.Generator) -> Array:
    """(starts, channels, *space), independent entries of a kind of KINDS.

    Parameters
    ----------
    kind
        of `KINDS`.
    starts
        how many.
    chain
        whose top these are for.
    rng
        of the draws.

    Returns
    -------
    Array
        (starts, channels, *space).
    """
    shape = (starts, chain.channels, *(chain.side,) * chain.dimensions)
    return rng.standard_normal(shape) if kind == "zero-mean" else rng.random(shape)


def next_layer(r: Array, chain: ConvChain, layer: int, rng: np.random.Generator) -> Array:
    """`r'_i(p) = sum_delta sum_j W_delta,ij r_j(p + delta)`, W drawn.

    Parameters
    ----------
    r
        (starts, channels, *space).
    chain
        whose layer this is.
    layer
        its number, from 1.
    rng
        of W.

    Returns
    -------
    Array
        (starts, channels, *space below).
    """
    d, n = chain.dimensions, chain.channels
    if chain.stride(layer) > 1:
        r = between_zeros(r, d, chain.stride(layer))
    W = chain.kappa * rng.standard_gamma(1 / chain.kappa, (n, chain.taps**d * n)) / n
    below = np.stack(
        [W @ np.stack(neighbours(one, d, chain.reach, chain.border)).reshape(W.shape[1], -1) for one in r]
    )
    # A factor for each start changes no cosine and keeps all in range.
    return (below / np.abs(below).max(axis=(1, 2), keepdims=True)).reshape(r.shape)


def median_deficit(r: Array) -> float:
    """Over all pairs of r (starts, channels, *space) and all locations."""
    return float(np.nanmedian(pairwise_deficits(np.moveaxis(r.reshape(*r.shape[:2], -1), -1, 0))))


def drawn_medians(
    chain: ConvChain, given: Sequence[Array], rng: np.random.Generator, on_layer: Callable[[], None]
) -> Array:
    """Median deficits of starts of several kinds, all sent down one drawn chain.

    Parameters
    ----------
    chain
        how it is drawn.
    given
        for each kind (starts, channels, *space).
    rng
        of the weights.
    on_layer
        is called after each.

    Returns
    -------
    Array
        (layers + 1, kinds).
    """
    ends = np.cumsum([len(starts) for starts in given])[:-1]
    r = np.concatenate(given)
    found = [[median_deficit(part) for part in given]]
    for layer in range(1, chain.depth + 1):
        r = next_layer(r, chain, layer, rng)
        found.append([median_deficit(part) for part in np.split(r, ends)])
        on_layer()
    return np.array(found)


def recursion_medians(chain: ConvChain, starts: Array) -> Array:
    """Median deficits by the recursion.

    Parameters
    ----------
    chain
        its sizes and kappa.
    starts
        (starts, channels, *space).

    Returns
    -------
    Array
        (layers + 1,).

    References
    ----------
    theorem `conv-two-scales`.
    """
    walk = white_walk(starts)
    found = [median_deficit(starts)]
    for layer in range(1, chain.depth + 1):
        walk = walk_layer(
            walk, chain.channels, chain.kappa, chain.reach, chain.stride(layer), border=chain.border
        )
        found.append(float(np.median(walk.deficits)))
    return np.array(found)


def fitted_exponent(curve: Array, first: int | None = None, last: int | None = None) -> float:
    """The slope of log deficit on log layer by least squares.

    Parameters
    ----------
    curve
        (layers + 1,), from the start on.
    first, last
        layers (None: from a quarter of them to the last one).

    Returns
    -------
    float
        the power of the depth.
    """
    last = len(curve) - 1 if last is None else last
    first = max(1, last // 4) if first is None else first
    layers = np.arange(first, last + 1)
    return float(np.polyfit(np.log(layers), np.log(curve[layers]), 1)[0])


def simulate_conv(
    chains: Sequence[ConvChain] | None = None,
    *,
    starts: int = STARTS,
    repeats: int = REPEATS,
    seed: int = 0,
    progress: Progress = silent,
) -> xr.Dataset:
    """Draw chains and starts, and run the recursion from the same starts.

    Parameters
    ----------
    chains
        of one depth; by default one on a ring and one on a torus.
    starts
        vectors of each kind a repeat.
    repeats
        draws of weights and starts.
    seed
        of all draws.
    progress
        counts layers of all repeats.

    Returns
    -------
    Dataset
        over (chain, start, layer), layer 0 being the starts: `simulated`, `recursion` (median deficits),
        `error_decades = log10(recursion / simulated)`; `standard_error` of the simulated value in
        decades, from the scatter of `error_decades` over repeats; over (chain, start)
        `exponent_simulated`, `exponent_recursion` and `exponent_theory`, NaN where the chain has strides
        or mixes before it ends. Coordinates tell of each chain.

    Raises
    ------
    InputError
        for fewer than 2 starts or 1 repeat, and for chains of several depths.
    """
    chosen = [ConvChain(d, side) for d, side in SIDES.items()] if chains is None else list(chains)
    if starts < 2 or repeats < 1 or len({chain.depth for chain in chosen}) != 1:
        raise InputError("need at least 2 starts, 1 repeat, and chains of one depth")
    total, done = repeats * sum(chain.depth for chain in chosen), 0

    def tick() -> None:
        nonlocal done
        done += 1
        progress("layers", done, total)

    drawn, followed = [], []  # logarithms, (repeats, kinds, layers)
    for chain, branch in zip(chosen, np.random.SeedSequence(seed).spawn(len(chosen)), strict=True):
        runs = []
        for stream in branch.spawn(repeats):
            rng = np.random.default_rng(stream)
            given = [draw_starts(kind, starts, chain, rng) for kind in KINDS]
            curves = drawn_medians(chain, given, rng, tick).T
            runs.append((curves, np.stack([recursion_medians(chain, each) for each in given])))
        for kept, one in zip((drawn, followed), zip(*runs, strict=True), strict=True):
            kept.append(np.log10(np.stack(one)))
    return _dataset(
        chosen, np.stack(drawn), np.stack(followed), dict(starts=starts, repeats=repeats, seed=seed)
    )


def _dataset(
    chains: Sequence[ConvChain], drawn: Array, followed: Array, settings: dict[str, Any]
) -> xr.Dataset:
    """drawn, followed: log10 of median deficits, (chains, repeats, kinds, layers)."""
    dims = ("chain", "start", "layer")
    errors = followed - drawn
    repeats = settings["repeats"]
    scatter = np.std(errors, axis=1, ddof=1) if repeats > 1 else np.full_like(errors[:, 0], np.nan)
    curves = {"simulated": 10 ** drawn.mean(1), "recursion": 10 ** followed.mean(1)}
    fits = {
        f"exponent_{name}": (dims[:2], np.apply_along_axis(fitted_exponent, -1, curve))
        for name, curve in curves.items()
    }
    expected = np.full(drawn.shape[:1] + drawn.shape[2:3], np.nan)
    for (i, chain), (j, kind) in product(enumerate(chains), enumerate(KINDS)):
        if not chain.strides and chain.depth < chain.mixing_layers:
            expected[i, j] = deficit_exponent(chain.dimensions, kind == "zero-mean")
    facts = [asdict(chain) | {"strides": " ".join(map(str, chain.strides))} for chain in chains]
    return xr.Dataset(
        {
            **{name: (dims, curve) for name, curve in curves.items()},
            "error_decades": (dims, errors.mean(1)),
            "standard_error": (dims, scatter / math.sqrt(repeats)),
            **fits,
            "exponent_theory": (dims[:2], expected),
        },
        coords={
            "chain": np.arange(len(chains)),
            "start": list(KINDS),
            "layer": np.arange(drawn.shape[-1]),
            **{name: ("chain", [fact[name] for fact in facts]) for name in CHAIN},
        },
        attrs={**settings, "numpy": np.__version__},
    )


def summary(dataset: xr.Dataset) -> list[dict[str, Any]]:
    """A record for each chain and kind of starts: errors over the layers in decades, powers of the depth."""
    records = []
    for chain, start in product(dataset["chain"].values, dataset["start"].values):
        one = dataset.sel(chain=chain, start=start)
        errors = np.abs(one["error_decades"].values[1:])
        powers = {
            f"exponent_{name}": float(one[f"exponent_{name}"])
            for name in ("simulated", "recursion", "theory")
        }
        records.append(
            {
                **{name: one[name].item() for name in CHAIN},
                "starts": str(start),
                "median_abs_error_decades": float(np.median(errors)),
                "max_abs_error_decades": float(errors.max()),
                **{name: None if math.isnan(value) else value for name, value in powers.items()},
            }
        )
    return records
