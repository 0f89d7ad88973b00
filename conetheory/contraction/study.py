"""Rates of one chain, operation by operation, within a number of passes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from conetheory.chain.cost import passes
from conetheory.chain.layers import state_cuts
from conetheory.chain.reach import space
from conetheory.chain.relevance import RelevanceChain
from conetheory.contraction import layer, sofar
from conetheory.contraction.block import finite_block
from conetheory.contraction.budget import Budget
from conetheory.contraction.operation import Operation, is_own
from conetheory.contraction.origins import PASSES as ORIGIN
from conetheory.contraction.origins import Spread, spreads
from conetheory.contraction.record import Record
from conetheory.contraction.sided import Sided
from conetheory.measure.meter import CscMeter
from conetheory.predict.predictions import predict_csc
from conetheory.predict.registry import applies, described, find, theories
from conetheory.progress import Progress, silent
from conetheory.theory import cone
from conetheory.theory.records import NotApplicable
from conetheory.theory.walk import slowest_mode_estimate

PASSES = 1000.0  # vectors through the chain: what is spent where nothing else is asked
THEORIES = ("sampled-spectrum", "second-moment", "origin", "walk")
RITZ = 2 * sofar.PROBES * sofar.STEPS
LANCZOS = 2 * layer.PROBES * layer.STEPS
ROUNDING = 1e-15  # deficits below which float64 holds nothing but its rounding
BLOCK = 2  # operations that a block with a finite diameter has, about


class Survey:
    """Fills the records of one chain of one image, the cheapest part first."""

    def __init__(
        self,
        chain: RelevanceChain,
        start: str,
        *,
        vectors: int = 10,
        seed: int = 0,
        passes: float = PASSES,
        progress: Progress = silent,
    ) -> None:
        self.chain, self.start, self.vectors, self.seed = chain.only(0), start, vectors, seed
        self.budget, self.progress = Budget(passes), progress
        self.top = chain.graph.resolve(start)
        self.records: dict[str, Record] = {}

    def run(self) -> list[Record]:
        parts = (
            self._operations,
            self._curves,
            self._directions,
            self._origins,
            self._mixing,
            self._locations,
            self._wholes,
            self._blocks,
        )
        for done, part in enumerate(parts, 1):
            part()
            self.progress("rates", done, len(parts))
        return list(self.records.values())

    # ------------------------------------------------------------ each operation by itself

    def _operations(self) -> None:
        rule, nonnegative = self.chain.method.layerwise, self.chain.method.nonnegative
        for node, local in self.chain.crossed(self.top):
            if not is_own(node):
                continue
            operation = Operation.of(self.chain, node, local)
            size, sums = layer.size(operation), layer.sum_error(operation)
            kind = type(node.op).__name__
            record = Record(node.name, operation.below, kind, size, nonnegative, sums)
            record.meeting = layer.meeting(operation)
            record.diameter = layer.diameter(operation, size, nonnegative)
            record.coefficient = _coefficient(record.diameter)
            record.tau_1 = layer.tau_1(operation, rule, record.meeting, sums)
            cost = LANCZOS * passes(self.chain.graph, self.start, node.name, node.inputs[0])
            record.sigma = self.budget.afford(
                "sigma of operations", cost, lambda o=operation: layer.sigma_ratio(o, nonnegative, self.seed)
            )
            self.records[node.name] = record

    # ------------------------------------------------------------ curves

    def _curves(self) -> None:
        names = {name for record in self.records.values() for name in (record.name, *record.below)}
        for source, curve in self._medians(sorted(names)).items():
            for record in self.records.values():
                record.lost[source] = _lost(curve, record)

    def _medians(self, names: Sequence[str]) -> dict[str, Mapping[str, float]]:
        curve = self.budget.afford("measurement", self.vectors, lambda: self._measured(names))
        found = {} if curve is None else {"measured": curve}
        for name in THEORIES:
            theory = theories().get(name)
            if theory is None or isinstance(applies(name, self.chain.method), NotApplicable):
                continue
            cost = theory(self.start, vectors=self.vectors, seed=self.seed).cost(self.chain).passes
            curve = self.budget.afford(
                f"prediction by {name}", cost, lambda n=name: self._predicted(n, names)
            )
            if curve is not None:
                found[name] = curve
        return found

    def _measured(self, names: Sequence[str]) -> Mapping[str, float]:
        meter = CscMeter([self.start], vectors=self.vectors, seed=self.seed, layers=names)
        meter.add(self.chain)
        return _along(meter.result().dataset["measured_deficit_median"])

    def _predicted(self, name: str, names: Sequence[str]) -> Mapping[str, float]:
        options = {"theory": name, "vectors": self.vectors, "seed": self.seed, "layers": names}
        data = predict_csc(self.chain, self.start, **options).dataset
        return _along(data[described(find(name)).predicted])

    # ------------------------------------------------------------ the chain so far

    def _directions(self) -> None:
        found = self.budget.afford(
            "Lyapunov exponents", sofar.EXPONENTS, lambda: sofar.exponents(self.chain, self.start, self.seed)
        )
        gaps = {self.top: 0.0, **{cut: each.gap for cut, each in (found or {}).items()}}
        for record in self._between_cuts(gaps):
            record.gap = gaps[record.below[0]] - gaps[record.name]

    def _origins(self) -> None:
        found = self.budget.afford(
            "moments of the origin", ORIGIN + 2, lambda: spreads(self.chain, self.start, self.seed)
        )
        for record in self.records.values():
            above, below = (found or {}).get(record.name), (found or {}).get(record.below[0])
            if above is not None and below is not None:
                record.variance_added = below.variance - above.variance
                record.between_added = below.between - above.between
                record.walk_mixing = self._diffusive(record, above, below)

    def _diffusive(self, record: Record, above: Spread, below: Spread) -> float:
        """Of a reflected walk on the first cut's side that steps as far as this operation, along one axis."""
        cut = next(c for c in state_cuts(self.chain, self.start) if np.prod(space(self.chain.shape(c))) > 1)
        added = max(below.variance - above.variance, 0.0)
        return slowest_mode_estimate(max(space(self.chain.shape(cut))), added / 2)

    def _mixing(self) -> None:
        cost = 4 * sofar.MIXING_STEPS + 4
        found = self.budget.afford("mixing", cost, lambda: sofar.mixing(self.chain, self.start, self.seed))
        for record in self._between_cuts({self.top: 1.0, **(found or {})}):
            record.mixing = (found or {}).get(record.below[0], math.nan)

    def _between_cuts(self, values: Mapping[str, float]) -> Iterable[Record]:
        """The operations that lead from one cut to the next by themselves."""
        cuts = state_cuts(self.chain, self.start)
        following = dict(pairwise(cuts))
        return [
            r
            for r in self.records.values()
            if len(r.below) == 1 and following.get(r.name) == r.below[0] and {r.name, r.below[0]} <= {*values}
        ]

    def _locations(self) -> None:
        """Of the chain so far, at one location of what each operation hands down to."""
        for record, ratio in self._ratios("sigma at locations", self._local_ratio):
            record.local = ratio

    def _wholes(self) -> None:
        for record, ratio in self._ratios("sigma of whole chains", self._whole_ratio):
            record.whole = ratio

    def _ratios(
        self, what: str, ratio: Callable[[str], sofar.RitzRatio]
    ) -> Iterator[tuple[Record, sofar.RitzRatio | None]]:
        for record in self.records.values():
            name = record.below[0]
            cost = RITZ * passes(self.chain.graph, self.start, self.top, name)
            yield record, self.budget.afford(what, cost, lambda n=name: ratio(n))

    def _local_ratio(self, name: str) -> sofar.RitzRatio:
        return sofar.local_ratio(self.chain, self.start, name, self._place(name), self.seed)

    def _whole_ratio(self, name: str) -> sofar.RitzRatio:
        return sofar.whole_ratio(self.chain, self.start, name, self.seed)

    def _blocks(self) -> None:
        if not self.chain.method.nonnegative:
            return
        graph = self.chain.graph
        costs = {
            r.name: 2
            * BLOCK
            * self.chain.shape(r.below[0])[0]
            * passes(graph, self.start, r.name, r.below[0])
            for r in self.records.values()
        }
        for name, cost in sorted(costs.items(), key=lambda item: item[1]):
            below = self.records[name].below[0]
            self.records[name].block = self.budget.afford(
                "blocks with a finite diameter",
                cost,
                lambda n=below: finite_block(self.chain, self.start, n, self._place(n)),
            )

    def _place(self, name: str) -> int:
        """A location in the middle of the map, where no border cuts what it hears."""
        height, width = space(self.chain.shape(name))
        return (height // 2) * width + width // 2


def _coefficient(diameter: Sided) -> Sided:
    if math.isnan(diameter.value):
        return diameter
    return Sided(float(cone.birkhoff_tau(diameter.value)), diameter.side)


def _along(values: Any) -> dict[str, float]:
    one = values.isel(method=0, start=0)
    return dict(zip(one["layer"].values.tolist(), one.values.tolist(), strict=True))


def _known(curve: Mapping[str, float], name: str) -> float:
    """A deficit, NaN where it is rounding: a theory may say that nothing is left."""
    value = curve.get(name, math.nan)
    return value if value > ROUNDING else math.nan


def _lost(curve: Mapping[str, float], record: Record) -> float:
    """Decades of the deficit from the operation's output to its inputs, their mean where it has several."""
    above, below = _known(curve, record.name), [_known(curve, name) for name in record.below]
    each = [math.log10(above / deficit) for deficit in below if not math.isnan(deficit + above)]
    return float(np.mean(each)) if each else math.nan
