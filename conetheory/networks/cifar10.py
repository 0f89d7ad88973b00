"""The small CIFAR-10 network of Sixt, Granz and Landgraf (2020).

conv32-conv64-pool-conv128-conv128-pool-fc1024-fc10, with 3 x 3 convolutions and same padding. The layer
names are the paper's; a ReLU is a module of its own, so that `conv4` names the tensor *before* its ReLU,
as in the reference code. Inputs are RGB in [0, 1] without further normalisation (`MEAN`, `STD`), at
training and at measurement.
"""

from __future__ import annotations

from collections import OrderedDict
from itertools import pairwise

from torch import nn

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
MEAN, STD = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
INPUT_SIZE = 32


class Cifar10CNN(nn.Sequential):
    """`(N, 3, 32, 32)` images in [0, 1] to `(N, num_classes)` logits."""

    def __init__(self, num_classes: int = 10, dropout: float = 0.5) -> None:
        modules: list[tuple[str, nn.Module]] = []
        widths = (3, 32, 64, 128, 128)
        for i, (fan_in, fan_out) in enumerate(pairwise(widths), start=1):
            modules += [(f"conv{i}", nn.Conv2d(fan_in, fan_out, 3, padding=1)), (f"relu{i}", nn.ReLU())]
            if i % 2 == 0:
                modules.append((f"pool{i // 2}", nn.MaxPool2d(2)))
        modules += [
            ("dropout4", nn.Dropout(dropout)),
            ("flatten", nn.Flatten()),
            ("fc5", nn.Linear(128 * 8 * 8, 1024)),
            ("relu5", nn.ReLU()),
            ("dropout5", nn.Dropout(dropout)),
            ("fc6", nn.Linear(1024, num_classes)),
        ]
        super().__init__(OrderedDict(modules))
