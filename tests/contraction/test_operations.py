"""Rates of an operation and of a chain against dense linear algebra on toys, in float64."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from conetheory.chain.layers import state_cuts
from conetheory.contraction import block, layer
from conetheory.theory import cone, ergodicity
from tests.contraction.cases import METHODS, NETWORKS, chain, operations


@pytest.fixture(params=[(n, m) for n in NETWORKS for m in METHODS], ids=" ".join)
def case(request):
    return chain(*request.param)


def test_an_operation_is_the_chain_between_its_tensors(case):
    """Columns of the block from an operation down to the tensors below it, activations included."""
    for operation in operations(case):
        if len(operation.below) == 1 and operation.below[0] in [*state_cuts(case, "logits")]:
            expected = case.as_matrix(operation.node.name, operation.below[0])
            np.testing.assert_allclose(operation.dense().numpy(), expected, atol=1e-14)
        down, up = torch.randn(operation.shape[1], 2).double(), torch.randn(operation.shape[0], 2).double()
        inner = (operation.down(down) * up).sum(), (operation.up(up) * down).sum()
        torch.testing.assert_close(*inner, rtol=1e-10, atol=1e-10)


def test_size_and_sums_are_those_of_the_dense_matrix(case):
    for operation in operations(case):
        M, pattern = operation.dense().numpy(), operation.pattern.dense().numpy() > 0
        found = layer.size(operation)
        assert (found.rows, found.columns) == M.shape
        assert found.entries == pattern.sum()
        assert (found.live_rows, found.live_columns) == (pattern.any(1).sum(), pattern.any(0).sum())
        off = np.abs(M.sum(0) - 1)[pattern.any(0)]
        assert layer.sum_error(operation) == pytest.approx(off.max(initial=0.0), abs=1e-12)


def test_counts_by_the_map_are_those_of_the_columns(case, monkeypatch):
    """Where the matrix is too large to be made, entries are counted by one covector, or not at all."""
    expected = [layer.size(operation).entries for operation in operations(case)]
    monkeypatch.setattr(layer, "DENSE", 0)
    found = [layer.size(operation).entries for operation in operations(case)]
    known = [(a, b) for a, b in zip(found, expected, strict=True) if not math.isnan(a)]
    assert len(known) >= len(found) / 2
    assert all(a == b for a, b in known)


def test_columns_that_never_meet_are_found_with_a_witness(case):
    for operation in operations(case):
        pattern = operation.pattern.dense().numpy() > 0
        live = pattern.any(0)
        meets = (pattern[:, live].T.astype(int) @ pattern[:, live] > 0).all()
        found = layer.meeting(operation)
        assert found.holds == meets
        if not meets:
            j, k = found.columns
            assert pattern[:, j].any()
            assert pattern[:, k].any()
            assert not (pattern[:, j] & pattern[:, k]).any()


def test_sigma_is_enclosed(case):
    for operation in operations(case):
        found = layer.sigma_ratio(operation, case.method.nonnegative)
        values = np.linalg.svd(operation.dense().numpy(), compute_uv=False)
        if isinstance(found, str):
            assert len(values) < 2 or values[0] == 0
            continue
        true = values[1] / values[0]
        assert found.lower <= true * (1 + 1e-12)
        assert true <= found.upper * (1 + 1e-12)
        assert found.estimate <= found.upper
        assert np.abs(values / values[0] - found.estimate).min() <= found.residual + 1e-12


def test_birkhoff_and_dobrushin_are_those_of_the_dense_matrix():
    for network in NETWORKS:
        found = chain(network, "lrp-alpha1beta0")
        for operation in operations(found):
            size, met = layer.size(operation), layer.meeting(operation)
            M = operation.dense().numpy()
            live = M[M.any(1)][:, M.any(0)]
            expected = float(cone.projective_diameter(live)) if (live > 0).all() else math.inf
            assert layer.diameter(operation, size, True).value == pytest.approx(expected)
            sums = layer.sum_error(operation)
            dobrushin = layer.tau_1(operation, found.method.rule, met, sums)
            assert dobrushin.side == "exact"
            assert dobrushin.value == pytest.approx(float(ergodicity.tau_1(M[:, M.any(0)])))


def test_what_does_not_fit_is_decided_by_supports_or_bounded(monkeypatch):
    """With no room for any matrix: 1 where columns don't meet, the mass of the pools above it elsewhere."""
    exact = {}
    for small in (False, True):
        if small:
            monkeypatch.setattr(layer, "PAIRS", 0)
        for method in ("lrp-alpha1beta0", "lrp-alpha2beta1"):
            found = chain("small vgg", method)
            for operation in operations(found):
                met, sums = layer.meeting(operation), layer.sum_error(operation)
                tau = layer.tau_1(operation, found.method.rule, met, sums)
                if not small:
                    exact[method, operation.node.name] = tau.value
                elif tau.side != "absent":
                    least = exact[method, operation.node.name]
                    assert tau.value >= least * (1 - 1e-12)
                    assert tau.side == ("exact" if tau.value == 1 and met.holds is False else "upper")


def test_the_block_with_a_finite_diameter_is_the_shortest_one():
    """By dense local matrices from every cut above."""
    checked = 0
    for network in NETWORKS:
        found = chain(network, "lrp-alpha1beta0")
        cuts = state_cuts(found, "logits")
        alive = block.arrivals(found, "logits")
        for bottom in cuts[1:]:
            one = block.finite_block(found, "logits", bottom, 0)
            for top in reversed(cuts[: cuts.index(bottom)]):
                P = found.rows(bottom, [0], top)[0, 0][:, alive[top].flatten()].numpy()
                on = P[P.any(1)][:, P.any(0)]
                finite = on.size > 0 and bool((on > 0).all())
                assert finite == (top == one.top) or (one.top is None and on.size == 0)
                if finite:
                    assert one.diameter.value == pytest.approx(float(cone.projective_diameter(on)))
                    assert (one.live, one.arriving) == on.shape
                    checked += 1
                    break
    assert checked >= 3
