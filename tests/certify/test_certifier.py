"""Certificates: no violation by any start that they speak of, with zero slack; reasons elsewhere."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from scipy.stats import binom
from torch import Tensor, nn

from conetheory.certify.certificates import certify_csc
from conetheory.certify.certifier import CONFIDENCE, CscCertifier, rounding
from conetheory.chain.columns import local_columns
from conetheory.chain.explained import open_chain
from conetheory.chain.local import ENUMERABLE
from conetheory.chain.relevance import RelevanceChain
from conetheory.errors import InputError
from conetheory.measure.meter import local_deficits
from conetheory.networks import trace
from conetheory.networks.graph import INPUT
from conetheory.predict import below
from conetheory.schema import REASONS
from conetheory.theory.cone import deficit_upper_from_diameter
from conetheory.theory.cosine import pairwise_deficits
from tests.networks.toys import random_images, seeded
from tests.toys import SHAPE, chain, typical


def certified(found: RelevanceChain, **options) -> CscCertifier:
    certifier = CscCertifier("logits", **options)
    certifier.add(found)
    return certifier


@cache
def of_toy(toy: str, bias: str = "none") -> tuple[RelevanceChain, CscCertifier]:
    """A chain and what is certified of it, which the tests of the toys share."""
    found = chain(toy, bias=bias)
    return found, certified(found)


def nonnegative_starts(units: int) -> Tensor:
    """One-hot, dense and sparse ones, and some over many decades: (1, vectors, units)."""
    generator = np.random.default_rng(0)
    dense = generator.random((10, units))
    sparse = dense * (generator.random((10, units)) < 0.4)
    wide = 10.0 ** generator.uniform(-12, 0, (10, units))
    return torch.from_numpy(np.vstack([np.eye(units), dense, sparse, wide]))[None]


def by_image(certifier: CscCertifier, layer: str, name: str, images: int) -> list[np.ndarray]:
    return np.split(np.concatenate(getattr(certifier.certificates[layer], name)), images)


@pytest.mark.covering
@pytest.mark.parametrize("toy", typical())
@pytest.mark.parametrize("bias", ["none", "bach"])
def test_no_nonnegative_start_violates_a_bound(toy, bias):
    """Every pair of many starts, at every location of every layer and image."""
    found, certifier = of_toy(toy, bias)
    assert not certifier.reasons
    r = nonnegative_starts(int(np.prod(found.shape("logits"))))
    r = r.unflatten(2, found.shape("logits")).expand(len(found), *[-1] * (1 + len(found.shape("logits"))))
    checked = 0
    for layer, parts in found.sweep({"logits": r}):
        if layer not in certifier.certificates:
            continue
        deficits = local_deficits(parts["logits"])[0].numpy()
        uppers = by_image(certifier, layer, "deficit_upper", len(found))
        diameters = by_image(certifier, layer, "diameter_upper", len(found))
        for measured, upper, diameter in zip(deficits, uppers, diameters, strict=True):
            live = ~np.isnan(measured).all(1)
            assert (live == ~np.isnan(upper)).all()
            worst = np.nanmax(measured[live], axis=1)
            assert (worst <= upper[live]).all()
            assert (worst <= np.asarray(deficit_upper_from_diameter(diameter[live]))).all()
            checked += int(live.sum())
    assert checked > 0


@pytest.mark.parametrize("toy", typical())
def test_the_worst_pair_is_exact_and_the_half_angle_bound_is_above_it(toy):
    """The certificate is the largest deficit of two columns, up to the enclosure's own width."""
    found, certifier = of_toy(toy)
    for layer, blocks in local_columns(found, "logits", below(found, "logits")).items():
        uppers = by_image(certifier, layer, "deficit_upper", len(found))
        diameters = by_image(certifier, layer, "diameter_upper", len(found))
        for block, upper, diameter in zip(blocks, uppers, diameters, strict=True):
            deficits = pairwise_deficits(block.matrices.mT.contiguous()).numpy()
            for p in np.flatnonzero(~np.isnan(upper)):
                live = deficits[p][~np.isnan(deficits[p])]
                worst = live.max(initial=0.0)
                assert worst <= upper[p] <= worst * (1 + 1e-6) + 1e-18
                assert worst <= float(deficit_upper_from_diameter(diameter[p]))


