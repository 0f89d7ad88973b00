"""The experiments on the paper's networks, in tiny settings: small networks, few pictures of few pixels."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from conetheory import networks, schema
from conetheory.errors import InputError
from conetheory.networks import Images, load
from conetheory.networks.ops import Add
from conetheory.results.comparison import Comparison
from conetheory.results.dataset import Result
from conetheory.rules.fitted_patterns import fit_patterns
from experiments import csc_case, paper_csc, paper_networks, paper_sanity
from tests.networks.toys import random_images, seeded

Z_PLUS, SIGNED = "lrp-alpha1beta0", "lrp-alpha2beta1"


class Residual(nn.Module):
    """Two convolutions with a shortcut around the second, and a classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1)
        self.head = nn.Linear(6, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x).relu()
        x = (x + self.second(x)).relu()
        return self.head(torch.flatten(nn.functional.adaptive_avg_pool2d(x, 1), 1))


@pytest.fixture(scope="module")
def network():
    return load(seeded(Residual), input_shape=(3, 8, 8))


@pytest.fixture
def case(network, tmp_path):
    tensor = random_images(3, 3, 8, 8, seed=5)
    options = {"few": 2, "many": 12, "positions": 4, "batch": 2, "bootstrap": 20, "vectors": 4}
    protocol = csc_case.Protocol(**options)
    return csc_case.Case("small", network, Images(tensor, ("a", "b", "c")), protocol, tmp_path)


def unlimited() -> float:
    return 1.0


# ---------------------------------------------------------------- CSC


@pytest.mark.slow
def test_a_case_is_measured_predicted_certified_and_drawn(case, tmp_path):
    methods = [Z_PLUS, SIGNED, "guided-backprop", "pattern-net"]
    record = paper_csc.write_case(case, methods, unlimited)
    assert record == json.loads((tmp_path / "small.json").read_text())
    rows = record["methods"]
    assert "needs patterns" in rows["pattern-net"]["left out"]
    assert rows[Z_PLUS]["violations"] == 0
    assert rows[Z_PLUS]["bounds_checked"] > 0
    assert 0 <= rows[SIGNED]["inside_band"] <= 1
    assert rows["guided-backprop"]["inside_band"] is None
    assert rows["guided-backprop"]["median_abs_error_decades"].keys() <= {"mean_field"}
    found = Comparison.load(tmp_path / "small.nc")
    assert list(found.dataset["method"].values) == methods[:3]
    assert schema.known(found.dataset).keys() == set(found.dataset.data_vars)
    assert found.dataset.attrs["images"] == 3
    for name in ("small.png", "small-methods.png", "small-main.png"):
        with Image.open(tmp_path / name) as picture:
            assert picture.size[0] > 100


@pytest.mark.slow
def test_errors_are_those_against_the_same_images(case):
    measured, theories = case.measured(Z_PLUS), list(case.theorised(Z_PLUS))
    data = paper_csc.over(measured, theories).dataset.isel(method=0, start=0)
    error = np.log10(data["predicted_local_spectrum"] / data["same_images_deficit_median"])
    np.testing.assert_allclose(data["error_decades_local_spectrum"], error, rtol=1e-12)
    assert np.isfinite(error).any()
    assert (
        data["measured_deficit_median"] == measured.dataset.isel(method=0, start=0)["measured_deficit_median"]
    ).all()
    assert theories[0].dataset.attrs["images"] == 2
    assert theories[0].dataset.attrs["vectors"] == 12


@pytest.mark.slow
def test_pieces_are_taken_up_and_made_again_with_other_settings(case, monkeypatch):
    first = case.measured(Z_PLUS).dataset
    with monkeypatch.context() as patch:
        patch.setattr(csc_case, "run", lambda *args: pytest.fail("it was measured already"))
        again = case.measured(Z_PLUS).dataset
    assert again.equals(first)
    assert again.attrs["seconds"] == first.attrs["seconds"]
    other = csc_case.Protocol(vectors=6)
    again = csc_case.Case(case.name, case.network, case.images, other, case.out).measured(Z_PLUS)
    assert again.dataset.attrs["vectors"] == 6


