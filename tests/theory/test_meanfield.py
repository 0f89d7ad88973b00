"""Closed forms of random layers against many-digit arithmetic, simulation and published numbers."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import pairwise

import mpmath
import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from conetheory.errors import InputError
from conetheory.theory import bundle, meanfield, randomlayers
from conetheory.theory.randomlayers import (
    RandomLayer,
    arc_cosine_deficit,
    critical_alpha,
    rate,
    spiked_singular_values,
)
from conetheory.theory.records import NotApplicable

VGG = (1000, 4096, 4096, *[512] * 6, *[256] * 3, *[128] * 2, *[64] * 2, 3)
LAYERS = [
    randomlayers.vanilla(),
    randomlayers.positive(),
    randomlayers.nonnegative(),
    randomlayers.column_stochastic(),
    randomlayers.row_stochastic(),
    randomlayers.positive_sums(),
    randomlayers.alpha_beta(3),
    randomlayers.pattern_weighted(),
]
QUICK = ("vanilla", "row-stochastic", "positive")  # of the tests that draw many chains
VECTORS = arrays(np.int64, 6, elements=st.integers(-9, 9)).filter(lambda x: bool(x.any()))


def exact_deficit(u: np.ndarray, v: np.ndarray) -> mpmath.mpf:
    """1 - |cos| of integer vectors: the wedge product exactly, the rest to 50 digits."""
    uu, vv, uv = (int(np.dot(a, b)) for a, b in ((u, u), (v, v), (u, v)))
    with mpmath.workdps(50):
        root = mpmath.sqrt(uu * vv)
        return mpmath.mpf(uu * vv - uv**2) / (root * (root + abs(uv)))


class TestPair:
    @given(VECTORS, VECTORS)
    def test_deficit_and_five_numbers(self, u: np.ndarray, v: np.ndarray) -> None:
        pair = meanfield.pair_of(u.astype(float), v.astype(float))
        exact = float(exact_deficit(u, v))
        assert float(pair.deficit) == pytest.approx(exact, rel=1e-13, abs=1e-30)
        length = math.sqrt(u @ u)
        expected = np.array([u.sum(), v.sum(), length, v @ v / length, u @ v / length]) / length
        assert np.allclose(pair.five_numbers, expected, rtol=1e-12, atol=1e-14)

    @settings(deadline=None)
    @given(st.floats(1e-150, 1e-3), st.floats(-5, 5), st.floats(0.05, 1.5))
    def test_deficit_of_a_merged_pair(self, size: float, p: float, slope: float) -> None:
        """|d| = size: the deficit is size^2/(|v| (|v| + |p|)) at any size; nothing is lost near 1e-300."""
        E, A = math.cos(slope), math.sin(slope)
        pair = meanfield.Pair(*(np.asarray(x) for x in (E, A, size * 0.6, size * 0.8, p)), n=7)
        with mpmath.workdps(400):
            length = mpmath.sqrt(mpmath.mpf(p) ** 2 + mpmath.mpf(size) ** 2)
            exact = 1 - abs(mpmath.mpf(p)) / length
        assert float(pair.deficit) == pytest.approx(float(exact), rel=1e-12, abs=0)

    def test_batches_and_torch(self) -> None:
        rng = np.random.default_rng(0)
        u, v = rng.standard_normal((2, 4, 3, 9))
        single = np.array(
            [
                [float(meanfield.pair_of(a, b).deficit) for a, b in zip(x, y, strict=True)]
                for x, y in zip(u, v, strict=True)
            ]
        )
        assert np.allclose(meanfield.pair_of(u, v).deficit, single, rtol=1e-13)
        on_torch = meanfield.apply_layer(
            meanfield.pair_of(torch.from_numpy(u), torch.from_numpy(v)), LAYERS[6], 11
        )
        on_numpy = meanfield.apply_layer(meanfield.pair_of(u, v), LAYERS[6], 11)
        assert np.allclose(on_torch.deficit.numpy(), on_numpy.deficit, rtol=1e-12)

    def test_gaussian_pairs_have_the_law_of_gaussian_vectors(self) -> None:
        rng = np.random.default_rng(3)
        drawn = meanfield.gaussian_pairs(8, (20_000,), rng)
        made = meanfield.pair_of(*rng.standard_normal((2, 20_000, 8)))
        for a, b in zip(drawn.five_numbers, made.five_numbers, strict=True):
            for moment in (a, b), (np.abs(a), np.abs(b)), (a**2, b**2):
                error = math.hypot(*(x.std() for x in moment)) / math.sqrt(20_000)
                assert abs(moment[0].mean() - moment[1].mean()) <= 5 * error + 1e-12

    def test_bad_input(self) -> None:
        with pytest.raises(InputError, match="zero"):
            meanfield.pair_of(np.zeros(3), np.ones(3))
        with pytest.raises(InputError, match="one length"):
            meanfield.pair_of(np.ones(3), np.ones(4))
        with pytest.raises(InputError, match="at least 2 outputs"):
            meanfield.apply_layer(meanfield.pair_of(np.ones(3), np.arange(3.0)), LAYERS[0], 1)
        with pytest.raises(InputError, match="at least 3"):
            meanfield.gaussian_pairs(2, (), np.random.default_rng(0))


def many_digit_step(
    u: list, v: list, layer: RandomLayer, n: int, N: int, noise: meanfield.Noise
) -> tuple[list, list]:
    """The images of u and v in their new frame by the explicit matrix, in mpmath."""
    m = mpmath
    along, along_dev, dev = (m.mpf(x) for x in layer.moments(n, N))
    pairs = [[x[1] for x in (u, v)], [x[2] for x in (u, v)]]
    if layer.sums != "rows":
        pairs = [[u[0], v[0]], *pairs]
    p = m.fdot(u, v) / m.fdot(u, u)
    d = [b - p * a for a, b in zip(u, v, strict=True)]
    if layer.sums == "rows":  # Gram factor of the centred pair (u, d), by Gram-Schmidt
        a, b = u[1:], d[1:]
    else:
        a, b = u, d
    u11 = m.sqrt(m.fdot(a, a))
    u12 = m.fdot(a, b) / u11
    u22 = m.sqrt(m.fdot(b, b) - u12**2)
    z1, z2, b11, b12, b22 = (m.mpf(float(x)) for x in (noise.z1, noise.z2, noise.b11, noise.b12, noise.b22))
    image_u = [along * u[0] + along_dev * z1 * u11, dev * b11 * u11, m.mpf(0)]
    image_d = [
        along * d[0] + along_dev * (z1 * u12 + z2 * u22),
        dev * (b11 * u12 + b12 * u22),
        dev * b22 * u22,
    ]
    return image_u, [p * x + y for x, y in zip(image_u, image_d, strict=True)]


class TestLayers:
    @pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.name)
    def test_deep_chain_to_many_digits(self, layer: RandomLayer) -> None:
        """VGG's widths with one draw of noise, against the same matrices in 200-digit arithmetic."""
        rng = np.random.default_rng(1)
        pair = meanfield.gaussian_pairs(VGG[0], (), rng)
        with mpmath.workdps(200):
            E, A, w, C, p = (mpmath.mpf(float(x)) for x in (pair.E, pair.A, pair.w, pair.C, pair.p))
            u = [E, A, mpmath.mpf(0)]
            v = [p * E - A * w, p * A + E * w, C]
            for n, N in pairwise(VGG):
                noise = meanfield.sampled_noise(N, (), rng)
                pair = meanfield.apply_layer(pair, layer, N, noise)
                u, v = many_digit_step(u, v, layer, n, N, noise)
                uu, vv, uv = mpmath.fdot(u, u), mpmath.fdot(v, v), mpmath.fdot(u, v)
                exact = 1 - abs(uv) / mpmath.sqrt(uu * vv)
                assert float(pair.deficit) == pytest.approx(float(exact), rel=1e-9, abs=0)

    def test_the_deep_chain_is_deep(self) -> None:
        rng = np.random.default_rng(0)
        start = meanfield.gaussian_pairs(VGG[0], (200,), rng)
        *_, last = meanfield.propagate(start, randomlayers.positive(), VGG[1:], rng)
        assert 1e-44 < np.median(last.deficit) < 1e-40

    def test_rows_keep_constants_and_columns_keep_sums(self) -> None:
        rng = np.random.default_rng(0)
        ones, other = np.ones(9), rng.standard_normal(9)
        noise = meanfield.sampled_noise(5, (), rng)
        moved = meanfield.apply_layer(meanfield.pair_of(ones, other), randomlayers.row_stochastic(), 5, noise)
        assert float(moved.A) == pytest.approx(0, abs=1e-15)
        S_u, S_v, *_ = meanfield.pair_of(ones, other).five_numbers
        moved = meanfield.apply_layer(
            meanfield.pair_of(ones, other), randomlayers.column_stochastic(), 5, noise
        )
        T_u, T_v, *_ = moved.five_numbers
        assert float(T_v / T_u) == pytest.approx(float(S_v / S_u), rel=1e-12, abs=0)

    @pytest.mark.parametrize("layer", [LAYERS[i] for i in (1, 2, 3, 4, 6, 7)], ids=lambda layer: layer.name)
    def test_rate(self, layer: RandomLayer) -> None:
        """Merged pairs: the mean log of the deficit falls by log rho per layer, up to 2/width."""
        rng = np.random.default_rng(6)
        n = 400
        start = meanfield.gaussian_pairs(n, (4000,), rng)
        states = list(
            meanfield.propagate(start, layer, [n] * 18, rng)
        )  # the first dozen forget the start's sum
        fall = np.log(states[17].deficit / states[12].deficit) / 5
        error = 5 * fall.std() / math.sqrt(4000)
        assert abs(fall.mean() - math.log(rate(layer, n))) < error + 2 / n

    def test_moments_of_the_entries(self) -> None:
        rng = np.random.default_rng(0)
        W, G = rng.standard_normal((2, 10**6))
        drawn = {
            "positive": np.abs(W),
            "nonnegative": np.maximum(W, 0),
            "alpha3beta2": 3 * np.maximum(W, 0) + 2 * np.minimum(W, 0),
            "pattern": W * (0.5 * W + math.sqrt(0.75) * G),
        }
        for layer in LAYERS:
            if layer.name in drawn:
                x = drawn[layer.name]
                assert x.mean() == pytest.approx(layer.mean, abs=5 * x.std() / 1000)
                assert x.var() == pytest.approx(layer.variance, abs=5 * (x**2).std() / 1000)

    def test_published_medians(self) -> None:
        """n = 512: simulated medians of 1 - |cos|, one draw of weights each: two deviations of 0.09."""
        published = {
            1: {2: 5.2e-2, 3: 2.4e-4, 4: 9.7e-7, 5: 3.8e-9, 6: 1.6e-11},
            3: {4: 5.4e-2, 6: 3.3e-4, 8: 1.9e-6, 10: 1.1e-8},
            5: {6: 0.174, 8: 1.3e-2, 10: 9.1e-4},
        }
        rng = np.random.default_rng(0)
        for alpha, levels in published.items():
            start = meanfield.gaussian_pairs(512, (20_000,), rng)
            states = list(meanfield.propagate(start, randomlayers.alpha_beta(alpha), [512] * 10, rng))
            for level, value in levels.items():
                found = float(np.median(states[level - 1].deficit))
                assert abs(math.log10(found / value)) < 0.18

    def test_published_ends_of_the_vgg_chain(self) -> None:
        """To one digit, three-wide last step: within a factor of 3. Alpha 2: the simulation here."""
        rng = np.random.default_rng(0)
        for alpha, value in {2: 3.6e-20, 3: 1e-13, 4: 3e-9, 5: 1e-6, 10: 0.4}.items():
            start = meanfield.gaussian_pairs(1000, (20_000,), rng)
            *_, last = meanfield.propagate(start, randomlayers.alpha_beta(alpha), VGG[1:], rng)
            assert value / 3 < np.median(last.deficit) < 3 * value

    def test_layers_of_mean_zero_have_no_rate(self) -> None:
        for layer in (randomlayers.vanilla(), randomlayers.positive_sums()):
            assert isinstance(rate(layer, 10), NotApplicable)

    def test_bad_input(self) -> None:
        for make in (
            lambda: RandomLayer("x", 0.0, -1.0),
            lambda: RandomLayer("x", -1.0, 1.0, "columns"),
            lambda: RandomLayer("x", 1.0, 1.0, "diagonals"),
            lambda: randomlayers.pattern_weighted(0),
            lambda: critical_alpha(2),
            lambda: randomlayers.critical_gamma(2),
            lambda: randomlayers.gamma_rule(0.0),
        ):
            with pytest.raises(InputError):
                make()


