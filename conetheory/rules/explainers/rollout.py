"""Attention rollout (Abnar and Zuidema 2020): the product of all layers' weights, with residual connections.

    R = R_L ... R_1,   R_l = (mean over heads of A_l + I) / 2,

rows that sum to one; the map is the class token's row of R, or the mean of all rows where there is none, at
the patches. Nothing of the decision is in it: every class has the same map. What it forgets beside is in
theorem `softmax-diameter`: rows of a product of such matrices come together.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce

import torch
from torch import Tensor
from torch.nn import functional as F

from conetheory.errors import InputError
from conetheory.networks.attention import MatMul
from conetheory.networks.graph import Graph, Node
from conetheory.rules.explainer import Explainer
from conetheory.rules.registry import register


@register(
    "attention-rollout",
    family="attention",
    description="the product of all layers' attention, with residual connections; no class enters",
    equation="R = R_L ... R_1,  R_l = (mean of heads + I)/2,  at the class token's row",
    source="Abnar and Zuidema 2020",
)
@dataclass(frozen=True)
class Rollout(Explainer):
    """For networks whose attention is among the same tokens in every layer."""

    is_linear = False

    def bind(self, graph: Graph) -> Rollout:
        grid_of(graph)
        return self

    def maps(self, graph: Graph, images: Tensor, outputs: Tensor) -> Tensor:
        height, width = grid_of(graph)
        rolled = rollout(graph, images)
        token = rolled.shape[-1] == height * width + 1
        seen = rolled[:, 0, 1:] if token else rolled.mean(1)
        grid = seen.view(len(images), 1, height, width)
        found = F.interpolate(grid, graph.input_shape[1:], mode="bilinear", align_corners=False)
        return found.unsqueeze(1).expand(-1, outputs.shape[1], -1, -1, -1).to(outputs)


def rollout(graph: Graph, images: Tensor) -> Tensor:
    """R of each image, `(N, tokens, tokens)`: rows are tokens of the last layer."""
    factors = []
    for node, xs, _ in graph.run(images):
        if (product := attention_of(graph, node)) is not None:
            weights = product.views[0].read(xs[0])
            mean = weights.flatten(1, -3).mean(1)
            factors.append((mean + torch.eye(mean.shape[-1]).to(mean)) / 2)
    return reduce(lambda product, factor: factor @ product, factors)


def attention_of(graph: Graph, node: Node) -> MatMul | None:
    """The operation of a node that is a product of values with weights that a softmax gave."""
    op = node.op
    return op if isinstance(op, MatMul) and op.gate == 0 and node.inputs[0] in graph.weights else None


def grid_of(graph: Graph) -> tuple[int, int]:
    """Height and width of the map of patches. Raises `InputError`."""
    tokens = set(_tokens(graph))
    if not tokens:
        raise InputError("attention rollout needs layers of attention; this network has none")
    if len(tokens) > 1 or len(graph.input_shape) != 3 or len(set(*tokens)) > 1:
        raise InputError(
            "attention rollout needs attention among the same tokens of one image in every layer"
        )
    ((count, *_),) = tokens
    for shape in (node.shape for node in graph.nodes.values()):
        if len(shape) == 3 and shape[1] > 1 and shape[1] * shape[2] in (count, count - 1):
            return shape[1], shape[2]
    raise InputError(f"attention rollout finds no map of {count} patches, or of one less")


def _tokens(graph: Graph) -> Iterator[tuple[int, int, int]]:
    """How many tokens each layer's attention is from and to, and how many there are, in all windows."""
    for node in graph.nodes.values():
        if (product := attention_of(graph, node)) is not None:
            queries, keys = product.views[0].shape[-2:]
            yield queries, keys, math.prod(node.shape[1:])
