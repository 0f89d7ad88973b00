"""Certificates for every image with the same active units."""

from __future__ import annotations

import pytest
import torch

from conetheory.certify import every_image as everyimage
from conetheory.chain.local import local_matrices
from conetheory.chain.relevance import RelevanceChain
from conetheory.errors import InputError
from conetheory.theory import cone
from tests.certify.nets import (
    F64,
    certify_every_image,
    deep,
    image,
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
