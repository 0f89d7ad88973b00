"""The check of certificates: nothing is violated, it comes as near as can be, and it can fail."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from conetheory.certify.certificates import certify_csc
from conetheory.certify.certifier import CscCertifier
from conetheory.certify.check import Held, check_certificates, totals
from conetheory.chain.relevance import RelevanceChain
from conetheory.measure.meter import local_deficits
from conetheory.networks import trace
from tests.networks.toys import random_images, seeded
from tests.toys import chain

SOME = ("small vgg", "conv same", "nested branches", "dense block", "global mean")


def certified(found, start="logits", **options):
    certifier = CscCertifier(start, **{"thorough": True} | options)
    certifier.add(found)
    return certifier


@pytest.mark.covering
@pytest.mark.parametrize("toy", SOME)
@pytest.mark.parametrize("method", ["lrp-alpha1beta0", "deep-taylor", "lrp-alpha1.5beta0.5"])
def test_worst_pairs_attain_the_bounds(toy, method):
    found = chain(toy, method)
    held = check_certificates(certified(found), found)
    for layer, each in held.items():
        assert each.violations == 0, layer
        assert each.checked > 0
        if found.method.nonnegative:
            assert 0.99 < each.nearest_ratio <= 1
            assert all(ratio <= 1 for ratio in each.nearest.values())
    if found.method.nonnegative:
        assert totals(held).nearest["diameter_upper"] > 0.99
    assert totals(held).checked == sum(each.checked for each in held.values())


@pytest.mark.parametrize("kind", ["deficit_upper", "diameter_upper", "tau_1_upper", "map_deficit_upper"])
def test_the_check_fails_where_a_bound_is_a_little_too_low(kind):
    found = chain("conv same", count=1)
    certifier = certified(found)
    for held in certifier.certificates.values():
        setattr(held, kind, [np.asarray(values) * (1 - 1e-6) for values in getattr(held, kind)])
    assert totals(check_certificates(certifier, found)).violations > 0


def test_the_check_fails_where_what_arrives_is_called_dead():
    found = chain("conv same", count=1)
    certifier = certified(found)
    certifier.certificates["input"].deficit_upper[0][:3] = np.nan
    assert check_certificates(certifier, found)["input"].violations == 3


def test_gaussian_bounds_far_too_low_are_found():
    found = chain("conv same", count=1)
    certifier = certified(found)
    for held in certifier.certificates.values():
        held.gaussian_deficit_upper = [1e-6 * values for values in held.gaussian_deficit_upper]
    assert totals(check_certificates(certifier, found, vectors=10)).violations > 0


def test_starts_of_many_units_are_checked_by_their_worst_pairs():
    layers = [nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 5, 3, padding=1), nn.Flatten()]
    found = RelevanceChain(
        trace(seeded(lambda: nn.Sequential(*layers)), (2, 16, 16)), random_images(2, 2, 16, 16)
    )
    certifier = certified(found, "2", positions=6, thorough=False)
    told = []
    held = check_certificates(
        certifier, found, vectors=3, progress=lambda what, done, total: told.append((done, total))
    )
    for each in held.values():
        assert each.violations == 0
        assert 0.99 < each.nearest_ratio <= 1
    assert told == sorted(told)
    assert told[-1][0] <= told[-1][1]


def test_random_starts_alone_come_nowhere_near():
    """What the check was for: by random pairs a bound four times too low would pass."""
    found = chain("small vgg", count=1)
    bound = certified(found).certificates["input"].deficit_upper[0]
    r = torch.rand((1, 10, 5), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    random = Held()
    random.add("deficit_upper", local_deficits(found.down(r, "logits"))[0][0].numpy(), bound[:, None])
    assert random.nearest_ratio < 0.5


def test_a_certificate_can_be_checked_as_it_is_made():
    data = certify_csc(chain("conv same"), vectors=4).dataset
    assert int(data["violations"].sum()) == 0
    assert int(data["checked"].sum()) > 0
    assert 0.99 < float(data["nearest_ratio"].min()) <= float(data["nearest_ratio"].max()) <= 1
    assert "checked" not in certify_csc(chain("conv same"), vectors=0).dataset