def test_nothing_begins_when_the_time_is_up(case, tmp_path):
    record = paper_csc.write_case(case, [Z_PLUS], lambda: 0.0)
    assert record["methods"] == {Z_PLUS: {"left out": "no time was left; run it again"}}
    assert not list(tmp_path.glob("*.nc"))


def test_the_clip_is_applied_where_there_are_sums(case, monkeypatch):
    """Four cases, and the clipped ones run the methods of the LRP family alone, which change by it."""
    monkeypatch.setattr(paper_csc.networks, "load", lambda *given: case.network)
    assert any(isinstance(node.op, Add) for node in case.network.graph.nodes.values())
    found = list(paper_csc.cases(case.network, case.images, case.protocol, case.out))
    name = case.network.name
    assert [c.name.removeprefix(name) for c in found] == [
        *("-trained", "-trained-clipped"),
        *("-random", "-random-clipped"),
    ]
    assert paper_csc.concerned([Z_PLUS, SIGNED, "gradient", "lrp-0"], found[1].repro) == [Z_PLUS, SIGNED]
    plain, clipped = (c.measured(SIGNED).dataset["measured_deficit_median"] for c in found[:2])
    assert float(abs(plain - clipped).max()) > 1e-3
    assert list(found[1].theorised(SIGNED)) == []


def test_of_a_trunk_the_random_network_is_the_whole(case, monkeypatch):
    asked = []
    monkeypatch.setattr(paper_csc.networks, "load", lambda *given: asked.append(given) or case.network)
    trunk = load(seeded(lambda: nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU())), input_shape=(3, 8, 8))
    found = list(paper_csc.cases(trunk, case.images, case.protocol, case.out))
    assert [c.name.removeprefix(trunk.name) for c in found[:2]] == ["-trunk", "-random"]
    assert asked[0][1:] == ("random:0", (3, 8, 8), None)


@pytest.mark.slow
def test_other_methods_see_fewer_images_and_what_the_plan_leaves_out_is_named(case, monkeypatch):
    protocol = replace(case.protocol, others=1, few=1)
    case = replace(case, protocol=protocol)
    images = {m: case.measured(m).dataset.attrs["images"] for m in (Z_PLUS, "gradient", "lrp-0")}
    assert images == {Z_PLUS: 3, "gradient": 3, "lrp-0": 1}
    _, row = paper_csc.one_method(case, Z_PLUS)
    assert row["left_out"] == {"logits": []}
    real = csc_case.Settings
    monkeypatch.setattr(csc_case, "Settings", lambda **given: real(**{"budget": 13.0} | given))
    _, row = paper_csc.one_method(replace(case, out=case.out / "poor"), Z_PLUS)
    (left,) = row["left_out"].values()
    assert left
    assert all("passes" in step for step in left)


@pytest.mark.slow
def test_a_device_gives_account_of_itself(case):
    """A dry run of what a GPU does: operations grow with the vectors, a processor agrees with itself."""
    few, more = (
        replace(case, protocol=replace(case.protocol, vectors=n), out=case.out / str(n)) for n in (4, 8)
    )
    found = [c.accounted("gradient", c.measured("gradient")) for c in (few, more)]
    assert found[0]["decades_from_cpu_largest"] == 0.0
    assert 1 < found[1]["operations_per_image"] / found[0]["operations_per_image"] < 2.5
    assert 0 < found[0]["share_of_peak"] < 1


def test_without_images_for_theory_there_is_none(case):
    case = replace(case, protocol=replace(case.protocol, few=0))
    found, row = paper_csc.one_method(case, Z_PLUS)
    assert found.dataset["measured_deficit_median"].notnull().any()
    assert not [name for name in found.dataset if name.startswith(paper_csc.SAID)]
    assert (row["left_out"], row["inside_band"]) == ({}, None)


