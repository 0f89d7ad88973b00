"""In words, what relevance crosses between two layers: a convolution, a stride, a projection block, ..."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from conetheory.networks.attention import MatMul
from conetheory.networks.bcos import Aligned
from conetheory.networks.coupling import Product, Standardise
from conetheory.networks.offset import Offset
from conetheory.networks.ops import (
    Add,
    Affine,
    AvgPool2d,
    Concat,
    Conv2d,
    Linear,
    MaxPool2d,
    Op,
    PassThrough,
    Pointwise,
    Shape,
    Upsample,
)
from conetheory.networks.transposed import ConvTranspose2d
from conetheory.schema import INPUT, PROJECTION, RESIDUAL, STRIDE

MOST = 3  # operations that are named one by one


class Network(Protocol):
    """What is asked of a `networks.Graph`."""

    @property
    def nodes(self) -> Mapping[str, Any]: ...

    @property
    def output(self) -> str: ...

    @property
    def consumers(self) -> Mapping[str, Sequence[Any]]: ...

    def shape(self, name: str) -> Shape: ...

    def between(self, top: str, bottom: str) -> list[Any]: ...


def crossings(graph: Network, layers: Iterable[str]) -> dict[str, tuple[str, str]]:
    """`{layer: (layer above, words)}` (see `Graph.crossings`)."""
    wanted, crossed = set(layers), _always_crossed(graph)
    order = [INPUT, *graph.nodes]
    found = {}
    for name in wanted:
        above = [n for n in order if n in wanted and n in crossed[name] and n != name]
        if above:
            found[name] = above[0], _words(graph, above[0], name)
    return found


def _always_crossed(graph: Network) -> dict[str, frozenset[str]]:
    """For each tensor, those that every path from it to the output crosses, itself included."""
    found: dict[str, frozenset[str]] = {}
    for name in (*reversed(list(graph.nodes)), INPUT):
        above = [found[user.name] for user in graph.consumers[name]] if name != graph.output else []
        found[name] = frozenset((name,)) | (frozenset.intersection(*above) if above else frozenset())
    return found


def _words(graph: Network, top: str, bottom: str) -> str:
    """One block, or the operations from the top down, or how many there are; and the strides among them."""
    between = graph.between(top, bottom)
    nodes = [node for node in between if not isinstance(node.op, PassThrough | Affine)]
    words = _block(graph, nodes, bottom) or _named(nodes)
    if not nodes and any(isinstance(node.op, Affine) for node in between):
        words = "batch norm"
    strides = _strides(graph, between, top)[bottom]
    return f"{words}{STRIDE}{strides}" if strides > 1 else words


def _block(graph: Network, nodes: Sequence[Any], bottom: str) -> str:
    """A residual block, by what runs beside its main branch: nothing, or a single convolution."""
    sums = [node for node in nodes if isinstance(node.op, Add)]
    if len(sums) != 1 or len(nodes) < 2:
        return ""
    counts = sorted(_operations(graph, name, bottom) for name in sums[0].inputs)
    if counts[0] == 0 and counts[-1] > 0:
        return RESIDUAL
    return PROJECTION if counts[0] == 1 and counts[-1] > 1 else ""


def _operations(graph: Network, top: str, bottom: str) -> int:
    """How many operations with weights or windows lie between a branch's end and the layer below."""
    if top == bottom:
        return 0
    return sum(not isinstance(node.op, PassThrough | Affine) for node in graph.between(top, bottom))


def _named(nodes: Sequence[Any]) -> str:
    names = [_name(node.op) for node in nodes if not isinstance(node.op, Concat)]
    if not names:
        return "concatenation" if nodes else "no operation"
    return " and ".join(dict.fromkeys(names)) if len(names) <= MOST else f"{len(names)} operations"


def _name(op: Op) -> str:
    match op:
        case Linear() | Pointwise():
            return "dense layer"
        case Conv2d(weight=weight):
            return f"convolution {_size(weight.shape[2:])}"
        case Upsample():
            return "upsampling"
        case ConvTranspose2d(weight=weight):
            return f"transposed convolution {_size(weight.shape[2:])}"
        case Offset():
            return "constant"
        case MatMul():
            return "attention"
        case MaxPool2d(kernel=None) | AvgPool2d():
            return "mean" if isinstance(op, AvgPool2d) else "max pool"
        case MaxPool2d(kernel=kernel):
            return f"max pool {_size((kernel, kernel) if isinstance(kernel, int) else kernel)}"
        case Add():
            return "sum"
        case Product():
            return "product"
        case Aligned():
            return "alignment"
        case Standardise():
            return "norm"
    return type(op).__name__.lower()


def _size(sides: Iterable[int]) -> str:
    return " x ".join(str(int(side)) for side in sides)


def _strides(graph: Network, between: Sequence[Any], top: str) -> dict[str, int]:
    """The product of the strides on the way down to every tensor; of several ways the largest."""
    found = {top: 1}
    for node in between:
        for source in node.inputs:
            here = found[node.name] * _stride(node.op, graph.shape(source), node.shape)
            found[source] = max(found.get(source, 1), here)
    return found


def _stride(op: Op, inside: Shape, outside: Shape) -> int:
    """Along the axis where it is larger; of a mean, which is only known as a function, by its shapes."""
    match op:
        case Conv2d(stride=stride):
            return max(stride)
        case MaxPool2d(kernel=kernel, stride=stride) if kernel is not None:
            stride = kernel if stride is None else stride
            return stride if isinstance(stride, int) else max(stride)
        case MaxPool2d() | AvgPool2d() if len(outside) == 3 and min(outside[1:]) > 1:
            return max(1, *(n // m for n, m in zip(inside[1:], outside[1:], strict=True)))
    return 1
