"""Matrices by autograd beside the toolkit's: they agree, and a fault in either is seen."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn

from conetheory.chain.relevance import RelevanceChain
from conetheory.errors import InputError
from conetheory.networks import load
from experiments import layer_matrices
from tests.networks.toys import random_images, seeded


@pytest.fixture(scope="module")
def network():
    body = lambda: nn.Sequential(  # noqa: E731
        nn.Conv2d(2, 6, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(6, 8, 3, 2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(72, 3),
    )
    return load(seeded(body), input_shape=(2, 8, 8))


def rows(network, rule):
    chain = RelevanceChain(network, random_images(1, 2, 8, 8), rule, dtype=torch.float64)
    return list(layer_matrices.records(chain, rule, ("",), 3))


@pytest.mark.parametrize("rule", layer_matrices.RULES)
def test_they_agree(network, rule):
    found = rows(network, rule)
    assert [row["kernel"] for row in found] == [[8, 6, 3, 3], [6, 2, 3, 3]]
    for row in found:
        assert row["difference"] < 1e-14
        assert row["sigma_lanczos"] == pytest.approx(row["sigma_autograd"], rel=1e-9)
        assert row["tau_1_toolkit"] == pytest.approx(row["tau_1_autograd"], rel=1e-12)
        assert 0 < row["sigma_autograd"] < 1
        assert row["rows"] <= row["kernel"][1] * 9


def test_another_rule_is_seen(network, monkeypatch):
    monkeypatch.setitem(layer_matrices.RULES, "lrp-alpha2beta1", (2.001, 1.001))
    assert all(row["difference"] > 1e-4 for row in rows(network, "lrp-alpha2beta1"))


def test_layers_that_there_are_not(network):
    chain = RelevanceChain(network, random_images(1, 2, 8, 8), dtype=torch.float64)
    with pytest.raises(InputError, match="no convolution's name begins with stage8 or stage9"):
        list(layer_matrices.records(chain, "lrp-alpha1beta0", ("stage8", "stage9"), 1))


@pytest.mark.slow
def test_the_numbers_say_where_they_come_from(tmp_path):
    layer_matrices.main("cifar10_cnn", tmp_path, layers=["conv1"], locations=1)
    said = json.loads((tmp_path / "layer-matrices-cifar10_cnn.json").read_text())
    assert said["provenance"]["network"] == "cifar10_cnn"
    assert [row["rule"] for row in said["layers"]] == [*layer_matrices.RULES]
