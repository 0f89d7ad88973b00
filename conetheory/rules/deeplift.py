"""DeepLIFT (Shrikumar, Greenside and Kundaje 2017, arXiv 1704.02685) and the ablation of Sixt et al. 2020.

The network is compared with itself at a reference input. With `Delta x = x - x0` at every tensor, what is
sent down are multipliers m, the contribution of a unit is `m Delta x`, and contributions at the input sum to
`f(x) - f(x0)` (completeness) where the rules below are complete: everywhere but at max pools in the mode of
the deeplift package (`pool="gradient"`).

Rescale. One multiplier per unit: `W^T` at a linear operation, `diag(Delta y / Delta x)` at an activation.
That is the gradient with secants for tangents: the matrices are as signed as the weights, the cone is not
kept, and products of them need not approach rank one. Like the gradient, it does not converge.

RevealCancel. Two multipliers per unit, m+ and m-, of the positive and the negative component of
`Delta y = Delta y+ + Delta y-`. At `y = W x + b` (section 3.5.1 of the paper; components by the sign of each
contribution `w Delta x`, not by the components of Delta x)

    Delta y+ = W+ max(Delta x, 0) + W- min(Delta x, 0),   Delta y- = W- max(Delta x, 0) + W+ min(Delta x, 0),
    m_x = W+^T m+ + W-^T m-  where Delta x > 0,   W-^T m+ + W+^T m-  where Delta x < 0,   their mean at 0:

    m_x = 1/2 (W^T (m+ + m-) + sign(Delta x) |W|^T (m+ - m-)),   the same in both blocks.              (1)

At an activation (section 3.5.3) each block has its own secant, the mean over the two orders in which the
components can be added: `m_x+- = m_y+- Delta y+- / Delta x+-`,

    Delta y+ = 1/2 (f(x0 + Delta x+) - f(x0) + f(x) - f(x0 + Delta x-)),   Delta y- likewise.

By (1) the sum of the blocks goes down by W^T, as in Rescale, and their difference is fed into it by |W|: the
part of the state that W- couples is signed, so RevealCancel does not converge either.

Ablation. Rescale without the terms that turn a negative contribution into a positive one and back, which are
those of W-:

    r+ -> diag(1{Delta x > 0}) W+^T r+,   r- -> diag(1{Delta x < 0}) W+^T r-.                          (2)

The blocks never mix, and all their matrices are nonnegative: two chains to which theorem 1 of Sixt et al.
applies, each of which converges to rank one, `c+- gamma+-^T`. Relevance at a location is read off both, each
on its own units, so that local matrices tend to rank two, and to rank one where one chain dominates.
The code of Sixt et al. has one chain: it hands `m = r+ + r-` to both blocks again (`chains="shared"`), which
is `m -> diag(1{Delta x != 0}) W+^T m`, nonnegative too, and signed at units that did not change.

Products of two branches and norms by their own statistics have a rule in Rescale alone, complete as well: the
mean over the orders in which the factors change. The other two refuse them.

Sums of tensors are linear operations with weights of one (as in the code of Sixt et al.; the deeplift package
has none). Averages, concatenations, reshapes and batch norms pass components on, as in that package; where a
batch norm has a negative scale they change signs instead of blocks, which comes to the same, as activations
treat both alike. At a max pool components are by the sign of `Delta y`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from conetheory.networks.graph import Graph
from conetheory.rules import differences
from conetheory.rules.base import Rule
from conetheory.rules.reference import DeepLift
from conetheory.rules.registry import register

SOURCE = "Shrikumar, Greenside and Kundaje 2017"


@register(
    "deeplift-rescale",
    family="DeepLIFT",
    description="the gradient with differences from a reference in the place of derivatives",
    equation="m -> W^T m;  at an activation m -> D(dy/dx) m;  dx, dy: differences from the reference",
    source=SOURCE + ", section 3.5.2",
)
@dataclass(frozen=True, eq=False)
class Rescale(DeepLift):
    """`M = W^T` and `diag(Delta y / Delta x)`."""

    def bind(self, graph: Graph) -> Rule:
        return differences.RescalePass(self, graph)


@register(
    "deeplift-revealcancel",
    family="DeepLIFT",
    description="multipliers of the positive and of the negative contributions, averaged over their order",
    equation="m -> 1/2 (W^T (m+ + m-) + D(sign dx) |W|^T (m+ - m-));  secants of each sign at activations",
    source=SOURCE + ", section 3.5.3",
)
@dataclass(frozen=True, eq=False)
class RevealCancel(DeepLift):
    """Two multipliers per unit, coupled by (1) of the module.

    A start vector enters both. What is read as the multiplier of a unit is their mean, and as its
    contribution `m+ Delta+ + m- Delta-`; the two are equal wherever a linear operation is right above.
    """

    def bind(self, graph: Graph) -> Rule:
        differences.refuse_coupled(graph, "deeplift-revealcancel")
        return differences.RevealCancelPass(self, graph)


@register(
    "deeplift-ablation",
    family="DeepLIFT",
    description="Rescale without the terms from negative to positive contributions and back",
    equation="r+ -> D(1{dx > 0}) W+^T r+,  r- -> D(1{dx < 0}) W+^T r-",
    source="Sixt, Granz and Landgraf 2020",
)
@dataclass(frozen=True, eq=False)
class Ablation(DeepLift):
    """Two chains that never mix, (2) of the module.

    Negative slopes of activations and negative scales of batch norms are cross terms too, and left out.
    chains: `decoupled` (the text of Sixt et al.), or `shared` (their code; keeps W^T where Delta x = 0).
    measure: `multipliers` reads `|Delta x|` times the multipliers at the input, which keeps the whole chain
        nonnegative; a pixel's contribution has the sign of its Delta x. `contributions` keeps that sign.
    """

    chains: Literal["decoupled", "shared"] = "decoupled"

    @property
    def is_nonnegative(self) -> bool:
        return self.chains == "decoupled" and self.measure == "multipliers"

    def bind(self, graph: Graph) -> Rule:
        differences.refuse_coupled(graph, "deeplift-ablation")
        kind = differences.AblationPass if self.chains == "decoupled" else differences.SharedAblationPass
        return kind(self, graph)
