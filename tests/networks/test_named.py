"""What a network of the caller's is called, and at what shape it is traced."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import conetheory as ct
from conetheory.errors import InputError


def body() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 16, 3)).eval()


def test_a_name_is_kept_in_results():
    network = ct.networks.load(body(), input_shape=(1, 6, 6), name="trial 7")
    chain = ct.RelevanceChain(network, torch.rand(1, 1, 6, 6))
    assert network.name == "trial 7"
    assert ct.measure_csc(chain, vectors=2).dataset.attrs["network"] == "trial 7"


@pytest.mark.parametrize("given", [body(), "network", "graph"])
def test_audit_takes_a_name(given):
    if isinstance(given, str):
        loaded = ct.networks.load(body(), input_shape=(1, 6, 6))
        given = loaded if given == "network" else loaded.graph
    found = ct.audit(given, torch.rand(1, 1, 6, 6), name="mine", vectors=2, theories=(), certify=0)
    assert found.comparison.dataset.attrs["network"] == "mine"


@pytest.mark.parametrize("call", [ct.networks.load, lambda model: ct.audit(model, limit=1)])
def test_a_size_that_cannot_be_known_is_asked_for(call):
    with pytest.raises(InputError, match="Sequential does not say at what shape it is to be traced: give"):
        call(body())


def test_the_size_of_networks_of_the_zoo_is_known():
    from conetheory.networks.cifar10 import Cifar10CNN

    assert ct.networks.load(Cifar10CNN().eval()).graph.input_shape == (3, 32, 32)
    from torchvision.models import squeezenet1_1

    assert ct.networks.load(squeezenet1_1().eval()).graph.input_shape == (3, 224, 224)
