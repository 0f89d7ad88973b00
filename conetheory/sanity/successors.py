"""The successors of the randomisation test: smooth and efficient MPRT, and the random-logit check.

Hedström et al. (2023) mend model parameter randomisation (MPRT) twice: smooth MPRT compares maps averaged
over noisy copies of the image, since the comparison of single maps mostly measures their noise; efficient
MPRT does not compare maps at all but asks whether a map's complexity rises when the network is randomised.
The random-logit check (Sixt et al. 2020) keeps the network and explains another class.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Unpack

import numpy as np
import torch
from scipy.stats import entropy
from torch import Tensor

from conetheory.chain.checks import Placement, checked_images
from conetheory.counts import checked_seed, checked_whole
from conetheory.networks.edge import Model, as_network, shape_of
from conetheory.rules.registry import Method
from conetheory.saliency.pictures import attributions, pictures

BINS = 100  # of the histogram whose entropy is a map's complexity


def complexity(maps: np.ndarray, bins: int = BINS) -> np.ndarray:
    """Entropy `(images,)`, in nats, of the histogram of each map's values."""
    return np.array([entropy(np.histogram(one, bins=bins)[0]) for one in maps])


def complexity_rise(maps: np.ndarray, randomised: np.ndarray, bins: int = BINS) -> np.ndarray:
    """Efficient MPRT: `(H(randomised) - H(map)) / H(map)`, `(images,)`; NaN where a map has one value.

    Positive where the map of the fully randomised network is the more complex one, as it should be.
    """
    before, after = complexity(maps, bins), complexity(randomised, bins)
    return (after - before) / np.where((before > 0) & (after > 0), before, np.nan)


def smooth_maps(
    network: Model,
    images: Tensor,
    method: Method,
    targets: Tensor,
    *,
    samples: int,
    noise: float = 0.1,
    seed: int = 0,
    numbers: Sequence[int] | None = None,
    **placed: Unpack[Placement],
) -> np.ndarray:
    """Pictures `(images, *space)` of the mean attribution over noisy copies of each image.

    The noise is Gaussian with `noise` times the image's range as its deviation, and the same for every
    network: it is drawn from (seed, image, sample). numbers: of the images (None: from 0 on).
    """
    samples, seed = checked_whole(samples, "samples", 1), checked_seed(seed)
    network = as_network(network, shape_of(images))
    shape = network.graph.input_shape
    images = checked_images(images, shape)
    given = range(len(images)) if numbers is None else numbers
    spread = noise * (images.flatten(1).amax(1) - images.flatten(1).amin(1)).view(-1, *[1] * len(shape))

    def found(sample: int) -> Tensor:
        drawn = torch.stack([_normal(x.shape, [seed, n, sample]) for n, x in zip(given, images, strict=True)])
        return attributions(network, images + spread * drawn.to(images), method, targets, **placed)[:, 0]

    total = reduce(torch.add, map(found, range(samples)))
    return pictures(total / samples, method.rule.reduce, shape)


def other_classes(
    targets: Tensor, outputs: int, seed: int = 0, numbers: Sequence[int] | None = None
) -> Tensor:
    """For each image another class than its target `(images, 1)`, uniform over all others; the target itself
    where the network has one output. numbers: of the images, by which it is drawn (None: from 0 on).
    """
    seed, given = checked_seed(seed), range(len(targets)) if numbers is None else numbers
    shifts = [np.random.default_rng([seed, n]).integers(1, max(outputs, 2)) for n in given]
    return (targets + torch.tensor(shifts).view(-1, 1)) % outputs


def _normal(shape: torch.Size, seed: list[int]) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(tuple(shape), dtype=np.float32))
