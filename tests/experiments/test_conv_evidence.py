"""What the experiments on convolutions compute from what they measured."""

from __future__ import annotations

import json

import numpy as np
import pytest

from conetheory.simulate_conv import ConvChain, draw_starts, simulate_conv
from conetheory.theory.convchains import slowest_rate
from experiments import random_conv_chains, real_curves, spectrum_tail


def test_the_share_of_the_tail_is_of_its_first_two_values():
    """Dead locations and those without a tail are left out."""
    spectra = np.array([[2.0, 1.0, 1.0, 1.0], [0, 0, 0, 0], [3, 0, 0, 0], [1, 0.5, 0, 0]])
    share, tail = spectrum_tail.tail_shares(spectra)
    np.testing.assert_allclose(share, [2 / 3, 1])
    np.testing.assert_allclose(tail, [3 / 4, 1 / 4])


def test_three_channels_have_no_more():
    spectra = np.sort(np.random.default_rng(0).random((5, 3)))[:, ::-1]
    np.testing.assert_allclose(spectrum_tail.tail_shares(spectra)[0], 1)


def test_a_curve_is_cut_where_the_side_changes():
    values = [(4, 1.0), (4, 0.1), (8, 0.01), (16, 0.02), (16, 0.002)]
    records = [{"layer": f"l{k}", "side": side, "measured": v} for k, (side, v) in enumerate(values)]
    first, second, third = real_curves.resolutions(records)
    assert (first["first"], first["last"], first["layers"]) == ("l0", "l1", 2)
    assert first["decades_within"] == pytest.approx(-1, rel=1e-12)
    assert first["decades_to_the_next"] == pytest.approx(-1, rel=1e-12)
    assert second["decades_to_the_next"] == pytest.approx(np.log10(2), rel=1e-12)
    assert third["decades_within"] == pytest.approx(-1, rel=1e-12)
    assert "decades_to_the_next" not in third


def test_a_stride_is_scored_from_the_last_layer_of_a_resolution_to_that_of_the_next():
    data = simulate_conv([ConvChain(1, 8, 8, 4, strides=(3, 6))], starts=2, repeats=1)
    for record, start in zip(random_conv_chains.stride_factors(data), data["start"].values, strict=True):
        one = data["recursion"].sel(chain=0, start=start).values
        assert record["recursion"] == pytest.approx([one[5] / one[2], one[8] / one[5]], rel=1e-12)


def test_rings_end_at_the_rate_of_their_slowest_mode():
    curves = random_conv_chains.crossovers((10,), 0)
    assert len(curves[10]) == 51
    assert curves[10][-1] / curves[10][-6] == pytest.approx(slowest_rate(10) ** 5, rel=0.02)


def test_channels_collapse_is_of_starts_with_one_location_weight():
    found = random_conv_chains.channel_collapse(ConvChain(1, 24, 2, 32), 6, 0)
    assert found["kappa_over_nk"] == pytest.approx(1 / 96, rel=1e-12)
    assert np.log10(found["drawn"] / found["kappa_over_nk"]) == pytest.approx(0, abs=0.15)
    assert draw_starts("positive", 1, ConvChain(1, 24, 2, 32), np.random.default_rng(0)).min() > 0


def test_the_results_that_are_kept_hold_what_the_page_says():
    """Drawn chains are within 0.15 decade of the recursion; in two dimensions powers take a large side."""
    kept = json.loads((real_curves.RESULTS / "random_conv_chains.json").read_text())
    for record in kept["chains"]:
        assert record["max_abs_error_decades"] < 0.15
        if record["dimensions"] == 1:
            assert record["exponent_simulated"] == pytest.approx(record["exponent_theory"], abs=0.15)
    for record in kept["recursion_alone"]:
        assert record["exponent_recursion"] == pytest.approx(record["exponent_theory"], abs=0.1)
    for record in kept["strides"]["factors"]:
        assert record["recursion"][-1] == pytest.approx(0.25, abs=0.02)
    for record in kept["crossover"].values():
        assert record["late_factor"] == pytest.approx(record["slowest_mode"], rel=0.01)
