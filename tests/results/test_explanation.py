"""Words that follow from numbers: on results that are made up, and on networks that are made so that it is
known where they lose the decision and to what.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
import xarray as xr
from torch import nn

import conetheory as ct
from conetheory import schema
from conetheory.results.comparison import Comparison
from conetheory.results.explanation import Explanation, explanations
from tests.networks.toys import random_images, seeded

LAYERS = ["fc", "c3", "c2", "c1", "input"]
OPTIONS = {"vectors": 6, "bootstrap": 5, "certify": 0}


def made(
    deficits: dict[str, list[float]], crossings: list[str] | None = None, **more: list[float]
) -> xr.Dataset:
    """A comparison from `top` with a measured curve for each method; more: of the first method."""
    cube = np.array([[d] for d in deficits.values()])
    data = xr.Dataset(
        {schema.MEASURED: (schema.DIMS, cube), schema.BASELINE: ("layer", np.full(len(LAYERS), 0.5))},
        {"method": list(deficits), "start": ["top"], "layer": LAYERS, "label": ("layer", LAYERS)},
    )
    if crossings is not None:
        data = data.assign_coords(
            {schema.ABOVE: ("layer", ["", *LAYERS[:-1]]), schema.CROSSING: ("layer", ["", *crossings])}
        )
    for name, values in more.items():
        data[name] = schema.DIMS, np.array([[values]] + [[[np.nan] * len(LAYERS)]] * (len(deficits) - 1))
    return data


def said(found: Explanation, about: str) -> str:
    return " ".join(map(str, (s for s in found.sentences if s.about == about)))


PLAIN = ["dense layer", "convolution 3 x 3", "convolution 3 x 3, stride 2", "projection block, stride 2"]
FALLING = [0.5, 0.4, 0.08, 4e-3, 4e-6]


def test_channels_of_which_one_alone_is_live_tell_nothing():
    live = {schema.LIVE: [0.5, 0.5, 0.4, 0.3, 0.003]}
    (found,) = explanations(made({"m": [0.5, 0.4, 0.3, 0.2, 0.0]}, **live))
    assert said(found, "lost").startswith("The decision is not lost: at c1 the channels of two starts have")
    assert "of 0.3 for random vectors" in said(found, "lost")


def test_without_theories_or_crossings_less_is_said():
    (bare,) = explanations(made({"m": FALLING}))
    assert said(bare, "lost").startswith("The decision is lost from c1 down, where 1 - |cos| is 0.004;")
    assert said(bare, "lost").endswith("4.0e-6, of 0.5 for random vectors (measured).")
    assert not said(bare, "to")
    assert not said(bare, "left")
    assert said(bare, "back") == ""  # nothing says which layer lies above which
    (placed,) = explanations(made({"m": FALLING}, PLAIN))
    assert "3.0 between c1 and input (projection block, stride 2)" in said(placed, "to")
    assert "Across 1 projection block 1 - |cos| falls by 3.0 decades (measured)." in said(placed, "to")
    assert "Across 1 stride 1 - |cos| falls by 1.3 decades (measured)." in said(placed, "to")
    assert "averaged" not in placed.text
    assert "mixed" not in placed.text
    assert said(placed, "back") == "Read at c2 it still has 1 - |cos| 0.08 (measured)."


def test_what_is_lost_is_split_by_the_shares_of_t():
    """Of 0.4 to 0.08 all of T's: 0.36 to 0.04; of 0.08 to 0.004 half of it is; then only origins are left."""
    shares = [np.nan, 0.9, 0.5, 0.5, 0.001]
    inside = [np.nan, 0.1, 0.2, 0.8, 0.97]
    (found,) = explanations(
        made({"m": FALLING}, PLAIN, **{schema.TRANSIENT: shares, schema.GRADIENT: inside})
    )
    text = said(found, "to")
    assert "channels averaged: all of it is the start's own channels" in text  # 0.32 of 0.32
    assert "50% of it the start's own channels that are averaged, 50% the overlap of origins" in text
    shares = [np.nan, 0.1, 0.1, 0.1, 0.1]
    (found,) = explanations(
        made({"m": FALLING}, PLAIN, **{schema.TRANSIENT: shares, schema.GRADIENT: inside})
    )
    assert said(found, "to").count("90% of it is the overlap of origins") == 3
    assert "averaged" not in said(found, "to")  # how they come to overlap is not known
    assert "mixed" not in said(found, "to")
    assert "Of what still differs at input 97% lies in the span of G and 10% comes" in said(found, "left")
    assert "gradient of one field" not in found.text  # which field it is, is not known


