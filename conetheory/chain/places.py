"""Which locations are places, whose coordinates say how far apart they are, and which are not.

Those of a map are. Tokens are where they are the locations of a map in its order, as patches in a row: not
among a class token, which stands nowhere, nor in windows, whose order is another. Attention hands relevance
over by content, from any token to any other: what came through it did not walk.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

import torch

from conetheory.chain.reach import space
from conetheory.networks.attention import MatMul, Softmax
from conetheory.networks.graph import INPUT, Graph, Node
from conetheory.networks.ops import (
    AvgPool2d,
    Conv2d,
    Linear,
    MaxPool2d,
    PassThrough,
    Pointwise,
    Shape,
)
from conetheory.networks.selection import Selection
from conetheory.networks.transposed import ConvTranspose2d

Size = tuple[int, int]
Places = Size | str  # the map whose locations these are, row by row; or why they are no places
ONE: Size = (1, 1)
CLASS_TOKEN = "a token that stands for no location, such as a class token, is among them"
SEVERAL = "the numbers of several locations stand at one"
OTHER_ORDER = "they are not in the order of a map, as in windows"
PAIRS = "they are pairs of tokens"
TOKENS = "they are made of tokens that are not in the order of their map"
VOLUME = "they lie on three axes, and an origin has two"
MIXED = "they are those of several tensors that differ in theirs"


def places(graph: Graph) -> dict[str, Places]:
    """For every tensor the size of the map whose locations it has, or why it has no such map's.

    `(1, 1)` for a tensor of one location.
    """
    found: dict[str, Places] = {INPUT: _of_shape(graph.input_shape)}
    for node in graph.nodes.values():
        found[node.name] = ONE if prod(space(node.shape)) == 1 else _of_node(graph, node, found)
    return found


def _of_node(graph: Graph, node: Node, known: Mapping[str, Places]) -> Places:
    (first, *_), shape = node.inputs, graph.shape(node.inputs[0])
    match node.op:
        case Conv2d() | ConvTranspose2d() if not isinstance(node.op, Pointwise) and not _pointwise(node.op):
            return _computed(node, shape, known[first])
        case MaxPool2d() | AvgPool2d():
            return _computed(node, shape, known[first])
        case MatMul() | Softmax() if node.name in graph.weights:
            return PAIRS
        case MatMul(gate=gate):
            return _kept(node, graph.shape(node.inputs[1 - gate]), known[node.inputs[1 - gate]])
        case Selection(places="mixed"):
            return _moved(node.op, shape, node.shape, known[first])
        case Selection(places="shifted"):
            return _computed(node, shape, known[first])
        case PassThrough() | Linear() if prod(space(shape)) == 1:
            return _of_shape(node.shape)  # a map that is made of a vector
    alike = {known[n] for n in node.inputs if prod(space(graph.shape(n))) == prod(space(node.shape))}
    reasons = [each for each in alike if isinstance(each, str)]
    if reasons or len(alike) != 1:
        return reasons[0] if reasons else MIXED
    return _kept(node, shape if len(node.inputs) == 1 else node.shape, *alike)


def _of_shape(shape: Shape) -> Places:
    return VOLUME if len(shape) > 3 and prod(shape[1:]) > 1 else space(shape)


def _pointwise(op: Conv2d | ConvTranspose2d) -> bool:
    return max(op.weight.shape[2:]) == 1 and set(op.stride) == {1} and set(op.padding) == {0}


def _computed(node: Node, inside: Shape, known: Places) -> Places:
    """Of a map a map; of tokens in a row nothing that is known."""
    if isinstance(known, str):
        return known
    return _of_shape(node.shape) if known == space(inside) else TOKENS


def _kept(node: Node, inside: Shape, known: Places) -> Places:
    """Locations as they were, whatever the axes are called; channels must not have become locations."""
    if isinstance(known, str) or prod(space(inside)) == prod(space(node.shape)):
        return known
    return SEVERAL


def _moved(op: Selection, inside: Shape, outside: Shape, known: Places) -> Places:
    """By what the operation makes of the numbers of places."""
    if isinstance(known, str) or len(inside) != 3 or len(outside) != 3:
        return known if isinstance(known, str) else space(outside)
    locations = prod(space(inside))
    numbers = torch.arange(1, prod(inside) + 1, dtype=torch.float64).view(1, *inside)
    moved = op.forward(numbers)[0].long().flatten(1)
    held, place = moved > 0, (moved - 1) % locations
    if not bool(held.any(0).all()):
        return CLASS_TOKEN
    low = torch.where(held, place, locations).amin(0)
    if not torch.equal(low, torch.where(held, place, -1).amax(0)):
        return SEVERAL
    return known if torch.equal(low, torch.arange(locations)) else OTHER_ORDER


def without_attention(graph: Graph, top: str) -> set[str]:
    """The tensors below one to which no path from there leads through a product of matrices."""
    crossed, reached = set[str](), set[str]()
    for node in graph.between(top, INPUT):
        reached.update(node.inputs)
        if isinstance(node.op, MatMul) or node.name in crossed:
            crossed.update(node.inputs)
    return reached - crossed
