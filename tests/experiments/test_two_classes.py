"""Pictures of two classes: how they are put together, and shares of the own half that are known."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch import nn

from conetheory.errors import InputError
from conetheory.networks import Images, load
from experiments import two_classes
from experiments.two_classes import own_share, pairs_of_classes, side_by_side, two_class_rows


def test_the_middle_halves_lie_side_by_side():
    left = torch.arange(8.0).expand(1, 2, 8)
    assert side_by_side(left, -left)[0, 1].tolist() == [2, 3, 4, 5, -2, -3, -4, -5]
    with pytest.raises(InputError, match="7 columns"):
        side_by_side(left[..., :7], left[..., :7])


def test_pairs_have_two_classes_and_each_picture_is_in_one():
    classes = torch.tensor([4, 4, 1, 1, 4, 2, 2])
    assert pairs_of_classes(classes, 4) == [(0, 2), (1, 3), (4, 5)]
    assert pairs_of_classes(classes, 2) == [(0, 2), (1, 3)]
    with pytest.raises(InputError, match="no two of 2 pictures"):
        pairs_of_classes(classes[:2], 1)


def test_the_own_share_is_a_half_where_the_two_maps_are_the_same_up_to_scale():
    rng = np.random.default_rng(0)
    one = rng.normal(size=(3, 1, 4, 6))
    np.testing.assert_allclose(own_share(np.concatenate([one, -7 * one], 1)), 0.5, rtol=1e-14)


def test_the_own_share_of_maps_on_the_halves():
    maps = np.zeros((3, 2, 2, 4))
    maps[0, 0, :, :2], maps[0, 1, :, 2:] = 3, -1  # each on its own
    maps[1, 0, :, 2:], maps[1, 1, :, :2] = 1, 1  # each on the other
    np.testing.assert_array_equal(own_share(maps), [1, 0, np.nan])


class Halves(nn.Module):
    """Class 0 is the sum of the left half, class 1 of the right."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.adaptive_avg_pool2d(x.relu(), (1, 2)).flatten(1)


class Mean(nn.Module):
    """Both logits are affine in the mean."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(1, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(torch.nn.functional.adaptive_avg_pool2d(x.relu(), 1).flatten(1))


def test_a_network_that_looks_at_halves_has_all_relevance_on_the_own_one():
    network = load(Halves(), input_shape=(1, 8, 8))
    images = torch.rand(2, 1, 8, 8)
    images[0, ..., :4] += 1
    images[1, ..., 4:] += 1
    (row,) = two_class_rows(network, images, {"gradient": {}}, 1)
    assert row["own_half"] == [1.0]
    assert row["cosine"] == [0.0]


def test_a_network_of_one_direction_cannot_tell_the_halves():
    model = Mean()
    with torch.no_grad():
        model.head.weight.copy_(torch.tensor([[1.0], [-1.0]]))
        model.head.bias.copy_(torch.tensor([0.0, 1.0]))
    network = load(model, input_shape=(1, 8, 8))
    images = torch.stack([torch.full((1, 8, 8), 2.0), torch.full((1, 8, 8), 0.1)])
    rows = two_class_rows(network, images, {"gradient": {}, "pattern-net": {}}, 1)
    assert rows[0]["own_half"] == pytest.approx([0.5])
    assert rows[0]["cosine"] == pytest.approx([1.0])
    assert "needs patterns" in rows[1]["left out"]


def test_the_command_has_fewer_pictures_of_other_methods(tmp_path, monkeypatch):
    network = load(Halves(), input_shape=(1, 8, 8))
    photographs = torch.rand(4, 1, 8, 8)
    photographs[::2, ..., :4] += 1
    photographs[1::2, ..., 4:] += 1
    given = Images(photographs, tuple("abcd"))
    monkeypatch.setattr(two_classes, "opened", lambda *asked: (network, given))
    methods = ["gradient", "deconvnet"]
    found = two_classes.main(["halves"], count=2, others=1, method=methods, device="cpu", out=tmp_path)
    assert found["halves"] == json.loads((tmp_path / "two-classes-halves.json").read_text())
    assert [(row["method"], row["own_half"]) for row in found["halves"]["methods"]] == [
        ("gradient", [1.0, 1.0]),
        ("deconvnet", [1.0]),
    ]
