"""Relevance of one image as frames `(units, count)`, and random probes."""

from __future__ import annotations

import torch
from torch import Tensor

from conetheory.chain.relevance import RelevanceChain


def probes(chain: RelevanceChain, size: int, count: int, seed: int) -> Tensor:
    """A Gaussian frame, of the chain's dtype and device."""
    rng = torch.Generator().manual_seed(seed)
    return torch.randn((size, count), generator=rng, dtype=torch.float64).to(
        dtype=chain.dtype, device=chain.device
    )


def vectors(frame: Tensor, shape: tuple[int, ...]) -> Tensor:
    """A frame as relevance `(1, count, *shape)`."""
    return frame.T.reshape(1, -1, *shape)


def frame(r: Tensor) -> Tensor:
    """Relevance of one image as a frame."""
    return r.flatten(2)[0].T
