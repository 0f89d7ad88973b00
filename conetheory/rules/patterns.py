"""PatternNet and PatternAttribution: the gradient with patterns in the place of the weights.

With A the patterns of a layer (see `rules.fitted_patterns`), a linear operation sends relevance down by

    PatternNet           M = A^T
    PatternAttribution   M = (W * A)^T

and a ReLU gates it as it gates the gradient, `diag(f'(x))`; sums, means and pools too are as in the gradient.
As `w^T a = 1` (without `bias="input"`), the columns of PatternAttribution's M sum to one away from padding:
a signed matrix of unit column sums, as that of alpha-beta is.

Patterns belong to weights. Where a network's weights are changed, as in parameter randomisation, there are
three things to do: fit patterns to the new weights; `stale="patterns"`, the old A with the new W; and
`stale="products"`, the old W * A, which is what the code of Sixt et al. (2020) measures. The last two are
to be asked for; by default patterns of other weights are refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from conetheory.errors import InputError, UnsupportedLayerError
from conetheory.networks.graph import Graph, Node
from conetheory.networks.ops import Conv2d, Linear
from conetheory.networks.transposed import ConvTranspose2d
from conetheory.rules.base import Rule
from conetheory.rules.fitted_patterns import Patterns, weighted
from conetheory.rules.gradient import Gradient
from conetheory.rules.maps import LocalMap
from conetheory.rules.registry import register

Stale = Literal["refuse", "patterns", "products"]
SOURCE = "Kindermans et al. 2018"


@dataclass(frozen=True, eq=False)
class Reweighted(Gradient):
    """The gradient with other weights on the way down; gates and winners are those of the network itself."""

    weights: Mapping[str, Tensor]
    reduce = "sum"

    def local(self, node: Node, xs: tuple[Tensor, ...], y: Tensor) -> LocalMap:
        if node.name in self.weights:
            node = replace(node, op=replace(node.op, weight=self.weights[node.name]))
        return super().local(node, xs, y)


@register(
    "pattern-net",
    family="pattern",
    description="the signal's direction in the place of the weights (patterns fitted from images)",
    equation="M = A^T, A the fitted patterns;  D(f'(x)) at an activation",
    source=SOURCE,
)
@dataclass(frozen=True)
class PatternNet(Rule):
    """patterns: from `fit_patterns`, or the file they were saved in. stale: see the module docstring."""

    patterns: Patterns | str | Path | None = None
    stale: Stale = "refuse"
    reduce = "sum"

    def bind(self, graph: Graph) -> Rule:
        if self.patterns is None:
            raise InputError(
                "this method needs patterns: fit them with "
                "conetheory.rules.fitted_patterns.fit_patterns(network, images) "
                "and give them, or the file they are saved in, as patterns="
            )
        for node in graph.nodes.values():
            if isinstance(node.op, ConvTranspose2d):
                raise UnsupportedLayerError(f"layer {node.name!r}: a transposed convolution has no patterns")
        given = self.patterns
        found = given if isinstance(given, Patterns) else Patterns.load(given)
        found.check(graph)
        return Reweighted({name: self._weight(name, op, found) for name, op in weighted(graph).items()})

    def _weight(self, name: str, op: Conv2d | Linear, found: Patterns) -> Tensor:
        """What stands in the place of W: A, or W * A."""
        W = found.weights[name].to(op.weight.device)
        if self.stale == "refuse" and not _same(op.weight, W):
            raise InputError(
                f"the patterns were fitted to other weights of layer {name!r}: fit them anew, or ask for "
                "stale='patterns' (A as fitted) or stale='products' (W * A as fitted)"
            )
        return self._combined(found.patterns[name].to(op.weight), op.weight, W.to(op.weight))

    def _combined(self, A: Tensor, current: Tensor, fitted: Tensor) -> Tensor:
        return A


@register(
    "pattern-attribution",
    family="pattern",
    description="each input's share of the signal (patterns fitted from images)",
    equation="M = (W * A)^T, entry by entry, A the fitted patterns;  D(f'(x)) at an activation",
    source=SOURCE,
)
@dataclass(frozen=True)
class PatternAttribution(PatternNet):
    """`M = (W * A)^T`; parameters as those of `PatternNet`."""

    def _combined(self, A: Tensor, current: Tensor, fitted: Tensor) -> Tensor:
        return A * (fitted if self.stale == "products" else current)


def _same(a: Tensor, b: Tensor) -> bool:
    """Whether two weights are equal in the narrower of their dtypes."""
    narrow = min(a, b, key=lambda t: t.element_size()).dtype
    return torch.equal(a.to(narrow), b.to(narrow))
