"""What may be given as a network becomes a `Network`, or one line says what to do."""

from __future__ import annotations

import pytest
import torch
from PIL import Image
from torch import nn

from conetheory.errors import InputError, UnsupportedLayerError
from conetheory.networks import Network, as_network, load, load_images, trace
from conetheory.networks.edge import shape_of
from conetheory.networks.preprocess import Preprocess


def body() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(2 * 4 * 4, 5)).eval()


def test_a_network_stays_itself():
    network = load(body(), input_shape=(3, 6, 6), classes=list("abcde"))
    assert as_network(network) is network
    assert as_network(network, (1, 2, 3)) is network


def test_a_graph_gets_a_name_and_no_more(tmp_path):
    graph = trace(body(), (3, 6, 6))
    found = as_network(graph)
    assert found.graph is graph
    assert (found.name, found.classes, found.provenance, found.undo) == ("unnamed", None, {}, None)
    Image.new("RGB", (6, 6)).save(tmp_path / "one.png")
    with pytest.raises(
        InputError, match="a Graph has no preprocessing, so it takes no pictures: give tensors"
    ):
        load_images(tmp_path / "one.png", graph)


def test_a_module_is_traced_at_the_shape():
    model, x = body(), torch.rand(2, 3, 6, 6)
    found = as_network(model, shape_of(x))
    assert (type(found), found.name, found.graph.input_shape) == (Network, "Sequential", (3, 6, 6))
    assert found.provenance == load(model, input_shape=(3, 6, 6)).provenance
    assert torch.equal(found.graph.forward(x), trace(model, (3, 6, 6)).forward(x))
    assert isinstance(found.preprocess, Preprocess)


def test_a_module_needs_a_shape():
    with pytest.raises(
        InputError, match=r"at what shape Sequential is to be traced: give networks\.load\(mod"
    ):
        as_network(body())


def test_a_module_that_cannot_be_traced_gets_the_usual_line():
    class Branching(nn.Module):
        def forward(self, x):
            return x if x.sum() > 0 else -x

    with pytest.raises(UnsupportedLayerError, match=r"Branching can't be traced with torch\.fx") as caught:
        as_network(Branching(), (3, 6, 6))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("vgg16", r"not the name 'vgg16': load it first, networks\.load\('vgg16'\)"),
        (nn.ReLU, r"not the class ReLU: give ReLU\(\.\.\.\)"),
        (None, r"not NoneType: networks\.load makes one of a name or a module"),
        (3, "not int"),
        (torch.zeros(1, 3, 6, 6), "not Tensor"),
    ],
    ids=["name", "class", "nothing", "number", "images"],
)
def test_anything_else_gets_one_line(given, words):
    with pytest.raises(
        InputError, match=f"a network is a Network, a Graph or an nn.Module, {words}"
    ) as caught:
        as_network(given, (3, 6, 6))
    assert "\n" not in str(caught.value)


def test_the_shape_of_one_image():
    shapes = [(2, 3, 6, 6), (3, 6, 6), (2, 7), (7,)]
    assert [shape_of(torch.zeros(s)) for s in shapes] == [(3, 6, 6), (3, 6, 6), (7,), (7,)]
    assert shape_of([1, 2]) is None
