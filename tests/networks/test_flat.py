"""Flat networks, and noise in the place of images."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from conetheory.networks import trace
from conetheory.networks.flat import TIE, channel_means, drawn_values, flat_graph, is_replaced
from conetheory.networks.graph import INPUT
from conetheory.networks.noise import COMMON, noise_images
from tests.networks.toys import random_images, seeded
from tests.toys import TOYS, conv, graph, images


@pytest.mark.parametrize("toy", TOYS)
def test_only_what_has_weights_is_replaced(toy):
    """Rules see the operation's own output, without its bias; the next operation sees the value."""
    network = flat_graph(graph(toy))
    handed = {INPUT: torch.ones(2, *network.input_shape)}
    for node, xs, y in network.run(images()):
        for name, x in zip(node.inputs, xs, strict=True):
            assert torch.equal(x, handed[name].to(x))
        assert torch.equal(y, node.op.forward(*xs))
        assert getattr(node.op, "bias", None) is None
        handed[node.name] = torch.ones_like(y) if is_replaced(node.op) else y


def test_a_moved_flat_network_keeps_its_values():
    network = flat_graph(graph("small vgg"), {INPUT: torch.full((1, 2, 1, 1), 3.0)}).to(dtype=torch.float64)
    _, (x,), _ = next(iter(network.run(images().double())))
    assert x.dtype == torch.float64
    assert bool((x == 3).all())


def test_values_are_drawn_with_the_shares():
    network = trace(seeded(lambda: nn.Sequential(conv(2, 3), nn.ReLU())), (2, 60, 60))
    share, level = torch.tensor([0.0, 0.3, 1.0]), torch.tensor([1.0, 2.0, 0.5])
    drawn = drawn_values(network, 0, {"0": level}, {"0": share})["0"][0]
    found = (drawn > 0).float().mean((1, 2))
    assert found[[0, 2]].tolist() == [0, 1]
    assert abs(found[1] - 0.3) < 0.03
    sizes = drawn.abs() / level[:, None, None]
    assert bool(((sizes >= 1) & (sizes <= 1 + TIE)).all())
    assert len(sizes[1].unique()) > 1000  # a pool has a winner
    again, other = (drawn_values(network, seed, {"0": level}, {"0": share})["0"][0] for seed in (0, 1))
    assert torch.equal(drawn, again)
    assert not torch.equal(drawn, other)


def test_channel_means():
    network = trace(seeded(lambda: nn.Sequential(conv(2, 3), nn.ReLU())), (2, 8, 8))
    x = random_images(5, 2, 8, 8)
    (y,) = (out for node, _, out in network.run(x) if node.name == "0")
    torch.testing.assert_close(channel_means(network, x)["0"], y.relu().mean((0, 2, 3)))
    torch.testing.assert_close(channel_means(network, x, "share")["0"], (y > 0).to(y.dtype).mean((0, 2, 3)))


def test_noise_has_the_spectrum_of_photographs():
    x = noise_images((3, 64, 64), 24).double()
    assert x.shape == (24, 3, 64, 64)
    power = torch.fft.rfft2(x).abs().square().mean((0, 1))[1:20, 0].numpy()
    slope = np.polyfit(np.log(np.arange(1, 20)), np.log(power), 1)[0]
    assert abs(slope + 2) < 0.2
    assert abs(float(x.var(dim=(2, 3)).mean()) - 1) < 0.1
    assert abs(float((x[:, 0] * x[:, 1]).mean()) - COMMON) < 0.1


@pytest.mark.parametrize("shape", [(3,), (1, 1, 1), (2, 5, 1), (4, 9)])
def test_noise_of_any_shape(shape):
    x = noise_images(shape, 4)
    assert x.shape == (4, *shape)
    assert bool(x.isfinite().all())
    assert bool((x != 0).any())
