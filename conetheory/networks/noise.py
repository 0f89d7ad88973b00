"""Noise with the second-order statistics of photographs, where there is no photograph."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from conetheory.networks.ops import Shape

COMMON = 0.9  # the share of the variance that colour channels have in common (Ruderman et al. 1998)


def noise_images(shape: Shape, count: int, seed: int = 0) -> Tensor:
    """Gaussian noise of power 1/f^2 (Field 1987), `COMMON` of its variance the same in all channels.

    `(count, *shape)`, float32, each channel of mean 0 and variance about 1, as preprocessed photographs are.
    White where there is one location.
    """
    channels, *space = shape
    axes = tuple(range(2, 2 + len(space)))
    noise = np.random.default_rng([seed, *shape]).standard_normal((count, channels + 1, *space))
    if np.prod(space, dtype=int) > 1:
        grid = np.meshgrid(*(np.fft.fftfreq(n) for n in space), indexing="ij")
        frequency = np.sqrt(sum(f * f for f in grid))
        frequency.flat[0] = np.inf  # the mean
        noise = np.fft.ifftn(np.fft.fftn(noise, axes=axes) / frequency, axes=axes).real
        noise /= noise.std(axis=axes, keepdims=True)
    common = COMMON if space else 0.0
    mixed = np.sqrt(common) * noise[:, :1] + np.sqrt(1 - common) * noise[:, 1:]
    return torch.from_numpy(mixed.astype(np.float32))
