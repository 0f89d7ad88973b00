"""Maps that are not linear in the relevance: a ReLU or a threshold on what goes down."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from conetheory.errors import InputError
from conetheory.rules.localmap import Bare
from conetheory.theory.rectified import Moments, threshold_keeping


class OneWay(Bare):
    """A map that is not linear, so that there is no adjoint."""

    def up(self, hs: Sequence[Tensor | None]) -> Tensor:
        raise InputError("this method is not linear in the relevance: it has no adjoint")


@dataclass(frozen=True, eq=False)
class Rectifier(OneWay):
    """`r -> scale * r` where r is above a threshold, else 0; scale None for ones.

    `threshold` says which, for relevances that are Gaussian with given moments: the mean field asks it.
    """

    scale: Tensor | None

    def threshold(self, moments: Moments) -> float | np.ndarray:
        """The threshold >= 0 on each unit's relevance. moments: arrays (1, 1, *shape)."""
        return 0.0


@dataclass(frozen=True, eq=False)
class Rectified(Rectifier):
    """`r -> scale * max(r, 0)`."""

    def down(self, r: Tensor) -> tuple[Tensor, ...]:
        positive = r.clamp(min=0)
        return (positive if self.scale is None else positive.mul_(self.scale),)


@dataclass(frozen=True, eq=False)
class Thresholded(Rectifier):
    """`scale * r` where `a r` is above its quantile over all units of an image, else 0."""

    activation: Tensor  # (images, 1, *shape), as is the scale
    quantile: float

    def threshold(self, moments: Moments) -> np.ndarray:
        """`tau / a` such that the wanted share of all units has `a r > tau >= 0`."""
        return threshold_keeping(moments, self.activation.cpu().numpy(), 1 - self.quantile)

    def down(self, r: Tensor) -> tuple[Tensor, ...]:
        product = (r * self.activation).flatten(2)
        units = product.shape[2]
        # numpy's linear interpolation between order statistics; torch.quantile refuses large layers
        rank = self.quantile * (units - 1)
        low = product.kthvalue(int(rank) + 1, 2, keepdim=True).values
        high = product.kthvalue(min(int(rank) + 2, units), 2, keepdim=True).values
        kept = product > torch.lerp(low, high, rank - int(rank))
        scaled = r if self.scale is None else r * self.scale
        return (torch.where(kept.view_as(r), scaled, 0.0),)
