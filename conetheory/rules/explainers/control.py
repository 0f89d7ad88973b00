"""A control that knows nothing: maps that are drawn, whatever the network computes.

Its maps of two classes differ as much as maps can: that maps differ is no evidence that they explain. A
method that forgets is told from one that depends by how alike its maps are; one that explains is told from
this control by what happens when the network changes.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from conetheory.counts import checked_seed
from conetheory.networks.graph import Graph
from conetheory.rules.explainer import Explainer
from conetheory.rules.registry import register


@register(
    "random",
    family="control",
    description="numbers that are drawn for each image and output vector, whatever the network is",
    equation="N(0, 1) at every pixel",
    source="control; compare Adebayo et al. 2018",
)
@dataclass(frozen=True)
class Random(Explainer):
    """Independent N(0, 1) numbers, the same again for the same image, output vector and seed."""

    seed: int = 0
    is_linear = False

    def __post_init__(self) -> None:
        super().__post_init__()
        checked_seed(self.seed)

    def maps(self, graph: Graph, images: Tensor, outputs: Tensor) -> Tensor:
        found = [torch.stack([self._drawn(x, v) for v in vs]) for x, vs in zip(images, outputs, strict=True)]
        return torch.stack(found).to(outputs)

    def _drawn(self, x: Tensor, v: Tensor) -> Tensor:
        marks = [zlib.crc32(t.detach().double().cpu().numpy().tobytes()) for t in (x, v)]
        drawn = np.random.default_rng([self.seed, *marks]).standard_normal(tuple(x.shape))
        return torch.from_numpy(drawn)
