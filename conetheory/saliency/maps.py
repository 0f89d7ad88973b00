"""Maps of several classes of each image as a result: what `conetheory explain` saves and draws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from conetheory.chain.checks import checked_images
from conetheory.networks import Network
from conetheory.networks.edge import Model, as_network, shape_of
from conetheory.results.dataset import Maps
from conetheory.results.layout import method_axis, provenance
from conetheory.rules.parameters import takes_parameters
from conetheory.rules.registry import Method, as_method
from conetheory.saliency.pictures import (
    class_name,
    not_drawn,
    probabilities,
    saliency,
    space_dims,
    target_classes,
    usual_targets,
)


@takes_parameters
def explain_maps(
    network: Model,
    images: Tensor,
    method: str | Method,
    targets: Sequence[str | int] | None = None,
    *,
    names: Sequence[str] | None = None,
    parameters: Mapping[str, Any] | None = None,
    dtype: torch.dtype = torch.float32,
    device: str = "cpu",
) -> Maps:
    """Maps of one method with the pictures they explain, channels reduced as the method's source does.

    Parameters
    ----------
    network
        a module, a `Graph` or a `Network` with classes.
    images
        `(N, C, H, W)` or `(N, features)`, preprocessed.
    method
        by name, or a `Method`.
    targets
        `predicted`, `runner-up` (of the second largest logit), class indices or class names. None: the first
        two, so that there is another class to compare with.
    names
        of the images (None: their numbers).
    parameters
        of the rule.
    dtype, device
        of the chain.

    Returns
    -------
    Maps
        `map(method, image, target, y, x)`, of vectors `map(method, image, target, feature)`; the pictures
        `(image, y, x, rgb)` in [0, 1], of inputs that are pictures; the explained classes with their
        names and probabilities.
    """
    network, method = as_network(network, shape_of(images)), as_method(method, parameters)
    shape = network.graph.input_shape
    dims, images = space_dims(shape), checked_images(images, shape)
    targets = usual_targets(network) if targets is None else targets
    classes = target_classes(network, images, targets, dtype=dtype, device=device)
    maps = saliency(network, images, method, classes, dtype=dtype, device=device)
    maps = maps.astype(
        np.float64 if dtype == torch.float64 else np.float32
    )  # float32 may not hold the former
    titles = [[class_name(network, int(c)) for c in row] for row in classes]
    shown = {"picture": (("image", *dims, "rgb"), photographs(network, images))} if len(shape) == 3 else {}
    data = xr.Dataset(
        {
            "map": (("method", "image", "target", *dims), maps[None]),
            **shown,
            "class_index": (("image", "target"), classes.numpy()),
            "probability": (
                ("image", "target"),
                probabilities(network, images, classes, dtype=dtype, device=device),
            ),
        },
        {
            **method_axis(method),
            "image": list(names or [str(n) for n in range(len(images))]),
            "target": [str(t) for t in targets],
            "class_name": (("image", "target"), np.array(titles, dtype=object)),
            "reduce": ("method", [method.rule.reduce]),
        },
    )
    return Maps(data.assign_attrs(provenance(network, left_out=not_drawn(shape))))


def photographs(network: Network, images: Tensor) -> np.ndarray:
    """The pictures back from the network's input, `(images, H, W, 3)` in [0, 1]; stretched if need be."""
    if (undo := network.undo) is not None:
        return undo(images).cpu().numpy().astype(np.float32)
    shown = images[:, :3] if images.shape[1] >= 3 else images[:, :1].expand(-1, 3, -1, -1)
    low, high = shown.amin((1, 2, 3), keepdim=True), shown.amax((1, 2, 3), keepdim=True)
    return ((shown - low) / (high - low).clamp(min=1e-12)).movedim(1, -1).cpu().numpy().astype(np.float32)
