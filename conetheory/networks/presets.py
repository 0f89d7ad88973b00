"""The paper's names of layers and its start layers, for VGG, ResNet and the CIFAR-10 network."""

from __future__ import annotations

import sys
from dataclasses import replace
from itertools import count
from typing import Any

from torch import nn

from conetheory.networks.cifar10 import Cifar10CNN
from conetheory.networks.graph import Graph
from conetheory.networks.ops import Conv2d, Linear, MaxPool2d
from conetheory.networks.resnet_v2 import ResNetV2

RESNET50_STARTS = ("dense", "block5_1", "block4_2", "block3_4", "block3_2", "block2_2")
VGG16_STARTS = ("fc3", "fc1", "conv4_3", "conv3_3", "conv2_2")
STARTS = {
    "vgg16": VGG16_STARTS,
    "vgg16_bn": VGG16_STARTS,
    "resnet50": RESNET50_STARTS,
    "resnet50_v2": RESNET50_STARTS,
    "cifar10_cnn": ("fc6", "fc5", "conv4", "conv3", "conv2"),
}


def with_paper_names(graph: Graph, model: nn.Module) -> Graph:
    """The graph with the paper's layer names as aliases, where the paper names the layers of such a model.

    A name stands for the tensor after the layer's ReLU; in the CIFAR-10 network, whose ReLUs are layers
    of their own, for the tensor before it. A block of ResNet-50 v2 ends in its sum, which no ReLU follows.
    """
    if isinstance(model, ResNetV2):
        return replace(graph, aliases=_resnet_names(graph, model))
    kinds: Any = sys.modules.get("torchvision.models")  # who has such a model has done its import, of seconds
    if kinds is not None and isinstance(model, kinds.VGG):
        return replace(graph, aliases=_vgg_names(graph))
    if kinds is not None and isinstance(model, kinds.ResNet):
        return replace(graph, aliases=_resnet_names(graph, model))
    if isinstance(model, Cifar10CNN):
        return replace(graph, after_activation=False)
    return graph


def _vgg_names(graph: Graph) -> dict[str, str]:
    """`conv{block}_{i}`, `pool{block}` and `fc{i}`."""
    aliases, block, conv, fc = {}, 1, count(1), count(1)
    for node in graph.nodes.values():
        if isinstance(node.op, Conv2d):
            aliases[f"conv{block}_{next(conv)}"] = graph.after(node.name)
        elif isinstance(node.op, MaxPool2d):
            aliases[f"pool{block}"] = node.name
            block, conv = block + 1, count(1)
        elif isinstance(node.op, Linear):
            aliases[f"fc{next(fc)}"] = graph.after(node.name)
    return aliases


def _resnet_names(graph: Graph, model: nn.Module) -> dict[str, str]:
    """`block{stage + 1}_{i}`, the tensor at a block's end, and `dense`, where the model has them."""
    aliases = {
        f"block{stage + 1}_{i}": graph.resolve(f"layer{stage}.{i - 1}")
        for stage in (1, 2, 3, 4)
        for i in range(1, len(getattr(model, f"layer{stage}", ())) + 1)
    }
    return aliases | ({"dense": graph.resolve("fc")} if hasattr(model, "fc") else {})


def starts_of(name: str, graph: Graph) -> tuple[str, ...]:
    """The paper's start layers that the network has (a trunk lacks the upper ones); else its logits."""
    known = (*graph.aliases, *graph.nodes)
    return tuple(start for start in STARTS.get(name, ()) if start in known) or ("logits",)
