"""Layers whose zeros are called structural have no others, and those that underflow are not among them."""

from __future__ import annotations

import pytest
import torch

from conetheory.certify.zeros import structural
from conetheory.chain.columns import local_columns
from conetheory.chain.layers import alike, below
from conetheory.chain.relevance import RelevanceChain
from tests.toys import chain

TOYS = ["small vgg", "nested branches", "dense block"]


@pytest.mark.parametrize("toy", TOYS)
@pytest.mark.parametrize("method", ["lrp-alpha1beta0", "excitation-bp"])
def test_zeros_are_those_of_the_pattern(toy, method):
    found = chain(toy, method)
    layers = below(found, "logits")
    sure = structural(found, "logits")
    assert sure.issuperset(layers)
    columns, pattern = (local_columns(one, "logits", layers) for one in (found, found.pattern()))
    for layer in layers:
        for block, expected in zip(columns[layer], pattern[layer], strict=True):
            assert ((block.matrices != 0) == (expected.matrices > 0)).all()


def tiny(size: float, depth: int = 20) -> RelevanceChain:
    """Dense layers with one weight of this size among ones."""
    parts: list[torch.nn.Module] = []
    for _ in range(depth):
        linear = torch.nn.Linear(3, 3, bias=False, dtype=torch.float64)
        linear.weight.data = torch.ones(3, 3, dtype=torch.float64) + torch.eye(3, dtype=torch.float64)
        linear.weight.data[0, 1:] = size
        parts += [linear, torch.nn.ReLU()]
    network = torch.nn.Sequential(torch.nn.Flatten(), *parts).eval()
    return RelevanceChain(network, torch.ones(1, 3, 1, 1, dtype=torch.float64))


@pytest.mark.parametrize("size", [1e-20, 1e-150])
def test_where_a_path_may_underflow_zeros_are_doubtful(size):
    """By the least weights alone: above the layer where their product leaves the range it does not matter."""
    found = tiny(size)
    layers = below(found, "logits")
    sure = [layer in structural(found, "logits") for layer in layers]
    assert sure[0]
    assert not sure[-1]
    assert sure == sorted(sure, reverse=True)


def test_a_pool_that_underflowed_is_no_zero_of_structure():
    """The share of an output is zero there, though it has contributions."""
    linear = torch.nn.Linear(2, 2, bias=False, dtype=torch.float64)
    linear.weight.data = torch.tensor([[1.0, 1.0], [1e-200, 1e-200]], dtype=torch.float64)
    network = torch.nn.Sequential(torch.nn.Flatten(), linear).eval()
    found = RelevanceChain(network, torch.full((1, 2, 1, 1), 1e-200, dtype=torch.float64))
    assert "input" not in structural(found, "logits")


def test_signed_inputs_and_weights_of_both_signs():
    """z+ of negative inputs takes negative weights, so that no product is negative."""
    found = chain("small vgg")
    image = torch.randn(found.images.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    one = RelevanceChain(found.network, image)
    assert "input" in structural(one, "logits")
    assert structural(RelevanceChain(found.network, image, "gradient"), "logits").isdisjoint({"input"})


def test_layers_alike_have_the_same_relevance():
    found = chain("small vgg")
    order = [*reversed(found.graph.nodes), "input"]
    order = order[order.index(found.graph.resolve("logits")) :]
    same = alike(found, "logits", order)
    assert any(first != layer for layer, first in same.items())
    start = found.one_hot("logits", [0, 1])
    relevance = {layer: parts["logits"] for layer, parts in found.sweep({"logits": start})}
    for layer, first in same.items():
        assert torch.equal(relevance[layer], relevance[first])
