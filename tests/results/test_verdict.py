"""The verdict: on chains whose answer is known, on the CIFAR-10 network, and on scarce evidence."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
import xarray as xr
from torch import nn

from conetheory import networks
from conetheory.chain.relevance import RelevanceChain
from conetheory.measure.meter import measure_csc
from conetheory.networks import trace
from conetheory.predict.predictions import predict_csc
from conetheory.results.comparison import compare
from conetheory.results.evidence import FORGOTTEN, STILL
from conetheory.results.verdict import Outcome, Verdict, decide, to_json, verdicts
from conetheory.runs.method import run
from conetheory.runs.settings import Settings
from conetheory.saliency.classes import class_sensitivity
from tests.networks.toys import random_images, seeded
from tests.report import folders

SHAPE = (3, 6, 5)


def measured(network: nn.Module, method: str, start: str = "logits") -> tuple[xr.Dataset, xr.Dataset]:
    """CSC and class sensitivity of a network on positive images."""
    graph, images = trace(network, SHAPE), random_images(2, *SHAPE).abs() + 0.1
    chain = RelevanceChain(graph, images, method, dtype=torch.float64)
    csc = compare(measure_csc(chain, start=start, vectors=6)).dataset
    return csc, class_sensitivity(graph, images, method).dataset


def identity() -> nn.Module:
    """Every layer passes relevance on as it is, from the second convolution down."""
    convolutions = [nn.Conv2d(3, 3, 1, bias=False) for _ in range(2)]
    for convolution in convolutions:
        convolution.weight.data = torch.eye(3)[:, :, None, None]
    return nn.Sequential(
        convolutions[0], nn.ReLU(), convolutions[1], nn.ReLU(), nn.Flatten(), nn.Linear(90, 5)
    )


def rank_one() -> nn.Module:
    """All that the logits say goes through one unit."""
    body = [nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(120, 1)]
    network = seeded(lambda: nn.Sequential(*body, nn.ReLU(), nn.Linear(1, 5)))
    for layer in (network[3], network[5]):
        layer.weight.data.abs_()
        layer.bias.data.zero_()
    return network


def weighting() -> nn.Module:
    """One channel at each location, which each logit weighs as it likes."""
    network = seeded(lambda: nn.Sequential(nn.Conv2d(3, 1, 1), nn.ReLU(), nn.Flatten(), nn.Linear(30, 5)))
    network[0].weight.data.abs_()
    network[0].bias.data.zero_()
    return network


def test_an_identity_chain_depends_on_its_start():
    csc, _ = measured(identity(), "gradient", start="2")
    (verdict,) = verdicts(csc)
    assert verdict.outcome is Outcome.DEPENDS
    assert verdict.find("measured_deficit_median").value > 0.2
    assert (verdict.collapsed_by, verdict.blind_above) == (None, None)


@pytest.mark.parametrize("method", ["gradient", "lrp-alpha1beta0"])
def test_a_chain_through_one_unit_does_not_depend_on_the_decision(method):
    csc, classes = measured(rank_one(), method)
    (verdict,) = verdicts(csc, classes=classes)
    assert verdict.outcome is Outcome.BLIND
    assert verdict.blind_above == "logits"
    assert verdict.find("measured_deficit_median").value < 1e-10
    assert verdict.find("movable_share").value < 1e-10
    assert not verdict.against


def test_one_channel_at_each_location_leaves_a_spatial_weighting_of_the_rank_of_the_logits():
    csc, classes = measured(weighting(), "lrp-alpha1beta0")
    (verdict,) = verdicts(csc, classes=classes)
    assert verdict.outcome is Outcome.SPATIAL
    assert 2 <= verdict.rank <= 5
    assert verdict.text == f"only through a spatial weighting of rank {verdict.rank}"
    assert verdict.find("measured_deficit_median").value < 1e-12
    assert verdict.find("measured_flattened_deficit_median").value > 0.05
    (without,) = verdicts(csc)
    assert without.outcome is Outcome.SPATIAL
    assert without.rank is None
    assert "class sensitivity" in without.missing


@pytest.mark.parametrize(("dead", "layer"), [(0, "input"), (2, "1")])
def test_without_relevance_at_the_input_there_is_no_verdict(dead, layer):
    """A convolution of zeros: two random starts above it are far apart, but no map is made of them."""
    network = seeded(identity)
    network[dead].weight.data.zero_()
    network[dead].bias = nn.Parameter(torch.ones(3, dtype=torch.float64))
    chain = RelevanceChain(trace(network, SHAPE), torch.rand(2, *SHAPE), "gradient", dtype=torch.float64)
    comparison = compare(measure_csc(chain, "logits", vectors=6), predict_csc(chain))
    (verdict,) = verdicts(comparison.dataset)
    assert verdict.outcome is Outcome.OPEN
    assert verdict.text == f"no verdict: no relevance arrives at {layer}"
    assert verdict.record()["dead_from"] == layer
    assert (verdict.collapsed_by, verdict.blind_above, verdict.evidence) == (None, None, ())


def test_a_prediction_of_higher_layers_says_nothing_of_the_input():
    data = one_method(folders.comparison(), "gradient")[["predicted_local_spectrum", "baseline_deficit"]]
    data["predicted_local_spectrum"][{"layer": -1}] = np.nan
    assert decide("toy", "gradient", data).outcome is Outcome.OPEN


@pytest.fixture(scope="module")
def cifar() -> dict[str, Verdict]:
    """Measured as the demo does: ten vectors from the logits, on two of its photographs."""
    network = networks.load("cifar10_cnn")
    images = networks.bundled_images(network, limit=2).tensor
    found = {}
    for method in ("lrp-alpha1beta0", "gradient"):
        chain = RelevanceChain(network, images, method)
        (found[method],) = verdicts(compare(measure_csc(chain, vectors=10)).dataset)
    return found


def test_z_plus_on_the_cifar_network_keeps_a_spatial_weighting_and_the_gradient_the_decision(cifar):
    z_plus, gradient = cifar["lrp-alpha1beta0"], cifar["gradient"]
    assert z_plus.network == gradient.network == "cifar10_cnn"
    assert z_plus.outcome is Outcome.SPATIAL
    assert z_plus.collapsed_by in ("conv4", "conv3", "pool1")
    assert z_plus.blind_above == "logits"
    assert gradient.outcome is Outcome.DEPENDS
    assert gradient.collapsed_by is None
    assert (
        z_plus.find("measured_deficit_median").value < 1e-3 * gradient.find("measured_deficit_median").value
    )


def one_method(data: xr.Dataset, method: str) -> xr.Dataset:
    return data.sel({"method": method})


def test_all_evidence_together():
    found = {v.method: v for v in verdicts(folders.comparison(), folders.sanity(), folders.classes())}
    outcomes = [found[m].outcome for m in folders.METHODS]
    assert outcomes == [Outcome.DEPENDS, Outcome.SPATIAL, Outcome.BLIND]
    assert found["lrp-alpha1beta0"].missing == ()
    assert found["gradient"].missing == ("a certificate",)
    assert found["lrp-alpha1beta0"].rank == 3  # an effective rank of 2.3
    assert found["lrp-alpha1beta0"].blind_above == "conv4"  # forgotten from both starts; the lower one counts
    assert not any(v.against for v in found.values())


def test_the_layer_of_collapse_is_the_first_of_those_that_stay_forgotten():
    data = one_method(folders.comparison(), "lrp-alpha1beta0").copy(deep=True)
    data["measured_deficit_median"].loc[{"start": "logits", "layer": "conv3"}] = 0.5
    assert decide("toy", "z+", data).collapsed_by == "pool1"


def test_a_single_channel_is_not_asked():
    """The cosine of two numbers is always 1: the layer above is the lowest that can tell."""
    data = one_method(folders.comparison(), "gradient").drop_vars("measured_band").copy(deep=True)
    data["measured_deficit_median"].loc[{"layer": "input"}] = 0.0
    assert decide("toy", "gradient", data).outcome is Outcome.SPATIAL
    data["baseline_deficit"].loc[{"layer": "input"}] = 0.0
    verdict = decide("toy", "gradient", data)
    assert verdict.outcome is Outcome.DEPENDS
    assert verdict.find("measured_deficit_median").value == data["measured_deficit_median"].values[0, -2]


def test_nor_are_channels_of_which_one_alone_is_live():
    """As above a max pool, whose switches leave a channel here and another there."""
    data = one_method(folders.comparison(), "gradient").drop_vars("measured_band").copy(deep=True)
    data["measured_deficit_median"].loc[{"layer": "input"}] = 0.0
    data["live_baseline_deficit"] = xr.full_like(data["measured_deficit_median"], 0.3)
    assert decide("toy", "gradient", data).outcome is Outcome.SPATIAL
    data["live_baseline_deficit"].loc[{"layer": "input"}] = 0.003
    assert decide("toy", "gradient", data).outcome is Outcome.DEPENDS


@pytest.mark.parametrize("kept", ["predicted_local_spectrum", "certified_deficit_upper"])
def test_a_prediction_or_a_certificate_alone_can_show_that_channels_forget(kept):
    data = one_method(folders.comparison(), "lrp-alpha1beta0")[[kept, "baseline_deficit"]]
    assert decide("toy", "z+", data).outcome is Outcome.SPATIAL


def test_a_weak_bound_says_nothing():
    data = one_method(folders.comparison(), "lrp-alpha1beta0")[
        ["certified_deficit_upper", "baseline_deficit"]
    ]
    data["certified_deficit_upper"] = data["certified_deficit_upper"] * 0 + 0.5
    verdict = decide("toy", "z+", data)
    assert verdict.outcome is Outcome.OPEN
    assert verdict.against == ()


def test_a_certificate_of_whole_maps_alone_shows_that_they_stand_still():
    data = one_method(folders.comparison(), "lrp-alpha1beta0")[
        ["certified_deficit_upper", "baseline_deficit"]
    ]
    data["certified_map_deficit_upper"] = data["certified_deficit_upper"] * 0 + 0.0001
    assert decide("toy", "z+", data).outcome is Outcome.BLIND


def test_randomisation_alone_decides_only_that_a_map_changes():
    gradient, z_plus, _ = verdicts(sanity=folders.sanity())
    assert gradient.outcome is Outcome.DEPENDS
    assert z_plus.outcome is Outcome.OPEN
    assert z_plus.find("similarity_median").value > 0.9


def test_evidence_against_the_verdict_is_kept():
    sanity = one_method(folders.sanity(), "gradient")
    verdict = decide("toy", "z+", one_method(folders.comparison(), "lrp-alpha1beta0"), sanity)
    assert verdict.outcome is Outcome.SPATIAL
    assert [e.about for e in verdict.against] == ["check"]


@pytest.mark.parametrize(("factor", "outcome"), [(0.999, Outcome.BLIND), (1.001, Outcome.SPATIAL)])
def test_the_thresholds_are_where_they_are_said_to_be(factor, outcome):
    comparison = one_method(folders.comparison(), "lrp-alpha1beta0").drop_vars("measured_band")
    classes = one_method(folders.classes(), "lrp-alpha1beta0").copy(deep=True)
    classes["movable_share"] = classes["movable_share"] * 0 + STILL**2 * factor
    assert decide("toy", "z+", comparison, classes=classes).outcome is outcome
    deficit = comparison["measured_deficit_median"]
    scaled = comparison.assign(measured_deficit_median=deficit * 0 + FORGOTTEN * factor)
    collapsed = decide("toy", "z+", scaled).outcome is not Outcome.DEPENDS
    assert collapsed is (factor < 1)


def test_nothing_gives_nothing():
    assert verdicts() == []
    absent = one_method(folders.comparison(), "gradient")
    assert decide("toy", "gradient", absent.where(absent["layer"] == "none")).outcome is Outcome.OPEN


def test_the_json_is_plain_and_complete():
    found = verdicts(folders.comparison(), folders.sanity(), folders.classes())
    records = json.loads(to_json(found))
    assert [r["outcome"] for r in records] == ["depends", "spatial", "blind"]
    for record, verdict in zip(records, found, strict=True):
        assert record["verdict"] == verdict.text
        assert [e["value"] for e in record["evidence"]] == [e.value for e in verdict.evidence]
        assert all(np.isfinite(e["reference"]) for e in record["evidence"])


def test_maps_of_one_value_a_location_are_judged_as_a_whole():
    """Occlusion has no channels: what moves the map is all that there is."""
    net = networks.load(seeded(weighting), input_shape=(3, 5, 6))
    image = random_images(1, 3, 5, 6, seed=1)
    found = run(net, image, "occlusion", Settings(vectors=4, bootstrap=0, certify=0))
    (verdict,) = verdicts(found.dataset)
    assert verdict.outcome is Outcome.DEPENDS
    (record,) = [r for r in found.rows() if r["layer"] == "input"]
    assert record["measured_deficit_median"] is None
    assert record["measured_flattened_deficit_median"] > 0.1


def test_randomising_the_whole_network_is_no_evidence_about_its_last_layers():
    data = folders.sanity().assign_coords(depth=("layer", np.arange(3, 3 + folders.sanity().sizes["layer"])))
    assert all(not v.evidence for v in verdicts(sanity=data))
    data["depth"] = "layer", np.arange(data.sizes["layer"])
    assert all(v.evidence for v in verdicts(sanity=data))