def test_a_measurement_is_not_lost_with_a_theory(case, monkeypatch):
    def overflowing(self, method):
        raise InputError("relevance overflows: use dtype float64")
        yield

    monkeypatch.setattr(csc_case.Case, "theorised", overflowing)
    found, row = paper_csc.one_method(case, Z_PLUS)
    assert found.dataset["measured_deficit_median"].notnull().any()
    assert row["not_predicted"] == "relevance overflows: use dtype float64"
    assert row["median_deficit_at_the_input"]


def test_each_network_has_its_own_weights(tmp_path):
    assert paper_networks.with_weights(["a", "b"], None) == [("a", None), ("b", None)]
    assert paper_networks.with_weights(["a", "b"], ["x", "y"]) == [("a", "x"), ("b", "y")]
    with pytest.raises(SystemExit, match=r"2 networks \(a, b\) have 1 --weights"):
        paper_networks.with_weights(["a", "b"], ["x"])
    with pytest.raises(SystemExit, match=r"comes without weights: .*train_imagenette --recipe resnet50_v2"):
        paper_csc.main(["resnet50_v2"], out=tmp_path)


def test_the_methods_of_the_talk_are_methods():
    assert set(paper_networks.backpropagated(paper=True)) < set(paper_networks.backpropagated())
    assert set(csc_case.MORE) <= set(paper_networks.backpropagated(paper=True))


@pytest.mark.exhaustive
def test_the_command_runs_all_starts_of_the_bundled_network(tmp_path):
    options = {"limit": 2, "few": 1, "many": 4, "positions": 2, "rows": 1, "method": [SIGNED]}
    found = paper_csc.main(
        ["cifar10_cnn"], out=tmp_path, case=["cifar10_cnn-random"], device="cpu", **options
    )
    (row,) = found["cifar10_cnn-random"]["methods"].values()
    starts = networks.load("cifar10_cnn").starts
    assert tuple(row["median_deficit_at_the_input"]) == tuple(row["seconds_theory"]) == starts
    assert row["median_abs_error_decades"]["local_spectrum"] < 1


# ---------------------------------------------------------------- sanity checks and classes


@pytest.mark.slow
def test_randomisation_classes_and_maps_of_two_classes(network, tmp_path):
    images = Images(random_images(2, 3, 8, 8, seed=5), ("a.jpg", "b.jpg"))
    options = {"names": [Z_PLUS, "gradient"], "layers": ("first", "head"), "top": 3}
    record = paper_sanity.study(network, images, images, [("0", "3")], tmp_path, **options)
    assert record == json.loads((tmp_path / "sanity.json").read_text())
    assert [row["method"] for row in record["sanity"]] == [row["method"] for row in record["classes"]]
    assert set(record["seconds"]) == {"sanity", "classes", "0 and 3"}
    for name in ("sanity.nc", "classes.nc", "0-3/maps.nc", "0-3/maps-0.png", "0-3/maps-1.png"):
        assert (tmp_path / name).is_file()


@pytest.mark.slow
def test_patterns_of_random_weights_are_those_of_the_trained_ones(network, tmp_path):
    images = Images(random_images(2, 3, 8, 8, seed=5), ("a.jpg", "b.jpg"))
    file, found = tmp_path / "patterns.safetensors", []
    fit_patterns(network, random_images(20, 3, 8, 8, seed=6)).save(file)
    options = {"names": ["pattern-attribution"], "layers": ("first", "head"), "whole": 0, "patterns": file}
    for stale in ("products", "patterns"):
        paper_sanity.study(network, images, None, [], tmp_path / stale, stale=stale, **options)
        data = Result.load(tmp_path / stale / "sanity.nc").dataset
        found.append(data["similarity_median"].sel(measure="ssim").values)
    products, patterns = found
    assert np.isfinite(products).all()
    assert np.isfinite(patterns).all()
    assert (products != patterns).any()
