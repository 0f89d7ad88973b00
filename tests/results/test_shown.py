"""What Python shows of networks, chains and results: one line each, tables in notebooks."""

from __future__ import annotations

import pytest
import torch

import conetheory as ct
from conetheory.errors import InputError
from conetheory.results.class_distances import Classes
from conetheory.results.dataset import Result
from conetheory.rules.registry import get_method
from conetheory.saliency.classes import class_sensitivity
from conetheory.saliency.maps import explain_maps
from tests.networks.toys import seeded
from tests.toys import SHAPE, TOYS, graph, images

TOY = "small vgg"
LONGEST = 120  # a line in a terminal


def chain(method="lrp-alpha1beta0", count=2):
    return ct.RelevanceChain(graph(TOY), images(count), method)


def test_networks_and_chains_say_what_they_are_in_one_line():
    network = ct.networks.load(seeded(TOYS[TOY]), input_shape=SHAPE, name="my network")
    assert repr(network).startswith("Network my network: input 2 x 6 x 7, ")
    assert repr(network.graph).startswith("Graph: input 2 x 6 x 7, ")
    assert repr(chain()) == "RelevanceChain of lrp-alpha1beta0 on unnamed, 2 images, float64, cpu"
    explained = ct.RelevanceChain(network, images(1).double(), "gradient")
    assert repr(explained) == "RelevanceChain of gradient on my network, 1 image, float64, cpu"
    occluded = ct.chain.open_chain(network, images(1), get_method("occlusion"))
    assert repr(occluded).startswith("ExplainerChain of occlusion on my network")
    assert all(len(repr(each)) < LONGEST for each in (network, network.graph, explained, occluded))


def test_a_trunk_says_that_it_ends_in_a_map():
    trunk = ct.networks.load(torch.nn.Conv2d(2, 4, 3), input_shape=SHAPE)
    assert "a map of 4 x 4 x 5" in repr(trunk)


@pytest.fixture(scope="module")
def results():
    one = chain()
    measured, predicted = ct.measure_csc(one, vectors=3), ct.predict_csc(one, theory="local-spectrum")
    return {
        "measured": measured,
        "predicted": predicted,
        "compared": ct.compare(measured, predicted),
        "maps": explain_maps(graph(TOY), images(2), "gradient"),
        "classes": class_sensitivity(graph(TOY), images(2), "gradient"),
        "rates": ct.rates(chain(count=1), passes=20),
    }


@pytest.mark.parametrize("kind", ["measured", "predicted", "compared", "maps", "classes", "rates"])
def test_a_result_is_one_line_and_a_table(results, kind):
    found = results[kind]
    assert len(repr(found)) < LONGEST
    assert found.methods[0] in repr(found)
    assert "\n" not in repr(found)
    table = found.to_dataframe()
    assert ("method" in table) == (kind != "maps")
    assert len(table) == len(table.drop_duplicates(subset=[d for d in found.rows_along if d in table]))
    shown = found._repr_html_()
    assert shown.startswith("<p>")
    assert shown.count("<table") == 1


def test_a_row_of_a_curve_has_its_numbers(results):
    found = results["measured"]
    table = found.to_dataframe().set_index(["method", "start", "layer"])
    for layer in found.dataset["layer"].values:
        want = float(found.dataset["measured_deficit_median"].sel(layer=layer).squeeze())
        got = table.loc[("lrp-alpha1beta0", "logits", layer), "measured_deficit_median"]
        assert got == pytest.approx(want, nan_ok=True, rel=0, abs=0)
    assert "label" in table
    assert not any("quantile" in name for name in table.columns)


def test_a_row_of_classes_is_an_image(results):
    table = results["classes"].to_dataframe()
    assert isinstance(results["classes"], Classes)
    assert len(table) == 2
    assert "class_distance_median" in table


def test_one_method_of_a_result(results):
    found = ct.audit(graph(TOY), images(1), ["lrp-zplus", "gradient"], vectors=3, theories=(), certify=0)
    assert found.of("gradient").comparison.methods == ("gradient",)
    assert set(found.of("gradient").verdict) == {"gradient"}
    with pytest.raises(
        InputError, match="no method 'lrp-0' in this result; it has lrp-alpha1beta0, gradient"
    ):
        found.of("lrp-0")
    assert isinstance(results["measured"].of("lrp-alpha1beta0"), Result)
