"""What work costs, counted before it is done: in vectors sent down the chain, and in memory.

One pass is one vector from a start to the input of one image, without statistics. Counts follow from the
network and the options alone, so that they are the same on every machine; the first pass that is timed turns
them into seconds. A pass moves numbers as well as multiplying them, and `work` counts both: what moving one
costs was fitted once, on two cores, to sweeps of VGG-16, ResNet-50, ResNet-18 and SqueezeNet (0.019 ns a
multiplication, 4.5 ns a number).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from conetheory.chain.local import widest
from conetheory.chain.relevance import RelevanceChain
from conetheory.networks.graph import INPUT, Graph

MOVED = 230  # multiplications that a number costs which is read and written on the way
DECOMPOSED = 2  # multiplications of float32 that one of a Gram matrix in float64 costs
EIGEN = (4000, 8)  # and what its n eigenvalues do, times n^2 and n^3
COPIES = 6  # of the widest relevance, that an operation and the library's convolutions hold at a time


@dataclass(frozen=True)
class Cost:
    """passes: vectors through the chain, or as much work. bytes: at its peak, beside network and chain."""

    passes: float = 0.0
    bytes: float = 0.0

    def __add__(self, other: Cost) -> Cost:
        """One after the other."""
        return Cost(self.passes + other.passes, max(self.bytes, other.bytes))

    def times(self, count: float) -> Cost:
        """The same again and again."""
        return Cost(self.passes * count, self.bytes)


def work(graph: Graph, top: str, bottom: str) -> float:
    """Of one vector between two tensors, in multiplications."""
    top, bottom = graph.resolve(top), graph.resolve(bottom)
    if top == bottom:
        return 0.0
    moved = sum(math.prod(node.shape) for node in graph.between(top, bottom))
    return graph.multiplications(top, bottom) + MOVED * moved


def passes(graph: Graph, start: str, top: str, bottom: str = INPUT) -> float:
    """The cost of one vector from `top` to `bottom`, in vectors from `start` to the input."""
    return work(graph, top, bottom) / work(graph, start, INPUT)


def decomposed(rows: int, columns: int) -> float:
    """Of a matrix's singular values by its smaller Gram matrix, in multiplications."""
    n, squares, cubes = min(rows, columns), *EIGEN
    return DECOMPOSED * n**2 * max(rows, columns) + squares * n**2 + cubes * n**3


def swept(
    chain: RelevanceChain,
    start: str,
    vectors: float,
    top: str | None = None,
    bottom: str = INPUT,
    *,
    block: float = math.inf,
) -> Cost:
    """Vectors that are sent between two tensors (default: from the start to the input).

    block: numbers of the widest relevance of those that go together.
    """
    graph = chain.graph
    upper, lower = graph.resolve(top or start), graph.resolve(bottom)
    if upper == lower:
        return Cost()
    bytes = min(held(chain, vectors, upper, lower), COPIES * block * chain.dtype.itemsize)
    return Cost(vectors * passes(graph, start, upper, lower), bytes)


def held(chain: RelevanceChain, vectors: float, top: str, bottom: str = INPUT) -> float:
    """Bytes of the widest relevance of some vectors on the way, and of what an operation makes of it."""
    return COPIES * vectors * widest(chain, top, bottom) * chain.dtype.itemsize
