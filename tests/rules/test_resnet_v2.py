"""Rules on a small copy of ResNet-50 v2, whose batch norms in front of blocks can't be folded."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor

import conetheory as ct
from conetheory.networks import trace
from conetheory.networks.graph import INPUT, Graph
from conetheory.networks.ops import Affine, LinearOp, MaxPool2d
from conetheory.networks.resnet_v2 import ResNetV2
from conetheory.rules.repro import reproduced
from tests.networks.toys import random_images, seeded
from tests.rules.textbook import dense_weights, pools, textbook

SHAPE = (3, 13, 11)
SHARES = {"lrp-alpha1beta0": (1.0, 0.0), "lrp-alpha2beta1": (2.0, 1.0)}


@cache
def model() -> ResNetV2:
    """Two stages; a third of the norms' factors are negative."""
    made = seeded(lambda: ResNetV2(3, depths=(1, 2), widths=(2, 2), stem=3, stages=2))
    with torch.no_grad():
        for norm in (m for m in made.modules() if isinstance(m, torch.nn.BatchNorm2d)):
            norm.weight[::3] *= -1
    return made


@cache
def graph() -> Graph:
    return trace(model(), SHAPE)


def images() -> Tensor:
    return random_images(1, *SHAPE, seed=3)


def matrix(node, xs: tuple[Tensor, ...], y: Tensor, method: str, norms: bool) -> np.ndarray:
    """M (inputs, outputs) of one operation, by the textbook."""
    x = torch.cat([x.flatten() for x in xs]).numpy()
    if isinstance(node.op, LinearOp):
        averaging = node.op.weight is None
        return textbook(pools(*dense_weights(node, xs), x, "none"), *SHARES[method], 0.0, averaging)
    if isinstance(node.op, MaxPool2d):
        hot, (_, where) = np.zeros((x.size, y.numel())), node.op.with_indices(xs[0])
        area = xs[0][0, 0].numel()
        channel = np.arange(y.shape[1]).repeat(y[0, 0].numel())
        hot[channel * area + where.flatten().numpy(), np.arange(y.numel())] = 1
        return hot
    if isinstance(node.op, Affine) and norms:
        up = x * node.op.scale.repeat_interleave(xs[0][0, 0].numel()).numpy() > 0
        alpha, beta = SHARES[method]
        return np.diag(np.where(up, alpha, -beta))
    return np.eye(x.size)


def product(method: str, norms: bool) -> np.ndarray:
    """From the logits to the input, the sum over all paths of the products of matrices."""
    steps = list(graph().run(images()))
    arrived = {graph().output: np.eye(3)}
    for node, xs, y in reversed(steps):
        below = matrix(node, xs, y, method, norms) @ arrived.pop(node.name)
        for name, part in zip(node.inputs, np.split(below, len(xs)), strict=True):
            arrived[name] = arrived.get(name, 0) + part
    return arrived[INPUT]


def chained(method) -> np.ndarray:
    chain = ct.RelevanceChain(graph(), images(), method)
    start = torch.eye(3, dtype=torch.float64)[None]
    return chain.down(start, "logits", INPUT).flatten(2)[0].T.numpy()


@pytest.mark.parametrize("norms", [False, True])
@pytest.mark.parametrize("method", SHARES)
def test_relevance_is_the_product_of_dense_matrices(method, norms):
    found = chained(reproduced(method, "norms-as-convolutions" if norms else None))
    expected = product(method, norms)
    np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-12 * np.abs(expected).max())
    assert (np.abs(expected).sum(0) > 0).any()


def test_the_two_treatments_of_batch_norms_differ():
    for method in SHARES:
        one, other = product(method, False), product(method, True)
        assert np.abs(one - other).max() > 0.1 * np.abs(one).max()


def test_gradients_are_autograds():
    x = images().requires_grad_()
    logits = model()(x)[0]
    expected = torch.stack([torch.autograd.grad(one, x, retain_graph=True)[0].flatten() for one in logits], 1)
    np.testing.assert_allclose(chained("gradient"), expected, rtol=1e-9, atol=1e-14)


def test_deeplift_explains_the_whole_difference():
    """The batch norms' factors are in the multipliers: contributions add up to f(x) - f(0)."""
    found = chained("deeplift-rescale").sum(0)
    with torch.no_grad():
        expected = (model()(images()) - model()(torch.zeros(1, *SHAPE, dtype=torch.float64)))[0]
    np.testing.assert_allclose(found, expected, rtol=1e-9)
