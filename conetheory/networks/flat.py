"""A network without an image: every weighted operation hands on a value that is given, not computed.

What a rule makes of flat activations is what it makes of the weights alone. In a `FlatGraph` the output of
every operation with weights and of every norm is replaced by a value a channel (one, unless given) or a
unit; activations, pools, sums and concatenations are computed from these. Rules see each operation with the
output that it has at such inputs. Biases are left out: they have no scale beside activations that have none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from conetheory.networks.coupling import Standardise
from conetheory.networks.graph import INPUT, Graph, Node
from conetheory.networks.ops import Affine, Conv2d, Linear, LinearOp, Op, Shape

TIE = 1e-3  # by how much values that are drawn equal differ, so that the winner of a pool is one by chance


@dataclass(frozen=True, eq=False)
class FlatGraph(Graph):
    """`values`: what the image and operations with weights hand on, broadcastable to `(1, *shape)`."""

    values: Mapping[str, Tensor] = field(default_factory=dict)

    def run(self, images: Tensor) -> Iterator[tuple[Node, tuple[Tensor, ...], Tensor]]:
        """Each node with its inputs, and the output that it has at them; of the images only the number."""
        tensors = {INPUT: self._value(INPUT, images)}
        for node in self.nodes.values():
            xs = tuple(tensors[name] for name in node.inputs)
            y = node.op.forward(*xs)
            tensors[node.name] = self._value(node.name, y) if is_replaced(node.op) else y
            yield node, xs, y

    def _value(self, name: str, like: Tensor) -> Tensor:
        value = self.values.get(name)
        return torch.ones_like(like) if value is None else value.to(like).expand_as(like).contiguous()


def is_replaced(op: Op) -> bool:
    """Whether an operation's output is given in a flat network, not computed."""
    return isinstance(op, Conv2d | Linear | Affine | Standardise)


def flat_graph(graph: Graph, values: Mapping[str, Tensor] | None = None) -> FlatGraph:
    """The network with given values (see `FlatGraph`)."""
    nodes = {name: replace(node, op=_without_bias(node.op)) for name, node in graph.nodes.items()}
    rest = (graph.input_shape, graph.output, graph.aliases, graph.after_activation)
    return FlatGraph(nodes, *rest, values=dict(values or {}))


def _without_bias(op: Op) -> Op:
    has_one = isinstance(op, LinearOp) and op.bias is not None
    return replace(op, bias=None, origin=None) if has_one else op


def drawn_values(
    graph: Graph, seed: int, levels: Mapping[str, Tensor], shares: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Values for `flat_graph`: the level of its channel with the share of it, minus that otherwise.

    levels, shares: (channels,) for some operations with weights, one where there is none. Values differ by up
    to `TIE` of them: without it the first of equals would win every pool.
    """
    rng = np.random.default_rng([seed, 1])
    drawn = {}
    for node in graph.nodes.values():
        if is_replaced(node.op):
            chance, tie = (torch.from_numpy(rng.random((1, *node.shape), np.float32)) for _ in range(2))
            level, share = (_channels(of.get(node.name), node.shape) for of in (levels, shares))
            drawn[node.name] = level * (1 + TIE * tie) * torch.where(chance < share, 1.0, -1.0)
    return drawn


def _channels(values: Tensor | None, shape: Shape) -> Tensor:
    """(channels,) beside a batch of this shape, on the CPU; ones for None."""
    found = torch.ones(()) if values is None else torch.as_tensor(values).detach().cpu()
    return found.reshape(1, -1, *(1,) * (len(shape) - 1))


@torch.inference_mode()
def channel_means(graph: Graph, images: Tensor, of: str = "level") -> dict[str, Tensor]:
    """Over images and locations, for every operation with weights, (channels,): the mean of the positive part
    (`level`), or the share of positive outputs (`share`)."""
    found = {}
    for node, _, y in graph.run(images):
        if is_replaced(node.op):
            values = (y > 0).to(y.dtype) if of == "share" else y.clamp(min=0)
            found[node.name] = values.transpose(0, 1).flatten(1).mean(1)
    return found
