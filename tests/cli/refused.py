"""A model with an operation that no rule is known for, for a command to refuse."""

from __future__ import annotations

from torch import Tensor, nn


class Sorted(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.dense = nn.Conv2d(3, 4, 3), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.dense(self.conv(x).flatten(2).sort(-1)[0].mean(-1))
