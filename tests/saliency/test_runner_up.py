"""The runner-up as a target, and the probabilities of what is explained."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from conetheory.errors import InputError
from conetheory.networks import load
from conetheory.saliency.maps import explain_maps
from conetheory.saliency.pictures import target_classes
from tests.networks.toys import random_images, seeded


def network(outputs: int = 4):
    build = lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, outputs))  # noqa: E731
    return load(seeded(build), input_shape=(3, 6, 6))


def test_it_is_the_class_of_the_second_largest_logit():
    net, images = network(), random_images(3, 3, 6, 6)
    found = explain_maps(net, images, "gradient", ("predicted", "runner-up")).dataset
    logits = net.graph.forward(images)
    assert np.array_equal(found["class_index"].values, logits.topk(2, 1).indices.numpy())
    share = logits.double().softmax(1).topk(2, 1).values.numpy()
    np.testing.assert_allclose(found["probability"].values, share, rtol=1e-6)


def test_a_network_of_one_output_has_none():
    with pytest.raises(InputError, match="there is no runner-up"):
        target_classes(network(1), torch.zeros(1, 3, 6, 6), ["runner-up"])
