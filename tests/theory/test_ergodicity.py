"""Ergodicity coefficients against exact rationals, dense decompositions and random zero-sum vectors."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from conetheory.errors import InputError
from conetheory.theory import cone, ergodicity, htransform, pattern
from conetheory.theory.records import NotApplicable
from tests import strategies


def exact_tau_1(A):
    columns = list(zip(*A, strict=True))
    return max(sum(abs(a - b) for a, b in zip(c, d, strict=True)) / 2 for c in columns for d in columns)


# ---------------------------------------------------------------- tau_1


@given(strategies.signed_sum_preserving())
def test_tau_1_is_the_exact_maximum_over_pairs(case):
    """Entries are multiples of 1/1024: float arithmetic is exact, and so is the comparison."""
    A, alpha = case
    tau = exact_tau_1(strategies.exact(A))
    assert Fraction(float(ergodicity.tau_1(A))) == tau
    assert tau <= ergodicity.tau_1_signed_upper(alpha)


@given(strategies.signed_sum_preserving(), st.data())
def test_tau_1_is_the_largest_ratio_on_zero_sum_vectors(case, data):
    """Property 6, in rationals, zero slack."""
    A, _ = case
    n = A.shape[1]
    x = data.draw(st.lists(st.integers(-20, 20), min_size=n, max_size=n))
    x[0] -= sum(x)
    image = strategies.exact_product(strategies.exact(A), [[Fraction(v)] for v in x])
    assert sum(abs(v) for (v,) in image) <= Fraction(float(ergodicity.tau_1(A))) * sum(abs(v) for v in x)


def test_signed_upper_is_attained_by_disjoint_supports():
    plus, minus = np.eye(4)[:, :2], np.eye(4)[:, 2:]
    for alpha in (1, 2, 5):
        assert ergodicity.tau_1(alpha * plus - (alpha - 1) * minus) == ergodicity.tau_1_signed_upper(alpha)
    with pytest.raises(InputError):
        ergodicity.tau_1_signed_upper(0.5)


@given(st.data())
def test_chains_are_submultiplicative(data):
    sizes = data.draw(st.lists(st.integers(1, 4), min_size=3, max_size=4))
    factors = [data.draw(strategies.signed_sum_preserving(shape))[0] for shape in itertools.pairwise(sizes)]
    exact = exact_tau_1(strategies.exact_product(*map(strategies.exact, factors)))
    cut = data.draw(st.integers(1, len(factors)))
    for ends in (None, [len(factors)], sorted({cut, len(factors)})):
        assert Fraction(float(ergodicity.chain_tau_1_upper(factors, ends))) >= exact
    assert float(ergodicity.chain_tau_1_upper(factors, [len(factors)])) == pytest.approx(
        float(exact), abs=1e-9
    )


@given(strategies.stochastic())
def test_scrambling_iff_tau_below_one(A):
    """Property 7; multiples of 1/1024 make the sums exact."""
    assert bool(pattern.scrambling(A)) == (float(ergodicity.tau_1(A)) < 1)


@given(strategies.stochastic())
def test_the_hierarchy(A):
    """Property 8, zero slack: tau_1 <= Doeblin, tau_1 <= tau; sigma_2 <= tau_2 <= sigma_1."""
    tau_1 = float(ergodicity.tau_1(A))
    doeblin = float(ergodicity.doeblin_upper(A))
    exact = 1 - sum(min(row) for row in strategies.exact(A))
    assert tau_1 <= doeblin
    assert exact <= Fraction(doeblin) <= exact + Fraction(1, 10**12)
    assert tau_1 <= float(cone.birkhoff_tau(cone.projective_diameter(A))) * (1 + 1e-12)
    s = np.append(np.linalg.svd(A, compute_uv=False), 0)
    tau_2 = float(ergodicity.tau_2(A))
    assert s[1] - 1e-13 <= tau_2 <= s[0] + 1e-13


@given(strategies.stochastic(), st.data())
def test_chi_square(A, data):
    """Properties 8 and 9: sigma_1 = 1 with known vectors; sigma_2^2 <= tau_1; equal-sum pairs contract."""
    w = data.draw(strategies.positive(A.shape[1]))
    image = A @ w
    A, image = A[image > 0], image[image > 0]
    B = A * np.sqrt(w) / np.sqrt(image)[:, None]
    s = np.append(np.linalg.svd(B, compute_uv=False), 0)
    assert s[0] == pytest.approx(1, abs=1e-12)
    np.testing.assert_allclose(B @ np.sqrt(w), np.sqrt(image), rtol=1e-12)
    contraction = float(ergodicity.chi_square_contraction(A, w))
    assert contraction == pytest.approx(s[1], abs=1e-7)
    assert contraction**2 <= float(ergodicity.tau_1(A)) + 1e-12
    assert contraction <= float(cone.birkhoff_tau(cone.projective_diameter(A))) + 1e-12
    x = data.draw(strategies.positive(A.shape[1]))
    x = x * (w.sum() / x.sum())
    before, after = ((x - w) ** 2 / w).sum(), ((A @ x - image) ** 2 / image).sum()
    assert after <= contraction**2 * before * (1 + 1e-9) + 1e-12


def test_tau_2_is_the_norm_on_zero_sum_vectors():
    rng = np.random.default_rng(0)
    A = rng.standard_normal((5, 7))
    basis = np.linalg.svd(np.ones((1, 7)))[2][1:].T
    expected = np.linalg.norm(A @ basis, 2)
    assert ergodicity.tau_2(A) == pytest.approx(expected, rel=1e-13)
    padded = np.insert(A, [2, 4], 0, axis=1)
    assert ergodicity.tau_2(padded) == pytest.approx(expected, rel=1e-13)


@given(strategies.signed_sum_preserving(), st.data())
def test_weighted_tau_1(case, data):
    A, _ = case
    m, n = A.shape
    rows, columns = data.draw(strategies.positive(m)), data.draw(strategies.positive(n))
    tau = float(ergodicity.tau_1_weighted(A, rows, columns))
    expected = 0.0
    for j, k in itertools.combinations(range(n), 2):
        distance = (rows * abs(A[:, j] - A[:, k])).sum() / (columns[j] + columns[k])
        expected = max(expected, distance)
    assert tau == pytest.approx(expected, rel=1e-13)
    x = data.draw(st.lists(st.integers(-20, 20), min_size=n, max_size=n).map(np.asarray))
    x = x - np.eye(n, dtype=int)[0] * x.sum()
    assert (rows * abs(A @ x)).sum() <= tau * (columns * abs(x)).sum() + 1e-9
    ones = float(ergodicity.tau_1_weighted(A, np.ones(m), np.ones(n)))
    assert ones == float(ergodicity.tau_1(A))
    with pytest.raises(InputError):
        ergodicity.tau_1_weighted(A, rows * 0, columns)


def test_tiles_batches_torch_and_dead_columns(monkeypatch):
    rng = np.random.default_rng(0)
    A = rng.uniform(0, 1, (2, 3, 6, 9))
    A /= A.sum(axis=-2, keepdims=True)
    A[0, 1, :, 4] = 0
    A[1, 2] = 0
    w = rng.uniform(1, 2, 9)
    functions = [
        ergodicity.tau_1,
        ergodicity.doeblin_upper,
        lambda M: ergodicity.tau_1_weighted(M, M[0, 0, :, 0] * 0 + 2, M[0, 0, 0] * 0 + 1),
    ]
    whole = [f(A) for f in functions]
    assert whole[0].shape == (2, 3)
    assert np.isnan(whole[0]).sum() == 1
    assert whole[0][0, 1] == ergodicity.tau_1(np.delete(A[0, 1], 4, axis=1))
    np.testing.assert_allclose(whole[2], 2 * whole[0], rtol=1e-14)
    for f, value in zip(functions, whole, strict=True):
        np.testing.assert_allclose(f(torch.tensor(A)).numpy(), value, rtol=1e-12)
    live = A[:, :2]
    chi, tau_2 = ergodicity.chi_square_contraction(live, w), ergodicity.tau_2(live)
    np.testing.assert_allclose(
        ergodicity.chi_square_contraction(torch.tensor(live), torch.tensor(w)).numpy(), chi, rtol=1e-10
    )
    np.testing.assert_allclose(ergodicity.tau_2(torch.tensor(live)).numpy(), tau_2, rtol=1e-12)
    monkeypatch.setattr(ergodicity, "_TILE", 13)
    np.testing.assert_allclose(ergodicity.tau_1(A), whole[0], rtol=1e-15)


def test_hypotheses_that_fail_are_named():
    signed, loose = np.asarray([[2.0, 1], [-1, 0]]), np.asarray([[0.5, 1], [0.4, 0]])
    assert "negative" in ergodicity.doeblin_upper(signed).reason
    for answer in (
        ergodicity.doeblin_upper(loose),
        ergodicity.chi_square_contraction(loose, np.ones(2)),
        ergodicity.chain_tau_1_upper([loose]),
        ergodicity.propagated_norm_cone([loose], ergodicity.NormCone(np.asarray([0.5, 0.5]), 1.0)),
    ):
        assert isinstance(answer, NotApplicable)
        assert "sum" in answer.reason
    for bad in (np.ones(3), np.asarray([[math.inf, 1.0]])):
        with pytest.raises(InputError):
            ergodicity.tau_1(bad)
    with pytest.raises(InputError, match="block ends"):
        ergodicity.block_products([np.eye(2), np.eye(2)], [1])


# ---------------------------------------------------------------- chains


@given(st.data())
def test_h_transform(data):
    """Property 10, in rationals up to rounding: S's are stochastic and Z_1 ... Z_L = S_1 ... S_L D(h)."""
    sizes = data.draw(st.lists(st.integers(1, 4), min_size=2, max_size=5))
    factors = [data.draw(strategies.whole(shape)) for shape in itertools.pairwise(sizes)]
    transform = htransform.h_transform(factors)
    product = strategies.exact_product(*map(strategies.exact, factors))
    rebuilt = np.asarray(ergodicity.block_products(transform.stochastic, [len(factors)])[0]) * transform.h
    np.testing.assert_allclose(rebuilt, np.asarray(product, dtype=float), rtol=1e-13)
    np.testing.assert_array_equal(transform.h, np.asarray(product, dtype=float).sum(axis=0))
    for S in transform.stochastic:
        sums = S.sum(axis=0)
        assert (S >= 0).all()
        np.testing.assert_allclose(sums[sums > 0], 1, rtol=1e-14)
    with pytest.raises(InputError):
        htransform.h_transform([-np.ones((2, 2))])


