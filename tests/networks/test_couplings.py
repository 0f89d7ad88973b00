"""The networks of today: gates, shuffles, norms of their own; the gradient is autograd's on each."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torchvision import models
from torchvision.models import SwinTransformer, VisionTransformer

from conetheory.chain.relevance import RelevanceChain
from conetheory.networks import trace
from conetheory.networks.attention import MatMul
from conetheory.networks.coupling import Product, Standardise
from conetheory.networks.ops import Add, LinearOp
from conetheory.networks.selection import Selection
from tests.networks.toys import random_images, seeded, torchvision_model
from tests.toys import COUPLED, TOYS, coupled

SIZE = (3, 64, 64)
QUICK = ("mobilenet_v3_small",)
TRANSFORMERS = {  # name: (how it is made, input size)
    "small vit": (lambda: VisionTransformer(16, 4, 2, 4, 16, 24, num_classes=5), (3, 16, 16)),
    "small swin": (lambda: SwinTransformer([2, 2], 8, [2, 2], [2, 2], [3, 3], num_classes=5), (3, 20, 20)),
    "vit_b_16": (lambda: models.vit_b_16(image_size=32), (3, 32, 32)),
    "swin_t": (models.swin_t, (3, 56, 56)),
}
LARGE = ("vit_b_16", "swin_t")
SLOW = ("efficientnet_b0", "regnet_y_400mf", "shufflenet_v2_x0_5", "convnext_tiny")
SLOW += LARGE
QUICK += ("small vit", "small swin")
networks = pytest.mark.parametrize(
    "name", [*QUICK, *(pytest.param(n, marks=pytest.mark.exhaustive) for n in SLOW)]
)


def built(name: str) -> tuple[nn.Module, tuple[int, ...]]:
    """In float64 with random weights, the head's too, where transformers begin with zeros."""
    if name not in TRANSFORMERS:
        return torchvision_model(name), SIZE
    build, size = TRANSFORMERS[name]

    def filled() -> nn.Module:
        model = build()
        for parameter in model.parameters():
            if not parameter.any():
                nn.init.normal_(parameter, std=0.1)
        return model

    return seeded(filled), size


@networks
def test_the_gradient_is_that_of_the_model(name):
    """In float64 to 1e-10 of the largest entry; and relevance of z+ is neither made nor sent into gates."""
    model, size = built(name)
    x, graph = random_images(1, *size), trace(model, size)
    point = x.clone().requires_grad_()
    logits = model(point)
    v = random_images(1, 2, logits.shape[1], seed=5)
    expected = [torch.autograd.grad(logits, point, each[None], retain_graph=True)[0] for each in v[0]]
    found = RelevanceChain(graph, x, "gradient").down(v, "logits")[0]
    scale = float(torch.stack(expected).abs().max())
    assert scale > 0
    assert float((found - torch.cat(expected)).abs().max()) <= 1e-10 * scale
    logits = logits.detach()
    assert float((graph.forward(x) - logits).abs().max()) <= 1e-10 * float(logits.abs().max())
    ones = torch.ones(1, 1, graph.classes, dtype=torch.float64)
    products = {n.name: n for n in graph.nodes.values() if isinstance(n.op, Product)}
    for layer, parts in RelevanceChain(graph, x, "lrp-zplus").sweep({"logits": ones}):
        if layer in graph.weights or any(layer == n.inputs[n.op.gate] for n in products.values()):
            assert not parts["logits"].any()
    assert float(parts["logits"].min()) >= 0
    assert 0 < float(parts["logits"].sum()) <= float(ones.sum()) * (1 + 1e-9)


@pytest.mark.slow
def test_a_map_stays_a_map_where_channels_are_last_in_the_model():
    """ConvNeXt: dense layers are convolutions of one tap, norms are over the channels of a location."""
    graph = trace(torchvision_model("convnext_tiny"), SIZE)
    shapes = {len(node.shape) for node in graph.nodes.values()}
    assert shapes == {1, 3}
    norms = [n.op for n in graph.nodes.values() if isinstance(n.op, Standardise)]
    assert len(norms) == 23
    assert all(op.groups is None for op in norms)
    assert graph.shape("features.1.0.block.3") == (384, 16, 16)


def test_a_channel_shuffle_is_one_operation():
    graph = trace(torchvision_model("shufflenet_v2_x0_5"), SIZE)
    moved = [n for n in graph.nodes.values() if isinstance(n.op, Selection)]
    assert len(moved) == 16 + 2 * 13  # a shuffle a block, two halves in those of stride 1
    assert {n.op.places for n in moved} == {"kept"}
    assert {len(n.shape) for n in graph.nodes.values()} == {1, 3}


def test_the_toys_that_are_coupled_are_known():
    assert {name for name in TOYS if coupled(name)} == set(COUPLED)


@pytest.mark.parametrize("name", ["small vit", "small swin"])
def test_tokens_are_locations(name):
    """Channels in front, tokens behind; windows and heads come and go; scores have no row."""
    model, size = built(name)
    graph = trace(model, size)
    assert {len(graph.shape(layer)) for layer in graph.layers} == {1, 3}
    stream = [n for n in graph.nodes.values() if isinstance(n.op, Add)]
    shapes = {n.shape for n in stream}
    assert shapes == ({(16, 1, 17)} if name == "small vit" else {(8, 10, 10), (16, 5, 5)})
    attention = [n for n in graph.nodes.values() if isinstance(n.op, MatMul)]
    assert len(attention) == 2 * (2 if name == "small vit" else 4)
    assert sum(n.name in graph.weights for n in attention) == len(attention) // 2
    assert {n.op.gate for n in attention} == {0}


class Sized(nn.Module):
    """What symbolic tracing can't follow: a forward that asks how many images there are."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model, self.scale = model, 0.5

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x * self.scale if len(x) > 0 else x)


def test_the_second_front_end_finds_the_same_operations():
    """`torch.export`, where symbolic tracing fails: names of modules, parameters that are the model's own."""
    model, size = built("small vit")
    x, graph = random_images(2, *size), trace(Sized(model).eval(), size)
    torch.testing.assert_close(graph.forward(x), model(0.5 * x).detach(), rtol=1e-12, atol=1e-13)
    assert {"model.conv_proj", "model.heads.head", "model.encoder.ln"} <= set(graph.nodes)
    weight = graph.nodes["model.heads.head"].op.weight
    assert weight.data_ptr() == model.heads.head.weight.data_ptr()
    first = trace(model, size)
    ops = [[n.op for n in g.nodes.values()] for g in (first, graph)]
    kinds = [[type(op) for op in found if isinstance(op, LinearOp | MatMul)] for found in ops]
    assert kinds[0] == kinds[1]
