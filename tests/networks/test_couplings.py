"""The networks of today: gates, shuffles, norms of their own; the gradient is autograd's on each."""

from __future__ import annotations

import pytest
import torch

from conetheory.chain.relevance import RelevanceChain
from conetheory.networks import trace
from conetheory.networks.coupling import Product, Standardise
from conetheory.networks.selection import Selection
from tests.networks.toys import random_images, torchvision_model
from tests.toys import COUPLED, TOYS, coupled

SIZE = (3, 64, 64)
QUICK = ("mobilenet_v3_small",)
SLOW = ("efficientnet_b0", "regnet_y_400mf", "shufflenet_v2_x0_5", "convnext_tiny")
networks = pytest.mark.parametrize("name", [*QUICK, *(pytest.param(n, marks=pytest.mark.slow) for n in SLOW)])


@networks
def test_the_gradient_is_that_of_the_model(name):
    """In float64 to 1e-10 of the largest entry; and relevance of z+ is neither made nor sent into gates."""
    model, x = torchvision_model(name), random_images(1, *SIZE)
    graph = trace(model, SIZE)
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
        if any(layer == n.inputs[n.op.gate] for n in products.values()):
            assert not parts["logits"].any()
    assert float(parts["logits"].min()) >= 0
    assert 0 < float(parts["logits"].sum()) <= float(ones.sum()) * (1 + 1e-9)


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