@given(st.data())
def test_norm_cone_holds_its_members(data):
    """Members of the start cone, carried exactly, stay in the propagated cones; zero slack."""
    sizes = data.draw(st.lists(st.integers(1, 4), min_size=2, max_size=4))
    factors = [data.draw(strategies.signed_sum_preserving(shape))[0] for shape in itertools.pairwise(sizes)]
    n = sizes[-1]
    center = np.full(n, 0.0)
    center[data.draw(st.integers(0, n - 1))] = 1.0
    x = data.draw(st.lists(st.integers(-9, 9), min_size=n, max_size=n).filter(sum))
    total = Fraction(sum(x))
    radius = sum(abs(Fraction(v) / total - Fraction(c)) for v, c in zip(x, center.tolist(), strict=True))
    cones = ergodicity.propagated_norm_cone(
        factors, ergodicity.NormCone(center, float(radius) * (1 + 2.0**-50))
    )
    vector = [[Fraction(v)] for v in x]
    for M, held in zip(reversed(factors), cones, strict=True):
        vector = strategies.exact_product(strategies.exact(M), vector)
        pairs = zip(vector, held.center.tolist(), strict=True)
        distance = sum(abs(v / total - Fraction(c)) for (v,), c in pairs)
        assert distance <= Fraction(float(held.radius))


