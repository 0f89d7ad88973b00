"""Saliency maps as pictures: one number for each pixel; classes by number, name or prediction."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from conetheory.errors import InputError
from conetheory.networks.images import plain_name
from conetheory.rules.registry import Method
from conetheory.saliency.explain import explain

BATCH = 4  # images that go through a network at a time
PREDICTED = "predicted"


def attributions(network: Any, images: Tensor, method: Method, targets: Tensor, **options: Any) -> Tensor:
    """`attribution.explain`, some images at a time: maps `(images, k, C, H, W)` of classes `(images, k)`."""
    pairs = zip(images.split(BATCH), targets.split(BATCH), strict=True)
    return torch.cat([explain(network, x, method, t, **options).cpu() for x, t in pairs])


def pictures(maps: Tensor, reduce: str) -> np.ndarray:
    """`(..., C, H, W)` to `(..., H, W)`: the sum over the channels, or the largest absolute value.

    reduce: `sum` or `absmax`, which a rule says of itself; the choices of Sixt et al. (2020).
    """
    if reduce not in ("sum", "absmax"):
        raise InputError(f"channels are reduced by sum or absmax, not {reduce!r}")
    flat = maps.sum(-3) if reduce == "sum" else maps.abs().amax(-3)
    return flat.to(torch.float64).cpu().numpy()


def saliency(network: Any, images: Tensor, method: Method, targets: Tensor, **options: Any) -> np.ndarray:
    """Pictures `(images, k, H, W)` of a method for classes `(images, k)`."""
    return pictures(attributions(network, images, method, targets, **options), method.rule.reduce)


def predicted_classes(network: Any, images: Tensor, count: int = 1, **placed: Any) -> Tensor:
    """The `count` classes of largest logit, `(images, count)`, largest first."""
    graph = getattr(network, "graph", network).to(**placed)
    batches = [graph.forward(x.to(**placed)) for x in images.split(BATCH)]
    logits = torch.cat(batches)
    return logits.topk(min(count, logits.shape[1]), 1).indices.cpu()


def target_classes(network: Any, images: Tensor, targets: Sequence[str | int], **placed: Any) -> Tensor:
    """Class indices `(images, len(targets))` for `predicted`, an index or a class name each."""
    columns = []
    for target in targets:
        if target == PREDICTED:
            columns.append(predicted_classes(network, images, **placed)[:, 0])
        else:
            columns.append(torch.full((len(images),), class_index(network, target)))
    return torch.stack(columns, 1)


def class_index(network: Any, name: str | int) -> int:
    """The output that an index or a class name stands for; case and underscores don't matter."""
    graph = getattr(network, "graph", network)
    (outputs,) = graph.shape(graph.output)
    if isinstance(name, int | np.integer) or name.isdecimal():
        if not 0 <= int(name) < outputs:
            raise InputError(f"class {name} is not one of the classes 0 to {outputs - 1}")
        return int(name)
    known = [plain_name(c) for c in getattr(network, "classes", None) or ()]
    if known.count(plain_name(name)) == 1:
        return known.index(plain_name(name))
    close = difflib.get_close_matches(plain_name(name), known, 3, 0.4)
    hint = f"; did you mean {', '.join(close)}?" if close else ""
    raise InputError(f"no class {name!r} in this network; give an index, {PREDICTED} or a name{hint}")


def class_name(network: Any, index: int) -> str:
    """The name of an output, its number where it has none."""
    classes = getattr(network, "classes", None)
    return classes[index] if classes else f"class {index}"