def test_channels_are_averaged_where_origins_come_together_and_locations_mixed_where_they_widen():
    numbers = {
        schema.TRANSIENT: [np.nan, 0, 0, 0, 0],
        schema.APART: [np.nan, 0.1, 0.1, 0.02, 0.01],
        schema.WIDTH: [np.nan, 0.5, 1.0, 1.1, 3.0],
    }
    (found,) = explanations(made({"m": FALLING}, PLAIN, **numbers))
    between = dict(zip(("c3", "c2", "c1"), ("c2", "c1", "input"), strict=True))
    parts = {
        a: next(p for p in said(found, "to").split(";") if f"between {a} and {b}" in p)
        for a, b in between.items()
    }
    assert (
        "locations mixed: all of it is the overlap of origins, which widen (0.5 to 1 pixels)" in parts["c3"]
    )
    assert "channels averaged: all of it is the overlap of origins, whose means come together" in parts["c2"]
    assert "locations mixed: " in parts["c1"]


def test_what_rises_is_said_to_rise():
    (found,) = explanations(made({"m": [0.5, 0.01, 4e-5, 4e-4, 4e-6]}, PLAIN))
    assert "Across 1 stride 1 - |cos| rises by 1.0 decades (measured)." in said(found, "to")


def test_the_field_is_named_where_its_gradient_is_most_of_what_differs():
    numbers = {schema.TRANSIENT: 0.1, schema.GRADIENT: 0.97, schema.WIDTH: 1.23, schema.APART: 0.02}
    more = {name: [np.nan, *[value] * 4] for name, value in numbers.items()}
    data = made({"m": FALLING}, PLAIN, **more)
    data[schema.CUT] = ("method", "start"), np.array([["c3 (8 x 8)"]], object)
    (found,) = explanations(data)
    text = said(found, "left")
    assert "by the gradient of one field, the location weights on c3 (8 x 8)" in text
    assert "an origin is 1.2 of its pixels wide" in text
    assert "0.02 from their mean (rms) (theorem gradient-expansion; origin)." in text
    data[schema.CUT] = ("method", "start"), np.array([[np.nan]], object)  # joined with what has none
    (found,) = explanations(data)
    assert "one field" not in found.text
    data[schema.CUT] = ("method", "start"), np.array([["c3 (8 x 8)"]], object)
    for own, words in (
        (0.5, "on c3 (8 x 8) and by the start's own channels"),
        (0.9, "mostly by what the start's"),
    ):
        (found,) = explanations(data.assign({schema.TRANSIENT: 0 * data[schema.TRANSIENT] + own}))
        assert words in said(found, "left")
        assert "one field" not in found.text


def test_other_methods_and_starts_that_remember_are_what_brings_it_back():
    found = explanations(made({"m": FALLING, "n": [0.5, 0.4, 0.3, 0.3, 0.2], "o": FALLING}, PLAIN))
    assert "Other methods from top remember: n 0.2 at input (measured)." in said(found[0], "back")
    assert said(found[1], "lost").startswith(
        "The decision is not lost: at input the channels of two starts have"
    )
    assert not said(found[1], "back")


def test_a_deficit_of_zero_is_all_that_is_left():
    (found,) = explanations(made({"m": [0.5, 0.4, 0.08, 0.0, 0.0]}, PLAIN))
    assert "all that is left between c2 and c1" in said(found, "to")
    assert "Of 0.8 decades" in said(found, "to")


def test_a_prediction_alone_is_called_one():
    data = made({"m": FALLING}, PLAIN).rename({schema.MEASURED: "predicted_local_spectrum"})
    (found,) = explanations(data)
    assert said(found, "lost").endswith("(predicted by local spectrum).")
    assert "measured" not in found.text


def test_words_are_in_the_json_and_the_unknown_is_silent():
    found = Comparison(made({"m": FALLING}, PLAIN))
    assert '"about": "back"' in found.to_json()
    assert explanations(made({"m": [np.nan] * len(LAYERS)})) == []


# ---------------------------------------------------------------- networks with a known answer


def alike(layer: nn.Module, spread: float = 0.02) -> nn.Module:
    """Weights that are nearly equal: all outputs see the same, and z+ forgets which one it came from."""
    with torch.no_grad():
        layer.weight.copy_(1 + spread * torch.randn(layer.weight.shape))
        layer.bias.zero_()
    return layer