@pytest.mark.parametrize(
    "some",
    [
        ("small vgg",),
        pytest.param(("nested branches",), marks=pytest.mark.slow),
        pytest.param(("conv same", "dense block", "global mean"), marks=pytest.mark.exhaustive),
    ],
    ids=", ".join,
)
def test_gaussian_certificates_by_an_exact_binomial_test(some):
    """At each location by itself: more violations than the confidence allows, with probability below 1e-6."""
    pairs = 4000
    smallest = 1.0
    for toy in some:
        found = chain(toy)
        certifier = certified(found)
        generator = np.random.default_rng(1)
        for layer, blocks in local_columns(found, "logits", below(found, "logits")).items():
            uppers = by_image(certifier, layer, "gaussian_deficit_upper", len(found))
            for block, upper in zip(blocks, uppers, strict=True):
                P = block.matrices.numpy()
                r = np.einsum("pcu,nku->pnkc", P, generator.standard_normal((pairs, 2, P.shape[2])))
                violations = (pairwise_deficits(r)[..., 0] > upper[:, None]).sum(1)
                live = ~np.isnan(upper)
                chance = binom.sf(violations[live] - 1, pairs, 1 - CONFIDENCE)
                assert (chance > 1e-6).all()
                smallest = min(smallest, upper[live].min(initial=1.0))
    assert smallest < 0.5  # the bounds say something


def test_the_test_would_notice_a_bound_far_too_low():
    """A thousandth of it is violated far too often."""
    found = chain("conv same")
    certifier = certified(found)
    (block, *_) = local_columns(found, "logits", [INPUT])[INPUT]
    upper = by_image(certifier, INPUT, "gaussian_deficit_upper", len(found))[0]
    P = block.matrices.numpy()
    r = np.einsum("pcu,nku->pnkc", P, np.random.default_rng(1).standard_normal((4000, 2, P.shape[2])))
    violations = (pairwise_deficits(r)[..., 0] > 1e-3 * upper[:, None]).sum(1)
    assert binom.sf(violations[np.isfinite(upper)] - 1, 4000, 1 - CONFIDENCE).min() < 1e-6


def test_one_location_after_the_other_says_what_all_together_do(monkeypatch):
    """The rows that there are, on two threads, against padded matrices in one batch."""
    found, together = of_toy("small vgg")
    monkeypatch.setattr("conetheory.certify.certifier.TOGETHER", 0)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    apart = certified(found)
    for layer, one in together.certificates.items():
        for name in ("deficit_upper", "diameter_upper", "gaussian_deficit_upper", "arriving"):
            mine, theirs = (np.concatenate(getattr(held, name)) for held in (apart.certificates[layer], one))
            np.testing.assert_allclose(mine, theirs, rtol=1e-9, atol=1e-24, err_msg=f"{layer} {name}")


# ---------------------------------------------------------------- rounding


def product(found: RelevanceChain, layer: str) -> np.ndarray:
    """C in long double, by products of the layers' own matrices."""
    cuts = found.graph.cuts
    low, high = cuts.index(layer), len(cuts) - 1
    C = np.eye(int(np.prod(found.shape(cuts[high]))), dtype=np.longdouble)
    for i in range(high, low, -1):
        C = found.as_matrix(cuts[i], cuts[i - 1]).astype(np.longdouble) @ C
    return C


@pytest.mark.parametrize("toy", ["small vgg", "conv stride", "batch norm folded", "average pool padded"])
def test_the_rounding_factor_holds_entry_by_entry(toy):
    """|fl(C) - C| <= g |C| for the float64 sweep against products in long double."""
    found = chain(toy)
    for layer in found.graph.cuts[:-1]:
        C, exact = found.as_matrix("logits", layer), product(found, layer)
        assert (np.abs(C - exact) <= rounding(found, "logits", layer) * np.abs(exact)).all()
    assert 0 < rounding(found, "logits", INPUT) < 1e-10


