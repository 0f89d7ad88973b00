"""Files with the convolutions of a VGG alone: the trunk, with the paper's names of its layers."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file
from torchvision import models

from conetheory.errors import InputError
from conetheory.networks import load, sources
from tests.networks.toys import random_images, seeded

SMALL = (3, 32, 32)
LAYERS = [2, "M", 3, 4, "M", 5, "M"]


def tiny(name: str, classes: int | None = None, shape: object = None) -> models.VGG:
    """A VGG with few channels and small dense layers, under its names."""
    model = models.VGG(models.vgg.make_layers(LAYERS, batch_norm=name.endswith("bn")), classes or 5)
    model.classifier = torch.nn.Sequential(torch.nn.Linear(5 * 49, 6), torch.nn.Linear(6, classes or 5))
    return model.eval()


@pytest.fixture(params=["vgg11", "vgg16_bn"])
def name(request, monkeypatch):
    monkeypatch.setattr(sources, "_build", tiny)
    return request.param


def saved(path, name, *, prefix="", drop=()):
    state = seeded(lambda: tiny(name)).float().state_dict()
    save_file({f"{prefix}{k}": v for k, v in state.items() if not k.startswith(drop)}, path)
    return path, state


@pytest.mark.parametrize("prefix", ["", "module."])
def test_without_dense_layers_it_is_the_trunk(name, prefix, tmp_path):
    path, state = saved(tmp_path / "trunk.safetensors", name, prefix=prefix, drop=("classifier",))
    network = load(name, path, SMALL)
    assert network.name == name
    assert network.graph.shape(network.graph.output) == (5, 4, 4)
    names = ("conv1_1", "pool1", "conv2_1", "conv2_2", "pool2", "conv3_1", "pool3")
    assert tuple(network.graph.aliases) == names
    assert network.starts == (("conv2_2",) if name == "vgg16_bn" else ("logits",))
    whole = tiny(name)
    whole.load_state_dict(state)
    images = random_images(2, *SMALL).float()
    with torch.no_grad():
        expected = whole.features(images)
    torch.testing.assert_close(network.graph.forward(images), expected, rtol=1e-4, atol=1e-6)


def test_the_whole_file_is_the_whole_network(name, tmp_path):
    path, _ = saved(tmp_path / "whole.safetensors", name)
    assert load(name, path, SMALL).graph.classes == 5


@pytest.mark.parametrize("drop", ["classifier.1", "features.0"])
def test_a_part_that_is_neither(name, drop, tmp_path):
    path, _ = saved(tmp_path / "part.safetensors", name, drop=(drop,))
    with pytest.raises(InputError, match=rf"tensor '{drop}.weight' \(.*\) is missing"):
        load(name, path, SMALL)
