"""Saliency maps: one number for each pixel, or feature of a vector; classes by number, name or prediction."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Unpack

import numpy as np
import torch
from torch import Tensor

from conetheory import room
from conetheory.chain.checks import Placement, checked_images
from conetheory.counts import checked_whole
from conetheory.errors import InputError
from conetheory.networks.edge import Model, as_network, shape_of
from conetheory.networks.images import plain_name
from conetheory.networks.ops import Shape
from conetheory.rules.registry import Method
from conetheory.saliency.explain import explain

BATCH = 4  # images that go through a network at a time
PREDICTED = "predicted"
RUNNER_UP = "runner-up"  # the class of the second largest logit


def attributions(
    network: Model, images: Tensor, method: Method, targets: Tensor, **placed: Unpack[Placement]
) -> Tensor:
    """`explain`, some images at a time: maps `(images, k, *input shape)` of classes `(images, k)`."""
    network = as_network(network, shape_of(images))
    images = checked_images(images, network.graph.input_shape)
    pairs = zip(images.split(room.block(BATCH)), targets.split(room.block(BATCH)), strict=True)
    return torch.cat([explain(network, x, method, t, **placed).cpu() for x, t in pairs])


def space_of(shape: Shape) -> Shape:
    """The shape of a map of inputs of this shape: without the channels, `(H, W)`; a vector has none."""
    return tuple(shape[1:]) if len(shape) > 1 else tuple(shape)


def with_channels(maps: Tensor, shape: Shape) -> Tensor:
    """Maps `(..., *shape)` of inputs of this shape as `(..., C, *space)`; a vector is one channel."""
    return maps if len(shape) > 1 else maps.unsqueeze(-2)


def space_dims(shape: Shape) -> tuple[str, ...]:
    """The dimensions of a map in a result: `y, x`; `feature` of a vector, `position` of a sequence."""
    if len(shape) < 3:
        return ("feature",) if len(shape) == 1 else ("position",)
    if len(shape) == 3:
        return ("y", "x")
    raise InputError(f"inputs of shape {shape} are neither vectors nor pictures: there are no maps of them")


def not_drawn(shape: Shape) -> str | None:
    """What reports say of maps that are no pictures."""
    return None if len(shape) == 3 else f"pictures of maps: the inputs have shape {tuple(shape)}"


def pictures(maps: Tensor, reduce: str, shape: Shape = (3, 1, 1)) -> np.ndarray:
    """`(..., C, *space)` to `(..., *space)`: the sum over the channels, or the largest absolute value.

    reduce: `sum` or `absmax`, which a rule says of itself; the choices of Sixt et al. (2020). shape: of the
    network's input, of which its length counts; the features of a vector `(features,)` are locations of one
    channel, as pixels of a grey picture are.
    """
    if reduce not in ("sum", "absmax"):
        raise InputError(f"channels are reduced by sum or absmax, not {reduce!r}")
    maps, axis = with_channels(maps, shape), -1 - len(space_of(shape))
    flat = maps.sum(axis) if reduce == "sum" else maps.abs().amax(axis)
    return flat.to(torch.float64).cpu().numpy()


def saliency(
    network: Model, images: Tensor, method: Method, targets: Tensor, **placed: Unpack[Placement]
) -> np.ndarray:
    """Pictures `(images, k, *space)` of a method for classes `(images, k)`."""
    network = as_network(network, shape_of(images))
    maps = attributions(network, images, method, targets, **placed)
    return pictures(maps, method.rule.reduce, network.graph.input_shape)


def predicted_classes(network: Model, images: Tensor, count: int = 1, **placed: Unpack[Placement]) -> Tensor:
    """The `count` classes of largest logit, `(images, count)`, largest first."""
    graph = as_network(network, shape_of(images)).graph.to(**placed)
    images = checked_images(images, graph.input_shape)
    count = min(checked_whole(count, "count", 1), graph.classes)
    batches = [graph.forward(x.to(**placed)) for x in images.split(room.block(BATCH))]
    logits = torch.cat(batches)
    return logits.topk(count, 1).indices.cpu()


def target_classes(
    network: Model, images: Tensor, targets: Sequence[str | int], **placed: Unpack[Placement]
) -> Tensor:
    """Class indices `(images, len(targets))` for `predicted`, `runner-up`, an index or a class name each."""
    network = as_network(network, shape_of(images))
    columns = []
    for target in targets:
        if target == RUNNER_UP and network.graph.classes == 1:
            raise InputError("the network has one output: there is no runner-up")
        if target in (PREDICTED, RUNNER_UP):
            columns.append(predicted_classes(network, images, 2, **placed)[:, int(target == RUNNER_UP)])
        else:
            columns.append(torch.full((len(images),), class_index(network, target)))
    return torch.stack(columns, 1)


def usual_targets(network: Model) -> tuple[str, ...]:
    """The predicted class and the runner-up, of which maps are compared; where there is one output, it."""
    one = as_network(network).graph.classes == 1
    return (PREDICTED,) if one else (PREDICTED, RUNNER_UP)


def probabilities(network: Model, images: Tensor, classes: Tensor, **placed: Unpack[Placement]) -> np.ndarray:
    """The softmax of the logits at classes `(images, k)`, `(images, k)`."""
    graph = as_network(network, shape_of(images)).graph.to(**placed)
    images = checked_images(images, graph.input_shape)
    logits = torch.cat([graph.forward(x.to(**placed)) for x in images.split(room.block(BATCH))])
    return logits.double().softmax(1).cpu().gather(1, classes).numpy()


def class_index(network: Model, name: str | int) -> int:
    """The output that an index or a class name stands for; case and underscores don't matter."""
    network = as_network(network)
    outputs = network.graph.classes
    if isinstance(name, bool) or not isinstance(name, int | np.integer | str):
        raise InputError(f"a class is a number, {PREDICTED}, {RUNNER_UP} or a name, not {name!r}")
    if isinstance(name, int | np.integer) or name.isdecimal():
        if not 0 <= int(name) < outputs:
            raise InputError(f"class {name} is not one of the classes 0 to {outputs - 1}")
        return int(name)
    known = [plain_name(c) for c in network.classes or ()]
    if known.count(plain_name(name)) == 1:
        return known.index(plain_name(name))
    close = difflib.get_close_matches(plain_name(name), known, 3, 0.4)
    hint = f"; did you mean {', '.join(close)}?" if close else ""
    raise InputError(
        f"no class {name!r} in this network; give an index, {PREDICTED}, {RUNNER_UP} or a name{hint}"
    )


def class_name(network: Model, index: int) -> str:
    """The name of an output, its number where it has none."""
    classes = as_network(network).classes
    return classes[index] if classes else f"class {index}"
