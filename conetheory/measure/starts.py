"""The vectors that relevance starts from, drawn by seed, image and start layer."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from conetheory.errors import InputError
from conetheory.networks.ops import Shape

Distribution = Literal["gaussian", "nonnegative"]


def draw(
    shape: Shape,
    images: Sequence[int],
    vectors: int,
    *,
    start: str,
    seed: int,
    distribution: Distribution = "gaussian",
) -> Tensor:
    """Start vectors `(images, vectors, *shape)`, i.i.d. N(0, 1) or |N(0, 1)|.

    Drawn on the CPU in float32: the same numbers for chains of any dtype and device. A thread for each
    image, since drawing takes longer than a GPU needs for what is done with it.

    Parameters
    ----------
    shape
        of the layer, without the batch axis.
    images
        their numbers in the study, which the vectors depend on.
    vectors
        how many for each image.
    start
        the layer's name, which the vectors depend on.
    seed
        of all of them.
    distribution
        `gaussian`, or `nonnegative`: their absolute values.

    Returns
    -------
    Tensor
        `(images, vectors, *shape)`, float32.

    Raises
    ------
    InputError
        for an unknown distribution.
    """
    if distribution not in ("gaussian", "nonnegative"):
        raise InputError(f"distribution must be gaussian or nonnegative, not {distribution!r}")

    def one(image: int) -> Tensor:
        entropy = np.random.SeedSequence([seed, image, zlib.crc32(start.encode())]).generate_state(1)[0]
        return torch.randn((vectors, *shape), generator=torch.Generator().manual_seed(int(entropy)))

    with ThreadPoolExecutor(min(len(images), torch.get_num_threads())) as pool:
        stacked = torch.stack(list(pool.map(one, images)))
    return stacked.abs() if distribution == "nonnegative" else stacked


def drawn_name(graph: Any, start: str) -> str:
    """The name that the vectors of a start layer are drawn by: the output has one, whatever it is called.

    Parameters
    ----------
    graph
        of the chain.
    start
        as it was asked for.

    Returns
    -------
    str
        `logits` for the output, else the tensor's own name.
    """
    return "logits" if graph.resolve(start) == graph.output else start
