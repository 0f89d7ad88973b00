"""What thorough certificates add: signed chains, whole maps, every image with the same active units."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom
from torch import Tensor, nn

from conetheory.certify import signed
from conetheory.certify.certificates import certify_csc
from conetheory.certify.certifier import CONFIDENCE, CscCertifier
from conetheory.certify.every_image import (
    EveryImageCertificate,
    every_image_certificate,
    every_image_certificates,
)
from conetheory.chain.columns import local_columns
from conetheory.chain.relevance import RelevanceChain
from conetheory.cli import main
from conetheory.errors import InputError
from conetheory.networks import trace
from conetheory.networks.graph import INPUT, Graph
from conetheory.predict import below
from conetheory.report.comparison_tables import comparison_tables, summary_lines
from conetheory.results.comparison import compare
from conetheory.theory import gaussian_law
from conetheory.theory.cosine import deficit_upper, pairwise_deficits
from conetheory.theory.records import NotApplicable
from tests.networks.toys import random_images, seeded
from tests.toys import Toy, chain

F64 = torch.float64
METHODS = ("lrp-alpha1beta0", "lrp-alpha1.5beta0.5", "lrp-alpha2beta1")
SOME = ("small vgg", "conv same", "nested branches", "dense block", "global mean", "residual")
some_toys = pytest.mark.parametrize("toy", [name for name in SOME if name != "residual"])


def thorough(found: RelevanceChain) -> CscCertifier:
    certifier = CscCertifier("logits", thorough=True)
    certifier.add(found)
    return certifier


def images_of_starts(found: RelevanceChain) -> dict[str, Tensor]:
    """One-hot, dense and wide nonnegative starts: {layer: (images, starts, channels, locations)}."""
    shape = found.shape("logits")
    units = int(np.prod(shape))
    rng = np.random.default_rng(0)
    starts = np.vstack([np.eye(units), rng.random((20, units)), 10.0 ** rng.uniform(-9, 0, (20, units))])
    r = torch.from_numpy(starts).view(1, -1, *shape).expand(len(found), *[-1] * (1 + len(shape)))
    swept = found.sweep({"logits": r})
    return {layer: parts["logits"].reshape(*r.shape[:2], found.shape(layer)[0], -1) for layer, parts in swept}


def whole_maps(found: RelevanceChain) -> dict:
    blocks = local_columns(found, "logits", below(found, "logits"))
    return {k: signed.whole_map_certificate(found, "logits", block) for k, (block, *_) in blocks.items()}


# ---------------------------------------------------------------- signed chains and whole maps


@pytest.mark.covering
@some_toys
@pytest.mark.parametrize("method", METHODS)
def test_no_nonnegative_start_violates_a_bound(toy, method):
    found = chain(toy, method)
    certificates = thorough(found).certificates
    for layer, r in images_of_starts(found).items():
        if layer not in certificates:
            continue
        held = certificates[layer]
        for image in range(len(found)):
            local = pairwise_deficits(r[image].permute(2, 0, 1)).numpy()
            upper = held.deficit_upper[image][:, None]
            assert not (local > upper).any()
            flat = r[image].flatten(1)
            live = flat.abs().sum(1) > 0
            assert not (pairwise_deficits(flat[live]).numpy() > held.map_deficit_upper[image]).any()


def test_the_bounds_say_something():
    """An alpha-beta chain with some locations, and whole maps, that are certified."""
    found = chain("max pool padded", "lrp-alpha1.1beta0.1", count=1)
    data = certify_csc(found).dataset.isel(method=0, start=0)
    assert float(data["certified_share"].max()) > 0.5
    assert float(data["certified_map_deficit_upper"].min()) < 0.9
    assert 0 < float(data["certified_tau_1_upper"].min()) < 1
    assert "certified_diameter_upper" not in data


@pytest.mark.parametrize("method", METHODS)
def test_what_is_left_of_the_distance_of_two_starts(method):
    """|C (x - y)|_1 <= tau_1 |x - y|_1 for starts of the same sum, attained by two one-hot ones."""
    found = chain("global mean", method, count=1)
    cones = whole_maps(found)
    rng = np.random.default_rng(0)
    for layer, certificate in cones.items():
        if isinstance(certificate, NotApplicable):
            assert layer in certificate.reason
            continue
        if certificate.cone is None:
            continue
        C = found.as_matrix("logits", layer)
        z = rng.normal(size=(C.shape[1], 200))
        z -= z.mean(axis=0)
        left = np.abs(C @ z).sum(axis=0) / np.abs(z).sum(axis=0)
        assert left.max() <= certificate.tau_upper
        pairs = [np.abs(a - b).sum() / 2 for a in C.T for b in C.T]
        assert max(pairs) <= certificate.tau_upper <= max(pairs) * (1 + 1e-9)


@some_toys
def test_cones_of_whole_maps_are_those_of_the_single_certificate(toy):
    found = chain(toy, "lrp-alpha1.5beta0.5", count=1)
    for layer, cone in whole_maps(found).items():
        alone = signed.signed_cone_certificate(found, "logits", layer)
        if isinstance(cone, NotApplicable):
            assert alone == cone
        elif cone.cone is None:
            assert "sum one" in alone.reason
        elif cone.tau_upper >= 1:
            assert "tau_1 is" in alone.reason
        else:
            assert alone.tau_upper == pytest.approx(cone.tau_upper, rel=1e-12)
            np.testing.assert_allclose(alone.cone.center, cone.cone.center, rtol=1e-9, atol=1e-12)


def test_gaussian_certificates_of_a_signed_chain_by_an_exact_binomial_test():
    found = chain("small vgg", "lrp-alpha1.5beta0.5", count=1)
    certifier, pairs, smallest = thorough(found), 2000, 1.0
    generator = np.random.default_rng(1)
    for layer, held in certifier.certificates.items():
        P = found.as_matrix("logits", layer).reshape(found.shape(layer)[0], -1, found.shape("logits")[0])
        r = np.einsum("cpu,nku->pnkc", P, generator.standard_normal((pairs, 2, P.shape[2])))
        upper = held.gaussian_deficit_upper[0]
        violations = (pairwise_deficits(r)[..., 0] > upper[:, None]).sum(1)
        live = ~np.isnan(upper)
        assert (binom.sf(violations[live] - 1, pairs, 1 - CONFIDENCE) > 1e-6).all()
        smallest = min(smallest, upper[live].min(initial=1.0))
    assert smallest < 0.9


@given(st.integers(0, 2**32 - 1))
def test_rounding_of_signed_columns_counts_in_full(seed):
    """Columns that are off by as much as is allowed, the shortest one sideways, stay inside both bounds."""
    rng = np.random.default_rng(seed)
    direction = rng.uniform(0.5, 1, 4)
    columns = direction * (1 + 1e-9 * rng.uniform(-1, 1, (3, 4))) * np.array([[1.0], [1e3], [1e3]])
    side = rng.standard_normal(4)
    side -= (side @ direction) / (direction @ direction) * direction
    error = 4e-7
    moved = columns.copy()
    moved[0] += error * side / np.abs(side).sum()
    live = np.ones(3, dtype=bool)
    assert pairwise_deficits(moved).max() <= signed._worst_signed(columns, error, live)
    P = direction[:, None] * np.ones(3)
    E = rng.standard_normal((4, 3))
    E *= 0.003 / np.abs(E).sum(axis=0)
    S = gaussian_law.stable_rank_excess(np.linalg.svd(P + E, compute_uv=False))
    assert float(deficit_upper(float(S), 1 - CONFIDENCE)) <= signed._gaussian_signed(P, 0.003, live)


def test_reasons_name_the_layers():
    found = chain("small vgg", "lrp-alpha5beta4", count=1)
    certifier = thorough(found)
    assert "tau_1 is" in certifier.reasons["no_norm_cone"] or "sum one" in certifier.reasons["no_norm_cone"]
    assert "'input'" in certifier.reasons["no_norm_cone"]
    assert "no_every_image" not in certifier.reasons  # nothing is claimed of signed chains
    few = CscCertifier("logits", thorough=True, positions=2)
    few.add(found)
    assert few.reasons["no_norm_cone"] == "columns are held at 2 of the 42 locations of 'input' only"
    many = CscCertifier("2", thorough=True)
    wide = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Conv2d(4, 40, 1), nn.Flatten())
    many.add(RelevanceChain(trace(wide.eval(), (2, 8, 8)), random_images(1, 2, 8, 8), "lrp-alpha2beta1"))
    assert "too many units" in many.reasons["not_applicable"]
    assert not many.certificates


# ---------------------------------------------------------------- every image


def positive_network(shape: tuple[int, ...] = (2, 3, 3)) -> Graph:
    """Pointwise layers of positive weights, then a convolution that is not."""
    layers = [nn.Conv2d(2, 3, 1), nn.ReLU(), nn.Conv2d(3, 4, 1), nn.ReLU(), nn.Conv2d(4, 2, 1), nn.Flatten()]
    graph = trace(seeded(lambda: nn.Sequential(*layers)), shape)
    for name in ("0", "2"):
        graph.nodes[name].op.weight.abs_()
        graph.nodes[name].op.bias.zero_()
    return graph


def test_one_bound_for_every_image():
    """Certified at one image; 40 others with activations over many decades stay inside."""
    graph = positive_network()
    image = random_images(1, 2, 3, 3).abs().to(F64)
    first = RelevanceChain(graph, image, dtype=F64)
    layers = below(first, "logits")
    found = every_image_certificates(first, "logits", layers)
    assert isinstance(found[INPUT], EveryImageCertificate)
    data = certify_csc(first).dataset.isel(method=0, start=0)
    upper = data["certified_every_image_deficit_upper"].sel(layer=INPUT).item()
    assert upper == found[INPUT].deficit_upper < 1
    units = int(np.prod(first.shape("logits")))
    for seed in range(40):
        other = random_images(1, 2, 3, 3, seed=seed).abs().to(F64) ** (1 + seed / 4)
        C = RelevanceChain(graph, other, dtype=F64).as_matrix("logits", INPUT).reshape(2, 9, units)
        for p in range(9):
            columns = C[:, p].T[C[:, p].any(axis=0)]
            if len(columns) > 1:
                assert pairwise_deficits(columns).max() <= found[INPUT].deficit_upper


def test_parallel_layers_are_one_step_and_residual_blocks_are_none():
    fire = Toy(
        lambda m, x: m.last(torch.cat([m.one(s := m.squeeze(x).relu()), m.three(s)], 1).relu()).flatten(1),
        squeeze=nn.Conv2d(2, 3, 1),
        one=nn.Conv2d(3, 4, 1),
        three=nn.Conv2d(3, 4, 3, padding=1),
        last=nn.Conv2d(8, 2, 1),
    )
    graph = trace(seeded(lambda: fire), (2, 4, 4))
    for node in graph.nodes.values():
        if hasattr(node.op, "weight"):
            node.op.weight.abs_()
            node.op.bias.zero_()
    found = RelevanceChain(graph, random_images(1, 2, 4, 4).abs(), dtype=F64)
    statements = every_image_certificates(found, "logits", [INPUT, "squeeze"], positions=16)
    assert isinstance(statements[INPUT], EveryImageCertificate)
    assert isinstance(statements["squeeze"], EveryImageCertificate)
    block = Toy(lambda m, x: (m.conv(x) + x).flatten(1), conv=nn.Conv2d(2, 2, 1))
    residual = RelevanceChain(trace(seeded(lambda: block), (2, 4, 4)), random_images(1, 2, 4, 4), dtype=F64)
    refused = every_image_certificates(residual, "logits", [INPUT])[INPUT]
    assert "crosses 2 layers at once" in refused.reason


def test_the_worst_location_is_what_counts():
    """Locations with a dead channel have another diameter than those with none."""
    graph = positive_network()
    weight = torch.rand((4, 3, 1, 1), generator=torch.Generator().manual_seed(0), dtype=torch.float32) + 0.05
    graph.nodes["2"].op.weight.copy_(weight)
    image = random_images(1, 2, 3, 3).abs().to(F64)
    image[0, 1, 0] = 0.0
    found = RelevanceChain(graph, image, dtype=F64)
    one = [every_image_certificate(found, "2", "0", INPUT, p) for p in range(9)]
    diameters = [c.diameter_upper for c in one if c is not None]
    assert max(diameters) > min(diameters)
    together = every_image_certificates(found, "logits", [INPUT], positions=9)[INPUT]
    assert together.diameter_upper == max(diameters)


def test_the_units_that_prevent_it_are_named_and_dead_layers_are_told():
    graph = positive_network()
    graph.nodes["0"].op.weight[0, :, 0, 0] = torch.tensor([-1.0, 50.0])  # alive, fed by one channel alone
    graph.nodes["2"].op.weight[1, 0] = -1.0
    found = RelevanceChain(graph, random_images(1, 2, 3, 3).abs(), dtype=F64)
    statement = every_image_certificates(found, "logits", [INPUT])[INPUT]
    assert "'input'" in statement.reason
    assert "feeds only some" in statement.reason
    dead = RelevanceChain(graph, torch.zeros(1, 2, 3, 3), dtype=F64)
    assert "dead" in every_image_certificates(dead, "logits", [INPUT])[INPUT].reason
    with pytest.raises(InputError, match="float64"):
        every_image_certificates(RelevanceChain(graph, torch.zeros(1, 2, 3, 3)), "logits", [INPUT])


# ---------------------------------------------------------------- what is printed


@pytest.mark.exhaustive
def test_the_command_prints_certificates_of_both_kinds(capsys, tmp_path):
    methods = ["--method", "lrp-alpha1beta0", "--method", "lrp-alpha2beta1"]
    request = ["certify", "cifar10", "--limit", "1", *methods, "--out", str(tmp_path)]
    assert main(request) == 0
    printed = capsys.readouterr().out
    for words in ("whole map", "tau_1 <=", "acute", "0 violations in"):
        assert words in printed
    assert "none for every image with the same active units: lrp-alpha1beta0 from logits" in printed
    assert "'conv1'" in printed


def test_bounds_are_rounded_outward_in_the_table():
    data = certify_csc(chain("small vgg", "lrp-alpha1.5beta0.5", count=1))
    comparison = compare(data)
    (table,) = comparison_tables(comparison)
    cells = {c.header.replace("\n", " "): list(c.cells) for c in table.columns}
    rows = list(comparison.rows())
    for row, tau, cos in zip(rows, cells["tau_1 <="], cells["whole map cos >="], strict=True):
        assert tau == "-" or float(tau) >= row["certified_tau_1_upper"]
        assert cos == "-" or float(cos) <= row["certified_map_cos_lower"]
    assert any("acute" in line for line in summary_lines(comparison))
