"""Perron enclosures with no slack, singular values against dense, Lyapunov spectra against exact products."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
import sympy as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import psi

from conetheory.errors import InputError
from conetheory.theory.lyapunov import lyapunov_spectrum
from conetheory.theory.spectrum import effective_rank, leading_singular_values, perron_root, stable_rank

POSITIVE = st.floats(1e-3, 1e3)
SEEDS = st.integers(0, 2**32 - 1)


def graded(seed: int, m: int, n: int, decay: float) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((m, n)) * np.exp(-decay * np.arange(n))


def regular(a: np.ndarray) -> bool:
    return a[0, 0] * a[1, 1] != a[0, 1] * a[1, 0]


class TestPerronRoot:
    @settings(deadline=None)
    @given(arrays(np.float64, (2, 2), elements=POSITIVE))
    def test_two_by_two_without_slack(self, A: np.ndarray) -> None:
        bound = perron_root(A, rtol=1e-10, max_steps=60).bound  # reached or not
        (a, b), (c, d) = [[Fraction(float(x)) for x in row] for row in A]

        def above(x: Fraction) -> bool:  # x >= the larger root of (x - a)(x - d) = b c
            return x >= max(a, d) and (x - a) * (x - d) >= b * c

        low, high = Fraction(float(bound.lower)), Fraction(float(bound.upper))
        assert above(high)
        assert low <= max(a, d) or (low - a) * (low - d) <= b * c

    @given(arrays(np.float64, st.integers(2, 6), elements=st.floats(0.1, 10)))
    def test_circulant_without_slack(self, row: np.ndarray) -> None:
        """The root is the row sum, which a computed sum misses upward as often as downward."""
        found = perron_root(np.stack([np.roll(row, i) for i in range(len(row))]), rtol=1e-14)
        root = sum(Fraction(float(x)) for x in row)
        assert Fraction(float(found.bound.lower)) <= root <= Fraction(float(found.bound.upper))

    @given(st.lists(st.tuples(st.integers(1, 2**20), st.integers(0, 2**20)), min_size=1, max_size=7))
    def test_rank_one_without_slack(self, pairs: list[tuple[int, int]]) -> None:
        x, y = np.array(pairs, dtype=float).T
        found = perron_root(np.outer(x, y), rtol=1e-12)
        root = sum(a * b for a, b in pairs)
        assert Fraction(float(found.bound.lower)) <= root <= Fraction(float(found.bound.upper))
        assert found.reached

    @settings(deadline=None)
    @given(st.integers(1, 6).flatmap(lambda n: arrays(np.float64, (n, n), elements=st.just(0.0) | POSITIVE)))
    def test_encloses_and_keeps_its_promise(self, A: np.ndarray) -> None:
        found = perron_root(A, rtol=1e-8, max_steps=300)
        root = np.abs(np.linalg.eigvals(A)).max()
        error = 1e-7 * np.abs(A).max()
        # the dense reference is off by eps^(1/n) |A| on defective matrices, whose root is small or simple
        assert found.bound.lower <= root + error
        assert root <= found.bound.upper + error or root < 1e-2 * np.abs(A).max()
        if found.reached:
            assert found.bound.upper - found.bound.lower <= 1e-8 * found.bound.lower

    def test_cycles_converge(self) -> None:
        A = np.roll(np.diag([1.0, 2.0, 4.0, 1.0]), 1, axis=0)
        found = perron_root(A, rtol=1e-10)
        assert found.reached
        assert float(found.bound.lower) == pytest.approx(8**0.25, rel=1e-10, abs=0)

    def test_reducible_matrix_says_that_it_is_not_done(self) -> None:
        found = perron_root(np.diag([1.0, 2.0]), max_steps=50)
        assert not found.reached
        assert found.bound.lower <= 1 < 2 <= found.bound.upper

    def test_a_vanishing_part_stays_finite(self) -> None:
        found = perron_root(np.array([[1.0, 0.0], [1.0, 1e-3]]) @ np.diag([1e-3, 1.0]), max_steps=3000)
        assert found.bound.lower <= 1e-3 <= found.bound.upper
        found = perron_root(np.diag([1.0, 1e-9]), max_steps=3000)
        assert found.bound.lower <= 1e-9 < 1 <= found.bound.upper

    def test_nilpotent_matrix_has_root_zero(self) -> None:
        found = perron_root(np.triu(np.ones((4, 4)), 1))
        assert (found.bound.lower, found.bound.upper, found.reached) == (0, 0, True)

    def test_batch_and_torch_agree_with_single_matrices(self) -> None:
        A = np.random.default_rng(0).random((3, 5, 5))
        one_by_one = [perron_root(a, rtol=1e-12).bound.upper for a in A]
        assert np.allclose(perron_root(A, rtol=1e-12).bound.upper, one_by_one, rtol=1e-11)
        assert np.allclose(perron_root(torch.from_numpy(A), rtol=1e-12).bound.upper, one_by_one, rtol=1e-11)

    def test_matrix_free_norm_of_a_chain(self) -> None:
        """sigma_1^2 of a nonnegative chain as the Perron root of P^T P, from passes only."""
        layers = [np.random.default_rng(i).random(shape) for i, shape in enumerate([(6, 4), (5, 6), (3, 5)])]

        def gram(x: np.ndarray) -> np.ndarray:
            for layer in layers:
                x = layer @ x
            for layer in reversed(layers):
                x = layer.T @ x
            return x

        found = perron_root(gram, start=np.ones(4), terms=2 * (4 + 6 + 5 + 3), rtol=1e-10)
        dense = np.linalg.norm(layers[2] @ layers[1] @ layers[0], 2) ** 2
        assert found.bound.lower <= dense * (1 + 1e-13)
        assert dense * (1 - 1e-13) <= found.bound.upper
        assert found.reached

    @pytest.mark.parametrize(
        ("bad", "message"),
        [(np.ones((2, 3)), "square"), (-np.ones((2, 2)), "nonnegative"), (np.full((2, 2), np.nan), "finite")],
    )
    def test_bad_input(self, bad: np.ndarray, message: str) -> None:
        with pytest.raises(InputError, match=message):
            perron_root(bad)

    def test_unreachable_accuracy_is_refused(self) -> None:
        with pytest.raises(InputError, match="below what"):
            perron_root(np.ones((3, 3)), rtol=1e-16)
        with pytest.raises(InputError, match="terms"):
            perron_root(lambda x: x)


class TestLeadingSingularValues:
    @settings(deadline=None)
    @given(SEEDS, st.integers(3, 20), st.integers(3, 20), st.integers(1, 3), st.floats(0.0, 1.0))
    def test_bounds_against_dense(self, seed: int, m: int, n: int, width: int, decay: float) -> None:
        A = graded(seed, m, n, decay)
        start = np.random.default_rng(seed + 1).standard_normal((n, width))
        norm = np.linalg.norm(A)
        found = leading_singular_values(lambda x: A @ x, lambda y: A.T @ y, start, frobenius=norm)
        sigma = np.linalg.svd(A, compute_uv=False)
        slack = 1e-12 * sigma[0]
        assert found.reached
        for s, up, r, exact in zip(found.lower, found.upper, found.residual, sigma, strict=False):
            assert s <= exact + slack
            assert up**2 >= exact**2 - slack * norm
            assert np.abs(sigma - s).min() <= r + slack
            assert r <= 1e-6 * s + slack

    def test_ritz_vectors(self) -> None:
        A = graded(0, 30, 20, 0.3)
        found = leading_singular_values(
            lambda x: A @ x,
            lambda y: A.T @ y,
            np.random.default_rng(1).standard_normal((20, 2)),
            count=3,
            rtol=1e-9,
        )
        for i in range(3):
            assert np.allclose(A @ found.right[:, i], found.lower[i] * found.left[:, i], atol=1e-7)

    def test_a_start_that_misses_the_top_is_told_by_the_upper_end(self) -> None:
        A = np.diag([5.0, 2.0, 1.0])
        start = np.array([[0.0], [1.0], [0.0]])  # an exact singular vector: no residual at all
        found = leading_singular_values(
            lambda x: A @ x, lambda y: A.T @ y, start, count=1, frobenius=math.sqrt(30)
        )
        assert found.reached
        assert found.lower[0] == pytest.approx(2, rel=1e-12, abs=0)
        assert found.upper[0] >= 5

    def test_close_values_do_not_stop_it_early(self) -> None:
        sigma = 1 + 1e-3 * np.linspace(1, 0, 200)
        found = leading_singular_values(
            lambda x: sigma[:, None] * x,
            lambda y: sigma[:, None] * y,
            np.random.default_rng(0).standard_normal((200, 1)),
            count=1,
            rtol=1e-8,
            max_steps=5,
        )
        assert not found.reached
        assert found.residual[0] > 1e-8

    def test_miss_probability(self) -> None:
        A = graded(3, 40, 40, 0.01)
        start = np.random.default_rng(0).standard_normal((40, 1))

        def run(steps: int) -> float:
            found = leading_singular_values(
                lambda x: A @ x, lambda y: A.T @ y, start, count=1, rtol=1e-2, max_steps=steps
            )
            return found.miss_probability_upper if found.steps == steps else 0.0

        assert run(1) == 1.0
        eps = 1 - 0.99**2
        assert run(20) in (0.0, pytest.approx(min(1, 1.648 * math.sqrt(40) * math.exp(-math.sqrt(eps) * 39))))

    def test_batched_torch(self) -> None:
        A = torch.from_numpy(np.stack([graded(i, 12, 9, 0.5) for i in range(4)]))
        start = torch.from_numpy(np.random.default_rng(0).standard_normal((4, 9, 2)))
        found = leading_singular_values(lambda x: A @ x, lambda y: A.mT @ y, start, count=2)
        assert torch.allclose(found.lower, torch.linalg.svdvals(A)[:, :2], rtol=1e-9)

    def test_bad_input(self) -> None:
        with pytest.raises(InputError, match="probes"):
            leading_singular_values(lambda x: x, lambda y: y, np.ones((2, 3)))


class TestLyapunov:
    @settings(deadline=None)
    @given(
        st.lists(
            arrays(np.int64, (2, 2), elements=st.integers(-6, 6)).filter(regular), min_size=1, max_size=8
        )
    )
    def test_exact_integer_products(self, layers: list[np.ndarray]) -> None:
        P = sp.eye(2)
        for a in layers:
            P = sp.Matrix(a.tolist()) * P
        square, determinant = sum(x**2 for x in P), abs(P.det())
        top = sp.log((square + sp.sqrt(square**2 - 4 * determinant**2)) / 2).evalf(40) / 2
        exact = [float(top), float(sp.log(determinant).evalf(40) - top)]
        found = lyapunov_spectrum([a.astype(float) for a in layers], np.eye(2), atol=1e-9)
        assert np.all(np.abs(found.log_singular_values - exact) <= found.error_upper + 1e-10)

    def test_rectangular_chain_against_the_dense_product(self) -> None:
        rng = np.random.default_rng(4)
        widths = [8, 20, 5, 12, 6]
        layers = [rng.standard_normal((b, a)) for a, b in pairwise(widths)]
        P = layers[3] @ layers[2] @ layers[1] @ layers[0]
        found = lyapunov_spectrum(layers, np.eye(8)[:, :5], atol=1e-10)
        dense = np.log(np.linalg.svd(P @ np.eye(8)[:, :5], compute_uv=False))
        assert found.reached
        assert np.allclose(found.log_singular_values, dense, atol=1e-9)
        assert np.allclose(found.exponents, dense / 4, atol=1e-9)
        assert found.curve.shape == (4, 5)

    def test_logs_far_below_underflow(self) -> None:
        rng = np.random.default_rng(0)
        bases = [np.linalg.qr(rng.standard_normal((3, 3)))[0] for _ in range(41)]
        sizes = np.array([1.0, 1e-5, 1e-9])
        layers = [bases[i + 1] @ np.diag(sizes) @ bases[i].T for i in range(40)]
        found = lyapunov_spectrum(layers, np.eye(3))
        assert np.allclose(found.log_singular_values, 40 * np.log(sizes), atol=40 * 1e9 * 1e-15)
        assert found.log_singular_values[2] < -800  # exp of it is 0 in float64

    def test_newman_oracle(self) -> None:
        """Independent N(0, 1) matrices: lambda_k = (log 2 + psi((n - k + 1)/2))/2."""
        rng = np.random.default_rng(8)
        n, depth = 12, 4000
        found = lyapunov_spectrum((rng.standard_normal((n, n)) for _ in range(depth)), np.eye(n)[:, :4])
        oracle = [0.5 * (math.log(2) + psi((n - k) / 2)) for k in range(4)]
        spread = math.sqrt(0.5 / (n - 4) / depth)  # of a mean of log chi variables, and a bit
        assert np.allclose(found.exponents, oracle, atol=5 * spread)
        assert found.gap == pytest.approx(found.exponents[0] - found.exponents[1], rel=1e-12, abs=0)

    def test_sum_rule_permutations_and_grouping(self) -> None:
        rng = np.random.default_rng(1)
        layers = list(rng.standard_normal((6, 4, 4)))
        found = lyapunov_spectrum(layers, np.eye(4))
        total = sum(np.linalg.slogdet(layer)[1] for layer in layers)
        assert np.sum(found.log_singular_values) == pytest.approx(total, rel=1e-12, abs=0)
        grouped = lyapunov_spectrum(
            [layers[1] @ layers[0], layers[3] @ layers[2], layers[5] @ layers[4]], np.eye(4)
        )
        tolerance = float(found.error_upper + grouped.error_upper) + 1e-10
        assert np.allclose(found.log_singular_values, grouped.log_singular_values, atol=tolerance)
        shuffles = [np.eye(5)[rng.permutation(5)] for _ in range(7)]
        still = lyapunov_spectrum(shuffles, np.eye(5))
        assert np.all(still.log_singular_values == 0)
        assert still.reached

    def test_rank_loss_is_an_error(self) -> None:
        with pytest.raises(InputError, match="fewer exponents"):
            lyapunov_spectrum([np.zeros((3, 3))], np.eye(3))
        with pytest.raises(InputError, match="at most so many"):
            lyapunov_spectrum([np.ones((1, 3))], np.eye(3))
        with pytest.raises(InputError, match="no layers"):
            lyapunov_spectrum([], np.eye(3))
        with pytest.raises(InputError, match="max_sweeps must be at least 1"):
            lyapunov_spectrum([np.eye(3)], np.eye(3), max_sweeps=0)

    def test_batched_torch(self) -> None:
        A = torch.from_numpy(np.random.default_rng(0).standard_normal((3, 2, 5, 5)))
        found = lyapunov_spectrum(list(A), torch.eye(5, dtype=torch.float64).expand(2, 5, 5))
        dense = torch.log(torch.linalg.svdvals(A[2] @ A[1] @ A[0]))
        assert torch.all(torch.abs(found.log_singular_values - dense) <= found.error_upper[:, None] + 1e-10)


class TestRanks:
    @given(arrays(np.float64, st.integers(1, 8), elements=st.floats(1e-3, 1e3)))
    def test_range_and_scale(self, s: np.ndarray) -> None:
        s = np.sort(s)[::-1]
        assert 1 - 1e-12 <= effective_rank(s) <= len(s) * (1 + 1e-12)
        assert effective_rank(s) == pytest.approx(effective_rank(7 * s), rel=1e-12, abs=0)
        assert stable_rank(s) == pytest.approx(np.sum(s**2) / s[0] ** 2, rel=1e-12, abs=0)

    def test_two_values(self) -> None:
        p = Fraction(3, 4)
        exact = (p.denominator / p.numerator) ** float(p) * (
            p.denominator / (p.denominator - p.numerator)
        ) ** float(1 - p)
        assert effective_rank(np.array([3.0, 1.0])) == pytest.approx(exact, rel=1e-14, abs=0)
        assert effective_rank(np.array([1.0, 0.0])) == 1.0
        assert effective_rank(np.ones(6)) == pytest.approx(6, rel=1e-14, abs=0)

    def test_no_spectrum(self) -> None:
        for bad in (np.array([0.0, 0.0]), np.array([1.0, -1.0])):
            with pytest.raises(InputError):
                effective_rank(bad)