# ---------------------------------------------------------------- reasons and layout


@pytest.mark.parametrize("method", ["lrp-alpha2beta1", "lrp-alpha1.5beta0.5"])
def test_signed_rules_have_no_cone(method):
    data = certify_csc(chain("small vgg", method), thorough=False).dataset
    assert "signed matrices" in data["not_applicable"].item()
    assert set(data.data_vars) == {kind.name for kind in REASONS}


@pytest.mark.parametrize(
    ("method", "reason"),
    [
        ("guided-backprop", "guided-backprop is not linear in the relevance: it has no matrices"),
        ("occlusion", "occlusion is not backpropagated layer by layer"),
    ],
)
def test_the_reason_is_that_of_the_method(method, reason):
    found = chain("small vgg")
    data = certify_csc(open_chain(found.graph, found.images, method)).dataset
    assert data["not_applicable"].item() == reason


def test_a_signed_bias_has_no_certificate():
    data = certify_csc(chain("small vgg", bias="signed")).dataset
    assert "signed matrices" in data["not_applicable"].item()
    assert set(data.data_vars) == {kind.name for kind in REASONS}


def test_starts_with_many_units_are_certified_at_sampled_locations():
    """More units than are sent down one by one; nonnegative starts, one-hot ones too, at those locations."""
    channels = ENUMERABLE // 256 + 1

    def build() -> nn.Module:
        layers = [nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, channels, 3, padding=1)]
        return nn.Sequential(*layers, nn.Flatten())

    found = RelevanceChain(trace(seeded(build), (2, 16, 16)), random_images(1, 2, 16, 16))
    certifier = CscCertifier("2", positions=6)
    certifier.add(found)
    generator = torch.Generator().manual_seed(0)
    dense = torch.rand((1, 40, channels, 16, 16), generator=generator, dtype=torch.float64)
    starts = torch.cat([dense, dense * (dense > 0.99), 10 ** (-20 * dense)], 1)
    for layer, parts in found.sweep({"2": starts}):
        if layer in certifier.certificates:
            kept = certifier.certificates[layer]
            (positions,), (upper,) = kept.positions, kept.deficit_upper
            assert len(positions) == 6
            deficits = local_deficits(parts["2"])[0][0].numpy()[positions]
            live = ~np.isnan(upper)
            assert live.any()
            assert (np.nanmax(deficits[live], axis=1) <= upper[live]).all()


def test_certificates_are_made_in_float64():
    single = chain("small vgg", dtype=torch.float32)
    with pytest.raises(InputError, match="float64"):
        CscCertifier("logits").add(single)
    data, exact = certify_csc(single).dataset, certify_csc(chain("small vgg")).dataset
    np.testing.assert_allclose(data["certified_deficit_upper"], exact["certified_deficit_upper"])


def test_the_summary_is_of_the_locations():
    found = chain("conv same")
    certifier = certified(found)
    data = certify_csc(found).dataset.isel(method=0, start=0)
    for layer, kept in certifier.certificates.items():
        one, upper = data.sel(layer=layer), np.minimum(kept.values("deficit_upper"), 1)
        assert float(one["certified_deficit_upper"]) == upper.max()
        for name, share in (("p95", 0.95), ("median", 0.5)):
            held = float(one[f"certified_deficit_upper_{name}"])
            assert held in upper
            assert (upper <= held).mean() >= share
        assert float(one["certified_half_angle_deficit_upper"]) >= float(one["certified_deficit_upper"])
        assert float(one["certified_positions"]) == sum(len(p) for p in kept.positions)
        assert data["not_applicable"].item() == ""
    assert float(data["certified_positions"].sel(layer=INPUT)) == 2 * SHAPE[1] * SHAPE[2]
    some = certify_csc(found, positions=5).dataset.isel(method=0, start=0)
    assert float(some["certified_positions"].sel(layer=INPUT)) == 10
    assert float(some["locations"].sel(layer=INPUT)) == 2 * SHAPE[1] * SHAPE[2]
