"""What certificates cost, before anything is computed: vector passes and memory, from the graph and options.

The unit is one vector sent down from the start to the input; arithmetic on what arrives is converted to it by
counted multiplications. Rows that no start reaches cost nothing: which they are is the image's matter, and
half of them are taken for such.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from conetheory.certify.blocks import POSITIONS
from conetheory.certify.check import ONE_HOTS, OPTIMISED, ROUNDS
from conetheory.certify.work import bounding
from conetheory.chain.columns import COLUMN_BLOCK, LEAST
from conetheory.chain.local import ENUMERABLE, sampled
from conetheory.chain.streamed import ROOM, divided, sources
from conetheory.networks.graph import INPUT, Graph

LIVE = 0.5  # of the rows at a location
PAIR = 50  # multiplications of a sweep that take as long as to compare two numbers of two vectors
WEIGHT = 16  # the same of a weight that is transformed for a sweep, however few the vectors are
PREPARED, TRANSFORMED = 8, 30  # passes of single vectors: patterns and losses, which transform weights often
NUMBER = 8  # bytes


@dataclass(frozen=True)
class Cost:
    """prepared, columns, bounds, check: passes of one vector. memory: bytes beside the network's own.

    prepared: patterns, and what underflow may cost.
    """

    prepared: float
    columns: float
    bounds: float
    check: float
    memory: int

    @property
    def passes(self) -> float:
        return self.prepared + self.columns + self.bounds + self.check


def cost(
    graph: Graph,
    start: str,
    layers: Sequence[str] | None = None,
    *,
    positions: int | None = None,
    vectors: int = 5,
) -> Cost:
    """What certificates of one image cost (`CscCertifier`, not thorough, and their check by so many vectors).

    columns: one for each start unit down to the lowest layer, in parts again for each group of layers that is
    held at a time; or adjoint passes for the rows of sampled locations where the start has more units than
    `ENUMERABLE`.
    check: the worst pairs, random vectors and optimised ones. layers, positions: as in `CscCertifier`.
    """
    top = graph.resolve(start)
    names = _below(graph, top, layers)
    one, units = max(1, graph.multiplications(top, INPUT)), int(np.prod(graph.shape(top)))
    enumerable = units <= ENUMERABLE
    limit = positions if enumerable or positions is not None else POSITIONS
    places = {name: sampled(graph.shape(name), limit, units) for name in names}
    alive = {name: LIVE * graph.shape(name)[0] for name in names}
    part = {name: graph.multiplications(top, name) / one for name in names}
    numbers = {name: int(units * places[name] * alive[name]) for name in names}
    if enumerable:
        groups = divided(numbers, ROOM)
        whole = {c: int(units * LIVE * np.prod(graph.shape(c))) for c in graph.cuts}
        above = sources(graph, top, groups, lambda cut: whole[cut] <= ROOM)
        pairs = zip(above, groups, strict=True)
        columns = sum(units * graph.multiplications(source, group[-1]) for source, group in pairs) / one
        held = max((sum(numbers[name] for name in group) for group in groups), default=0)
        held += 2 * max((whole[source] for source in above if source != top), default=0)
    else:
        columns = sum(places[name] * graph.shape(name)[0] * part[name] for name in names)
        held = 2 * max((units * graph.shape(name)[0] for name in names), default=0)
    bounds = sum(bounding(alive[name], places[name], units) for name in names) / one
    weights = WEIGHT * _weights(graph, top) / one
    check, compared = _check(names, part, weights, units, vectors)
    pairs = sum(places[name] * graph.shape(name)[0] for name in names) * compared**2 * PAIR / one
    prepared = PREPARED + TRANSFORMED * weights
    return Cost(prepared, columns, bounds, check + pairs, NUMBER * (held + _beside(graph)))


def _below(graph: Graph, top: str, layers: Sequence[str] | None) -> list[str]:
    """The layers below the start, from the top (`chain.layers.below`)."""
    reached = {name for node in graph.between(top, INPUT) for name in node.inputs}
    wanted = {graph.resolve(name) for name in (layers or graph.layers)} & reached
    return [name for name in (*reversed([*graph.nodes]), INPUT) if name in wanted]


def _weights(graph: Graph, top: str) -> int:
    """Weights on the way from the start to the input."""
    held = (getattr(node.op, "weight", None) for node in graph.between(top, INPUT))
    return sum(weight.numel() for weight in held if weight is not None)


def _check(
    names: Sequence[str], part: Mapping[str, float], weights: float, units: int, vectors: int
) -> tuple[float, int]:
    """Passes of the check, and vectors that are compared at each location."""
    hot = units if units <= ONE_HOTS else min(2 * ONE_HOTS, 2 * len(names))
    spread = np.unique(np.linspace(0, len(names) - 1, OPTIMISED).astype(int)) if names else []
    optimised = sum(2 * ROUNDS * (2 + weights) * part[names[i]] for i in spread)
    return hot + 4 * vectors + weights + optimised, hot + 2 * vectors


def _beside(graph: Graph) -> int:
    """Numbers beside the columns: what the chain keeps of an image, and a block of columns on its way."""
    sizes = [int(np.prod(graph.shape(name))) for name in (INPUT, *graph.nodes)]
    return 3 * sum(sizes) + 4 * max(COLUMN_BLOCK, LEAST * max(sizes))
