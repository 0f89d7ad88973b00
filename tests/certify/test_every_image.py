"""Certificates for every image with the same active units."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from conetheory.certify import every_image as everyimage
from conetheory.certify.blocks import block_chain_certificate
from conetheory.certify.certificates import certify_csc
from conetheory.chain.local import local_matrices
from conetheory.chain.relevance import RelevanceChain
from conetheory.errors import InputError
from conetheory.networks import trace
from conetheory.rules.registry import entries, get_method, methods
from conetheory.theory import cone
from conetheory.theory.records import NotApplicable
from tests.certify.adversary import deficit_holds, locations
from tests.certify.exact import exact_columns
from tests.certify.nets import (
    F64,
    certify_every_image,
    deep,
    image,
    of_weights,
    two_layers,
)


def test_positive_factors_bound_every_image():
    graph = two_layers(positive=True)
    _, found = certify_every_image(graph)
    assert found.factor in ("0", "2")
    for seed in range(40):
        chain = RelevanceChain(graph, image((2, 2, 2), seed) ** (1 + seed), dtype=F64)
        P = local_matrices(chain, "input", 1, "2")[0]
        assert float(cone.projective_diameter(P[:, P.any(axis=0)])) <= found.diameter_upper


def test_zeros_in_both_factors_prevent_it(monkeypatch):
    graph = two_layers(positive=True)
    graph.nodes["0"].op.weight[:, :, 0, 0] = torch.tensor([[1.0, -1.0], [1.0, 1.0], [1.0, 1.0]])
    assert certify_every_image(graph)[1].factor == "2"
    graph.nodes["2"].op.weight[0, 2] = -1.0
    for probe in (64, 1):
        monkeypatch.setattr(everyimage, "PROBE", probe)
        reason = certify_every_image(graph)[1].reason
        assert "'0'" in reason
        assert "unit 1 feeds" in reason  # flat units of '0': channel 0 at location 1
        assert "unit 9 is fed" in reason  # channel 2 at location 1
    graph.nodes["0"].op.weight[:, :, 0, 0] = 1.0
    assert certify_every_image(graph)[1].factor == "0"


def test_every_image_refuses():
    graph = two_layers()
    with pytest.raises(InputError, match="crosses 2 layers"):
        everyimage.every_image_certificate(deep(), "5", "1", "input", 0)
    dead = RelevanceChain(graph, torch.zeros(2, 2, 2, dtype=F64), dtype=F64)
    assert everyimage.every_image_certificate(dead, "2", "0", "input", 0) is None


# ---------------------------------------------------------------- rules without the form


def boxed(value, **options):
    """Deep Taylor on one pixel of two channels in [0, 1]; the same units are active whatever the image."""
    head = nn.Linear(2, 2)
    head.weight.data.copy_(torch.eye(2) + 0.1)
    body = of_weights([[1.0, -1.0], [-1.0, 1.0]])
    graph = trace(nn.Sequential(*body, nn.ReLU(), nn.Flatten(), head).double().eval(), (2, 1, 1))
    pixel = torch.full((2, 1, 1), value, dtype=F64)
    return RelevanceChain(
        graph, pixel, "deep-taylor", parameters={"low": 0.0, "high": 1.0, **options}, dtype=F64
    )


def ablated():
    body = of_weights([[1.0, 0.9], [0.9, 1.0]], [[1.0, 0.01], [0.01, 1.0]])
    pixel = torch.tensor([1.0, -1.0], dtype=F64).view(2, 1, 1)
    return RelevanceChain(trace(nn.Sequential(*body).double().eval(), (2, 1, 1)), pixel, "deeplift-ablation")


def exact_worst(chain, start, layer="input"):
    """The worst deficit of two columns at the one location, in exact arithmetic."""
    one, other = locations(exact_columns(chain, start)[layer], chain.shape(layer))[0]
    _, ratio = deficit_holds(one, other, 1.0)
    return ratio


def test_z_box_depends_on_how_bright_the_image_is():
    """Images (.5, .5) and (.99, .99) have the same active units; worst deficits 0 and 0.98 at the hidden
    layer."""
    dim, bright = boxed(0.5), boxed(0.99)
    assert exact_worst(dim, "0") == 0
    assert exact_worst(bright, "0") == pytest.approx(0.98, abs=1e-3)
    for chain in (dim, bright):
        found = everyimage.every_image_certificates(chain, "logits", ["input", "0"])
        for statement in (*found.values(), everyimage.every_image_certificate(chain, "0", "0", "input", 0)):
            assert "does not say that its matrices are a fixed one" in statement.reason
        data = certify_csc(chain).dataset
        assert "deep-taylor does not say" in data["no_every_image"].item()
        assert "certified_every_image_deficit_upper" not in data
    # Of this image alone it is certified, and rightly.
    assert certify_csc(bright, "0").dataset["certified_deficit_upper"].item() >= exact_worst(bright, "0")


def test_ablation_sends_down_two_relevances():
    """Image (1, -1): exact worst deficit 0.98 from the output; its two steps do not compose."""
    chain = ablated()
    assert exact_worst(chain, "2") == pytest.approx(0.98, abs=1e-3)
    (found,) = everyimage.every_image_certificates(chain, "2", ["input"]).values()
    composed = block_chain_certificate(chain, "2", "0", "input", 0)
    assert "deeplift-ablation does not say" in found.reason
    assert "deeplift-ablation does not say" in composed.reason
    assert certify_csc(chain, "2").dataset["certified_deficit_upper"].sel(layer="input") >= exact_worst(
        chain, "2"
    )


def test_a_rule_says_that_it_has_the_form():
    """And no other does: neither contrastive methods nor what has two denominators a unit, or two
    relevances."""
    with_form = {m.name for m in methods() if m.backpropagated and m.nonnegative and m.fixed_pattern}
    assert with_form == {"lrp-alpha1beta0", "excitation-bp", "w-square", "flat", "abslrp"}
    for name in ("z-box", "deep-taylor", "deeplift-ablation", "clrp-2", "lrp-alpha2beta1", "guided-backprop"):
        assert name in entries()
        assert not get_method(name).fixed_pattern
    assert not get_method("lrp-alpha1beta0", bias="signed").fixed_pattern
    other = RelevanceChain(two_layers(), image((2, 2, 2)), "lrp-alpha2beta1", dtype=F64)
    with pytest.raises(InputError, match="signed"):
        everyimage.every_image_certificate(other, "2", "0", "input", 1)


def test_the_adversary_would_notice(monkeypatch):
    """With z-box made to say that it has the form, what is said of every image is contradicted."""
    monkeypatch.setattr("conetheory.rules.domains.ZBox.has_fixed_pattern", True)
    statement = everyimage.every_image_certificate(boxed(0.5), "0", "0", "input", 0)
    assert not isinstance(statement, NotApplicable)
    assert statement.deficit_upper < 1e-20 < exact_worst(boxed(0.99), "0")
