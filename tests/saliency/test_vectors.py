"""Inputs that are vectors: maps of one value for each feature, as of a grey picture one pixel high."""

from __future__ import annotations

from collections import OrderedDict
from functools import cache

import numpy as np
import pytest
import torch
from torch import nn

import conetheory as ct
from conetheory.errors import InputError
from conetheory.networks import Network, load
from conetheory.plotting.maps import gallery_figure, maps_figure
from conetheory.report.findings import load_findings
from conetheory.report.map_tables import sanity_records, sanity_rows
from conetheory.report.pictures import directions, gallery
from conetheory.results.joining import join_methods
from conetheory.rules.registry import methods
from conetheory.saliency.classes import class_maps, class_sensitivity
from conetheory.saliency.explain import explain
from conetheory.saliency.maps import explain_maps
from conetheory.saliency.similarity import PLAIN, similarity
from conetheory.sanity import SanitySettings, sanity_check
from conetheory.sanity.successors import smooth_maps

FEATURES, CLASSES = 12, 5
OF_IMAGES = {"grad-cam", "grad-cam++", "hirescam", "layercam", "fullgrad"}
NEEDS_MORE = {
    "pattern-net",
    "pattern-attribution",
    "iba",
    "tcav",
    "attention-rollout",
} | OF_IMAGES  # patterns, a height and width, concepts
METHODS = sorted({method.name for method in methods()} - NEEDS_MORE)


