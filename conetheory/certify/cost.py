"""What certificates cost, before anything is computed: vector passes and memory, from the graph and options.

The unit is one vector sent down from the start to the input in float32 (`chain.cost`), of which float64 takes
twice as long; arithmetic on what arrives is converted to it by counted multiplications. Rows that no start
reaches cost nothing: which they are is the image's matter, and half of them are taken for such. Nor does a
layer that has its columns in common with one above it (`layers.alike`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from conetheory import room
from conetheory.certify.blocks import POSITIONS
from conetheory.certify.check import ONE_HOTS, OPTIMISED, ROUNDS
from conetheory.certify.work import bounding
from conetheory.chain.columns import COLUMN_BLOCK, LEAST
from conetheory.chain.cost import COPIES, Cost, passes, work
from conetheory.chain.layers import alike, below
from conetheory.chain.local import ENUMERABLE, sampled
from conetheory.chain.relevance import RelevanceChain
from conetheory.chain.streamed import ROOM, divided, sources
from conetheory.networks.graph import INPUT, Graph

LIVE = 0.5  # of the rows at a location
PAIR = 100  # multiplications that it costs to compare a number of a vector with that of another one
WEIGHT = 30  # the same of a weight that is transformed for a sweep, however few the vectors are
PREPARED, TRANSFORMED = 8, 30  # passes of single vectors: patterns and losses, which transform weights often
DOUBLE = 2  # passes in float32 that one in float64 takes
NUMBER = 8  # bytes


def certificate_cost(
    chain: RelevanceChain,
    start: str,
    layers: Sequence[str] | None = None,
    *,
    positions: int | None = None,
    vectors: int = 5,
) -> Cost:
    """What certificates of one image cost (`CscCertifier`, not thorough, and their check by so many vectors).

    Columns: one for each start unit down to the lowest layer, in parts again for each group of layers that is
    held at a time; or adjoint passes for the rows of sampled locations where the start has more than
    `ENUMERABLE`. Check: the worst pairs, random vectors and optimised ones. layers, positions: as in
    `CscCertifier`.
    """
    graph = chain.graph
    top, names = graph.resolve(start), below(chain, start, layers)
    one, units = work(graph, top, INPUT), int(np.prod(graph.shape(top)))
    limit = positions if units <= ENUMERABLE or positions is not None else POSITIONS
    places = {name: sampled(graph.shape(name), limit, units) for name in names}
    own = [name for name, first in alike(chain, top, names).items() if name == first]
    alive = {name: LIVE * graph.shape(name)[0] for name in names}
    part = {name: passes(graph, top, top, name) for name in names}
    if units <= ENUMERABLE:
        numbers = {name: int(units * places[name] * alive[name]) for name in own}
        sent, held = _columns(graph, top, numbers, units)
    else:
        sent = sum(places[name] * graph.shape(name)[0] * part[name] for name in own)
        held = 2 * max((units * graph.shape(name)[0] for name in names), default=0)
    bounds = sum(bounding(alive[name], places[name], units) for name in own) / one
    weights = WEIGHT * _weights(graph, top) / one
    check, compared = _check(names, part, weights, units, vectors)
    pairs = sum(places[name] * graph.shape(name)[0] for name in names) * compared**2 * PAIR / one
    prepared = PREPARED + TRANSFORMED * weights
    return Cost(DOUBLE * (prepared + sent + bounds + check + pairs), NUMBER * (held + _beside(graph)))


def _columns(graph: Graph, top: str, numbers: dict[str, int], units: int) -> tuple[float, int]:
    """Passes of the columns, group by group, and numbers that are held of them."""
    most = room.block(ROOM)
    groups = divided(numbers, most)
    whole = {c: int(units * LIVE * np.prod(graph.shape(c))) for c in graph.cuts}
    above = sources(graph, top, groups, lambda cut: whole[cut] <= most)
    pairs = zip(above, groups, strict=True)
    sent = sum(units * passes(graph, top, source, group[-1]) for source, group in pairs)
    held = max((sum(numbers[name] for name in group) for group in groups), default=0)
    return sent, held + 2 * max((whole[source] for source in above if source != top), default=0)


def _weights(graph: Graph, top: str) -> int:
    """Weights on the way from the start to the input."""
    held = (getattr(node.op, "weight", None) for node in graph.between(top, INPUT))
    return sum(weight.numel() for weight in held if weight is not None)


def _check(
    names: Sequence[str], part: Mapping[str, float], weights: float, units: int, vectors: int
) -> tuple[float, int]:
    """Passes of the check, and vectors that are compared at each location."""
    hot = units if units <= ONE_HOTS else min(2 * ONE_HOTS, 2 * len(names))
    spread = {int(i) for i in np.linspace(0, len(names) - 1, OPTIMISED)} if names else set()
    optimised = sum(2 * ROUNDS * (2 + weights) * part[names[i]] for i in spread)
    return hot + 4 * vectors + weights + optimised, hot + 2 * vectors


def _beside(graph: Graph) -> int:
    """Numbers beside the columns: what the chain keeps of an image, and a block of columns on its way."""
    sizes = [int(np.prod(graph.shape(name))) for name in (INPUT, *graph.nodes)]
    return 3 * sum(sizes) + COPIES * max(room.block(COLUMN_BLOCK), room.block(LEAST) * max(sizes))
