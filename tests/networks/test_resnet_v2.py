"""ResNet-50 v2: its parts as published, its names, and files that hold a part of it."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional as F

from conetheory import networks
from conetheory.errors import InputError
from conetheory.networks import load, sources
from conetheory.networks.ops import Add, Affine
from conetheory.networks.randomise import default_layers, levels
from conetheory.networks.resnet_v2 import ResNetV2, stages_in
from tests.networks.toys import random_images, seeded

SMALL = (3, 64, 64)
TINY = {"depths": (1, 2, 1, 1), "widths": (2, 3, 4, 2), "stem": 4}


@pytest.fixture
def tiny(monkeypatch):
    """The name stands for a small copy."""
    monkeypatch.setattr(sources, "ResNetV2", lambda *a, **k: ResNetV2(*a, **TINY | k))
    monkeypatch.setattr("conetheory.networks.resnet_v2.ResNetV2", lambda *a, **k: ResNetV2(*a, **TINY | k))
    monkeypatch.setattr("conetheory.networks.presets.ResNetV2", ResNetV2)


def saved(path, part: int | None = None, drop: str | None = None, classes: int = 5) -> str:
    """A file with the small copy's weights: whole, or the first stages, or without what `drop` begins."""
    options = {} if part is None else {"stages": part, "head": False}
    state = seeded(lambda: ResNetV2(classes, **TINY, **options)).float().state_dict()
    save_file({k: v for k, v in state.items() if drop is None or not k.startswith(drop)}, path)
    return str(path)


def norm(x, state, name):
    parts = (state[f"{name}.{key}"] for key in ("running_mean", "running_var", "weight", "bias"))
    return F.batch_norm(x, *parts)


def by_hand(x: torch.Tensor, state: dict) -> torch.Tensor:
    """The layout of the ONNX model zoo's file, from the names and shapes of the tensors alone."""
    x = F.conv2d(norm(x, state, "bn0"), state["conv1.weight"], None, 2, 3)
    x = F.max_pool2d(norm(x, state, "bn1").relu(), 3, 2, 1)
    blocks = sorted({k.rpartition(".bn1")[0] for k in state if ".bn1." in k})
    for block in blocks:
        first = f"{block}.downsample.weight" in state
        stride = 2 if first and not block.startswith("layer1") else 1
        a = norm(x, state, f"{block}.bn1").relu()
        y = norm(F.conv2d(a, state[f"{block}.conv1.weight"]), state, f"{block}.bn2").relu()
        y = F.conv2d(y, state[f"{block}.conv2.weight"], None, stride, 1)
        y = F.conv2d(norm(y, state, f"{block}.bn3").relu(), state[f"{block}.conv3.weight"])
        x = y + (F.conv2d(a, state[f"{block}.downsample.weight"], None, stride) if first else x)
    pooled = norm(x, state, "bn2").relu().mean((2, 3))
    return pooled @ state["fc.weight"].T + state["fc.bias"]


def test_it_computes_what_its_layout_says():
    model = seeded(lambda: ResNetV2(7, **TINY))
    images = random_images(2, 3, 48, 40)
    graph = networks.trace(model, (3, 48, 40))
    expected = by_hand(images, model.state_dict())
    torch.testing.assert_close(graph.forward(images), expected, rtol=1e-10, atol=1e-12)
    left = [name for name, node in graph.nodes.items() if isinstance(node.op, Affine)]
    # the first of each block reads a sum or a pool, bn0 the image, the last a sum; the others are folded
    blocks = sorted({k.rpartition(".bn1")[0] for k in model.state_dict() if ".bn1." in k})
    assert sorted(left) == sorted(["bn0", "bn2", *(f"{block}.bn1" for block in blocks)])


def test_the_published_size():
    with torch.device("meta"):
        model = ResNetV2()
    assert sum(p.numel() for p in model.parameters()) == 25_549_486
    assert sum(isinstance(m, torch.nn.Conv2d) for m in model.modules()) == 53
    assert model(torch.empty(1, 3, 224, 224, device="meta")).shape == (1, 1000)


