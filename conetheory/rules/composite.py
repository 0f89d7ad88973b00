"""Composites: another rule for convolutions, dense layers, pools and sums, and for what reads the image.

Its parts decide what a composite does: LRP-epsilon on the dense layers keeps the decision and the z+ rule on
the convolutions forgets it, at z+'s rate, however the relevance came there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

from torch import Tensor

from conetheory.networks.attention import MatMul, Softmax
from conetheory.networks.coupling import Product, Standardise
from conetheory.networks.graph import INPUT, Graph, Node
from conetheory.networks.ops import Conv2d, Linear, LinearOp, Pointwise
from conetheory.networks.transposed import ConvTranspose2d
from conetheory.rules.alphabeta import AlphaBeta, Bias
from conetheory.rules.base import Rule
from conetheory.rules.domains import Bound, Flat, ZBox
from conetheory.rules.lrp import Epsilon, Gamma
from conetheory.rules.maps import LocalMap
from conetheory.rules.registry import register


@dataclass(frozen=True)
class Composite(Rule):
    """The rule of an operation by its kind and place.

    Max pools, activations and batch norms that could not be folded are those of `Rule`.

    Parameters
    ----------
    convolution, dense
        of the operations with weights.
    pool
        of means and sums.
    first
        of the operations with weights that no other such operation lies below (None: as the others).
    lowest
        the names of those, which `bind` finds.
    coupled
        of products of branches and of matrices, softmax and norms by their own statistics (None: those of
        `Rule`, where a constant factor makes a mean: `pool`).
    """

    convolution: Rule
    dense: Rule
    pool: Rule
    first: Rule | None = None
    lowest: frozenset[str] = frozenset()
    coupled: Rule | None = None

    @property
    def parts(self) -> tuple[Rule, ...]:
        return tuple(r for r in self._rules if r is not None)

    @property
    def _rules(self) -> tuple[Rule | None, ...]:
        return self.convolution, self.dense, self.pool, self.first, self.coupled

    @property
    def is_linear(self) -> bool:
        return all(rule.is_linear for rule in self.parts)

    @property
    def is_nonnegative(self) -> bool:
        return all(rule.is_nonnegative for rule in self.parts)

    @property
    def is_sum_preserving(self) -> bool:
        return all(rule.is_sum_preserving for rule in self.parts)

    @property
    def has_fixed_pattern(self) -> bool:
        return all(rule.has_fixed_pattern for rule in self.parts)

    @property
    def mass(self) -> float | None:
        bounds = [bound for rule in self.parts if (bound := rule.mass) is not None]
        return max(bounds) if len(bounds) == len(self.parts) else None

    @property
    def roundings(self) -> int:
        return max(rule.roundings for rule in self.parts)

    def bind(self, graph: Graph) -> Self:
        return replace(self, lowest=frozenset(lowest(graph)))

    def at(self, node: Node) -> Rule:
        """The rule that `node` gets, by its kind and place."""
        match node.op:
            case MatMul() if self.coupled is None:
                return self.pool
            case MatMul() | Softmax() | Product() | Standardise() if self.coupled is not None:
                return self.coupled
            case Conv2d() | Linear() | ConvTranspose2d() if (
                self.first is not None and node.name in self.lowest
            ):
                return self.first
            case Linear() | Pointwise():
                return self.dense
            case Conv2d() | ConvTranspose2d():
                return self.convolution
            case LinearOp():
                return self.pool
        return self

    def local(self, node: Node, xs: Sequence[Tensor], y: Tensor) -> LocalMap:
        rule = self.at(node)
        return super().local(node, xs, y) if rule is self else rule.local(node, xs, y)


def lowest(graph: Graph) -> list[str]:
    """The operations with weights that have none below them."""
    unweighted, found = {INPUT}, []
    for node in graph.nodes.values():
        if not unweighted.issuperset(node.inputs):
            continue
        if isinstance(node.op, Conv2d | Linear | ConvTranspose2d):
            found.append(node.name)
        else:
            unweighted.add(node.name)
    return found


def epsilon_composite(
    convolution: Rule, epsilon: float, stabiliser: float, first: Rule | None = None
) -> Composite:
    """LRP-epsilon on dense layers; at means and sums LRP-0 with the stabiliser."""
    return Composite(convolution, Epsilon(epsilon), Epsilon(stabiliser), first)


@register(
    "epsilon-plus",
    family="LRP composite",
    description="z+ on convolutions, LRP-epsilon on dense layers",
    equation="lrp-alpha1beta0 at convolutions, lrp-epsilon at dense layers",
    source="Kohlbrenner et al. 2020 (zennit's EpsilonPlus)",
)
def epsilon_plus(epsilon: float = 1e-6, bias: Bias = "none", stabiliser: float = 0.0) -> Composite:
    return epsilon_composite(AlphaBeta(bias=bias, stabiliser=stabiliser), epsilon, stabiliser)


@register(
    "epsilon-plus-flat",
    family="LRP composite",
    description="epsilon-plus, with the flat rule where the image is read",
    equation="flat at the lowest weights, lrp-alpha1beta0 at convolutions, lrp-epsilon at dense layers",
    source="Kohlbrenner et al. 2020 (zennit's EpsilonPlusFlat)",
)
def epsilon_plus_flat(epsilon: float = 1e-6, bias: Bias = "none", stabiliser: float = 0.0) -> Composite:
    return replace(epsilon_plus(epsilon, bias, stabiliser), first=Flat(stabiliser))


@register(
    "epsilon-alpha2-beta1",
    family="LRP composite",
    description="alpha2-beta1 on convolutions, LRP-epsilon on dense layers",
    equation="lrp-alpha2beta1 at convolutions, lrp-epsilon at dense layers",
    source="Kohlbrenner et al. 2020 (zennit's EpsilonAlpha2Beta1)",
)
def epsilon_alpha2_beta1(epsilon: float = 1e-6, bias: Bias = "none", stabiliser: float = 0.0) -> Composite:
    return epsilon_composite(AlphaBeta(2.0, 1.0, bias, stabiliser), epsilon, stabiliser)


@register(
    "epsilon-alpha2-beta1-flat",
    family="LRP composite",
    description="epsilon-alpha2-beta1, with the flat rule where the image is read",
    equation="flat at the lowest weights, lrp-alpha2beta1 at convolutions, lrp-epsilon at dense layers",
    source="Kohlbrenner et al. 2020 (zennit's EpsilonAlpha2Beta1Flat)",
)
def epsilon_alpha2_beta1_flat(
    epsilon: float = 1e-6, bias: Bias = "none", stabiliser: float = 0.0
) -> Composite:
    return replace(epsilon_alpha2_beta1(epsilon, bias, stabiliser), first=Flat(stabiliser))


@register(
    "epsilon-gamma-box",
    family="LRP composite",
    description="z-box where the image is read, LRP-gamma on convolutions, LRP-epsilon on dense layers",
    equation="z-box at the lowest weights, lrp-gamma at convolutions, lrp-epsilon at dense layers",
    source="Montavon et al. 2019, sec. 10.3 (zennit's EpsilonGammaBox)",
)
def epsilon_gamma_box(
    low: Bound = None,
    high: Bound = None,
    gamma: float = 0.25,
    epsilon: float = 1e-6,
    stabiliser: float = 0.0,
) -> Composite:
    box = ZBox(low, high, stabiliser)
    return epsilon_composite(Gamma(gamma, stabiliser=stabiliser), epsilon, stabiliser, box)


@register(
    "lrp-preset-a",
    family="LRP composite",
    description="the paper's LRP CMP alpha1-beta0: z+ on convolutions, LRP-epsilon on dense layers",
    equation="lrp-alpha1beta0 at convolutions, lrp-epsilon at dense layers, epsilon = 1e-10",
    source="Alber et al. 2019 (innvestigate's sequential preset a), epsilon of Sixt et al. 2020",
    aliases=("lrp-cmp-alpha1beta0",),
)
def preset_a(epsilon: float = 1e-10, bias: Bias = "none", stabiliser: float = 0.0) -> Composite:
    return epsilon_plus(epsilon, bias, stabiliser)


@register(
    "lrp-preset-b",
    family="LRP composite",
    description="the paper's LRP CMP alpha2-beta1: alpha2-beta1 on convolutions, LRP-epsilon on dense layers",
    equation="lrp-alpha2beta1 at convolutions, lrp-epsilon at dense layers, epsilon = 1e-10",
    source="Alber et al. 2019 (innvestigate's sequential preset b), epsilon of Sixt et al. 2020",
    aliases=("lrp-cmp-alpha2beta1",),
)
def preset_b(epsilon: float = 1e-10, bias: Bias = "none", stabiliser: float = 0.0) -> Composite:
    return epsilon_alpha2_beta1(epsilon, bias, stabiliser)


@register(
    "deep-taylor",
    family="LRP composite",
    description="bounded Deep Taylor Decomposition: z+ in hidden layers, z-box where the image is read",
    equation="z-box at the lowest weights, lrp-alpha1beta0 above",
    source="Montavon et al. 2017, sec. 4",
    aliases=("deep-taylor-bounded",),
)
def deep_taylor(
    low: Bound = None, high: Bound = None, bias: Bias = "none", stabiliser: float = 0.0
) -> Composite:
    """Nonnegative, with columns that sum to one: the whole chain is one of stochastic matrices."""
    hidden = AlphaBeta(bias=bias, stabiliser=stabiliser)
    return Composite(hidden, hidden, hidden, ZBox(low, high, stabiliser))