class TestBundle:
    def test_merging_vectors_to_many_digits(self) -> None:
        """Twelve positive matrices on four vectors, against 120-digit arithmetic, deficits below 1e-16."""
        rng = np.random.default_rng(2)
        X = rng.standard_normal((5, 4))
        chain = bundle.Bundle(X)
        with mpmath.workdps(120):
            exact = mpmath.matrix(X.tolist())
            for _ in range(12):
                M = rng.random((5, 5)) + 0.5
                chain.columns = M @ chain.columns
                chain.split()
                exact = mpmath.matrix(M.tolist()) * exact
            gram = exact.T * exact
            i, j = np.tril_indices(4, -1)
            deficits = [
                float(1 - abs(gram[a, b]) / mpmath.sqrt(gram[a, a] * gram[b, b]))
                for a, b in zip(i, j, strict=True)
            ]
        assert max(deficits) < 1e-16
        assert chain.deficits() == pytest.approx(deficits, rel=1e-6, abs=0)

    @given(arrays(np.int64, (5, 3), elements=st.integers(-9, 9)).filter(lambda x: bool(x.any(axis=0).all())))
    def test_start_deficits(self, X: np.ndarray) -> None:
        exact = [float(exact_deficit(X[:, a], X[:, b])) for a, b in ((1, 0), (2, 0), (2, 1))]
        assert bundle.Bundle(X.astype(float)).deficits() == pytest.approx(exact, rel=1e-9, abs=1e-14)

    @pytest.mark.parametrize(
        "layer",
        [pytest.param(x, id=x.name, marks=() if x.name in QUICK else pytest.mark.slow) for x in LAYERS],
    )
    def test_pairs_and_reduced_chains_agree_in_law(self, layer: RandomLayer) -> None:
        """k = 2: quartiles of the log deficit of 600 draws of each, within five standard errors."""
        rng = np.random.default_rng(4)
        widths, draws = (30, 40, 20, 30), 600
        u, v = rng.standard_normal((2, 30))
        start = meanfield.pair_of(np.tile(u, (draws, 1)), np.tile(v, (draws, 1)))
        *_, last = meanfield.propagate(start, layer, widths[1:], rng)
        other = [
            bundle.reduced_deficits(layer, widths, np.stack([u, v], 1), rng)[-1, 0] for _ in range(draws)
        ]
        for q in (0.25, 0.5, 0.75):
            a, b = np.quantile(last.deficit, q), np.quantile(other, q)
            share = np.mean(np.asarray(other) < a)
            assert abs(share - q) < 5 * math.sqrt(2 * q * (1 - q) / draws), (a, b)

    def test_reduced_layers_keep_what_the_layer_keeps(self) -> None:
        rng = np.random.default_rng(0)
        rows = bundle.reduced_layer(randomlayers.row_stochastic(), 9, 7, 5, rng)
        assert np.all(rows[1:, 0] == 0)  # constants stay constant
        columns = bundle.reduced_layer(randomlayers.column_stochastic(), 9, 7, 5, rng)
        assert np.all(columns[0, 1:] == 0)  # the sum comes from the sum alone
        free = bundle.reduced_layer(randomlayers.positive(), 9, 7, 5, rng)
        assert np.all(free[0] != 0)
        assert free[1, 0] != 0

    def test_bad_input(self) -> None:
        with pytest.raises(InputError, match="not zero"):
            bundle.Bundle(np.zeros((3, 2)))