def kept(channels: int, **options: int) -> nn.Conv2d:
    """A convolution that hands each channel on, and a little of the others."""
    layer = nn.Conv2d(channels, channels, 3, padding=1, **options)
    with torch.no_grad():
        layer.weight.mul_(0.02)
        layer.bias.zero_()
        layer.weight[range(channels), range(channels), 1, 1] = 1.0
    return layer


def explained(build: Callable[[], nn.Module], start: str, size: int = 12, **options) -> Explanation:
    network = ct.networks.load(seeded(build).eval(), input_shape=(3, size, size))
    images = random_images(2, 3, size, size, seed=5).abs()
    method = options.pop("method", "lrp-zplus")
    (found,) = ct.audit(network, images, method, start=start, **OPTIONS | options).explanation
    return found


def largest(found: Explanation) -> str:
    """The first of the falls that are named."""
    first = next(str(s) for s in found.sentences if s.about == "to")
    return first.split(" is ", 1)[-1].split(" are ", 1)[-1].split(";")[0]


def test_channels_that_collapse_at_a_dense_layer():
    def build() -> nn.Module:
        head = [nn.Linear(6 * 36, 16), nn.ReLU(), alike(nn.Linear(16, 16)), nn.ReLU(), nn.Linear(16, 5)]
        return nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.Flatten(), *head)

    found = explained(build, "logits", size=6, theories=())
    assert said(found, "lost").startswith("The decision is lost from 4 down")
    assert "between 6 and 4 (dense layer)" in largest(found)


def test_a_stride_is_named():
    def build() -> nn.Module:
        body = [kept(3), nn.ReLU(), alike(nn.Conv2d(3, 8, 2, stride=2)), nn.ReLU(), kept(8), nn.ReLU()]
        return nn.Sequential(*body, nn.Flatten(), nn.Linear(8 * 36, 4))

    found = explained(build, "5", theories=())
    assert "between 3 and 1 (convolution 2 x 2, stride 2)" in largest(found)
    assert "Across 1 stride 1 - |cos| falls by " in said(found, "to")


class Residual(nn.Module):
    """An identity block above a projection block whose branches forget."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, padding=1)
        self.a, self.b = alike(nn.Conv2d(6, 8, 1)), alike(nn.Conv2d(8, 8, 3, padding=1))
        self.side = alike(nn.Conv2d(6, 8, 1))
        self.c, self.d = kept(8), kept(8)
        self.head = nn.Linear(8 * 36, 4)

    def forward(self, x):
        x = torch.relu(self.stem(x))
        x = torch.relu(self.b(torch.relu(self.a(x))) + self.side(x))
        x = x + torch.relu(self.d(torch.relu(self.c(x))))
        return self.head(x.flatten(1))


def test_a_projection_block_is_where_a_residual_network_forgets():
    found = explained(Residual, "add_1", size=6, theories=())
    assert "(projection block)" in largest(found)
    assert "Across 1 projection block 1 - |cos| falls by " in said(found, "to")


def test_a_pointwise_layer_averages_the_starts_channels_of_which_a_start_of_one_has_none():
    def pointwise() -> nn.Module:
        body = [kept(3), nn.ReLU(), alike(nn.Conv2d(3, 8, 1)), nn.ReLU(), kept(8), nn.ReLU()]
        return nn.Sequential(*body, nn.Flatten(), nn.Linear(8 * 144, 4))

    found = explained(pointwise, "5", theories=("origin",))
    assert "(convolution 1 x 1), channels averaged: " in largest(found)

    def one() -> nn.Module:
        body = [nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU()]
        model = nn.Sequential(
            *body, nn.Conv2d(8, 1, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(144, 4)
        )
        for layer in model[:5:2]:
            layer.weight.data.abs_()
        return model

    found = explained(one, "5", theories=("origin",))
    assert said(found, "to").count("100% of it is the overlap of origins") == 2
    assert "start's own" not in said(found, "to")
    assert "0% comes from the start's own channels" in said(found, "left")


@pytest.mark.parametrize("method", ["gradient", "lrp-alpha2beta1"])
def test_a_signed_rule_that_does_not_collapse_has_not_lost_the_decision(method):
    def build() -> nn.Module:
        body = [kept(3), nn.ReLU(), nn.Conv2d(3, 12, 3, padding=1), nn.ReLU(), kept(12), nn.ReLU()]
        return nn.Sequential(*body, nn.Flatten(), nn.Linear(12 * 36, 4))

    found = explained(build, "5", size=6, method=method, theories=())
    assert said(found, "lost").startswith("The decision is not lost: at input")
    assert not said(found, "back")
