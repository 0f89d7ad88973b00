"""The paper's random-matrix chains, simulated, with the closed form over them.

Protocol (Sixt, Granz, Landgraf 2020, `convergence_simulation.ipynb`): matrices with VGG-16's shapes seen
backward, 32 independent Gaussian starts, 20 repeats, weights redrawn for each repeat; |cos| between all pairs
of starts after every product. Its plotted number is the median over repeats of the mean |cos| over the lower
triangle *with* its diagonal of ones; the dataset has it as `paper-mean`, and the median over all pairs and
repeats as `median`.

The starts are carried as one direction and their differences from it (`theory/bundle.py`), so deficits are
right down to 1e-300 in float64, where `1 - cos` stops at 1e-16. All variants of a repeat share its weights.

The closed form begins with the five numbers of the same pairs and then knows the widths and two moments per
layer only (`theory/meanfield.py`). The paper's mean hangs on the few starts with a small sum, which all their
pairs share, so it takes the joint law of the 32 starts (the reduction in `theory/bundle.py`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from conetheory.counts import VECTORS, checked_seed, checked_whole
from conetheory.errors import InputError
from conetheory.progress import Progress, silent
from conetheory.theory import meanfield, randomlayers
from conetheory.theory.bundle import Bundle, reduced_deficits
from conetheory.theory.randomlayers import RandomLayer

VGG16_BACKWARD = (1000, 4096, 4096, *[512] * 6, *[256] * 3, *[128] * 2, *[64] * 2, 3)
STARTS, REPEATS = 32, 20
ALPHAS = tuple(range(1, 11))
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Variant:
    """How the layer's matrix is made of W (N(0, 1) entries) and its negative part W_neg = min(W, 0).

    The matrix is `whole W + negative W_neg`, then rescaled or flipped as `layer.sums` says.

    Attributes
    ----------
    name
        as the command takes it.
    layer
        what the closed form knows of it.
    whole, negative
        the factors of W and of W_neg.
    pattern
        the correlation of a pattern that multiplies W.
    relu
        whether the image is clipped at zero.
    """

    name: str
    layer: RandomLayer
    whole: float = 1.0
    negative: float = 0.0
    pattern: float | None = None
    relu: bool = False


def variants(alphas: Sequence[float] = ALPHAS, pattern: float = 0.5) -> dict[str, Variant]:
    """The paper's variants by name, alpha-beta last (`alpha2beta1`, ...).

    Parameters
    ----------
    alphas
        of alpha-beta.
    pattern
        the correlation of patterns with weights.

    Returns
    -------
    dict
        `{name: Variant}`.

    References
    ----------
    Sixt et al. 2020
    """
    table = [
        Variant("vanilla", randomlayers.vanilla()),
        Variant("relu", randomlayers.vanilla(), relu=True),
        Variant("positive-sums", randomlayers.positive_sums()),
        Variant("pattern", randomlayers.pattern_weighted(pattern), pattern=pattern),
        Variant("row-stochastic", randomlayers.row_stochastic(), 1.0, -2.0),
        Variant("column-stochastic", randomlayers.column_stochastic(), 1.0, -2.0),
        Variant("positive", randomlayers.positive(), 1.0, -2.0),
        Variant("nonnegative", randomlayers.nonnegative(), 1.0, -1.0),
    ]
    for alpha in alphas:  # alpha W+ + (alpha - 1) W_neg = alpha W - W_neg
        layer = randomlayers.alpha_beta(alpha)
        table.append(Variant(layer.name, layer, float(alpha), -1.0))
    return {variant.name: variant for variant in table}


class Clipped:
    """The starts of the ReLU variant, as they are: its deficits stay far above the rounding of `1 - cos`."""

    def __init__(self, starts: Array) -> None:
        self.columns = starts

    def split(self) -> None:
        self.columns = np.maximum(self.columns, 0)

    def deficits(self) -> Array:
        """Half the squared chord of the unit vectors; NaN where one of the pair is zero."""
        i, j = np.tril_indices(self.columns.shape[1], -1)
        with np.errstate(invalid="ignore"):
            unit = self.columns / np.linalg.norm(self.columns, axis=0)
        sign = np.where(np.sum(unit[:, i] * unit[:, j], axis=0) < 0, -1.0, 1.0)
        return 0.5 * np.sum((unit[:, i] - sign * unit[:, j]) ** 2, axis=0)


def _advance(states: dict[str, Bundle | Clipped], table: dict[str, Variant], outputs: int, rng: Any) -> None:
    """Draw one layer and apply every variant's matrix: two products with all states side by side."""
    inputs = next(iter(states.values())).columns.shape[0]
    W = rng.standard_normal((outputs, inputs))
    plain = [name for name in states if table[name].pattern is None]
    for name, c in ((name, table[name].pattern) for name in states):
        if c is None:
            continue
        A = c * W + math.sqrt(1 - c**2) * rng.standard_normal(W.shape) if c < 1 else W
        states[name].columns = (A * W) @ states[name].columns
    if plain:
        W_neg = np.minimum(W, 0)
        scales = {"columns": 1 / (W.sum(0) - 2 * W_neg.sum(0)), "positive": np.sign(W.sum(0))}
        scaled = [
            states[name].columns * scales.get(table[name].layer.sums, np.ones(inputs))[:, None]
            for name in plain
        ]
        ends = np.cumsum([block.shape[1] for block in scaled])[:-1]
        side_by_side = np.concatenate(scaled, axis=1)
        parts = zip(*(np.split(M @ side_by_side, ends, axis=1) for M in (W, W_neg)), strict=True)
        for name, (whole, negative) in zip(plain, parts, strict=True):
            variant = table[name]
            image = variant.whole * whole + variant.negative * negative
            if variant.layer.sums == "rows":
                image /= (W.sum(1) - 2 * W_neg.sum(1))[:, None]
            states[name].columns = image
    for state in states.values():
        state.split()


