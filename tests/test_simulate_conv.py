"""Random convolutions are drawn as they are said to be, and the recursion lies over them."""

from __future__ import annotations

import json
from itertools import product
from typing import Any

import numpy as np
import pytest
import xarray as xr
from rich.console import Console

from conetheory.errors import InputError
from conetheory.plotting.conv_chains import conv_figure
from conetheory.report.simulation_tables import conv_table
from conetheory.simulate_conv import (
    KINDS,
    ConvChain,
    draw_starts,
    drawn_medians,
    fitted_exponent,
    median_deficit,
    next_layer,
    recursion_medians,
    simulate_conv,
    summary,
)
from conetheory.theory.convchains import walk_layer, white_walk

RING = {"dimensions": 1, "side": 96, "depth": 16}
TORUS = {"dimensions": 2, "side": 16, "depth": 8, "channels": 48}


@pytest.fixture(scope="module")
def small() -> xr.Dataset:
    return simulate_conv([ConvChain(1, 24, 8, 16), ConvChain(2, 8, 8, 16)], starts=3, repeats=2)


class TestDrawnChains:
    @pytest.mark.parametrize("stride", [1, 2])
    @pytest.mark.parametrize("border", ["periodic", "zero"])
    def test_a_layer_place_by_place(self, border: Any, stride: int) -> None:
        """`r'_i(p) = sum_delta sum_j W_delta,ij r_j(p + delta)`, by loops, with the weights drawn alike."""
        chain = ConvChain(2, 4, 2, channels=3, kappa=0.5, border=border, strides=(2,) * (stride - 1))
        r = np.random.default_rng(0).standard_normal((2, 3, 4, 4))
        found = next_layer(r, chain, 2, np.random.default_rng(1))
        W = np.random.default_rng(1).standard_gamma(2, (3, 9, 3)) / 2
        side = 4 * stride
        expected = np.zeros((2, 3, side, side))
        for y, x, (tap, (dy, dx)) in product(
            range(side), range(side), enumerate(product((-1, 0, 1), repeat=2))
        ):
            at = np.array([y + dy, x + dx])
            at = at % side if border == "periodic" else at
            if np.all((at >= 0) & (at < side) & (at % stride == 0)):
                expected[:, :, y, x] += r[:, :, *(at // stride)] @ W[:, tap].T
        for start, one in enumerate(expected):
            np.testing.assert_allclose(found[start], one / np.abs(one).max(), rtol=1e-12, atol=1e-15)

    @pytest.mark.parametrize("kappa", [0.2, 1.0, 2.5])
    def test_weights_have_the_moments_that_they_are_said_to_have(self, kappa: float) -> None:
        """One unit of relevance brings a column of weights down: positive, of variance kappa times mean^2."""
        chain, r = ConvChain(1, 3, channels=600, kappa=kappa), np.zeros((1, 600, 3))
        r[0, 0, 1] = 1
        column = next_layer(r, chain, 1, np.random.default_rng(0))
        assert (column > 0).all()
        assert column.var() / column.mean() ** 2 == pytest.approx(kappa, rel=0.15)

    def test_starts(self) -> None:
        chain = ConvChain(2, 12, channels=10)
        zero, positive = (draw_starts(kind, 3, chain, np.random.default_rng(0)) for kind in KINDS)
        assert zero.shape == positive.shape == (3, 10, 12, 12)
        assert abs(zero.mean()) < 0.1
        assert (positive > 0).all()

    def test_medians_are_of_all_pairs_and_locations(self) -> None:
        r = np.random.default_rng(0).standard_normal((3, 6, 2, 2))
        unit = (r / np.linalg.norm(r, axis=1, keepdims=True)).reshape(3, 6, 4)
        cosines = [abs(unit[x, :, p] @ unit[y, :, p]) for x in range(3) for y in range(x) for p in range(4)]
        assert median_deficit(r) == pytest.approx(1 - np.median(cosines), rel=1e-12)

    def test_kinds_share_a_chain_and_stay_apart(self) -> None:
        chain, rng = ConvChain(1, 8, 3, 5), np.random.default_rng(0)
        given = [draw_starts(kind, 3, chain, rng) for kind in KINDS]
        both = drawn_medians(chain, given, np.random.default_rng(1), lambda: None)
        for kind, one in enumerate(given):
            alone = drawn_medians(chain, [one], np.random.default_rng(1), lambda: None)
            np.testing.assert_allclose(both[:, kind], alone[:, 0], rtol=1e-9)


class TestRecursion:
    @pytest.mark.parametrize(
        "chain",
        [
            ConvChain(**RING),
            pytest.param(ConvChain(**RING, channels=48, kappa=np.pi - 1), marks=pytest.mark.slow),
            pytest.param(ConvChain(**RING, border="zero"), marks=pytest.mark.exhaustive),
            pytest.param(ConvChain(**RING, strides=(6, 12)), marks=pytest.mark.exhaustive),
            pytest.param(ConvChain(**TORUS), marks=pytest.mark.exhaustive),
            pytest.param(ConvChain(**TORUS, border="zero", strides=(5,)), marks=pytest.mark.slow),
        ],
        ids=["ring", "large-kappa", "zero-border", "strides", "torus", "torus-border-stride"],
    )
    def test_drawn_chains_follow_it(self, chain: ConvChain) -> None:
        """Within 0.15 decade at every layer, where a draw of n channels scatters by sqrt(2/n)/log(10)."""
        data = simulate_conv([chain], starts=4, repeats=10)
        assert abs(data["error_decades"].values).max() < 0.15
        scatter = np.sqrt(2 / chain.channels / 10) / np.log(10)
        assert np.median(data["standard_error"].values[..., 1:]) < 1.5 * scatter

    def test_it_is_told_nothing_of_the_draw(self) -> None:
        chain = ConvChain(1, 8, 4, 6, 0.5, strides=(3,))
        starts = draw_starts("positive", 3, chain, np.random.default_rng(0))
        walk, expected = white_walk(starts), [median_deficit(starts)]
        for stride in (1, 1, 2, 1):
            walk = walk_layer(walk, 6, 0.5, stride=stride)
            expected.append(np.median(walk.deficits))
        np.testing.assert_allclose(recursion_medians(chain, starts), expected, rtol=1e-12)

    def test_channels_collapse_by_kappa_over_n_k(self) -> None:
        """Starts with one location weight everywhere: what channels differ by, after one drawn layer."""
        chain, rng = ConvChain(1, 32, 2, 64, 0.7), np.random.default_rng(4)
        r = rng.random((6, 64, 32))
        r /= r.mean(1, keepdims=True)
        T = white_walk(r).T
        x, y = np.triu_indices(6, 1)
        apart = (T[x, x] + T[y, y] - 2 * T[x, y]).mean()
        drawn = [2 * median_deficit(next_layer(r, chain, 1, rng)) for _ in range(8)]
        assert np.log10(np.mean(drawn) / (0.7 / (64 * 3) * apart)) == pytest.approx(0, abs=0.1)

    @pytest.mark.slow
    def test_powers_in_one_dimension(self) -> None:
        """Of drawn chains and of the recursion, within 0.15 of the theory."""
        data = simulate_conv([ConvChain(1, 512, 48, 32)], starts=6, repeats=4)
        for start, power in {"zero-mean": -1.0, "positive": -1.5}.items():
            one = data.sel(chain=0, start=start)
            assert float(one["exponent_theory"]) == power
            assert float(one["exponent_simulated"]) == pytest.approx(power, abs=0.15)
            assert float(one["exponent_recursion"]) == pytest.approx(power, abs=0.15)


class TestSimulate:
    def test_dataset(self, small: xr.Dataset) -> None:
        seen: list[tuple[str, int, int]] = []
        chains = [ConvChain(1, 24, 8, 16), ConvChain(2, 8, 8, 16)]
        again = simulate_conv(chains, starts=3, repeats=2, progress=lambda *a: seen.append(a))
        assert seen == [("layers", i, 32) for i in range(1, 33)]
        assert again.identical(small)
        assert dict(small.sizes) == {"chain": 2, "start": 2, "layer": 9}
        assert small["side"].values.tolist() == [24, 8]
        assert np.abs(small["error_decades"].sel(layer=0)).max() < 1e-12
        ratio = np.log10(small["recursion"] / small["simulated"])
        np.testing.assert_allclose(small["error_decades"], ratio, atol=1e-12)
        other = simulate_conv(chains, starts=3, repeats=2, seed=1)
        assert not np.allclose(small["simulated"], other["simulated"])

    def test_a_power_is_fitted_to_the_later_layers(self) -> None:
        layers = np.arange(41.0)
        curve = np.where(layers < 10, 7.0, 3 * np.maximum(layers, 1) ** -1.25)
        assert fitted_exponent(curve) == pytest.approx(-1.25, rel=1e-12)
        assert fitted_exponent(curve, 1, 9) == pytest.approx(0, abs=1e-12)

    def test_there_is_no_power_where_a_chain_mixes_or_has_strides(self) -> None:
        """A ring of 8 places falls by e in 2.5 layers; of 1024, in 39,000."""
        assert ConvChain(1, 8, 8).mixing_layers == pytest.approx(
            -1 / (2 * np.log((1 + 2 * np.cos(np.pi / 4)) / 3)), rel=1e-12
        )
        chains = [ConvChain(1, 8, 8, 4), ConvChain(1, 64, 8, 4, strides=(4,)), ConvChain(1, 64, 8, 4)]
        found = simulate_conv(chains, starts=2, repeats=1)
        assert np.isnan(found["exponent_theory"].values).tolist() == [[True] * 2, [True] * 2, [False] * 2]
        assert np.isnan(found["standard_error"]).all()

    def test_summary_is_of_all_layers_but_the_starts(self, small: xr.Dataset) -> None:
        records = summary(small)
        assert json.loads(json.dumps(records)) == records
        assert [(r["dimensions"], r["starts"]) for r in records] == list(product((1, 2), KINDS))
        errors = np.abs(small["error_decades"].sel(chain=1, start="positive").values[1:])
        assert records[3]["max_abs_error_decades"] == pytest.approx(errors.max(), rel=1e-12)
        assert records[3]["exponent_theory"] is None

    def test_bad_input(self) -> None:
        for bad in ({"starts": 1}, {"repeats": 0}, {"chains": [ConvChain(1, 8, 4), ConvChain(1, 8, 5)]}):
            with pytest.raises(InputError, match="need at least 2 starts"):
                simulate_conv(**bad)
        for words, bad in {
            "1 or 2 dimensions": {"dimensions": 3},
            "side, a depth": {"side": 1},
            "is positive": {"kappa": 0.0},
            "odd number of taps": {"taps": 4},
            "between 1 and 8": {"strides": (9,)},
            "a border is": {"border": "mirror"},
        }.items():
            with pytest.raises(InputError, match=words):
                ConvChain(**({"dimensions": 1, "side": 8, "depth": 8} | bad))


class TestShown:
    def test_table(self, small: xr.Dataset) -> None:
        console = Console(record=True, width=80)
        console.print(conv_table(small))
        text = console.export_text()
        assert "8x8" in text
        one = small.sel(chain=1, start="positive")
        for value in (one["simulated"][-1], one["recursion"][-1]):
            assert f"{float(value):.1e}" in text
        assert f"{float(one['exponent_simulated']):.2f}" in text

    def test_figure(self, small: xr.Dataset) -> None:
        for chain, axes in enumerate(conv_figure(small).axes):
            one = small.sel(chain=chain, layer=slice(1, None))
            drawn = [np.asarray(line.get_ydata()) for line in axes.lines]
            expected = [
                one[name].sel(start=start).values for start in KINDS for name in ("recursion", "simulated")
            ]
            for values in expected:
                assert any(np.array_equal(values, line) for line in drawn)
            assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")

    def test_the_figure_has_the_power_where_there_is_one_and_the_strides(self) -> None:
        found = simulate_conv(
            [ConvChain(1, 64, 8, 8), ConvChain(1, 64, 8, 8, strides=(3,))], starts=2, repeats=1
        )
        plain, strided = conv_figure(found).axes
        assert len(plain.lines) == 6
        assert len(strided.lines) == 5
        dashed = [np.asarray(line.get_ydata()) for line in plain.lines if line.get_linestyle() == "--"]
        slopes = [np.log(y[-1] / y[0]) / np.log(8) for y in dashed]
        assert slopes == pytest.approx([-1, -1.5], rel=1e-9)
