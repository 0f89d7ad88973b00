"""What the chain down to a tensor says, against dense linear algebra on toys, in float64."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from conetheory.chain.layers import state_cuts
from conetheory.contraction import exponents, mixing, ritz
from conetheory.contraction.vectors import probes
from conetheory.predict.walk_steps import first_map, walk_steps
from conetheory.theory import ergodicity
from tests.contraction.cases import NETWORKS, cases, chain, operations
from tests.contraction.dense import column_sums, location_chain, six_moments


@cases
def test_the_chain_so_far_has_its_singular_values(network, method):
    found = chain(network, method)
    for name in state_cuts(found, "logits")[1:]:
        C = found.as_matrix("logits", name)
        P = found.rows(name, [0], "logits")[0, 0].numpy()
        for M, one in (
            (C, ritz.whole_ratio(found, "logits", name)),
            (P, ritz.local_ratio(found, "logits", name, 0)),
        ):
            values = np.linalg.svd(M, compute_uv=False)
            if math.isnan(one.ratio):
                assert len(values) < 2 or values[0] == 0
            else:
                ratios = values / values[0]
                assert np.abs(ratios - one.ratio).min() <= one.residual + 2e-2
                assert not one.reached or one.ratio == pytest.approx(ratios[1], abs=2e-2)


@cases
def test_what_the_chain_above_knew_is_a_better_start(network, method):
    """The same ratio, in at most as many steps; with what it ended with it ends at once."""
    found = chain(network, method)
    for name in state_cuts(found, "logits")[1:]:
        one = ritz.whole_ratio(found, "logits", name)
        if not math.isnan(one.ratio) and one.reached:
            again = ritz.whole_ratio(found, "logits", name, seed=1, known=one.right)
            assert again.reached
            assert again.ratio == pytest.approx(one.ratio, abs=2e-2)
            assert again.residual <= one.residual + 1e-12


@cases
def test_exponents_are_log_singular_values_of_the_map_to_every_tensor(network, method):
    """On the span of the probes, inside blocks as at cuts; at most those of the map itself."""
    found = chain(network, method)
    known = exponents.exponents(found, "logits")
    top = found.graph.resolve("logits")
    count = len(known[top].sizes)
    Q = np.linalg.qr(probes(found, math.prod(found.shape(top)), count, 0).numpy())[0]
    inside = 0
    for name, one in known.items():
        if name == top:
            assert (one.sizes == 0).all()
            continue
        C = found.as_matrix("logits", name)
        values = np.linalg.svd(C @ Q, compute_uv=False)
        if len(values) < count or values[-1] < 1e-9 * values[0]:  # too few dimensions are left
            continue
        np.testing.assert_allclose(one.sizes, np.log(values), atol=1e-6)
        assert (one.sizes <= np.log(np.linalg.svd(C, compute_uv=False)[:count]) + 1e-6).all()
        inside += name not in found.graph.cuts
    assert inside or "residual" not in network


@pytest.mark.parametrize("network", [*NETWORKS, "concatenation, one input twice"])
def test_mixing_is_the_chi_square_contraction_of_the_dense_location_chain(network):
    """For each operation, those inside a block and those of several inputs too."""
    found = chain(network)
    values, known = mixing.mixing(found, "logits"), 0
    relevance = column_sums(found)
    for operation in operations(found):
        one = values[operation.node.name]
        if math.isnan(one.value):
            assert one.why
            continue
        t, w = location_chain(operation, relevance[operation.node.name])
        expected = float(ergodicity.chi_square_contraction(t, w))
        assert one.side == "lower"
        assert one.value <= expected * (1 + 1e-9)
        assert one.value == pytest.approx(expected, rel=1e-2)
        known += 1
    assert known > 0


@cases
def test_a_step_is_what_the_dense_matrix_does_to_places(network, method):
    """added and injected by the law of total variance, from the entries of M themselves."""
    found = chain(network, method)
    top = first_map(found, "logits")
    relevance = column_sums(found)
    by_name = {operation.node.name: operation for operation in operations(found)}
    steps = walk_steps(found, "logits")
    assert steps[0].layer == top
    for step in steps:
        within, between = six_moments(by_name[step.layer], relevance[step.layer])
        if math.isnan(within):
            assert math.isnan(step.added)
            continue
        assert step.added == pytest.approx(within * step.pixel**2, rel=1e-6, abs=1e-9)
        assert step.injected == pytest.approx(between * step.pixel**2, rel=1e-6, abs=1e-9)


def test_an_identity_takes_no_step():
    found = chain("residual with a signed branch")
    steps = {step.layer: step for step in walk_steps(found, "logits")}
    (add,) = [o for o in operations(found) if len(o.below) == 2]
    if add.node.name in steps:
        assert steps[add.node.name].added == steps[add.node.name].injected == 0
    assert all(step.total >= 0 for step in steps.values())


def test_probes_are_the_seeds():
    found = chain("small vgg")
    assert torch.equal(probes(found, 5, 2, 0), probes(found, 5, 2, 0))
    assert not torch.equal(probes(found, 5, 2, 0), probes(found, 5, 2, 1))