def run_chains(
    chosen: dict[str, Variant],
    widths: Sequence[int],
    starts: Array,
    rng: np.random.Generator,
    on_layer: Callable[[], None] = lambda: None,
) -> dict[str, Array]:
    """Deficits of all pairs of starts at every layer.

    Parameters
    ----------
    chosen
        by name.
    widths
        of the layers, the start's first.
    starts
        (n, k), columns.
    rng
        of the matrices.
    on_layer
        is called after each.

    Returns
    -------
    dict
        `{name: (layers + 1, pairs)}`.
    """
    states: dict[str, Bundle | Clipped] = {
        name: (Clipped if variant.relu else Bundle)(starts.copy()) for name, variant in chosen.items()
    }
    curves = {name: [state.deficits()] for name, state in states.items()}
    for outputs in widths[1:]:
        _advance(states, chosen, outputs, rng)
        for name, state in states.items():
            curves[name].append(state.deficits())
        on_layer()
    return {name: np.stack(curve) for name, curve in curves.items()}


def closed_form(variant: Variant, widths: Sequence[int], starts: Array, rng: np.random.Generator) -> Array:
    """Deficits by closed form, each pair by itself.

    Parameters
    ----------
    variant
        of the chain.
    widths
        of the layers, the start's first.
    starts
        (..., n, k), columns.
    rng
        of the noise.

    Returns
    -------
    Array
        (layers + 1, ..., pairs).

    References
    ----------
    theorem `mean-field`.
    """
    i, j = np.tril_indices(starts.shape[-1], -1)
    columns = np.swapaxes(starts, -1, -2)
    if variant.relu:
        unit = columns / np.linalg.norm(columns, axis=-1, keepdims=True)
        deficit = np.clip(1 - (unit @ np.swapaxes(unit, -1, -2))[..., i, j], 0, 2)
        curve = [deficit]
        for _ in widths[1:]:
            curve.append(randomlayers.arc_cosine_deficit(curve[-1]))
        curve[0] = np.minimum(deficit, 2 - deficit)
        return np.stack(curve)
    pair = meanfield.pair_of(columns[..., i, :], columns[..., j, :])
    steps = meanfield.propagate(pair, variant.layer, widths[1:], rng)
    return np.stack([pair.deficit, *(step.deficit for step in steps)])


def joint_closed_form(
    variant: Variant, widths: Sequence[int], starts: Array, rng: np.random.Generator
) -> Array:
    """As `closed_form` with a layer's noise shared by the pairs of a repeat.

    Parameters
    ----------
    variant
        of the chain.
    widths
        of the layers, the start's first.
    starts
        (repeats, n, k), columns.
    rng
        of the noise.

    Returns
    -------
    Array
        (layers + 1, repeats, pairs).
    """
    if variant.relu:
        return closed_form(variant, widths, starts, rng)
    curves = [reduced_deficits(variant.layer, widths, vectors, rng) for vectors in starts]
    return np.stack(curves, axis=1)


def summarise(deficits: Array) -> Array:
    """(median, paper-mean), (layers, 2), of deficits (layers, repeats, pairs); NaN (dead vectors) dropped.

    `paper-mean` is the median over repeats of 1 - mean |cos| over the triangle with its diagonal of k ones,
    which is the mean deficit over pairs times (k - 1)/(k + 1).

    Parameters
    ----------
    deficits
        (layers, repeats, pairs).

    Returns
    -------
    Array
        (layers, 2).
    """
    alive = np.sum(~np.isnan(deficits), axis=-1)
    living = (1 + np.sqrt(1 + 8 * alive)) / 2  # k where nothing died
    mean = np.nansum(deficits, axis=-1) / np.maximum(alive, 1) * (living - 1) / (living + 1)
    pooled = deficits.reshape(len(deficits), -1)
    return np.stack([_live_median(pooled), np.median(mean, axis=-1)], axis=-1)


