"""Block certificates hold, without slack, and say why where they don't apply."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import nn

from conetheory.certify import blocks
from conetheory.certify.certificates import certify_csc
from conetheory.certify.certifier import CscCertifier
from conetheory.chain import local
from conetheory.chain.relevance import RelevanceChain
from conetheory.errors import InputError
from conetheory.networks import trace
from conetheory.theory import cone, cosine, generators, worstpair
from conetheory.theory.records import NotApplicable
from tests.certify.nets import (
    F64,
    Residual,
    convs,
    deep,
    fraction_deficit_exceeds,
    image,
    net,
)

# ---------------------------------------------------------------- many generators


@pytest.mark.parametrize("keep", [2, 5, 12, 64])
@pytest.mark.parametrize("spread", [0.0, 1e-9, 1e-3, 0.3, 2.0])
def test_many_generators_cover_every_pair(keep, spread):
    rng = np.random.default_rng([keep, int(1e9 * spread)])
    P = rng.uniform(1, 2, (4, 1)) * rng.uniform(0.1, 3, (1, 40)) * np.exp(spread * rng.normal(size=(4, 40)))
    deficit, diameter = generators.worst_deficit_upper(P, keep=keep), generators.diameter_upper(P, keep=keep)
    exact = generators.diameter_upper(P, keep=40)
    for k, m in itertools.combinations(range(40), 2):
        assert not fraction_deficit_exceeds(P[:, k], P[:, m], deficit)
    assert diameter >= float(cone.projective_diameter(P))
    assert diameter <= 2 * exact + 1e-9
    assert generators.worst_deficit_upper(P, keep=40) <= deficit * (1 + 1e-9) + 1e-20


def test_many_generators_cover_every_matrix_within_the_error():
    rng = np.random.default_rng(3)
    g = 1e-4
    Q = rng.uniform(1, 2, (3, 20))
    bounds = [
        (generators.worst_deficit_upper(Q, g, keep), generators.diameter_upper(Q, g, keep))
        for keep in (4, 20)
    ]
    for _ in range(30):
        P = Q / (1 + g * rng.choice([-1.0, 1.0], Q.shape))
        worst = float(worstpair.worst_pair_cosine(P).deficit)
        assert all(deficit >= worst for deficit, _ in bounds)
        assert all(diameter >= float(cone.projective_diameter(P)) for _, diameter in bounds)


def test_degenerate_cones():
    mixed = np.array([[1.0, 2.0], [0.0, 3.0]])
    assert generators.diameter_upper(mixed) == np.inf
    assert np.isnan(generators.worst_deficit_upper(np.zeros((2, 3))))
    assert np.isnan(generators.diameter_upper(np.zeros((2, 3))))
    assert np.isnan(generators.radius_upper(np.zeros((2, 3)), np.ones(2)))
    assert generators.radius_upper(mixed, np.ones(2)) == np.inf
    assert 1 <= generators.worst_deficit_upper(np.array([[1.0, 0.0], [0.0, 1.0]])) < 1 + 1e-13
    one = np.array([[1.0, 0.0], [2.0, 0.0], [0.0, 0.0]])
    assert 0 <= generators.worst_deficit_upper(one) < 1e-25
    for bad in (-mixed, np.full((2, 2), np.inf), mixed[0]):
        with pytest.raises(InputError, match="finite nonnegative"):
            generators.worst_deficit_upper(bad)


@pytest.mark.parametrize("seed", range(20))
def test_composed_cone_covers_its_members(seed):
    """Random members of {sum_q A_q x_q}, x_q within R_q of w_q: their distance never exceeds the bound."""
    rng = np.random.default_rng(seed)
    count, m, c = 3, 3, 2
    A = rng.uniform(0.2, 2, (count, m, c))
    w = rng.uniform(0.5, 2, (count, c))
    K = w[:, :, None] * np.exp(0.3 * rng.normal(size=(count, c, 4)))
    radii = [generators.radius_upper(K[q], w[q]) for q in range(count)]
    taus = [float(cone.birkhoff_tau(cone.projective_diameter(A[q]))) * (1 + 1e-12) for q in range(count)]
    directions = np.einsum("qic,qc->iq", A, w)
    bound = generators.composed_diameter_upper(directions, radii, taus, 1e-14)
    loose = generators.composed_diameter_upper(directions, radii, g=1e-14)
    assert bound <= loose
    generated = np.concatenate([A[q] @ K[q] for q in range(count)], axis=1)
    assert float(cone.projective_diameter(generated)) <= bound
    assert bound <= 6 * float(cone.projective_diameter(generated))


def test_composition_counts_what_no_product_of_coefficients_does():
    """Every A_q and every K_q of one ray: all tau are zero, yet the two directions keep their distance."""
    directions = np.array([[1.0, 3.0], [2.0, 1.0]])
    bound = generators.composed_diameter_upper(directions, [0.0, 0.0], [0.0, 0.0])
    assert bound >= np.log(6)
    assert bound == pytest.approx(np.log(6))


def test_composition_refuses_and_forgives():
    D = np.array([[1.0, 3.0], [2.0, 1.0]])
    with pytest.raises(InputError, match="2 directions, 1 radii"):
        generators.composed_diameter_upper(D, [0.1])
    assert generators.composed_diameter_upper(D, [np.inf, 0.1], [0.0, 0.5]) == np.inf
    assert generators.composed_diameter_upper(D, [np.nan, 0.1]) == np.inf  # nothing is known there
    assert generators.composed_diameter_upper(D * [0, 1], [np.nan, 0.1]) < 3  # nothing arrives there
    assert np.isnan(generators.composed_diameter_upper(0 * D, [0.1, 0.1]))


# ---------------------------------------------------------------- blocks of a network


@pytest.mark.parametrize("positive", [True, False])
@pytest.mark.parametrize("bottom", ["2", "0", "input"])
def test_no_nonnegative_start_violates_a_block(positive, bottom):
    chain = deep(positive=positive)
    found = blocks.certify_block(chain, "5", bottom, positions=None)[0]
    channels = chain.shape(bottom)[0]
    rng = np.random.default_rng(0)
    starts = [rng.exponential(size=(40, 108)), rng.lognormal(0, 6, (40, 108)), np.eye(108)]
    r = torch.from_numpy(np.concatenate(starts)).view(1, -1, 3, 6, 6)
    images = chain.down(r, "5", bottom)[0].reshape(len(r[0]), channels, -1).numpy()
    checked = 0
    for place, p in enumerate(found.positions):
        live = images[:, :, p][images[:, :, p].any(axis=1)]
        if len(live) < 2:
            continue
        worst = float(np.max(cosine.pairwise_deficits(live)))
        assert worst <= found.deficit_upper[place]
        distances = cone.hilbert_distance(live[:, None], live[None])
        assert np.max(distances) <= found.diameter_upper[place]
        checked += 1
        hot = images[80:, :, p]
        assert found.columns[place] == hot.any(axis=1).sum()
    assert checked == found.total == 36 or not positive
    assert checked > 5


def test_block_is_the_dense_matrix_rounded_outward():
    chain = deep()
    found = blocks.certify_block(chain, "5", "input", positions=5, seed=2)[0]
    C = chain.as_matrix("5", "input").reshape(2, 36, -1)
    for place, p in enumerate(found.positions):
        P = C[:, p]
        assert found.deficit_upper[place] == pytest.approx(
            float(worstpair.worst_pair_cosine(P).deficit), rel=1e-8
        )
        assert found.diameter_upper[place] == pytest.approx(float(cone.projective_diameter(P)), rel=1e-8)
        singular = np.linalg.svd(P, compute_uv=False)
        assert np.linalg.svd(found.factors[place].numpy(), compute_uv=False) == pytest.approx(
            singular, rel=1e-10
        )
    assert found.as_local().matrices.shape == (5, 2, 2)
    assert (found.top, found.bottom, found.total) == ("5", "input", 36)


def test_lower_tops_give_larger_cones():
    chain = deep()
    options = {"positions": None}
    high, low = (blocks.certify_block(chain, top, "input", **options)[0] for top in ("5", "3"))
    assert (high.diameter_upper <= low.diameter_upper + 1e-9).all()
    assert (high.deficit_upper <= low.deficit_upper + 1e-9).all()


def test_batches_of_images_and_of_passes(monkeypatch):
    both = torch.stack([image(seed=1), image(seed=2)])
    graph = convs()
    together = blocks.certify_block(RelevanceChain(graph, both, dtype=F64), "5", "0", positions=4)
    monkeypatch.setattr(local, "ROW_NUMBERS", 1)
    for i, one in enumerate(both):
        chain = RelevanceChain(graph, one, dtype=F64)
        (alone,) = blocks.certify_block(chain, "5", "0", positions=4, first_image=i)
        assert together[i].positions.tolist() == alone.positions.tolist()
        assert together[i].deficit_upper == pytest.approx(alone.deficit_upper, rel=1e-9)
        assert together[i].diameter_upper == pytest.approx(alone.diameter_upper, rel=1e-9)


def test_dead_locations_are_nan():
    chain = RelevanceChain(convs(), torch.zeros(2, 6, 6, dtype=F64), dtype=F64)
    found = blocks.certify_block(chain, "5", "input", positions=3)[0]
    assert np.isnan(found.deficit_upper).all()
    assert np.isnan(found.diameter_upper).all()
    assert not found.columns.any()


def test_blocks_refuse_signed_and_single_precision():
    with pytest.raises(InputError, match="signed"):
        blocks.certify_block(deep("lrp-alpha2beta1"), "5", "0")
    with pytest.raises(InputError, match="float64"):
        blocks.certify_block(RelevanceChain(convs(), image().float()), "5", "0")
    with pytest.raises(InputError, match="not below"):
        blocks.certify_block(deep(), "0", "5")


# ---------------------------------------------------------------- certify falls back to blocks


def test_a_start_too_large_is_certified_at_sampled_locations(monkeypatch):
    monkeypatch.setattr("conetheory.chain.local.ENUMERABLE", 50)
    chain = deep()
    monkeypatch.setattr("conetheory.certify.certifier.is_enumerable", lambda chain, start: False)
    data = certify_csc(chain, "5", block_positions=4).dataset
    sampled = data.sel(layer=["input"])
    assert sampled["certified_positions"].item() == 4
    assert sampled["locations"].item() == 36
    assert 0 < sampled["certified_deficit_upper"].item() < 1
    assert not data["not_applicable"].item()
    certifier = CscCertifier("5", positions=3)
    assert set(certifier.add(chain)) == set(certifier.certificates)
    assert all(len(c.positions[0]) == 3 for c in certifier.certificates.values())


@pytest.mark.parametrize("enumerable", [True, False])
def test_every_image_is_certified_at_locations_of_its_own(monkeypatch, enumerable):
    monkeypatch.setattr("conetheory.certify.certifier.is_enumerable", lambda chain, start: enumerable)
    images = torch.stack([image(seed=k) for k in range(3)])
    together, one_by_one = CscCertifier("5", positions=4), CscCertifier("5", positions=4)
    together.add(RelevanceChain(convs(), images, dtype=F64))
    for one in images:
        one_by_one.add(RelevanceChain(convs(), one, dtype=F64))
    found, same = (c.certificates["input"] for c in (together, one_by_one))
    assert len({tuple(places) for places in found.positions}) == 3
    np.testing.assert_array_equal(found.positions, same.positions)
    np.testing.assert_allclose(found.deficit_upper, same.deficit_upper, rtol=1e-9)


def test_both_ways_agree(monkeypatch):
    chain = deep()
    columns = certify_csc(chain, "5", positions=36).dataset
    monkeypatch.setattr("conetheory.certify.certifier.is_enumerable", lambda chain, start: False)
    rows = certify_csc(chain, "5", positions=36).dataset
    for name in (
        "certified_deficit_upper",
        "certified_diameter_upper",
        "certified_gaussian_deficit_upper_median",
    ):
        assert rows[name].values == pytest.approx(columns[name].values, rel=1e-8, nan_ok=True)


# ---------------------------------------------------------------- two blocks


@pytest.mark.parametrize("position", [0, 14, 35])
def test_composed_block_bounds_the_whole_one(position):
    layers = [nn.Conv2d(2, 3, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(108, 12), nn.ReLU()]
    graph = net(*layers, nn.Linear(12, 6), positive=True)
    chain = RelevanceChain(graph, image(), dtype=F64)
    found = blocks.block_chain_certificate(chain, "logits", "1", "input", position)
    P = chain.as_matrix("logits", "input").reshape(2, 36, -1)[:, position]
    assert found.diameter_upper >= float(cone.projective_diameter(P))
    assert found.deficit_upper >= float(worstpair.worst_pair_cosine(P).deficit)
    assert found.diameter_upper >= found.direction_diameter_upper
    assert found.carried_upper >= 0


def test_composition_says_what_prevents_it():
    chain = deep(positive=False, seed=1)
    reasons = [blocks.block_chain_certificate(chain, "5", "3", "1", p) for p in range(36)]
    refused = [r.reason for r in reasons if isinstance(r, NotApplicable)]
    assert any("location" in r and "'3'" in r and "different zeros" in r for r in refused)
    dead = RelevanceChain(convs(), torch.zeros(2, 6, 6, dtype=F64), dtype=F64)
    assert "dead" in blocks.block_chain_certificate(dead, "5", "3", "input", 0).reason
    body = RelevanceChain(net(nn.Conv2d(2, 3, 1), nn.Conv2d(3, 3, 1)), image(), dtype=F64)
    assert isinstance(blocks.block_chain_certificate(body, "1", "0", "input", 3), NotApplicable)


def test_directions_of_different_zeros_are_refused():
    graph = net(nn.Conv2d(2, 1, 1), nn.ReLU(), nn.Conv2d(1, 2, 2, bias=False), shape=(2, 3, 3), positive=True)
    graph.nodes["0"].op.weight.fill_(1.0)
    chain = RelevanceChain(graph, image((2, 3, 3)), dtype=F64)
    found = blocks.block_chain_certificate(chain, "2", "1", "input", 4)
    assert not isinstance(found, NotApplicable)
    graph = net(nn.Conv2d(2, 2, (1, 2)), nn.ReLU(), nn.Conv2d(2, 2, 1), shape=(2, 1, 3), positive=True)
    weight = graph.nodes["0"].op.weight
    weight[:, 0, 0, 0] = -1.0  # the left tap sees only channel 1, the right one both
    chain = RelevanceChain(graph, image((2, 1, 3)), dtype=F64)
    refused = blocks.block_chain_certificate(chain, "2", "1", "input", 1)
    assert "directions" in refused.reason
    branch = RelevanceChain(trace(Residual().eval(), (2, 3, 3)), image((2, 3, 3)), dtype=F64)
    with pytest.raises(InputError, match="cut"):
        blocks.block_chain_certificate(branch, "logits", "body", "input", 0)
