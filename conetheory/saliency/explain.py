"""Saliency maps of any registered method, by the engine that CSC is measured with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from conetheory.chain.explained import open_chain
from conetheory.chain.watch import Watch
from conetheory.errors import InputError
from conetheory.networks.edge import Model, as_network, shape_of
from conetheory.rules.parameters import takes_parameters
from conetheory.rules.registry import Method, as_method


@takes_parameters
def explain(
    network: Model,
    images: Tensor,
    method: str | Method,
    targets: Tensor | int | None = None,
    *,
    start: str = "one",
    parameters: Mapping[str, Any] | None = None,
    dtype: torch.dtype | None = None,
    device: str | torch.device | None = None,
) -> Tensor:
    """Relevance at the input of one output or several.

    Parameters
    ----------
    network
        a module, a `Graph` or a `Network` with classes.
    images
        `(N, C, H, W)` or `(N, features)`, preprocessed.
    method
        by name, or a `Method`.
    targets
        class indices `(images, k)`, one class for all images, or None: each image's predicted class.
    start
        `one` sends down 1 from the explained output, `logit` its value.
    parameters
        of the rule.
    dtype, device
        those of the images where None.

    Returns
    -------
    Tensor
        `(images, targets, *input shape)`.

    Raises
    ------
    InputError
        where the network ends in a feature map, which has no classes, and where a map leaves the range of
        the dtype on its way.
    """
    if start not in ("one", "logit"):
        raise InputError(f"start must be one or logit, not {start!r}")
    network, method = as_network(network, shape_of(images)), as_method(method, parameters)
    _ = network.graph.classes
    with Watch("map") as watch:
        chain = open_chain(network, images, method, dtype=dtype, device=device).watched(watch)
        vectors = one_hot(chain.logits, targets)
        return chain.down(vectors * chain.logits.unsqueeze(1) if start == "logit" else vectors, "logits")


def one_hot(logits: Tensor, targets: Tensor | int | None = None) -> Tensor:
    """Start vectors `(images, k, classes)` for class indices (see `explain`)."""
    if logits.ndim != 2:
        raise InputError(f"outputs of shape {tuple(logits.shape[1:])} are no logits (classes,)")
    images, classes = logits.shape
    if targets is None:
        targets = logits.argmax(1, keepdim=True)
    targets = torch.as_tensor(targets, device=logits.device)
    if targets.is_floating_point() or targets.is_complex() or targets.dtype == torch.bool:
        raise InputError(f"targets are class indices, whole numbers, not {targets.dtype}")
    targets = targets.to(torch.int64)
    targets = targets.expand(images, 1) if targets.ndim == 0 else targets
    if targets.ndim != 2 or len(targets) != images:
        raise InputError(f"targets are class indices ({images} images, k), not {tuple(targets.shape)}")
    if bool((targets < 0).any()) or bool((targets >= classes).any()):
        raise InputError(f"targets are classes 0 to {classes - 1}")
    return torch.nn.functional.one_hot(targets, classes).to(logits.dtype)