class TestArcCosine:
    @settings(deadline=None)
    @given(st.floats(1e-300, 2.0))
    @example(0.122)  # t just below 1/2, where the series is longest, and just above
    @example(0.123)
    def test_against_many_digits(self, deficit: float) -> None:
        with mpmath.workdps(700):
            t = mpmath.acos(1 - mpmath.mpf(deficit))
            exact = 1 - (mpmath.sin(t) + (mpmath.pi - t) * mpmath.cos(t)) / mpmath.pi
        assert float(arc_cosine_deficit(np.asarray(deficit))) == pytest.approx(float(exact), rel=4e-15, abs=0)

    @given(st.floats(0, 2), st.floats(0, 2))
    def test_monotone(self, a: float, b: float) -> None:
        low, high = arc_cosine_deficit(np.sort([a, b]))
        assert low <= high * (1 + 4e-16)
        assert high <= 1 + 4e-16

    def test_fixed_points_and_ends(self) -> None:
        assert np.array_equal(arc_cosine_deficit(np.array([0.0, 2.0])), [0.0, 1.0])
        assert float(arc_cosine_deficit(np.asarray(1.0))) == pytest.approx(1 - 1 / math.pi, rel=1e-15, abs=0)

    def test_wide_layer(self) -> None:
        rng = np.random.default_rng(0)
        n = 2000
        u, v = rng.standard_normal((2, n))
        image = np.maximum(rng.standard_normal((n, n)) @ np.stack([u, v + u], 1), 0)
        before = 1 - u @ (u + v) / np.linalg.norm(u) / np.linalg.norm(u + v)
        after = 1 - image[:, 0] @ image[:, 1] / np.prod(np.linalg.norm(image, axis=0))
        assert float(arc_cosine_deficit(np.asarray(before))) == pytest.approx(after, abs=3 / math.sqrt(n))

    def test_bad_input(self) -> None:
        for bad in (-1e-3, 2.1):
            with pytest.raises(InputError):
                arc_cosine_deficit(np.asarray(bad))


