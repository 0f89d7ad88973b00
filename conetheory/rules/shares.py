"""What ratio rules divide by: shares of an output's relevance."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from conetheory.networks.ops import LinearOp
from conetheory.rules.maps import ScaledMap
from conetheory.rules.smallness import Group


def reciprocal(z: Tensor, stabiliser: float = 0.0) -> Tensor:
    """Shares `1 / (z + eps sign(z))`, sign(0) = 1, as `(images, 1, *shape)`; 0 where that would be 1 / 0."""
    if stabiliser > 0:
        z = torch.where(z >= 0, z + stabiliser, z - stabiliser)
    return torch.where(z == 0, 0.0, 1 / z).unsqueeze(1)


def scaled(op: LinearOp, xs: Sequence[Tensor], groups: Sequence[Group]) -> ScaledMap:
    """`ScaledMap` of groups whose factors still lack the axis of the vectors (None for ones)."""
    lifted = [(fs and [f.unsqueeze(1) for f in fs], terms) for fs, terms in groups]
    return ScaledMap(op, [tuple(x.shape[1:]) for x in xs], lifted)
