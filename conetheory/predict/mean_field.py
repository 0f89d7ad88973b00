"""The mean field of rectified chains: the arc-cosine map, and what weight means add to it.

For GuidedBP, Deconv and RectGrad relevance passes a ReLU or a threshold between linear maps, so there is no
matrix. But each entry of `W^T r` sums many terms, so that a pair of relevances is `M + s + d`, `M + s - d`
with the mean M over starts and Gaussian deviations s (common) and d (apart). Here M and an ensemble of K
draws of s and of d go down: exactly through linear maps; at a ReLU or threshold the law of rectified
Gaussians (`theory.rectified`) gives, unit by unit, the new mean and by how much each deviation shrinks.

An estimate: the ReLU is replaced by its mean slope on the deviations (statistical linearisation), and K draws
stand for their covariance.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from conetheory.chain.cost import Cost, swept
from conetheory.chain.layers import below
from conetheory.chain.relevance import RelevanceChain
from conetheory.chain.supply import Supply
from conetheory.errors import InputError
from conetheory.measure import ranks
from conetheory.measure.by_image import ByImage
from conetheory.measure.meter import local_deficits
from conetheory.networks.graph import INPUT
from conetheory.predict.registry import register
from conetheory.predict.theory import Theory
from conetheory.progress import Progress
from conetheory.rules.maps import LocalMap
from conetheory.rules.rectifiers import OneWay, Rectifier
from conetheory.rules.registry import Method
from conetheory.theory.records import NotApplicable
from conetheory.theory.rectified import Moments, rectified

DRAWS = 16


@register
class MeanField(Theory):
    """The median deficit of a rectified chain for Gaussian starts.

    At each layer it is taken over the pairs `M + s_k + d_k`, `M + s_k - d_k` of the ensemble, over locations
    and images, so that a median over few channels, or few live ones, is that of pairs and not of a mean.

    Parameters
    ----------
    start
        the layer where relevance starts.
    **options
        those of `Theory`.
    """

    name, label = "mean-field", "mean-field"

    def __init__(self, start: str, **options: Any) -> None:
        super().__init__(start, **options)
        self.deficits = ByImage()

    @classmethod
    def applies(cls, method: Method) -> NotApplicable | None:
        return (
            None if method.rule.rectifies else NotApplicable(f"{method.name} has no ReLU on what goes down")
        )

    def cost(self, chain: RelevanceChain) -> Cost:
        """Pairs and their mean in float64, which takes twice as long as the chain's float32."""
        return swept(chain, self.start, (2 * DRAWS + 1) * 8 / chain.dtype.itemsize)

    @torch.inference_mode()
    def observe(self, chain: RelevanceChain, supply: Supply, progress: Progress) -> None:
        """Follow an ensemble of pairs down every image of a chain."""
        wanted = set(below(chain, self.start, self.layers))
        top = chain.graph.resolve(self.start)
        for number in range(len(chain)):
            one = chain.only(number).double("cpu")
            image = supply.first_image + number
            held = {top: self._start(chain.graph.shape(top), image)}
            for node, local in one.crossed(top):
                state = held.pop(node.name)
                if node.name in wanted:
                    self._keep(node.name, image, state)
                for source, part in zip(node.inputs, _cross(local, state), strict=True):
                    held[source] = part if source not in held else held[source] + part
            if INPUT in wanted:
                self._keep(INPUT, image, held[INPUT])
            progress(self.label, number + 1, len(chain))

    def _start(self, shape: Sequence[int], image: int) -> Tensor:
        """M = 0 and draws of s and d of variance 1/2: independent N(0, 1) starts."""
        rng = torch.Generator().manual_seed(self.seed + image)
        draws = torch.randn((1, 2 * DRAWS, *shape), generator=rng, dtype=torch.float64) / 2**0.5
        return torch.cat([torch.zeros((1, 1, *shape), dtype=torch.float64), draws], 1)

    def _keep(self, layer: str, image: int, state: Tensor) -> None:
        mean, common, apart = _parts(state)
        pairs = torch.stack([mean + common + apart, mean + common - apart], 2)[0]
        found = local_deficits(pairs)[0].numpy()
        self.deficits.add(layer, image, found[~np.isnan(found)])

    def record(self) -> dict[str, Any]:
        return {"deficits": self.deficits.record()}

    def take(self, record: Mapping[str, Any]) -> None:
        self.deficits.take(record["deficits"])

    def median(self, layer: str) -> float:
        """The predicted median deficit, NaN where all locations are dead."""
        return ranks.median(lambda: self.deficits.each(layer))


def _parts(state: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """M, the draws of s and those of d, side by side on the axis of vectors: (1, 1 + 2 K, *shape)."""
    mean, common, apart = state.split([1, DRAWS, DRAWS], 1)
    return mean, common, apart


def _cross(local: LocalMap, state: Tensor) -> tuple[Tensor, ...]:
    """What an operation hands down to the ensemble, at each of its inputs: linear, or a ReLU or threshold."""
    if not isinstance(local, Rectifier):
        if isinstance(local, OneWay):
            raise InputError(f"there is no mean field of {type(local).__name__}: it is no ReLU or threshold")
        return local.down(state)
    mean, common, apart = _parts(state)
    before = _moments(mean, common, apart)
    after = rectified(before, local.threshold(before))
    shared = after.variance - after.gap / 2, before.variance - before.gap / 2
    new = [
        torch.from_numpy(after.mean),
        common * _shrinkage(*shared),
        apart * _shrinkage(after.gap, before.gap),
    ]
    return (torch.cat(new, 1) if local.scale is None else torch.cat(new, 1) * local.scale,)


def _moments(mean: Tensor, common: Tensor, apart: Tensor) -> Moments:
    """Unit by unit: E u = M, var u = var s + var d, E (u - v)^2 / 2 = 2 var d."""
    M = mean.numpy()
    s2, d2 = (part.square().mean(1, keepdim=True).numpy() for part in (common, apart))
    return Moments(M, M**2 + s2 + d2, np.minimum(2 * d2, 2 * (s2 + d2)))


def _shrinkage(after: np.ndarray, before: np.ndarray) -> Tensor:
    """The factor on a deviation whose variance goes from `before` to `after`; 0 where there was none."""
    live = before > 0
    ratio = np.where(live, np.maximum(after, 0.0), 0.0) / np.where(live, before, 1.0)
    return torch.from_numpy(np.sqrt(ratio))
