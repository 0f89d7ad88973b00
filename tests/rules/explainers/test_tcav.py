"""TCAV on networks whose classes are made of known concepts."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from conetheory.chain.explained import open_chain
from conetheory.errors import InputError
from conetheory.networks import trace
from conetheory.networks.graph import Graph
from conetheory.rules.explainers.tcav import RANDOM, logistic, tcav_scores
from conetheory.rules.registry import get_method, methods
from conetheory.saliency.explain import explain
from tests.networks.toys import random_images
from tests.toys import graph, images

pytest.importorskip("captum", reason="captum is not installed")


class Channels(nn.Module):
    """Class k is (channel 0 - channel 1) times its gain, averaged over the image."""

    def __init__(self, *gains: float) -> None:
        super().__init__()
        self.gains = gains
        self.conv, self.head = nn.Conv2d(2, 2, 1), nn.Linear(2, len(gains))
        self.conv.weight.data, self.conv.bias.data = torch.eye(2)[:, :, None, None], torch.zeros(2)
        self.head.weight.data = torch.tensor(gains)[:, None] * torch.tensor([1.0, -1.0])

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.conv(x).relu().mean((2, 3)))


def pictures(count: int, seed: int, *channel: float) -> Tensor:
    """Random positive pictures with something added to each channel."""
    x = torch.rand((count, 2, 6, 6), generator=torch.Generator().manual_seed(seed))
    return x + torch.tensor(channel or (0.0, 0.0))[:, None, None]


def concept_scores(*gains: float, **options):
    network = trace(Channels(*gains).eval(), (2, 6, 6))
    concepts = {"first": pictures(12, 1, 1.0, 0.0), "second": pictures(12, 2, 0.0, 1.0)}
    given = {"layer": "conv", "targets": [0, 1], "random": pictures(40, 3), "runs": 3, **options}
    return tcav_scores(network, pictures(8, 4), concepts, **given)


def test_tcav_finds_the_concepts_that_a_class_is_made_of():
    """And its spread over classes, against the scatter over runs, says that it sees the class."""
    found = concept_scores(1.0, -1.0)
    assert dict(found.sizes) == {"concept": 3, "target": 2, "run": 3}
    assert (found["score"].sel(concept="first") == [[1.0] * 3, [0.0] * 3]).all()
    assert (found["score"].sel(concept="second") == [[0.0] * 3, [1.0] * 3]).all()
    assert (found["accuracy"].sel(concept=["first", "second"]) == 1).all()
    assert (found["accuracy"].sel(concept=RANDOM) < 1).all()
    real = found["score"].sel(concept=["first", "second"])
    assert float(real.std("target").min()) > float(real.std("run").max()) == 0


def test_tcav_gives_all_classes_the_same_scores_where_the_class_is_forgotten():
    found = concept_scores(1.0, 2.0)
    assert (found["score"].isel(target=0) == found["score"].isel(target=1)).all()


def test_tcav_depends_on_the_seed_alone():
    assert concept_scores(1.0, -1.0).identical(concept_scores(1.0, -1.0))
    other = concept_scores(1.0, -1.0, seed=5)
    assert (other["derivative"] != concept_scores(1.0, -1.0)["derivative"]).any()


def test_the_derivative_along_a_concept():
    """By hand: the unit normal points along channel 0; 36 locations of the mean share its gradient."""
    found = concept_scores(1.0, -1.0)["derivative"].sel(concept="first", target=0)
    assert ((found > 0) & (found <= np.sqrt(2 / 36) * (1 + 1e-6))).all()  # |gradient| = sqrt(2 * 36) / 36


def test_the_classifier_is_at_its_minimum():
    x, y = random_images(40, 3).numpy(), np.sign(random_images(40, seed=5).numpy())
    w, b = (torch.tensor(part, dtype=torch.float64, requires_grad=True) for part in logistic(x, y))
    margin = torch.from_numpy(y) * (torch.from_numpy(x) @ w + b)
    loss = nn.functional.softplus(-margin).mean() + 0.01 / 2 * (w * w).sum()
    loss.backward()
    assert float(w.grad.abs().max()) < 1e-4
    assert float(b.grad.abs()) < 1e-4


def test_tcav_needs_examples():
    with pytest.raises(InputError, match="at least 2 examples"):
        concept_scores(1.0, -1.0, random=pictures(3, 3))
    with pytest.raises(InputError, match="none of them called 'random'"):
        tcav_scores(graph("small vgg"), images(), {}, "3", [0], random=images())


def test_tcav_is_listed_and_says_that_it_gives_no_map():
    assert "tcav" in [method.name for method in methods()]
    for call in (open_chain, explain, partial(get_map, start="logits")):
        with pytest.raises(InputError, match=r"no map: use conetheory\.rules\.explainers\.tcav\.tcav_scores"):
            call(graph("small vgg"), images(), "tcav")


def get_map(network: Graph, x: Tensor, name: str, start: str) -> Tensor:
    return open_chain(network, x, get_method(name)).down(torch.ones(2, 1, 5), start)
