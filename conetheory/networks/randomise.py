"""Networks with the parameters of chosen layers drawn anew, for sanity checks (Adebayo et al. 2018).

A randomised network is a `Graph` that shares every tensor it does not change. Each layer has a generator of
its own, seeded by (seed, layer's name): a layer gets the same new parameters however many others change with
it, and no two layers get the same numbers. So the networks of a cascade are those that one random network
makes as it is copied in from the output down, as in the paper.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from conetheory.counts import checked_seed
from conetheory.errors import InputError
from conetheory.networks.edge import Model, as_network
from conetheory.networks.graph import INPUT, Graph
from conetheory.networks.ops import Affine, LinearOp, Op, PassThrough, PReLU

Scheme = Literal["reset", "permute", "model"]
SCHEMES = ("reset", "permute", "model")
PRELU = 0.25  # torch's initial slope
MOST = 9  # layers of a network for which the paper names none
VGG16 = ("conv1_1", "conv2_1", "conv3_1", "conv4_1", "conv4_3", "conv5_1", "conv5_3", "fc1", "fc3")
RESNET50 = ("conv1", "block2_2", "block3_1", "block3_3", "block4_1", "block4_6", "block5_2", "dense")
PAPER_LAYERS = {
    "vgg16": VGG16,
    "vgg16_bn": VGG16,
    "resnet50": RESNET50,
    "resnet50_v2": RESNET50,
}


@dataclass(frozen=True)
class Level:
    """A layer to randomise: the operations that are its `own`, and those of the `cascade` from the output.

    `cut` is the highest tensor below the cascade that every path crosses: what is under it is untouched.
    """

    name: str
    own: tuple[str, ...]
    cascade: tuple[str, ...]
    cut: str


def weighted(graph: Graph) -> tuple[str, ...]:
    """The operations that have parameters, in the order they run."""
    return tuple(name for name, node in graph.nodes.items() if _has_parameters(node.op))


def own_operations(graph: Graph, layer: str) -> tuple[str, ...]:
    """The operations with parameters that a layer's name stands for.

    The one behind which there are only activations; else, for the sum or concatenation at the end of a
    block, all of the block's module, such as the three convolutions of a ResNet bottleneck.
    """
    name = tensor = graph.resolve(layer)
    while name != INPUT and _passes(graph.nodes[name].op):
        (name,) = graph.nodes[name].inputs
    if name != INPUT and _has_parameters(graph.nodes[name].op):
        return (name,)
    module = tensor.rpartition(".")[0]
    inside = tuple(n for n in weighted(graph) if module and n.startswith(module + "."))
    if not inside:
        raise InputError(f"layer {layer!r} has no parameters to randomise")
    return inside


def default_layers(network: Model) -> tuple[str, ...]:
    """The paper's layers, for VGG-16 and ResNet-50; else all with weights, or 9 of them spread evenly."""
    network = as_network(network)
    graph = network.graph
    if network.name in PAPER_LAYERS:
        known = (*graph.aliases, *graph.nodes)
        return tuple(name for name in PAPER_LAYERS[network.name] if name in known)
    names = [n for n in weighted(graph) if isinstance(graph.nodes[n].op, LinearOp)]
    chosen = np.linspace(0, len(names) - 1, min(MOST, len(names))).round().astype(int)
    return tuple(names[i] for i in chosen)


def levels(graph: Graph, layers: Sequence[str]) -> tuple[Level, ...]:
    """The layers from the output down, each with its own operations and the cascade that ends with it."""
    place = {name: i for i, name in enumerate([INPUT, *graph.nodes])}
    found = []
    for layer in layers:
        own = own_operations(graph, layer)
        first = min(place[name] for name in own)
        cascade = tuple(n for n in weighted(graph) if place[n] >= first)
        cut = max((c for c in graph.cuts if place[c] < first), key=place.__getitem__)
        found.append(Level(layer, own, cascade, cut))
    return tuple(sorted(found, key=lambda level: -min(place[n] for n in level.own)))


def randomised(
    graph: Graph, names: Iterable[str], scheme: Scheme = "reset", seed: int = 0, fresh: Graph | None = None
) -> Graph:
    """The graph with new parameters for the operations `names`.

    `reset`: the initialisation that torch gives the layer, weights and bias uniform in +-1/sqrt(fan in); a
    batch norm becomes that of an untrained network (scale 1, shift 0), so one that was folded into a
    convolution is gone; a PReLU gets torch's slope of 0.25. `permute`: the layer's own values in random
    order, weights and bias each for themselves. `model`: what the layer has in `fresh`, the same network as
    its authors initialise it.

    Raises `InputError` for an unknown scheme, for `model` without `fresh`, or with one that doesn't fit.
    """
    if scheme not in SCHEMES:
        raise InputError(f"unknown scheme {scheme!r}; known: {', '.join(SCHEMES)}")
    if (scheme == "model") != (fresh is not None):
        raise InputError("the scheme 'model', and no other, takes a network with fresh weights")
    nodes, seed = dict(graph.nodes), checked_seed(seed)
    for name in names:
        op = nodes[name].op
        if fresh is not None:
            new = _fitting(op, fresh, name)
        else:
            rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
            new = _reset(op, rng) if scheme == "reset" else _permuted(op, rng)
        nodes[name] = replace(nodes[name], op=replace(op, **new))
    return replace(graph, nodes=nodes)


def _passes(op: Op) -> bool:
    return isinstance(op, PassThrough) and not _has_parameters(op)


def _has_parameters(op: Op) -> bool:
    if isinstance(op, Affine):
        return not op.fixed
    return isinstance(op, PReLU) or (isinstance(op, LinearOp) and op.weight is not None)


def _tensors(op: Op) -> dict[str, Tensor]:
    return {k: v for k, v in vars(op).items() if isinstance(v, Tensor)}


def _reset(op: Op, rng: np.random.Generator) -> dict[str, Tensor]:
    """torch's `reset_parameters`: Kaiming-uniform with a = sqrt(5) is U(-1/sqrt(fan in), 1/sqrt(fan in))."""
    if isinstance(op, Affine):
        return {"scale": torch.ones_like(op.scale), "shift": torch.zeros_like(op.shift)}
    if isinstance(op, PReLU):
        return {"weight": torch.full_like(op.weight, PRELU)}
    bound = _tensors(op)["weight"][0].numel() ** -0.5
    drawn = {}
    for key, old in _tensors(op).items():
        values = rng.random(old.numel(), dtype=np.float32)
        drawn[key] = torch.from_numpy(values).mul_(2 * bound).sub_(bound).view(old.shape).to(old)
    return drawn


def _permuted(op: Op, rng: np.random.Generator) -> dict[str, Tensor]:
    return {
        key: torch.from_numpy(rng.permutation(old.cpu().numpy().ravel())).view(old.shape).to(old)
        for key, old in _tensors(op).items()
    }


def _fitting(op: Op, fresh: Graph, name: str) -> dict[str, Any]:
    """The parameters that the layer has in `fresh`, and where they come from, so that float64 is float64."""
    other = _tensors(fresh.nodes[name].op) if name in fresh.nodes else {}
    if {k: v.shape for k, v in other.items()} != {k: v.shape for k, v in _tensors(op).items()}:
        raise InputError(f"the fresh network has no layer {name!r} of the same shape")
    like = next(iter(_tensors(op).values()))
    placed = fresh.nodes[name].op.to(dtype=like.dtype, device=like.device)
    return {**_tensors(placed), "origin": placed.origin}