def test_norm_cone_certifies_an_angle_where_it_can():
    rng = np.random.default_rng(0)
    Z = rng.uniform(0.5, 1, (2, 6, 6))
    Z /= Z.sum(axis=1, keepdims=True)
    M = 2 * Z[0] - Z[1]
    start = ergodicity.NormCone(np.full(6, 1 / 6), 2.0)
    cones = ergodicity.propagated_norm_cone([M] * 8, start)
    bounds = [c.deficit_upper() for c in cones]
    assert isinstance(start.deficit_upper(), NotApplicable)
    assert isinstance(bounds[0], NotApplicable)
    assert bounds[-1] < 1e-3
    x, y = rng.uniform(0, 1, (2, 6))
    for _ in range(8):
        x, y = M @ x, M @ y
    deficit = 1 - x @ y / np.linalg.norm(x) / np.linalg.norm(y)
    assert deficit <= bounds[-1]


@given(st.integers(3, 10**6))
def test_the_angle_of_a_norm_cone_is_sharp(part):
    """Center (1/2, 1/2), members off by +-s (1, -1): angles of arctan 2s, where arcsin 2s is certified."""
    s = Fraction(1, part)
    upper = ergodicity.NormCone(np.asarray([0.5, 0.5]), 2 / part).deficit_upper()
    cosine = (1 - 4 * s**2) / (1 + 4 * s**2)
    assert Fraction(float(upper)) >= 1 - cosine
    assert Fraction(float(upper)) <= 8 * s**2 * (1 + Fraction(1, 10**8))
    assert isinstance(ergodicity.NormCone(np.asarray([0.5, 0.5]), 0.8).deficit_upper(), NotApplicable)