@pytest.mark.slow
def test_the_papers_names():
    network = load("resnet50_v2", "random:0", SMALL)
    assert network.starts == ("dense", "block5_1", "block4_2", "block3_4", "block3_2", "block2_2")
    assert isinstance(network.graph.nodes[network.resolve("block3_4")].op, Add)
    assert network.graph.shape(network.resolve("block5_1")) == (2048, 2, 2)
    assert set(map(network.resolve, network.starts)) <= set(network.layers)
    assert network.classes is None
    assert network.preprocess.crop == (64, 64)
    assert load("ResNet50v2", "random:0", SMALL).provenance == network.provenance
    found = levels(network.graph, default_layers(network))
    assert [level.name for level in found] == [
        *("dense", "block5_2", "block4_6", "block4_1", "block3_3", "block3_1", "block2_2", "conv1")
    ]
    assert set(found[1].own) == {"layer4.1.bn1", *(f"layer4.1.conv{i}" for i in (1, 2, 3))}


def test_weights_from_a_file(tiny, tmp_path):
    path = saved(tmp_path / "net.safetensors")
    network = load("resnet50_v2", path, SMALL)
    assert network.graph.classes == 5
    state = seeded(lambda: ResNetV2(5, **TINY)).float().state_dict()
    images = random_images(2, *SMALL).float()
    torch.testing.assert_close(network.graph.forward(images), by_hand(images, state), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("drop", "stages"), [("layer4.0.conv2", 3), ("layer3", 2), ("fc", 4)])
def test_of_a_part_of_the_file_it_is_a_trunk(tiny, tmp_path, drop, stages):
    network = load("resnet50_v2", saved(tmp_path / "part.safetensors", drop=drop), SMALL)
    assert network.graph.shape(network.graph.output) == (
        4 * TINY["widths"][stages - 1],
        *[2 ** (5 - stages)] * 2,
    )
    assert set(network.starts) <= {f"block{s + 1}_{i}" for s in range(1, stages + 1) for i in (1, 2, 3, 4)}
    assert network.starts
    assert default_layers(network)[0] == "conv1"
    with pytest.raises(InputError, match="feature map of shape"):
        _ = network.graph.classes


def test_stages_are_counted_from_the_image_upwards():
    with torch.device("meta"):
        names = list(ResNetV2().state_dict())
    assert stages_in(names) is None
    assert stages_in([n for n in names if not n.startswith(("bn2", "fc"))]) == 4
    assert stages_in([n for n in names if not n.startswith("layer2.3.conv1")]) == 1
    assert stages_in([n for n in names if not n.startswith("conv1")]) is None


COMMAND = "python -m experiments.train_imagenette --recipe resnet50_v2 --trunk FILE --images DIR"


def test_what_is_missing_is_said_with_the_command_that_makes_it(tiny, tmp_path):
    with pytest.raises(InputError) as caught:
        load("resnet50_v2")
    assert str(caught.value) == (
        f"resnet50_v2 comes without weights: give random:SEED or a weights file; `{COMMAND}` makes one"
    )
    with pytest.raises(InputError) as caught:
        load("resnet50_v2", saved(tmp_path / "stem.safetensors", drop="layer1"), SMALL)
    assert str(caught.value).endswith(f" is missing; of a trunk, `{COMMAND}` trains the rest")
    with pytest.raises(InputError, match="unknown weights 'DEFAULT' for resnet50_v2; give random:SEED or a"):
        load("resnet50_v2", "DEFAULT")
    path = tmp_path / "more.safetensors"
    state = seeded(lambda: ResNetV2(5, **TINY, stages=2, head=False)).float().state_dict()
    save_file(state | {"extra": torch.ones(1)}, path)
    with pytest.raises(InputError, match=r"tensor 'extra' \(1,\) has no place in it"):
        load("resnet50_v2", path, SMALL)
