"""Critical gamma: for each layer the gamma of LRP-gamma below which its relevance shows the decision."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import xarray as xr

from conetheory.chain.layers import below
from conetheory.chain.relevance import RelevanceChain
from conetheory.errors import InputError
from conetheory.predict.registry import applies, find
from conetheory.progress import Progress, silent
from conetheory.results.evidence import FORGOTTEN
from conetheory.results.layout import frame, provenance
from conetheory.rules.base import Rule
from conetheory.rules.composite import Composite
from conetheory.rules.lrp import Gamma
from conetheory.schema import CRITICAL

LOWEST, HIGHEST, STEP = 2.0**-10, 2.0**10, 4.0  # the gammas that are tried first
RATIO = 1.1


def critical_gamma(
    chain: RelevanceChain,
    start: str = "logits",
    *,
    theory: str = "local-spectrum",
    threshold: float = FORGOTTEN,
    ratio: float = RATIO,
    layers: Sequence[str] | None = None,
    seed: int = 0,
    progress: Progress = silent,
) -> xr.Dataset:
    """Between which two gammas each layer forgets the start, for one gamma at all operations above it.

    At `critical_gamma_remembered` and at all smaller gammas that were tried, the median deficit by the theory
    is above the threshold; at `critical_gamma_forgotten` it is not. These are gammas that were tried, from
    2^-10 to 2^10 by factors of four and then halfway between the two, until their ratio is small enough. The
    first is 0 where the layer forgets at the smallest, the second infinite where it remembers at the largest,
    which is near z+, the limit of LRP-gamma. NaN where there is no prediction. The gamma above which the
    deficit tends to zero down a chain of wide random dense layers is `theory.randomlayers.critical_gamma`.

    Parameters
    ----------
    chain
        of LRP-gamma, or of a composite with it, whose images and other parameters are taken.
    start
        the layer where relevance starts.
    theory
        what predicts the deficit, from the spectrum or from origins.
    threshold
        of the median deficit; below it channels have forgotten, by default as in a verdict.
    ratio
        of the two gammas.
    layers
        to say something about (None: all below the start).
    seed
        of the theory.
    progress
        is told of each gamma that was tried.

    Returns
    -------
    xarray.Dataset
        `critical_gamma_remembered` and `critical_gamma_forgotten` by method, start and layer.

    Raises
    ------
    InputError
        for a method without LRP-gamma, a theory that says nothing of it, and a ratio of one or less.
    """
    rule = chain.method.layerwise
    if with_gamma(rule, 1.0) == with_gamma(rule, 2.0):
        raise InputError(f"a critical gamma is one of LRP-gamma, which {chain.method.name} has nowhere")
    if (reason := applies(theory, chain.method)) is not None:
        raise InputError(f"theory {theory} says nothing here: {reason.reason}")
    if not ratio > 1:
        raise InputError(f"the ratio of two gammas is above one, not {ratio:g}")
    search = _Search(chain, start, theory, threshold, below(chain, start, layers), seed, progress)
    found = search.run(ratio)
    values = {
        variable.name: {(start, layer): ends[side] for layer, ends in found.items()}
        for side, variable in enumerate(CRITICAL)
    }
    settings = {"theory": theory, "threshold": threshold, "ratio": ratio, "seed": seed}
    data = frame(chain.graph, chain.method, [start], list(found), values)
    return data.assign_attrs(provenance(chain.network, **settings))


def with_gamma(rule: Rule, gamma: float) -> Rule:
    """The rule with this gamma wherever it is, or has, LRP-gamma."""
    if isinstance(rule, Gamma):
        return replace(rule, gamma=gamma)
    if isinstance(rule, Composite):
        names = ("convolution", "dense", "pool", "first", "coupled")
        parts = {name: part for name in names if (part := getattr(rule, name)) is not None}
        return replace(rule, **{name: with_gamma(part, gamma) for name, part in parts.items()})
    return rule


class _Search:
    """The median deficits at the gammas that were tried."""

    def __init__(
        self,
        chain: RelevanceChain,
        start: str,
        theory: str,
        threshold: float,
        layers: list[str],
        seed: int,
        progress: Progress,
    ) -> None:
        self.chain, self.start, self.theory, self.threshold = chain, start, theory, threshold
        self.layers, self.seed, self.progress = layers, seed, progress
        self.tried: dict[float, dict[str, float]] = {}

    def run(self, ratio: float) -> dict[str, tuple[float, float]]:
        for power in range(round(math.log(HIGHEST / LOWEST, STEP)) + 1):
            self._try(LOWEST * STEP**power)
        while (gap := next(self._wide(ratio), None)) is not None:
            self._try(math.sqrt(gap[0] * gap[1]))
        return {layer: self._ends(layer) for layer in self.layers}

    def _wide(self, ratio: float) -> Iterator[tuple[float, float]]:
        ends = (self._ends(layer) for layer in self.layers)
        return (e for e in ends if 0 < e[0] < math.inf and e[1] < math.inf and e[1] / e[0] > ratio)

    def _try(self, gamma: float) -> None:
        method = replace(self.chain.method, rule=with_gamma(self.chain.method.layerwise, gamma))
        chain = RelevanceChain(
            self.chain.network, self.chain.images, method, dtype=self.chain.dtype, device=self.chain.device
        )
        found = find(self.theory)(self.start, layers=self.layers, seed=self.seed)
        found.add(chain)
        self.tried[gamma] = {layer: found.median(layer) for layer in self.layers}
        self.progress("gammas", len(self.tried), len(self.tried))

    def _ends(self, layer: str) -> tuple[float, float]:
        """The largest gamma below all that forget, and the smallest that forgets."""
        lower = 0.0
        for gamma, medians in sorted(self.tried.items()):
            if math.isnan(medians[layer]):
                return math.nan, math.nan
            if medians[layer] <= self.threshold:
                return lower, gamma
            lower = gamma
        return lower, math.inf
