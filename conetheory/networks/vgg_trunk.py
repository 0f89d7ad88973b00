"""The convolutions of a VGG without its dense layers; apart, since torchvision's models take a second."""

from __future__ import annotations

from torch import Tensor, nn
from torchvision.models import VGG


class VGGTrunk(VGG):
    """`(N, 3, H, W)` images to the map `(N, 512, H / 32, W / 32)` of the last pool; names are the whole's."""

    def __init__(self, whole: VGG) -> None:
        nn.Module.__init__(self)  # of the whole's parts one is kept, and no other made
        self.features = whole.features

    def forward(self, x: Tensor) -> Tensor:
        return self.features(x)
