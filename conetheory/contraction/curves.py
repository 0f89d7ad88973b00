"""Median deficits below a start, measured and by theories, and what an operation takes away of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from conetheory.chain.layers import below
from conetheory.chain.relevance import RelevanceChain
from conetheory.measure.meter import CscMeter
from conetheory.predict.registry import find, speaks

THEORIES = ("sampled-spectrum", "second-moment", "origin", "walk")
POSITIONS = 64  # locations a tensor whose spectra a theory pools: what the law costs counts, too
ROUNDING = 1e-15  # deficits below which float64 holds nothing but its rounding

Curve = Mapping[str, float]


def applicable(chain: RelevanceChain, start: str) -> list[str]:
    """The theories that say something of the chain from a start."""
    return [name for name in THEORIES if speaks(name, chain, [start]) is None]


def measured(chain: RelevanceChain, start: str, names: Sequence[str], vectors: int, seed: int) -> Curve:
    meter = CscMeter([start], vectors=vectors, seed=seed, layers=names)
    meter.add(chain)
    one = meter.result().dataset["measured_deficit_median"].isel(method=0, start=0)
    return dict(zip(one["layer"].values.tolist(), one.values.tolist(), strict=True))


def predicted(
    chain: RelevanceChain, start: str, theory: str, names: Sequence[str], vectors: int, seed: int
) -> Curve:
    found = find(theory)(start, layers=names, vectors=vectors, seed=seed, positions=POSITIONS)
    found.add(chain)
    return {name: found.median(name) for name in below(chain, start, names)}


def cost(chain: RelevanceChain, start: str, theory: str) -> float:
    """What a theory costs, in passes."""
    return find(theory)(start, positions=POSITIONS).cost(chain).passes


def decades(curve: Curve, name: str, inputs: Sequence[str]) -> float:
    """Decades of the deficit from an operation's output to its inputs, their mean where it has several."""
    above, each = _known(curve, name), [_known(curve, tensor) for tensor in inputs]
    lost = [math.log10(above / deficit) for deficit in each if not math.isnan(deficit + above)]
    return float(np.mean(lost)) if lost else math.nan


def _known(curve: Curve, name: str) -> float:
    """A deficit, NaN where it is rounding: a theory may say that nothing is left."""
    value = curve.get(name, math.nan)
    return value if value > ROUNDING else math.nan