class TestSpikedMatrix:
    def test_published(self) -> None:
        found = spiked_singular_values(math.sqrt(2 / math.pi), math.sqrt(1 - 2 / math.pi), 300, 1200)
        assert found.sigma1 == pytest.approx(478.73, rel=2e-3, abs=0)
        assert found.sigma2 == pytest.approx(31.32, rel=2e-3, abs=0)

    @pytest.mark.parametrize("mean", [0.06, 0.1, 0.3])
    def test_against_a_matrix(self, mean: float) -> None:
        rng = np.random.default_rng(0)
        m, n, s = 400, 900, 0.7
        U, sigma, Vt = np.linalg.svd(mean + s * rng.standard_normal((m, n)), full_matrices=False)
        found = spiked_singular_values(mean, s, m, n)
        assert found.outlier
        assert sigma[0] == pytest.approx(found.sigma1, rel=0.01, abs=0)
        assert sigma[1] == pytest.approx(found.sigma2, rel=0.02, abs=0)
        assert U[:, 0].sum() ** 2 / m == pytest.approx(found.alignment_left, abs=0.03)
        assert Vt[0].sum() ** 2 / n == pytest.approx(found.alignment_right, abs=0.03)

    def test_below_the_threshold(self) -> None:
        found = spiked_singular_values(0.02, 1.0, 400, 900)
        assert (found.outlier, found.sigma1, found.alignment_left) == (False, found.sigma2, 0.0)
        border = math.sqrt(1.0 / math.sqrt(400 * 900))
        just_above = spiked_singular_values(border * (1 + 1e-9), 1.0, 400, 900)
        assert just_above.sigma1 == pytest.approx(just_above.sigma2, rel=1e-6, abs=0)
        assert Fraction(just_above.alignment_left) < Fraction(1, 10**6)
