"""Excitation backprop (Zhang et al. 2016): z+ as the winning probabilities of a top-down walk.

A unit that wins passes on to one of its inputs j with probability `x_j w_ij / sum_k x_k w_ik` over the
excitatory connections, `w_ij >= 0`; `M` holds these probabilities, `M = diag(x+) W+^T diag(1 / (W+ x+))`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from conetheory.networks.ops import LinearOp
from conetheory.rules.alphabeta import AlphaBeta
from conetheory.rules.base import Rule
from conetheory.rules.maps import ScaledMap
from conetheory.rules.parameters import check_stabiliser
from conetheory.rules.registry import register


@register(
    "excitation-bp",
    family="LRP",
    description="winning probabilities along excitatory connections",
    equation="M = D(x+) W+^T D(1/(W+ x+))",
    source="Zhang et al. 2016, sec. 3.2",
)
@dataclass(frozen=True)
class ExcitationBackprop(Rule):
    """`M = diag(x+) W+^T diag(1 / (W+ x+))`: on nonnegative activations z+ without bias.

    negative_inputs: the paper assumes that units respond with x >= 0, which an image whose mean was
        subtracted or a signed branch of a sum does not. `silent` (default): they don't respond and can't
        win. `excite`: through negative weights they excite too, which is z+ (zennit).
    stabiliser: eps >= 0, added to the denominators.
    """

    negative_inputs: Literal["silent", "excite"] = "silent"
    stabiliser: float = 0.0
    is_nonnegative = True
    has_fixed_pattern = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_stabiliser(self.stabiliser)

    @property
    def is_sum_preserving(self) -> bool:
        return self.stabiliser == 0

    def linear(self, op: LinearOp, xs: Sequence[Tensor], y: Tensor) -> ScaledMap:
        if self.negative_inputs == "silent":
            xs = [x.clamp(min=0) for x in xs]
        return AlphaBeta(stabiliser=self.stabiliser).linear(op, xs, y)
