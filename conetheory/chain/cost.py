"""What sending a vector down costs, in multiplications, so that work can be counted before it is done."""

from __future__ import annotations

from collections.abc import Iterable
from math import prod

from conetheory.networks.graph import INPUT, Graph, Node


def multiplications(nodes: Iterable[Node]) -> int:
    """Of one vector across some nodes: taps times outputs where there are weights, else one an output."""
    total = 0
    for node in nodes:
        weight = getattr(node.op, "weight", None)
        total += (1 if weight is None else prod(weight.shape[1:])) * prod(node.shape)
    return total


def passes(graph: Graph, start: str, top: str, bottom: str) -> float:
    """The cost of one vector from `top` to `bottom`, in vectors from `start` to the input."""
    whole = multiplications(graph.between(graph.resolve(start), INPUT))
    return multiplications(graph.between(graph.resolve(top), graph.resolve(bottom))) / whole