def _live_median(values: Array) -> Array:
    """Median over the last axis without NaN; NaN where there is nothing else."""
    dead = np.all(np.isnan(values), axis=-1)
    return np.where(dead, np.nan, np.nanmedian(np.where(dead[..., None], 0.0, values), axis=-1))


def simulate(
    names: Sequence[str] | None = None,
    *,
    widths: Sequence[int] = VGG16_BACKWARD,
    starts: int = STARTS,
    repeats: int = REPEATS,
    seed: int = 0,
    alphas: Sequence[float] = ALPHAS,
    pattern: float = 0.5,
    progress: Progress = silent,
) -> xr.Dataset:
    """Simulate the chains and compute the closed form for the same starts.

    Parameters
    ----------
    names
        of variants (None: all).
    widths
        of the layers, the start's first.
    starts
        vectors a repeat.
    repeats
        draws of matrices and starts.
    seed
        of all draws.
    alphas
        of alpha-beta.
    pattern
        the correlation of patterns with weights.
    progress
        counts layers of all repeats.

    Returns
    -------
    Dataset
        over (variant, layer, statistic), statistic in {median, paper-mean}: `simulated`, `closed_form`
        (deficits), `error_decades = log10(closed_form / simulated)`; `standard_error` (variant, layer):
        of the simulated median, in decades, from the scatter over repeats. Layer 0 are the starts; the
        coordinate `width` is the number of entries there.

    Raises
    ------
    InputError
        for unknown variants, fewer than 2 starts, fewer than 1 repeat, widths below 2.
    """
    table = variants(alphas, pattern)
    names = list(table) if names is None else list(names)
    unknown = [name for name in names if name not in table]
    if unknown or not names:
        raise InputError(
            f"unknown variant {', '.join(unknown) or '(none given)'}; there are: {', '.join(table)}"
        )
    checked_whole(starts, "starts", 2, VECTORS)
    checked_whole(repeats, "repeats", 1)
    checked_seed(seed)
    if len(widths) < 2:
        raise InputError(f"a chain needs at least 2 widths, not {len(widths)}")
    for width in widths:
        checked_whole(width, "a width", 2)
    chosen = {name: table[name] for name in names}
    total, done = repeats * (len(widths) - 1), 0

    def tick() -> None:
        nonlocal done
        done += 1
        progress("layers", done, total)

    draws, runs = [], []
    for stream in np.random.SeedSequence(seed).spawn(repeats):
        rng = np.random.default_rng(stream)
        draws.append(rng.standard_normal((widths[0], starts)))
        runs.append(run_chains(chosen, widths, draws[-1], rng, tick))
    measured = {name: np.stack([run[name] for run in runs], axis=1) for name in names}
    rng = np.random.default_rng([seed, 1])
    given = np.stack(draws)
    predicted = {
        name: np.stack(
            [
                summarise(closed_form(chosen[name], widths, given, rng))[:, 0],
                summarise(joint_closed_form(chosen[name], widths, given, rng))[:, 1],
            ],
            axis=-1,
        )
        for name in names
    }
    settings = dict(starts=starts, repeats=repeats, seed=seed, pattern_correlation=pattern)
    return _dataset(measured, predicted, widths, settings)


def _dataset(
    measured: dict[str, Array], predicted: dict[str, Array], widths: Sequence[int], settings: dict[str, Any]
) -> xr.Dataset:
    dims = ("variant", "layer", "statistic")
    simulated = np.stack([summarise(m) for m in measured.values()])
    closed = np.stack(list(predicted.values()))
    repeats = settings["repeats"]
    medians = np.stack([_live_median(m) for m in measured.values()])
    logs = np.log10(
        np.where(medians > 0, medians, np.nan)
    )  # three dead-or-alive channels can be exactly parallel
    scatter = np.std(logs, axis=-1, ddof=1) if repeats > 1 else np.full(logs.shape[:-1], np.nan)
    return xr.Dataset(
        {
            "simulated": (dims, simulated),
            "closed_form": (dims, closed),
            "error_decades": (dims, np.log10(closed / np.where(simulated > 0, simulated, np.nan))),
            "standard_error": (dims[:2], scatter / math.sqrt(repeats)),
        },
        coords={
            "variant": list(measured),
            "layer": np.arange(len(widths)),
            "statistic": ["median", "paper-mean"],
            "width": ("layer", np.asarray(widths)),
        },
        attrs={**settings, "numpy": np.__version__},
    )
