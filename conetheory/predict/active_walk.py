"""The walk of the weights with a mean field of activations: units are active by chance.

Networks are not flat: a unit is active or not. Where each is active with the share of its channel,
independently of all others, the weights that happen to meet an active unit are one more difference between
channels, of the size of the weights' own: with i.i.d. weights kappa becomes `(1 + kappa) / share - 1`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from conetheory.chain.relevance import RelevanceChain
from conetheory.networks.flat import channel_means
from conetheory.networks.noise import noise_images
from conetheory.predict.registry import register
from conetheory.predict.walk import Walk

FIELDS = 8  # noise images over which the shares of active units are taken


@register
class ActiveWalk(Walk):
    """The walk of the weights where each unit is active with the share of its channel, else nothing.

    A mean field: the shares are those on noise with the power spectrum of photographs (`networks.noise`), so
    that no image is looked at, and units are active independently (drawn once, by `seed`).

    given: other shares, one number for each channel of operations with weights:
    `flat.channel_means(..., "share")` of images of one's own.
    """

    name = "walk-active"
    label = "walk, units active by chance"

    def __init__(self, start: str, *, given: Mapping[str, Tensor] | None = None, **options: Any) -> None:
        super().__init__(start, **options)
        self.given = dict(given or {})

    def shares(self, chain: RelevanceChain) -> Mapping[str, Tensor]:
        noise = noise_images(chain.graph.input_shape, FIELDS, self.seed).to(chain.device, chain.dtype)
        return {**channel_means(chain.graph, noise, "share"), **self.given}
