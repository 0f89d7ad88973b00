"""What others report of the same maps of classes: SSM, and how much of their largest relevance is shared."""

from __future__ import annotations

import math

import pytest
import torch

from conetheory.report.map_tables import class_records
from conetheory.saliency.classes import ClassSettings, Spread, class_sensitivity, top_overlap
from tests.networks.toys import random_images
from tests.toys import graph, images


def test_ssm_is_the_frobenius_over_the_spectral_norm():
    maps = random_images(4, 5, 6)
    flat = maps.flatten(1) - maps.flatten(1).mean(1, keepdim=True)
    s = torch.linalg.svdvals(flat / flat.norm(dim=1, keepdim=True))
    S = float((s[1:] / s[0]).square().sum())
    assert Spread.of(maps, 2).ssm == pytest.approx(math.sqrt(1 + S), rel=1e-12)
    assert Spread.of(torch.stack([maps[0], 2 * maps[0]]), 2).ssm == pytest.approx(1, rel=1e-12)
    assert math.isnan(Spread.of(maps[:1], 2).ssm)


def test_the_overlap_counts_locations_of_largest_relevance():
    first = torch.arange(40.0).view(5, 8)  # 5% are two: the last two
    assert top_overlap(first, first) == 1
    assert top_overlap(first, -first) == 0
    second = first.clone()
    second[0, 0] = 100
    assert top_overlap(first, second) == 0.5
    assert math.isnan(top_overlap(first, torch.zeros(5, 8)))


def test_they_stand_beside_ours():
    found = class_sensitivity(graph("small vgg"), images(1), "gradient", ClassSettings(top=3, sampled=2))
    (record,) = class_records(found)
    assert record["ssm"] == pytest.approx((1 - record["movable_share"]) ** -0.5)
    assert 0 <= record["top_overlap"] <= 1
