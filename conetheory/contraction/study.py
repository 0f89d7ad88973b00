"""Rates of one chain, operation by operation, within a number of passes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

from torch import Tensor

from conetheory.chain.cost import passes, work
from conetheory.chain.operation import Operation, is_own
from conetheory.chain.reach import space
from conetheory.chain.relevance import RelevanceChain
from conetheory.contraction import block, curves, exponents, layer, mixing, ritz
from conetheory.contraction.block import Block
from conetheory.contraction.budget import Budget
from conetheory.contraction.record import LEFT_OUT, Record
from conetheory.contraction.sided import Sided, absent
from conetheory.networks.graph import INPUT, Node
from conetheory.predict.walk import Walk, flat_chain
from conetheory.predict.walk_steps import PASSES as PASSES_OF_STEPS
from conetheory.predict.walk_steps import walk_steps
from conetheory.progress import Progress, silent
from conetheory.rules.maps import LocalMap
from conetheory.theory import cone

WORK = 6.5e12  # multiplications that are spent where nothing else is asked: 400 vectors through VGG-16 at 224
BLOCK = 2  # operations that a block with a finite diameter has, about


class Survey:
    """Fills the records of one chain of one image, what says most for its cost first.

    passes: that may be spent; None for as many as take `WORK`, which follows from network and start alone.
    """

    def __init__(
        self,
        chain: RelevanceChain,
        start: str,
        *,
        vectors: int = 10,
        seed: int = 0,
        passes: float | None = None,
        progress: Progress = silent,
    ) -> None:
        self.chain, self.start, self.vectors, self.seed = chain.only(0), start, vectors, seed
        limit = WORK / work(chain.graph, start, INPUT) if passes is None else passes
        self.budget, self.progress = Budget(limit), progress
        self.top = chain.graph.resolve(start)
        self.records: dict[str, Record] = {}
        self.alive: block.Alive = {}

    def run(self) -> list[Record]:
        parts = (
            self._operations,
            self._measurement,
            self._exponents,
            self._steps,
            self._mixing,
            self._candidates,
            self._theories,
            self._locations,
            self._wholes,
            self._blocks,
        )
        for done, part in enumerate(parts, 1):
            part()
            self.progress("rates", done, len(parts))
        return list(self.records.values())

    def _share(self, name: str) -> float:
        """A vector through one operation, in vectors through the chain."""
        return passes(self.chain.graph, self.start, name, self.chain.graph.nodes[name].inputs[0])

    def _so_far(self, name: str) -> float:
        """A vector from the start down to a tensor, in vectors through the chain."""
        return passes(self.chain.graph, self.start, self.top, name)

    # ------------------------------------------------------------ each operation by itself

    def _operations(self) -> None:
        for node, local in self.chain.crossed(self.top):
            if is_own(node):
                self.records[node.name] = self._operation(node, local)

    def _operation(self, node: Node, local: LocalMap) -> Record:
        rule, nonnegative = self.chain.method.layerwise, self.chain.method.nonnegative
        operation = Operation.of(self.chain, node, local)
        self.budget.spent += layer.SUPPORTS * self._share(node.name)
        size, sums = layer.size(operation), layer.sum_error(operation)
        met, diameter = layer.meeting(operation), layer.diameter(operation, size, nonnegative)
        tau_1 = layer.tau_1(operation, rule, met, sums)
        return Record(
            name=node.name,
            below=operation.below,
            kind=type(node.op).__name__,
            size=size,
            nonnegative=nonnegative,
            sum_error=sums,
            meeting=layer.settled(met, tau_1, rule),
            diameter=diameter,
            coefficient=_coefficient(diameter),
            tau_1=tau_1,
            sigma=self.budget.afford(
                "s2/s1 of operations",
                layer.SIGMA * self._share(node.name),
                lambda: layer.sigma_ratio(operation, nonnegative, self.seed),
            ),
        )

    # ------------------------------------------------------------ curves

    def _measurement(self) -> None:
        curve = self.budget.afford(
            "measurement",
            self.vectors,
            lambda: curves.measured(self.chain, self.start, **self._asked),
        )
        self._keep("measured", curve)

    def _theories(self) -> None:
        """The cheap ones first."""
        costs = {n: curves.cost(self.chain, self.start, n) for n in curves.applicable(self.chain, self.start)}
        for name, cost in sorted(costs.items(), key=lambda item: item[1]):
            curve = self.budget.afford(
                f"prediction by {name}",
                cost,
                lambda n=name: curves.predicted(self.chain, self.start, n, **self._asked),
            )
            self._keep(name, curve)

    @property
    def _asked(self) -> dict[str, Any]:
        """What a curve is of."""
        names = sorted({name for record in self.records.values() for name in (record.name, *record.below)})
        return {"names": names, "vectors": self.vectors, "seed": self.seed}

    def _keep(self, source: str, curve: curves.Curve | None) -> None:
        if curve is not None:
            for record in self.records.values():
                record.lost[source] = curves.decades(curve, record.name, record.below)

    # ------------------------------------------------------------ the chain so far

    def _exponents(self) -> None:
        found = self.budget.afford(
            "Lyapunov exponents",
            exponents.PASSES,
            lambda: exponents.exponents(self.chain, self.start, self.seed),
        )
        for record in self.records.values():
            if found is not None:
                record.above = found[record.name]
                record.exponents = [found[name] for name in record.below]

    def _steps(self) -> None:
        """What each operation adds to the walk of the origin, on the image and on flat activations."""
        self._walked("step", "steps of the walk", lambda: self.chain)
        if "walk" in curves.applicable(self.chain, self.start):
            self._walked("flat_step", "steps of the walk on flat activations", self._flattened)
        else:
            for record in self.records.values():
                record.flat_step = "the walk says nothing of the method"

    def _walked(self, attribute: str, what: str, chain: Callable[[], RelevanceChain]) -> None:
        found = self.budget.afford(what, PASSES_OF_STEPS, lambda: walk_steps(chain(), self.start))
        steps = {step.layer: step for step in found or ()}
        for name, record in self.records.items():
            none = LEFT_OUT.why if found is None else "no map lies above"
            setattr(record, attribute, steps.get(name, none))

    def _flattened(self) -> RelevanceChain:
        return flat_chain(self.chain, Walk(self.start, seed=self.seed).flat(self.chain))

    def _mixing(self) -> None:
        found = self.budget.afford(
            "mixing", mixing.PASSES, lambda: mixing.mixing(self.chain, self.start, self.seed)
        )
        for record in self.records.values():
            record.mixing = LEFT_OUT if found is None else found.get(record.name, absent("nothing arrives"))

    def _locations(self) -> None:
        """Of the chain so far, at one location of what each operation hands down to."""
        for record, ratio in self._ratios("s2/s1 at locations", self._local_ratio):
            record.local = ratio

    def _wholes(self) -> None:
        for record, ratio in self._ratios("s2/s1 of whole chains", self._whole_ratio):
            record.whole = ratio

    def _ratios(
        self, what: str, ratio: Callable[[str, Tensor | None], ritz.RitzRatio]
    ) -> Iterator[tuple[Record, ritz.RitzRatio | None]]:
        known = None
        for record in self.records.values():
            name = record.below[0]
            cost = ritz.PASSES * self._so_far(name)
            found = self.budget.afford(what, cost, lambda n=name, k=known: ratio(n, k))
            known = known if found is None or found.right is None else found.right
            yield record, found

    def _local_ratio(self, name: str, known: Tensor | None) -> ritz.RitzRatio:
        return ritz.local_ratio(self.chain, self.start, name, self._place(name), self.seed, known)

    def _whole_ratio(self, name: str, known: Tensor | None) -> ritz.RitzRatio:
        return ritz.whole_ratio(self.chain, self.start, name, self.seed, known)

    # ------------------------------------------------------------ blocks

    def _candidates(self) -> None:
        """Finite or not, by a few channels: what is infinite is so for certain."""
        if not self.chain.method.nonnegative:
            for record in self.records.values():
                record.block = "the method is not nonnegative"
            return
        self.budget.spent += 1
        self.alive = block.arrivals(self.chain, self.start)
        for record in self.records.values():
            name = record.below[0]
            record.block = self.budget.afford(
                "blocks with a finite diameter, by a few channels",
                block.FEW * BLOCK * (1 + BLOCK) / 2 * self._share(record.name),
                lambda n=name: block.candidate(self.chain, self.start, n, self._place(n), self.alive),
            )

    def _blocks(self) -> None:
        found = [r.block for r in self.records.values() if isinstance(r.block, Block) and r.block.top]
        costs = [
            2 * b.live * passes(self.chain.graph, self.start, b.top or self.start, b.layer) for b in found
        ]
        for cost, one in sorted(zip(costs, found, strict=True), key=lambda pair: pair[0]):
            number = self.budget.afford(
                "diameters of blocks",
                cost,
                lambda b=one: block.settled(self.chain, self.start, b, self.alive),
            )
            for record in self.records.values():
                if record.block is one and number is not None:
                    record.block = number

    def _place(self, name: str) -> int:
        """A location in the middle of the map, where no border cuts what it hears."""
        height, width = space(self.chain.shape(name))
        return (height // 2) * width + width // 2


def _coefficient(diameter: Sided) -> Sided:
    if math.isnan(diameter.value):
        return diameter
    return Sided(float(cone.birkhoff_tau(diameter.value)), diameter.side)
