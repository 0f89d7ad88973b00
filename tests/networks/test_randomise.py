"""Randomised networks: what changes, what is shared, how the numbers are drawn, which layers."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from conetheory import networks
from conetheory.errors import InputError
from conetheory.networks.ops import Affine
from conetheory.networks.randomise import default_layers, levels, own_operations, randomised, weighted
from tests.toys import TOYS, graph, images


def parameters(found) -> dict[str, torch.Tensor]:
    """Every tensor of a graph by operation and name."""
    return {
        f"{name} {key}": value
        for name, node in found.nodes.items()
        for key, value in vars(node.op).items()
        if isinstance(value, torch.Tensor)
    }


@pytest.mark.parametrize("scheme", ["reset", "permute"])
@pytest.mark.parametrize("toy", sorted(TOYS))
def test_only_the_named_operations_change_and_all_else_is_shared(toy, scheme):
    whole = graph(toy)
    names = weighted(whole)
    before = {key: value.clone() for key, value in parameters(whole).items()}
    found = randomised(whole, names[-1:], scheme)
    for key, value in parameters(found).items():
        if key.split()[0] == names[-1]:
            assert value.shape == before[key].shape
            assert value.dtype == before[key].dtype
            assert value.numel() < 6 or not torch.equal(value, before[key])
        else:
            assert value is parameters(whole)[key]  # no copy
    for key, value in parameters(whole).items():
        assert torch.equal(value, before[key])  # the network itself is as it was


def test_reset_is_torchs_own_initialisation():
    """Weights and bias are uniform in +-1/sqrt(fan in), as `reset_parameters` draws them."""
    network = networks.load("cifar10_cnn")
    found = randomised(network.graph, ["conv3", "fc5"])
    for name, layer in (("conv3", nn.Conv2d(64, 128, 3, padding=1)), ("fc5", nn.Linear(8192, 1024))):
        op = found.nodes[name].op
        bound = 1 / math.sqrt(op.weight[0].numel())
        for mine, torchs in ((op.weight, layer.weight), (op.bias, layer.bias)):
            assert mine.shape == torchs.shape
            assert float(mine.abs().max()) <= bound
            assert float(torchs.detach().abs().max()) <= bound
            count = mine.numel()
            assert float(mine.var()) == pytest.approx(bound**2 / 3, rel=6 * math.sqrt(0.8 / count))
            assert float(mine.mean()) == pytest.approx(0, abs=6 * bound / math.sqrt(3 * count))


def test_permutation_keeps_the_values():
    whole = networks.load("cifar10_cnn").graph
    found = randomised(whole, ["conv3"], "permute")
    for key in ("weight", "bias"):
        old, new = (getattr(g.nodes["conv3"].op, key).flatten() for g in (whole, found))
        assert not torch.equal(old, new)
        assert torch.equal(old.sort().values, new.sort().values)


def test_layers_have_different_numbers_and_the_same_ones_in_every_cascade():
    """Quantus seeds every layer alike, so that layers of one shape get the same weights."""
    model = nn.Sequential(*[nn.Conv2d(3, 3, 3, padding=1, bias=False) for _ in range(3)])
    whole = networks.trace(model, (3, 6, 6))
    all_three = parameters(randomised(whole, weighted(whole)))
    first, second, third = all_three.values()
    assert not torch.equal(first, second)
    assert not torch.equal(second, third)
    for name, alone in zip(weighted(whole), (first, second, third), strict=True):
        assert torch.equal(parameters(randomised(whole, [name]))[f"{name} weight"], alone)
    again = parameters(randomised(whole, weighted(whole), seed=1))
    assert not torch.equal(again["2 weight"], third)


def test_a_batch_norm_of_its_own_becomes_untrained():
    whole = graph("batch norm of its own")
    (name,) = [n for n in weighted(whole) if isinstance(whole.nodes[n].op, Affine)]
    op = randomised(whole, [name]).nodes[name].op
    assert (op.scale == 1).all()
    assert (op.shift == 0).all()


def test_the_model_scheme_takes_the_authors_initialisation():
    network, fresh = networks.load("cifar10_cnn"), networks.load("cifar10_cnn", "random:3").graph
    found = randomised(network.graph, ["fc6"], "model", fresh=fresh)
    assert torch.equal(found.nodes["fc6"].op.weight, fresh.nodes["fc6"].op.weight)
    assert found.nodes["fc5"].op is network.graph.nodes["fc5"].op
    other = networks.load("cifar10_cnn", "random:3", classes=["a", "b"]).graph
    with pytest.raises(InputError, match="no layer 'fc6' of the same shape"):
        randomised(network.graph, ["fc6"], "model", fresh=other)
    with pytest.raises(InputError, match="fresh weights"):
        randomised(network.graph, ["fc6"], "model")
    with pytest.raises(InputError, match="unknown scheme 'shuffle'"):
        randomised(network.graph, ["fc6"], "shuffle")


# ---------------------------------------------------------------- which layers


@pytest.mark.parametrize("toy", sorted(TOYS))
def test_a_cascade_leaves_what_is_under_its_cut_alone(toy):
    whole, x = graph(toy), images(1)
    untouched = {node.name: y.clone() for node, _, y in whole.run(x)}
    for level in levels(whole, weighted(whole)):
        assert level.own == (level.name,)
        assert set(level.own) <= set(level.cascade)
        changed = randomised(whole, level.cascade)
        for node, _, y in changed.run(x):
            if node.name == level.cut:
                assert torch.equal(y, untouched[node.name])
    assert levels(whole, weighted(whole))[-1].cascade == weighted(whole)


def test_the_papers_layers_of_vgg16():
    with torch.device("meta"):
        from torchvision import models

        model = models.vgg16()
    from conetheory.networks import presets

    whole = presets.with_paper_names(networks.trace(model), model)
    network = networks.Network("vgg16", whole, None, lambda x: x)
    found = levels(whole, default_layers(network))
    names = ["fc3", "fc1", "conv5_3", "conv5_1", "conv4_3", "conv4_1", "conv3_1", "conv2_1", "conv1_1"]
    assert [level.name for level in found] == names
    # from the layer to the output: fc3; fc1, fc2, fc3; the last convolution too; ...
    assert [len(level.cascade) for level in found] == [1, 3, 4, 6, 7, 9, 12, 14, 16]
    assert found[0].own == ("classifier.6",)
    assert found[2].own == ("features.28",)


def test_the_papers_layers_of_resnet50_are_whole_blocks():
    from torchvision import models

    from conetheory.networks import presets

    with torch.device("meta"):
        model = models.resnet50()
    whole = presets.with_paper_names(networks.trace(model), model)
    found = levels(whole, default_layers(networks.Network("resnet50", whole, None, lambda x: x)))
    assert [level.name for level in found] == [
        *("dense", "block5_2", "block4_6", "block4_1", "block3_3", "block3_1", "block2_2", "conv1"),
    ]
    assert found[1].own == tuple(f"layer4.1.conv{i}" for i in (1, 2, 3))
    assert found[3].own == (*(f"layer3.0.conv{i}" for i in (1, 2, 3)), "layer3.0.downsample.0")
    assert len(found[-1].cascade) == 54  # 53 convolutions and the dense layer


def test_other_networks_give_at_most_nine_layers_evenly():
    assert default_layers(networks.load("cifar10_cnn")) == ("conv1", "conv2", "conv3", "conv4", "fc5", "fc6")
    deep = networks.trace(nn.Sequential(*[nn.Conv2d(2, 2, 1) for _ in range(25)]), (2, 5, 5))
    assert default_layers(deep) == tuple(str(i) for i in np.linspace(0, 24, 9).astype(int))


def test_a_name_stands_for_the_operation_behind_its_activation():
    network = networks.load("cifar10_cnn")
    assert own_operations(network.graph, "relu3") == own_operations(network.graph, "conv3") == ("conv3",)
    with pytest.raises(InputError, match="no parameters"):
        own_operations(network.graph, "pool1")
    with pytest.raises(InputError, match="no parameters"):
        own_operations(network.graph, "input")
    with pytest.raises(InputError, match="no layer"):
        own_operations(network.graph, "conv9")
