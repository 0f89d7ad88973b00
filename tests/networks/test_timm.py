"""Networks of timm by name: of a stand-in, and of the real one where it is installed."""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType, SimpleNamespace

import pytest
import torch
from torch import nn

from conetheory.errors import InputError, MissingDependencyError
from conetheory.networks import load, timm_zoo

CONFIG = {"tag": "in1k", "input_size": (3, 20, 20), "crop_pct": 0.8, "mean": (0.5,) * 3, "std": (0.5,) * 3}


class Small(nn.Module):
    def __init__(self, classes: int) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 4, 3), nn.Linear(4, classes)
        self.pretrained_cfg = CONFIG | {"interpolation": "bicubic"}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(torch.relu(self.conv(x)).mean((2, 3)))


def create_model(name, pretrained, num_classes=7):
    if pretrained and not name.endswith(".in1k"):
        raise RuntimeError(f"No pretrained weights exist for {name}")
    if pretrained:
        torch.manual_seed(5)
    return Small(num_classes)


@pytest.fixture
def timm(monkeypatch):
    found = ModuleType("timm")
    found.__spec__ = ModuleSpec("timm", None)
    found.list_models = lambda: ["small_net", "resnet18"]
    found.create_model = create_model
    found.data = SimpleNamespace(resolve_data_config=lambda args, pretrained_cfg: pretrained_cfg)
    monkeypatch.setitem(sys.modules, "timm", found)


def test_a_name_that_torchvision_has_not_is_timms(timm):
    network = load("small_net", "random:3")
    assert network.name == "small_net"
    assert network.graph.input_shape == (3, 20, 20)
    assert (network.preprocess.resize, network.preprocess.interpolation) == (25, "bicubic")
    assert network.provenance["weights"] == "random:3"
    again, other = (load("timm/small_net", f"random:{seed}") for seed in (3, 4))
    key = "weights_sha256"
    assert network.provenance[key] == again.provenance[key] != other.provenance[key]


def test_torchvisions_names_stay_torchvisions(timm):
    assert not timm_zoo.has("resnet18")
    assert not timm_zoo.has("cifar10")
    assert timm_zoo.has("timm/resnet18")
    assert load("timm/resnet18", "random:0").graph.classes == 7


def test_weights_of_timm_of_a_file_and_of_a_number_of_classes(timm, tmp_path):
    network = load("small_net.in1k")
    assert network.provenance["weights"] == "timm small_net.in1k"
    torch.save(Small(5).state_dict(), tmp_path / "mine.pth")
    assert load("small_net", tmp_path / "mine.pth").graph.classes == 5
    assert load("small_net", "random:0", classes=["a", "b"]).graph.classes == 2


@pytest.mark.parametrize(
    ("name", "weights", "words"),
    [
        ("timm/nothing", None, "timm has no model 'nothing'"),
        ("small_net", None, "no weights for 'small_net'.*random:SEED"),
        ("small_net", "random:x", "the seed after random:"),
        ("smal_net", "random:0", "unknown model"),
    ],
)
def test_what_timm_has_not_is_said(timm, name, weights, words):
    with pytest.raises(InputError, match=words):
        load(name, weights)


def test_without_timm_its_prefix_says_what_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(MissingDependencyError, match="pip install"):
        load("timm/resnet18", "random:0")


@pytest.mark.exhaustive
@pytest.mark.filterwarnings("ignore")  # of its own imports
@pytest.mark.skipif(find_spec("timm") is None, reason="timm is not installed: pip install timm")
@pytest.mark.parametrize("name", ["timm/resnet18", "resnetv2_50", "repvgg_a0", "convnext_atto"])
def test_real_networks_of_timm(name):
    network = load(name, "random:0", (3, 64, 64))
    assert network.graph.classes == 1000
    assert network.preprocess.crop == (64, 64)
