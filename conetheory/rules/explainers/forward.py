"""The network as explainers from outside want it: a function that autograd can follow, whole or in two parts.

The functions run over the graph's own tensors, so a network has its parameters once, whatever explains it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib import import_module
from types import ModuleType

import torch
from torch import Tensor

from conetheory import room
from conetheory.errors import InputError, MissingDependencyError
from conetheory.networks.graph import INPUT, Graph, Node

BUDGET = 2**28  # numbers that a batch may hold in all its activations: 1 GiB of float32


def captum(module: str) -> ModuleType:
    """`captum.<module>`, imported when it is first needed."""
    try:
        return import_module(f"captum.{module}")
    except ModuleNotFoundError as error:
        raise MissingDependencyError("this method needs captum: pip install 'conetheory[captum]'") from error


def outputs_of(graph: Graph, images: Tensor) -> Tensor:
    """The logits `(N, classes)`, with their history where autograd asks for it."""
    return next(y for node, _, y in graph.run(images) if node.name == graph.output)


def projected_logits(graph: Graph) -> Callable[[Tensor, Tensor], Tensor]:
    """`f(images, v) = <v, logits(images)>`, one number for each image."""
    return lambda images, v: (outputs_of(graph, images) * v).flatten(1).sum(1)


def batch_size(graph: Graph) -> int:
    """How many images go through the network at a time, forward and backward."""
    held = math.prod(graph.input_shape) + sum(math.prod(node.shape) for node in graph.nodes.values())
    return max(1, room.block(BUDGET) // held)


@contextmanager
def differentiable() -> Iterator[None]:
    """Autograd inside, whatever is switched off outside."""
    with torch.inference_mode(False), torch.enable_grad():
        yield


def by_pairs(
    explain: Callable[[Tensor, Tensor], Tensor], images: Tensor, outputs: Tensor, size: int
) -> Tensor:
    """`explain(images, v)` for each image with each of its vectors, `size` pairs at a time."""
    pairs = images.repeat_interleave(outputs.shape[1], 0), outputs.flatten(0, 1)
    with differentiable():
        # clones, because tensors from inference mode can't take part in autograd
        chunks = zip(*(t.clone().split(size) for t in pairs), strict=True)
        found = [explain(x, v).detach() for x, v in chunks]
    return torch.cat(found).unflatten(0, outputs.shape[:2])


def split_at(graph: Graph, layer: str) -> tuple[Graph, Graph]:
    """The network below a layer, which ends in its tensor, and above it, which begins with it.

    Raises `InputError` where a branch goes around the layer.
    """
    cut, cuts = graph.resolve(layer), [name for name in graph.cuts if name not in (INPUT, graph.output)]
    if cut not in cuts:
        raise InputError(f"a network can't be cut at {layer!r}; it can at {', '.join(cuts) or 'no layer'}")
    names = list(graph.nodes)
    place = names.index(cut) + 1
    below = {name: graph.nodes[name] for name in names[:place]}
    above = {name: _renamed(graph.nodes[name], cut) for name in names[place:]}
    return (
        replace(graph, nodes=below, output=cut),
        replace(graph, nodes=above, input_shape=graph.shape(cut)),
    )


def _renamed(node: Node, cut: str) -> Node:
    return replace(node, inputs=tuple(INPUT if name == cut else name for name in node.inputs))
