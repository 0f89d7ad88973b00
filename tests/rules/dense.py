"""Local maps as dense matrices."""

from __future__ import annotations

import torch
from torch import Tensor


def down(local, outside: tuple[int, ...]) -> Tensor:
    """M, (inputs, outputs), from one-hot relevance."""
    size = int(torch.tensor(outside).prod())
    eye = torch.eye(size, dtype=torch.float64).view(1, size, *outside)
    return torch.cat([part.flatten(2)[0] for part in local.down(eye)], 1).T


def up(local, insides: list[tuple[int, ...]]) -> Tensor:
    """M from one-hot covectors, an input at a time, the others None."""
    rows = []
    for i, shape in enumerate(insides):
        size = int(torch.tensor(shape).prod())
        eye = torch.eye(size, dtype=torch.float64).view(1, size, *shape)
        rows.append(local.up([eye if j == i else None for j in range(len(insides))]).flatten(2)[0])
    return torch.cat(rows)
