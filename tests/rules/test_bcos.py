"""B-cos units by their formula, their dynamic linear map, and that it depends on the decision."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from conetheory.chain.relevance import RelevanceChain
from conetheory.errors import UnsupportedLayerError
from conetheory.measure.meter import measure_csc
from conetheory.networks import trace
from conetheory.networks.bcos import SMALL, Aligned, BCosConv2d, BCosLinear
from conetheory.results.verdict import verdicts
from tests.networks.toys import random_images, seeded
from tests.toys import chain, graph, images


def by_hand(x: Tensor, weight: Tensor, b: float, **geometry) -> Tensor:
    """Patch by patch, each with the cosine that it has with each filter."""
    patches = F.unfold(x, weight.shape[2:], **geometry).mT
    w = weight.flatten(1) / weight.flatten(1).norm(dim=1, keepdim=True)
    z = patches @ w.T
    return (z * (z.abs() / (patches.square().sum(2, keepdim=True) + SMALL).sqrt()) ** (b - 1)).mT


@pytest.mark.parametrize("b", [1.0, 1.5, 2.0])
def test_a_unit_by_its_formula(b):
    layer, x = seeded(lambda: BCosConv2d(3, 4, 3, 2, 1, b=b)), random_images(2, 3, 6, 7)
    expected = by_hand(x, layer.weight, b, stride=2, padding=1)
    found = layer(x)
    torch.testing.assert_close(found.flatten(2), expected)
    traced = trace(layer, (3, 6, 7))
    torch.testing.assert_close(traced.forward(x), found.detach())
    dense, v = seeded(lambda: BCosLinear(5, 3, b)), random_images(2, 5)
    torch.testing.assert_close(
        dense(v)[..., None], by_hand(v[..., None, None], dense.weight[..., None, None], b)
    )


def test_the_gradient_is_autograds():
    model = seeded(lambda: nn.Sequential(BCosConv2d(2, 4, 3, groups=2), nn.Flatten(), BCosLinear(16, 3)))
    x = random_images(2, 2, 4, 4)
    point, v = x.clone().requires_grad_(), random_images(2, 1, 3, seed=3)
    (expected,) = torch.autograd.grad(model(point), point, v[:, 0])
    found = RelevanceChain(trace(model, (2, 4, 4)), x, "gradient").down(v, "logits")[:, 0]
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("toy", ["b-cos units", "linear alone, signed input"])
def test_the_map_sums_to_the_output_where_nothing_has_a_bias(toy):
    found = chain(toy, "b-cos")
    hot = torch.eye(found.logits.shape[1], dtype=torch.float64).expand(len(found), -1, -1)
    sums = found.down(hot, "logits").flatten(2).sum(2)
    bias = getattr(graph(toy).nodes[graph(toy).output].op, "bias", None)
    torch.testing.assert_close(sums, found.logits - (0 if bias is None else bias))


def test_of_relus_it_is_the_image_times_the_gradient():
    ours, theirs = (chain("small vgg", name) for name in ("b-cos", "input-x-gradient"))
    v = random_images(2, 3, 5)
    torch.testing.assert_close(ours.down(v, "logits"), theirs.down(v, "logits"))


def test_of_a_transformer_it_is_cp_lrp_from_what_was_explained():
    ours, theirs = chain("transformer", "b-cos"), chain("transformer", "cp-lrp", epsilon=0.0)
    v = random_images(2, 3, ours.logits.shape[1])
    torch.testing.assert_close(
        ours.down(v, "logits"), theirs.down(v * ours.logits[:, None], "logits"), rtol=1e-8, atol=1e-10
    )


def test_deeplift_refuses_the_unit_by_name():
    with pytest.raises(UnsupportedLayerError, match="has no rule for a B-cos unit; b-cos has one"):
        chain("b-cos units", "deeplift-rescale")


@pytest.fixture(scope="module")
def network() -> nn.Module:
    def build() -> nn.Module:
        layers = [BCosConv2d(a, b, 3, padding=1) for a, b in pairwise([6, 32, 32, 32, 32, 32])]
        return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), BCosLinear(32, 10))

    return seeded(build)


@pytest.mark.parametrize(("method", "said"), [("b-cos", "depends"), ("lrp-zplus", "only through a spatial")])
def test_a_network_that_should_depend_does(network, method, said):
    """Six layers of B-cos units with random weights: the signed map keeps what was explained, z+ on the same
    network does not.
    """
    pictures = random_images(2, 3, 8, 8).sigmoid()
    both = torch.cat([pictures, 1 - pictures], 1)  # the coding of the authors
    found = measure_csc(RelevanceChain(trace(network, (6, 8, 8)), both, method), vectors=8, bootstrap=0)
    (verdict,) = verdicts(found.dataset)
    assert said in verdict.text, verdict.text


def test_the_cosines_window_is_that_of_the_convolution():
    op = graph("b-cos units").nodes
    windows = [node.op for node in op.values() if isinstance(node.op, Aligned)]
    assert [tuple(w.ones.shape) for w in windows] == [(1, 2, 3, 3), (2, 2, 1, 2), (1, 16)]
    x = images(1)
    assert windows[0].squares(x).shape == (1, 1, 3, 4)
