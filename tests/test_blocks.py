"""Block certificates hold, without slack, and say why where they don't apply."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import nn

from conetheory.certify import blocks, signed
from conetheory.certify import every_image as everyimage
from conetheory.certify.certifier import CscCertifier, certify_csc
from conetheory.chain import local
from conetheory.chain.local import local_columns, local_matrices
from conetheory.chain.relevance import RelevanceChain
from conetheory.errors import InputError
from conetheory.networks import trace
from conetheory.theory import cone, cosine, generators
from conetheory.theory.ergodicity import NormCone
from conetheory.theory.records import NotApplicable

F64 = torch.float64


def net(*layers: nn.Module, shape=(2, 6, 6), seed=0, positive=False):
    generator = torch.Generator().manual_seed(seed)
    model = nn.Sequential(*layers).eval().requires_grad_(False)
    for p in model.parameters():
        p.copy_(torch.randn(p.shape, generator=generator))
        if positive:
            p.abs_()
    return trace(model, shape)


def image(shape=(2, 6, 6), seed=1):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=F64) + 0.01


def convs(positive=True, relu=True, seed=0):
    layers = []
    for _ in range(3):
        layers += [nn.Conv2d(2 if not layers else 3, 3, 3, padding=1)] + ([nn.ReLU()] if relu else [])
    return net(*layers, seed=seed, positive=positive)


def deep(method="lrp-alpha1beta0", positive=True, seed=0, **options):
    return RelevanceChain(convs(positive, seed=seed), image(), method, dtype=F64, **options)


def fraction_deficit_exceeds(x, y, bound):
    """Whether 1 - cos(x, y) > bound, exactly, for nonnegative float vectors: cos < 1 - bound."""
    x, y = [[Fraction(float(v)) for v in vector] for vector in (x, y)]
    dot = sum(a * b for a, b in zip(x, y, strict=True))
    cosine_bound = 1 - Fraction(float(bound))
    return cosine_bound > 0 and dot**2 < cosine_bound**2 * sum(a * a for a in x) * sum(b * b for b in y)


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
        worst = float(cone.worst_pair_cosine(P).deficit)
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
    assert generators.composed_diameter_upper(D, [np.nan, 0.1]) < 3
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
        assert found.deficit_upper[place] == pytest.approx(float(cone.worst_pair_cosine(P).deficit), rel=1e-8)
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
    assert found.deficit_upper >= float(cone.worst_pair_cosine(P).deficit)
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


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Conv2d(2, 2, 1)

    def forward(self, x):
        return self.body(x) + x


# ---------------------------------------------------------------- signed chains


def dense(method="lrp-alpha2beta1", widths=(40, 30, 20, 4), seed=0, mean=0.3, **options):
    layers = []
    for a, b in itertools.pairwise(widths):
        layers += [nn.Linear(a, b), nn.ReLU()]
    graph = net(nn.Flatten(), *layers[:-1], shape=(widths[0], 1, 1), seed=seed)
    for node in graph.nodes.values():
        if hasattr(node.op, "weight"):
            node.op.weight.add_(mean)
            node.op.bias.zero_()
    return RelevanceChain(graph, image((widths[0], 1, 1)), method, dtype=F64, **options)


@pytest.mark.parametrize("method", ["lrp-alpha1beta0", "lrp-alpha1.5beta0.5", "lrp-alpha2beta1"])
@pytest.mark.parametrize("through", [(), ("3",), ("3", "1")])
@pytest.mark.parametrize("mean", [0.3, 0.6])
def test_norm_cone_holds_the_images_of_nonnegative_starts(method, through, mean):
    chain = dense(method, mean=mean)
    found = signed.signed_cone_certificate(chain, "logits", "input", through=through)
    if isinstance(found, NotApplicable):
        assert "tau_1" in found.reason or "sum one" in found.reason
        return
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.exponential(size=(200, 4)), np.eye(4)])
    y = x @ chain.as_matrix("logits", "input").T
    total = x.sum(axis=1, keepdims=True)
    off = np.abs(y - total * found.cone.center).sum(axis=1)
    assert (off <= found.cone.radius * total[:, 0]).all()
    if not isinstance(found.deficit_upper, NotApplicable):
        assert np.max(cosine.pairwise_deficits(y)) <= found.deficit_upper


def test_a_smaller_first_cone_gives_an_angle():
    chain = dense("lrp-alpha1.5beta0.5", mean=0.3)
    found = signed.signed_cone_certificate(chain, "logits", "input", radius=0.05)
    assert isinstance(found.cone, NormCone)
    assert 0 < found.deficit_upper < 0.1
    rng = np.random.default_rng(1)
    z = rng.normal(size=(500, 4))
    z -= z.mean(axis=1, keepdims=True)
    x = 0.25 + 0.05 * z / np.abs(z).sum(axis=1, keepdims=True)
    y = (x * rng.choice([-3.0, 2.0], (500, 1))) @ chain.as_matrix("logits", "input").T
    assert np.max(cosine.pairwise_deficits(y)) <= found.deficit_upper


def test_the_signed_certificate_says_why_not():
    wild = signed.signed_cone_certificate(dense("lrp-alpha5beta4", mean=0.0), "logits", "5")
    assert "tau_1 is" in wild.reason
    assert "'5'" in wild.reason or "'logits'" in wild.reason or "sum one" in wild.reason
    lossy = signed.signed_cone_certificate(dense(mean=0.3, stabiliser=0.5), "logits", "input")
    assert "sum one" in lossy.reason
    chain = RelevanceChain(convs(), image().float())
    with pytest.raises(InputError, match="float64"):
        signed.signed_cone_certificate(chain, "5", "0")


def test_columns_without_a_bound_are_refused():
    found = signed.signed_cone_certificate(dense(bias="signed"), "logits", "input")
    assert "no bound on the columns" in found.reason


def test_a_block_too_large_is_named(monkeypatch):
    monkeypatch.setattr(signed, "TAU_OPERATIONS", 10)
    found = signed.signed_cone_certificate(dense(), "logits", "input")
    assert "'5' to 'input' is 40 x 4: too large" in found.reason


@pytest.mark.parametrize("method", ["lrp-alpha1beta0", "lrp-alpha1.5beta0.5", "lrp-alpha2beta1"])
@pytest.mark.parametrize("seed", range(4))
def test_signed_generators_bound_nonnegative_starts(method, seed):
    body = [nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 5, 3, padding=1), nn.ReLU()]
    graph = net(*body, nn.Flatten(), nn.Linear(180, 6), seed=seed)
    chain = RelevanceChain(graph, image(), method, dtype=F64)
    for layer, (block,) in local_columns(chain, "logits", ("1", "input")).items():
        found, _ = signed.location_bounds(chain, "logits", block)
        assert len(found) == 36
        rng = np.random.default_rng(seed)
        x = torch.from_numpy(np.concatenate([rng.lognormal(0, 4, (60, 6)), np.eye(6)]))
        y = chain.down(x[None], "logits", layer)[0].reshape(66, -1, 36).numpy()
        for p, bound in enumerate(found):
            vectors = y[:, :, p][y[:, :, p].any(axis=1)]
            if np.isfinite(bound):
                unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
                assert (unit @ unit.T).min() > 0
                assert np.max(cosine.pairwise_deficits(vectors)) <= bound


def test_signed_generators_refuse_obtuse_columns():
    assert signed._worst_signed(np.array([[1.0, 0.0], [-1.0, 0.1]]), 1e-15) == np.inf
    assert signed._worst_signed(np.array([[1.0, 0.0], [1.0, 0.1]]), 1e-3) == np.inf
    assert signed._worst_signed(np.array([[1.0, 0.0], [0.0, 0.0]]), 1e-15) < 1e-28  # one ray
    assert np.isnan(signed._worst_signed(np.zeros((2, 2)), 1e-15))
    assert signed._worst_signed(np.array([[1.0, 0.0], [1.0, 1.0]]), 0.0) >= 1 - np.sqrt(0.5)


# ---------------------------------------------------------------- every image with the same active units


def two_layers(positive=False, seed=0, head=None):
    layers = [nn.Conv2d(2, 3, 1, bias=False), nn.ReLU(), head or nn.Conv2d(3, 4, 1, bias=False)]
    return net(*layers, shape=(2, 2, 2), positive=positive, seed=seed)


def certify_every_image(graph, seed=1):
    chain = RelevanceChain(graph, image((2, 2, 2), seed), dtype=F64)
    return chain, everyimage.every_image_certificate(chain, "2", "0", "input", 1)


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
