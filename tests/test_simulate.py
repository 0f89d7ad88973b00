"""The simulation runs the paper's matrices, and the closed form lies over it."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import xarray as xr
from rich.console import Console

from conetheory.errors import InputError
from conetheory.report.simulation_tables import table
from conetheory.simulate import VGG16_BACKWARD, run_chains, simulate, summarise, variants

NARROW = (9, 12, 7, 5)


@pytest.fixture(scope="module")
def full() -> xr.Dataset:
    """The paper's widths with a third of its repeats."""
    return simulate(repeats=6, alphas=(1, 2, 3, 4, 5, 10))


@pytest.fixture(scope="module")
def narrow() -> xr.Dataset:
    """A quarter of the paper's widths."""
    widths = [max(3, width // 4) for width in VGG16_BACKWARD]
    return simulate(widths=widths, repeats=6, alphas=(1, 2, 3, 4, 5, 10))


@pytest.mark.parametrize("name", variants((1, 2, 3, 4, 5, 10)))
def test_narrower_chains_follow_the_closed_form(narrow: xr.Dataset, name: str) -> None:
    """A tenth of a decade beyond three standard errors, at all layers but the last, three-wide one."""
    one = narrow.sel(variant=name)
    error = np.abs(one["error_decades"].sel(statistic="median").values[1:-1])
    assert np.all(error <= 0.1 + 3 * one["standard_error"].values[1:-1])


@pytest.mark.exhaustive
class TestClosedFormOverSimulation:
    @pytest.mark.parametrize("name", variants((1, 2, 3, 4, 5, 10)))
    def test_median_error_of_a_tenth_of_a_decade(self, full: xr.Dataset, name: str) -> None:
        """All layers but the last, three-wide one; the worst of them within three standard errors more."""
        one = full.sel(variant=name)
        error = np.abs(one["error_decades"].sel(statistic="median").values[1:-1])
        assert np.median(error) <= 0.1
        assert np.all(error <= 0.1 + 3 * one["standard_error"].values[1:-1])

    @pytest.mark.parametrize("name", [v for v in variants((1, 2, 3, 4, 5, 10)) if v != "relu"])
    def test_last_step(self, full: xr.Dataset, name: str) -> None:
        """Three outputs: the median of a skewed law over few draws of weights, so half a decade."""
        assert abs(float(full["error_decades"].sel(variant=name, statistic="median")[-1])) <= 0.5

    @pytest.mark.parametrize("name", [v for v in variants((1, 2, 3, 4, 5, 10)) if v != "relu"])
    def test_papers_mean(self, full: xr.Dataset, name: str) -> None:
        """Carried by the start of smallest sum: a repeat scatters by 0.6 decade, two medians of 6 by 0.4."""
        error = np.abs(full["error_decades"].sel(variant=name, statistic="paper-mean").values[1:-1])
        assert error.max() <= 3 * 0.4

    def test_deficits_go_where_one_minus_cos_can_not(self, full: xr.Dataset) -> None:
        ends = full["simulated"].sel(statistic="median").isel(layer=15)
        assert float(ends.sel(variant="positive")) < 1e-38
        assert float(ends.sel(variant="nonnegative")) < 1e-30

    def test_starts_agree_exactly(self, full: xr.Dataset) -> None:
        assert np.all(np.abs(full["error_decades"].sel(statistic="median", layer=0)) < 1e-9)

    def test_published_medians(self, full: xr.Dataset) -> None:
        """One digit of one draw: within a factor of 2.5 at the last wide step."""
        for alpha, value in {3: 5e-13, 4: 6e-9, 5: 5e-6}.items():
            found = float(
                full["simulated"].sel(variant=f"alpha{alpha}beta{alpha - 1}", statistic="median")[15]
            )
            assert value / 2.5 < found < 2.5 * value


def literal_matrix(name: str, W: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The paper's definitions, written out; matrices (outputs, inputs)."""
    absolute = np.abs(W)
    match name:
        case "vanilla" | "relu":
            return W
        case "positive":
            return absolute
        case "nonnegative":
            return np.maximum(W, 0)
        case "row-stochastic":
            return absolute / absolute.sum(axis=1, keepdims=True)
        case "column-stochastic":
            return absolute / absolute.sum(axis=0, keepdims=True)
        case "positive-sums":
            flipped = W.copy()
            flipped[:, W.sum(axis=0) < 0] *= -1
            return flipped
        case "pattern":
            return W * (0.5 * W + math.sqrt(0.75) * rng.standard_normal(W.shape))
        case "alpha3beta2":
            return 3 * W * (W >= 0) + 2 * W * (W < 0)
    raise AssertionError(name)


class TestMatrices:
    @pytest.mark.parametrize("name", variants([3]))
    def test_chain_is_the_papers(self, name: str) -> None:
        starts = np.random.default_rng(0).standard_normal((NARROW[0], 4))
        found = run_chains({name: variants([3])[name]}, NARROW, starts, np.random.default_rng(1))[name]
        rng, X = np.random.default_rng(1), starts
        i, j = np.tril_indices(4, -1)
        for layer, (n, N) in enumerate(pairwise(NARROW), 1):
            X = literal_matrix(name, rng.standard_normal((N, n)), rng) @ X
            if name == "relu":
                X = np.maximum(X, 0)
            lengths = np.linalg.norm(X, axis=0)
            unit = X / np.where(lengths > 0, lengths, np.nan)  # a clipped vector can die
            expected = 1 - np.abs(unit.T @ unit)[i, j]
            assert found[layer] == pytest.approx(expected, rel=1e-9, abs=1e-14, nan_ok=True)
            assert np.isfinite(expected).sum() >= 3

    def test_variants_share_the_draws_of_a_repeat(self) -> None:
        starts = np.random.default_rng(0).standard_normal((NARROW[0], 3))
        chosen = variants([1])
        del chosen["pattern"]
        together = run_chains(chosen, NARROW, starts, np.random.default_rng(5))
        assert together["nonnegative"] == pytest.approx(together["alpha1beta0"], rel=1e-6, abs=0)
        for name, variant in chosen.items():
            alone = run_chains({name: variant}, NARROW, starts, np.random.default_rng(5))[name]
            assert together[name] == pytest.approx(alone, rel=1e-6, nan_ok=True, abs=0)


class TestStatistics:
    def test_the_papers_mean_has_the_diagonal_in_it(self) -> None:
        rng = np.random.default_rng(0)
        k = 5
        cosines = np.abs(np.corrcoef(rng.standard_normal((3, k, 9)).reshape(-1, 9)).reshape(3, k, 3, k))
        means, pairs = [], []
        for repeat in range(3):
            square = cosines[repeat, :, repeat]
            means.append(np.mean(square[np.tri(k) == 1]))
            pairs.append(1 - square[np.tril_indices(k, -1)])
        median, paper = summarise(np.stack(pairs)[None])[0]
        assert paper == pytest.approx(1 - np.median(means), rel=1e-12, abs=0)
        assert median == pytest.approx(np.median(pairs), rel=1e-12, abs=0)

    def test_dead_vectors_are_dropped_as_in_the_paper(self) -> None:
        """Three starts, the second dead: of the triangle (ones on the diagonal) its NaN row and column go."""
        deficits = np.array([[[np.nan, 0.4, np.nan]]])  # pairs (1,0), (2,0), (2,1)
        median, paper = summarise(deficits)[0]
        assert (median, paper) == (
            pytest.approx(0.4, rel=1e-12, abs=0),
            pytest.approx(0.4 / 3, rel=1e-12, abs=0),
        )
        assert np.isnan(summarise(np.full((1, 1, 3), np.nan))[0, 0])


class TestSimulate:
    def test_dataset(self) -> None:
        seen: list[tuple[str, int, int]] = []
        data = simulate(
            ["vanilla", "relu"], widths=NARROW, starts=4, repeats=2, progress=lambda *a: seen.append(a)
        )
        assert dict(data.sizes) == {"variant": 2, "layer": 4, "statistic": 2}
        assert list(data["width"].values) == list(NARROW)
        assert seen == [("layers", i, 6) for i in range(1, 7)]
        assert data.attrs["starts"] == 4
        again = simulate(["vanilla", "relu"], widths=NARROW, starts=4, repeats=2)
        other = simulate(["vanilla", "relu"], widths=NARROW, starts=4, repeats=2, seed=1)
        assert data.identical(again)
        assert not np.allclose(data["simulated"], other["simulated"], equal_nan=True)

    def test_single_repeat_and_three_wide_relu(self) -> None:
        data = simulate(["relu"], widths=(20, 20, 3, 3, 3), starts=3, repeats=1, seed=3)
        assert np.all(np.isnan(data["standard_error"]))

    def test_table(self) -> None:
        data = simulate(["vanilla", "positive"], widths=NARROW, starts=4, repeats=2)
        console = Console(record=True, width=80)
        console.print(table(data))
        text = console.export_text()
        assert "vanilla" in text
        assert f"{float(data['simulated'].sel(variant='positive', statistic='median')[2]):.1e}" in text

    def test_paper_shapes(self) -> None:
        assert len(VGG16_BACKWARD) == 17
        assert VGG16_BACKWARD[:4] == (1000, 4096, 4096, 512)

    def test_bad_input(self) -> None:
        with pytest.raises(InputError, match="there are: vanilla"):
            simulate(["normal"])
        for bad in ({"starts": 1}, {"repeats": 0}, {"widths": (4,)}, {"widths": (4, 1)}):
            with pytest.raises(InputError, match="at least"):
                simulate(["vanilla"], **bad)
