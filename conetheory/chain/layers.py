"""Which layers a prediction speaks of, and where a state can stand for all of the relevance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from conetheory.chain.relevance import RelevanceChain
from conetheory.errors import InputError
from conetheory.networks.graph import INPUT, Graph
from conetheory.networks.ops import PassThrough
from conetheory.rules.maps import Same


def below(chain: RelevanceChain, start: str, layers: Sequence[str] | None = None) -> list[str]:
    """The layers to say something about, from the one below the start down to the input.

    Parameters
    ----------
    chain
        whose layers these are.
    start
        the name of a layer.
    layers
        the names to choose from (None: the network's own).

    Returns
    -------
    list of str
        those that relevance of the start reaches.

    Raises
    ------
    InputError
        for a start at the input, below which there is none.
    """
    top = chain.graph.resolve(start)
    if top == INPUT:
        raise InputError(f"start {start!r} has no layer below it")
    reached = _reached(chain, top)
    wanted = [chain.graph.resolve(name) for name in (layers or chain.layers)]
    order = [*chain.graph.nodes]
    return sorted({n for n in wanted if n in reached}, key=lambda n: -order.index(n) if n in order else 1)


def _reached(chain: RelevanceChain, top: str) -> set[str]:
    """The layers that a start's relevance may arrive at; of another library's chain, all that come before."""
    if not isinstance(chain.graph, Graph):
        return set(chain.graph.below(top))
    return {name for node in chain.graph.between(top, INPUT) for name in node.inputs}


def alike(chain: RelevanceChain, start: str, layers: Sequence[str]) -> dict[str, str]:
    """For each of some layers the first of them with the same relevance, number by number.

    Below a batch norm of its own, an activation, a dropout there is what was above it, if nothing else comes
    in there: what is said of one layer is said of both.

    Parameters
    ----------
    chain
        whose layers these are.
    start
        where its relevance starts.
    layers
        names of tensors, the highest first.

    Returns
    -------
    dict
        by the layers' names; a layer that is the first of its kind is its own.
    """
    above: dict[str, str] = {}
    crossed = list(chain.crossed(start))
    users = Counter(name for node, _ in crossed for name in node.inputs)
    for node, local in crossed:
        source = node.inputs[0]
        kept = isinstance(local, Same) and local.inside == local.outside
        if kept and users[source] == 1 and chain.hands_on(source) and chain.hands_on(node.name):
            above[source] = above.get(node.name, node.name)
    first: dict[str, str] = {}
    return {name: first.setdefault(above.get(name, name), name) for name in layers}


def state_cuts(chain: RelevanceChain, start: str) -> list[str]:
    """The cuts of the network from the start down to the input, without those behind a pass-through.

    Parameters
    ----------
    chain
        whose network it is.
    start
        the name of a layer.

    Returns
    -------
    list of str
        tensors that all relevance of the start crosses, the start's own first.
    """
    top = chain.graph.resolve(start)
    names = [
        c for c in chain.graph.cuts if c == INPUT or not isinstance(chain.graph.nodes[c].op, PassThrough)
    ]
    order = [INPUT, *chain.graph.nodes]
    lower = [c for c in reversed(names) if order.index(c) < order.index(top)]
    return [top, *lower]
