"""A shuffle of channels as one operation: reshape, exchange of axes, reshape, as ShuffleNet writes it.

Between the two reshapes a tensor has no locations that could be told from channels. Where such a run leads
from a map to a map, it becomes one `Selection`, of the last one's name, and what lies between is gone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from torch import Tensor

from conetheory.networks.graph import Node
from conetheory.networks.ops import PassThrough, Shape
from conetheory.networks.selection import Selection, places_of

MAP = 3  # axes of a map


def joined(nodes: Mapping[str, Node], input_shape: Shape) -> dict[str, Node]:
    """The operations, with each run of selections and reshapes between two maps as one of them."""
    uses = Counter(name for node in nodes.values() for name in node.inputs)
    found: dict[str, Node] = {}
    for node in nodes.values():
        run = _run(node, found, uses)
        below = run[0].inputs[0]
        inside = found[below].shape if below in found else input_shape
        if len(run) > 1 and len(inside) == MAP and any(isinstance(n.op, Selection) for n in run):
            function = partial(_composed, [n.op.forward for n in run])
            node = replace(node, op=Selection(function, places=places_of(function, inside)), inputs=(below,))
            for inner in run[:-1]:
                del found[inner.name]
        found[node.name] = node
    return found


def _run(last: Node, below: Mapping[str, Node], uses: Mapping[str, int]) -> list[Node]:
    """From a map's reshape or selection down to the map that it comes from; in the order they run."""
    run = [last]
    if not _rearranges(last) or len(last.shape) != MAP:
        return run
    while (name := run[0].inputs[0]) in below and uses[name] == 1:
        node = below[name]
        if not _rearranges(node) or len(node.shape) == MAP:
            break
        run.insert(0, node)
    return run


def _rearranges(node: Node) -> bool:
    return isinstance(node.op, Selection) or (
        type(node.op) is PassThrough and node.op.kind in ("identity", "reshape")
    )


def _composed(functions: Sequence[Callable[[Tensor], Tensor]], x: Tensor) -> Tensor:
    for function in functions:
        x = function(x)
    return x