def test_quantified_theorem_1():
    """Columns of a product of scrambling matrices merge at least as fast as the product of the tau_1."""
    rng = np.random.default_rng(1)
    factors = [rng.uniform(0, 1, (5, 5)) ** 3 for _ in range(6)]
    factors = [Z / Z.sum(axis=0) for Z in factors]
    product = ergodicity.block_products(factors, [6])[0]
    widest = max(abs(product[:, j] - product[:, k]).sum() for j in range(5) for k in range(5))
    upper = 2 * float(ergodicity.chain_tau_1_upper(factors))
    assert widest <= upper < 1
    assert upper == pytest.approx(2 * np.prod([float(ergodicity.tau_1(Z)) for Z in factors]), rel=1e-10)


# ---------------------------------------------------------------- dead columns


def test_a_dead_column_that_a_later_factor_feeds_is_refused():
    """tau_1 of the first factor's one live column is zero, yet the product's columns are 1/2 apart."""
    M, N = np.asarray([[1.0, 0], [0, 0]]), np.asarray([[0.5, 1], [0.5, 0]])
    assert exact_tau_1(strategies.exact_product(strategies.exact(M), strategies.exact(N))) == Fraction(1, 4)
    refused = ergodicity.chain_tau_1_upper([M, N])
    assert isinstance(refused, NotApplicable)
    assert "lost" in refused.reason
    assert isinstance(ergodicity.chain_tau_1_upper([M, N], [2]), NotApplicable)  # sums 1/2 and 1
    start = ergodicity.NormCone(np.asarray([0.5, 0.5]), 1.0)
    assert isinstance(ergodicity.propagated_norm_cone([M, N], start), NotApplicable)
    assert isinstance(ergodicity.propagated_norm_cone([M], start), NotApplicable)


def test_a_dead_column_that_nothing_feeds_is_left_out():
    M, N = np.asarray([[0.5, 0, 0.25], [0.5, 0, 0.75]]), np.asarray([[0.5, 1], [0, 0], [0.5, 0]])
    exact = exact_tau_1(strategies.exact_product(strategies.exact(M), strategies.exact(N)))
    assert exact <= Fraction(float(ergodicity.chain_tau_1_upper([M, N]))) < exact + Fraction(1, 10**12)
    cones = ergodicity.propagated_norm_cone([M, N], ergodicity.NormCone(np.asarray([0.5, 0.5]), 1.0))
    assert cones[1].radius == pytest.approx(0.125, abs=1e-12)


@given(st.data())
def test_chains_with_dead_columns_are_refused_or_hold(data):
    """Stochastic factors with columns set to zero: the bound never lies below the product's exact tau_1."""
    sizes = data.draw(st.lists(st.integers(1, 4), min_size=3, max_size=4))
    factors = [data.draw(strategies.stochastic(shape)) for shape in itertools.pairwise(sizes)]
    for A in factors:
        A[:, data.draw(st.lists(st.integers(0, A.shape[1] - 1), max_size=2))] = 0
    found = ergodicity.chain_tau_1_upper(factors)
    if isinstance(found, NotApplicable) or np.isnan(found):
        return
    product = strategies.exact_product(*map(strategies.exact, factors))
    live = [column for column in zip(*product, strict=True) if any(column)]
    assert not live or Fraction(float(found)) >= exact_tau_1(list(zip(*live, strict=True)))


def test_a_column_that_underflows_is_not_dead():
    tiny = np.asarray([[1e-200, 1e-200], [1e-200, 1e-200]])
    refused = ergodicity.chain_tau_1_upper([tiny, tiny], [2])
    assert isinstance(refused, NotApplicable)
    assert "underflows" in refused.reason


def test_a_zero_matrix_in_a_batch_hides_nothing():
    loose = np.asarray([[0.5, 1], [0.4, 0]])
    batch = np.stack([0 * loose, loose])
    assert isinstance(ergodicity.doeblin_upper(batch), NotApplicable)
    assert isinstance(ergodicity.chi_square_contraction(batch, np.ones(2)), NotApplicable)
    fair = np.stack([0 * loose, np.asarray([[0.5, 1], [0.5, 0]]), np.eye(2)])
    for function in (ergodicity.tau_2, lambda A: ergodicity.chi_square_contraction(A, np.ones(2))):
        values = function(fair)
        assert np.isnan(values[0])
        np.testing.assert_allclose(values[1:], [function(A) for A in fair[1:]], rtol=1e-12)