@cache
def networks() -> tuple[Network, Network]:
    """A perceptron on vectors, and the same layers on pictures one pixel high."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Linear(FEATURES, 16), nn.ReLU(), nn.Linear(16, 9), nn.ReLU(), nn.Linear(9, CLASSES)
        )
    flat = nn.Sequential(OrderedDict([("flat", nn.Flatten()), *model.named_children()]))
    return load(model, input_shape=(FEATURES,)), load(flat, input_shape=(1, 1, FEATURES))


def vectors(count: int = 3) -> torch.Tensor:
    return torch.rand((count, FEATURES), generator=torch.Generator().manual_seed(1))


def as_pictures(x: torch.Tensor) -> torch.Tensor:
    return x[:, None, None]


def same(vector: object, picture: object, *but: str) -> None:
    """All numbers of two results, of which the second has a height of 1."""
    for name in set(picture.dataset.data_vars) - {"picture", *but}:
        found, expected = (r.dataset[name].values for r in (vector, picture))
        if found.dtype.kind in "fi":
            np.testing.assert_allclose(found.ravel(), expected.ravel(), rtol=1e-4, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("method", METHODS)
def test_maps_are_those_of_a_picture_one_pixel_high(method):
    (network, other), x = networks(), vectors()
    maps = explain(network, x, method)
    assert maps.shape == (3, 1, FEATURES)
    torch.testing.assert_close(maps, explain(other, as_pictures(x), method)[:, :, 0, 0])
    found = explain_maps(network, x, method, ["predicted", 2])
    assert found.dataset["map"].dims == ("method", "image", "target", "feature")
    assert "picture" not in found.dataset
    assert found.dataset.attrs["left_out"] == "pictures of maps: the inputs have shape (12,)"
    same(found, explain_maps(other, as_pictures(x), method, ["predicted", 2]))


@pytest.mark.parametrize("method", ["lrp-alpha1beta0", "lrp-alpha2beta1", "gradient", "occlusion"])
def test_classes_are_those_of_a_picture_one_pixel_high(method):
    (network, other), x = networks(), vectors(2)
    found = class_sensitivity(network, x, method)
    assert found.dataset["directions"].dims == ("method", "image", "rank", "feature")
    same(found, class_sensitivity(other, as_pictures(x), method))
    one = class_sensitivity(network, x[0], method)
    assert one.dataset.sizes["image"] == 1


def test_a_map_is_the_relevance_of_one_vector_not_a_sum_over_them():
    network, x = networks()[0], vectors()
    model_weights = [n.op.weight for n in network.graph.nodes.values() if hasattr(n.op, "weight")]
    chain = ct.RelevanceChain(network, x[:1], "gradient")
    h = [x[:1]]
    for w, node in zip(model_weights, ("0", "2", "4"), strict=True):
        h.append((h[-1] @ w.T + network.graph.nodes[node].op.bias).relu())
    gradient = model_weights[2] @ ((h[2] > 0).T * model_weights[1]) @ ((h[1] > 0).T * model_weights[0])
    torch.testing.assert_close(class_maps(chain, range(CLASSES)), gradient)


@pytest.mark.parametrize("method", ["lrp-alpha1beta0", "gradient", "integrated-gradients"])
def test_sanity_compares_vectors_by_what_needs_no_picture(method):
    (network, other), x = networks(), vectors()
    found = sanity_check(network, x, method, SanitySettings(smooth=2))
    assert tuple(found.dataset["measure"].values) == PLAIN
    assert found.dataset.attrs["left_out"] == "ssim, hog: for pictures, and the input has shape (12,)"
    same(found, sanity_check(other, as_pictures(x), method, SanitySettings(smooth=2, measures=PLAIN)))
    (record,) = sanity_records(found)
    assert list(record["spearman_median"]) == ["4", "2", "0"]
    assert "from 4" in sanity_rows(found)[0]


def test_measures_of_pictures_alone_are_refused():
    with pytest.raises(InputError, match=r"no measure is left without ssim: for pictures, .* \(12,\)"):
        sanity_check(networks()[0], vectors(), "gradient", SanitySettings(measures=("ssim",)))
    maps = np.random.default_rng(0).random((2, FEATURES))
    for measure in ("ssim", "hog"):
        with pytest.raises(InputError, match=rf"{measure} compares pictures, not maps of shape \(12,\)"):
            similarity(maps, maps, measure)


def test_smooth_maps_are_means_over_noisy_vectors():
    network, x = networks()[0], vectors()
    method = ct.rules.registry.get_method("lrp-alpha1beta0")
    targets = torch.zeros((3, 1), dtype=torch.int64)
    found = smooth_maps(network, x, method, targets, samples=2, seed=3)
    spread = 0.1 * (x.amax(1) - x.amin(1))[:, None]
    noise = [
        np.stack(
            [np.random.default_rng([3, n, s]).standard_normal(FEATURES, dtype=np.float32) for n in range(3)]
        )
        for s in range(2)
    ]
    maps = [explain(network, x + spread * torch.from_numpy(e), method, targets)[:, 0] for e in noise]
    np.testing.assert_allclose(found, torch.stack(maps).mean(0).numpy(), rtol=1e-5, atol=1e-7)


def test_chains_of_vectors_are_those_of_one_location(tmp_path):
    """What a location is to a picture, the whole vector is: measured, predicted and certified as such."""
    network, x = networks()[0], vectors(2)
    other = load(nn.Sequential(nn.Flatten(), _module(network)), input_shape=(FEATURES, 1, 1))
    a = ct.RelevanceChain(network, x, "lrp-alpha1beta0")
    b = ct.RelevanceChain(other, x[:, :, None, None], "lrp-alpha1beta0")
    for result in (ct.measure_csc, ct.predict_csc, ct.certify_csc):
        found, expected = result(a).dataset, result(b).dataset
        for name in expected.data_vars:
            if expected[name].dtype.kind == "f":
                np.testing.assert_allclose(found[name], expected[name], rtol=1e-3, err_msg=name)


def _module(network: Network) -> nn.Module:
    ops = {name: node.op for name, node in network.graph.nodes.items()}
    model = nn.Sequential()
    for name, op in ops.items():
        if hasattr(op, "weight"):
            layer = nn.Linear(*reversed(op.weight.shape))
            layer.weight, layer.bias = nn.Parameter(op.weight.clone()), nn.Parameter(op.bias.clone())
            model.append(layer)
        else:
            model.append(nn.ReLU())
        assert name == str(len(model) - 1)
    return model


@pytest.mark.slow
def test_an_audit_and_a_report_of_vectors(tmp_path):
    """One call on a module and vectors; a report says by name what is not drawn."""
    network, x = networks()[0], vectors(2)
    found = ct.audit(_module(network), x, "lrp-alpha1beta0", theories=(), certify=0)
    assert found.comparison.dataset.attrs["images"] == 2
    assert ct.audit(network, x[0], "lrp-alpha1beta0", theories=(), certify=0).verdict
    join_methods([explain_maps(network, x, "gradient")]).save(tmp_path / "maps.nc")
    class_sensitivity(network, x, "gradient").save(tmp_path / "classes.nc")
    sanity_check(network, x, "gradient").save(tmp_path / "sanity.nc")
    (findings,) = load_findings(tmp_path)
    assert not list(gallery(findings))
    assert not list(directions(findings))
    for form in ("html", "md", "pdf"):
        ct.report.write([findings], tmp_path / f"report.{form}")
    assert "pictures of maps: the inputs have shape (12,)" in (tmp_path / "report.md").read_text()
    assert "ssim, hog: for pictures" in (tmp_path / "report.md").read_text()
    for figure in (gallery_figure, lambda data: maps_figure(data, "0")):
        with pytest.raises(InputError, match="maps of vectors are no pictures"):
            figure(findings.maps)


def test_sequences_have_a_map_and_longer_shapes_none():
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 3))
    x = vectors(2)
    found = explain_maps(load(model, input_shape=(2, 6)), x.view(2, 2, 6), "gradient")
    assert found.dataset["map"].dims == ("method", "image", "target", "position")
    network = load(model, input_shape=(1, 2, 3, 2))
    for piece in (explain_maps, class_sensitivity):
        with pytest.raises(InputError, match=r"shape \(1, 2, 3, 2\) are neither vectors nor pictures"):
            piece(network, x.view(2, 1, 2, 3, 2), "gradient")


def test_one_dimensional_occlusion_covers_runs_of_features():
    network, x = networks()[0], vectors(1)
    target = int(network.graph.forward(x).argmax())
    maps = explain(network, x, "occlusion")[0, 0]
    logits = network.graph.forward(x * (1 - torch.eye(FEATURES)))[:, target]
    torch.testing.assert_close(maps, network.graph.forward(x)[0, target] - logits)
    with pytest.raises(InputError, match="window 13 and stride 13 don't cover inputs of 12 values"):
        explain(network, x, "occlusion", parameters={"window": 13})
    with pytest.raises(InputError, match="iba needs"):
        explain(network, x, "iba", parameters={"layer": "0"})
