"""Cones against exact rationals; every bound with zero slack."""

import itertools
import math
from fractions import Fraction

import mpmath
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from conetheory.errors import InputError
from conetheory.theory import cone, enclosure, farthest, worstpair
from tests import strategies


def exact_ratio(A):
    """exp of the projective diameter as a fraction, None if infinite; over all pairs of columns."""
    A = [row for row in A if any(row)]
    A = [list(column) for column in zip(*A, strict=True) if any(column)]
    if any(a == 0 for column in A for a in column):
        return None
    ratios = [[a / b for a, b in zip(x, y, strict=True)] for x in A for y in A]
    return max(max(r) / min(r) for r in ratios)


def sound_rate(A):
    """A lower bound of -log tau of the exact product that the whole-number matrix A stands for."""
    diameter = enclosure.diameter_upper(cone.projective_diameter(A), 0.0, enclosure.largest_log(A))
    return cone.birkhoff_rate(diameter) * (1 - 2.0**-48)


def exact_cosine2(x, y):
    dot = sum(Fraction(a) * b for a, b in zip(x, y, strict=True))
    return dot * dot / (sum(a * a for a in x) * sum(b * b for b in y))


# ---------------------------------------------------------------- diameter


@given(strategies.whole(strategies.shapes(1, 5)))
def test_diameter_is_the_largest_cross_ratio(A):
    if not A.any():
        assert math.isnan(cone.projective_diameter(A))
        return
    ratio = exact_ratio(strategies.exact(A))
    if ratio is None:
        assert cone.projective_diameter(A) == math.inf
    else:
        assert float(cone.projective_diameter(A)) == pytest.approx(math.log(ratio), rel=1e-14, abs=1e-14)


@given(strategies.prescribed_diameter())
def test_prescribed_diameter(case):
    A, ratio = case
    assert float(cone.projective_diameter(A)) == pytest.approx(math.log(ratio), rel=1e-13)


@given(strategies.wide_positive(), st.data())
def test_invariance(A, data):
    """Property 1: scalings, permutations, transposition."""
    rows = data.draw(strategies.wide_positive(A.shape[0]))
    columns = data.draw(strategies.wide_positive(A.shape[1]))
    order = data.draw(st.permutations(range(A.shape[0])))
    diameter = cone.projective_diameter(A)
    for other in (rows[:, None] * A * columns, A[order], A.T, A * 1e100):
        assert cone.projective_diameter(other) == pytest.approx(float(diameter), rel=1e-12, abs=1e-11)


@given(strategies.wide_positive((3, 4)))
def test_dead_rows_and_columns_do_not_count(A):
    padded = np.zeros((5, 7))
    padded[np.ix_([0, 2, 4], [1, 2, 4, 6])] = A
    assert cone.projective_diameter(padded) == cone.projective_diameter(A)
    padded[0, 1] = 0
    assert cone.projective_diameter(padded) == math.inf


@pytest.mark.parametrize("shape", [(3, 40), (40, 3), (300, 5)])
def test_tiles_and_both_forms_agree(shape, monkeypatch):
    A = np.random.default_rng(0).uniform(0.1, 1, (4, *shape))
    whole = cone.projective_diameter(A)
    monkeypatch.setattr(cone, "_TILE", 16)
    np.testing.assert_array_equal(cone.projective_diameter(A), whole)
    np.testing.assert_array_equal(cone.projective_diameter(np.swapaxes(A, 1, 2)), whole)
    for k in range(4):
        assert cone.projective_diameter(A[k]) == whole[k]


@given(st.permutations(range(9)), st.integers(-6, 1), st.integers(0, 2**32 - 1))
def test_float32_only_picks_the_pairs(rows, exponent, seed):
    """Four rows with a peak each: six spreads within 1e-7, which float32 puts in an order of its own."""
    rng = np.random.default_rng(seed)
    logs = 10.0 ** (exponent - 3) * rng.uniform(-1, 1, (9, 20))
    logs[:, :8] = 0
    logs[:, 0] = 10.0**exponent * rng.uniform(-0.3, 0.3, 9)  # each row is rounded from a point of its own
    logs[rows[:4], 4 + np.arange(4)] = 10.0**exponent * (1 + 1e-7 * rng.uniform(-1, 1, 4))
    logs = np.log(np.exp(logs + rng.uniform(-9, 9, (9, 1)) + rng.uniform(-9, 9, 20)))
    expected = max(np.ptp(a - b) for a in logs for b in logs)
    assert cone.projective_diameter(np.exp(logs)) == pytest.approx(expected, rel=2e-15, abs=1e-14)


def test_torch_and_numpy_agree():
    A = np.random.default_rng(0).uniform(0, 1, (3, 5, 6))
    A[1, 2] = 0
    A[2, 0, 0] = 0
    A[0, :, 3] = 0
    theirs = cone.projective_diameter(torch.tensor(A))
    assert isinstance(theirs, torch.Tensor)
    np.testing.assert_allclose(theirs.numpy(), cone.projective_diameter(A), rtol=1e-14)
    assert theirs[2] == math.inf
    pair, other = worstpair.worst_pair_cosine(torch.tensor(A)), worstpair.worst_pair_cosine(A)
    np.testing.assert_allclose(pair.deficit.numpy(), other.deficit, rtol=1e-12)
    np.testing.assert_array_equal(pair.first.numpy(), other.first)
    np.testing.assert_array_equal(pair.second.numpy(), other.second)


def test_bad_matrices_are_refused():
    for bad in (np.asarray([[1.0, -1.0]]), np.asarray([[np.nan, 1.0]]), np.asarray([[np.inf, 1.0]])):
        with pytest.raises(InputError):
            cone.projective_diameter(bad)
        with pytest.raises(InputError):
            worstpair.worst_pair_cosine(bad)
    with pytest.raises(InputError):
        cone.projective_diameter(np.ones(3))
    with pytest.raises(InputError):
        cone.birkhoff_rate(np.asarray(-1.0))
    with pytest.raises(InputError):
        cone.cosine_lower_from_diameter(np.asarray(-1.0))


@given(strategies.positive((2, 5)))
def test_hilbert_distance(xy):
    x, y = xy
    ratios = [Fraction(a) / Fraction(b) for a, b in zip(x.tolist(), y.tolist(), strict=True)]
    exact = math.log(max(ratios) / min(ratios))
    assert float(cone.hilbert_distance(x, y)) == pytest.approx(exact, abs=1e-14)
    assert cone.projective_diameter(np.stack([x, y], axis=1)) == pytest.approx(exact, abs=1e-13)


def test_hilbert_distance_on_faces():
    zero = [0.0, 0.0, 0.0]
    x = np.asarray([[1.0, 0, 2], [1, 0, 2], [1, 0, 0], zero, [1, 0, 0]])
    y = np.asarray([[2.0, 0, 4], [1, 1, 2], [0, 1, 0], [1, 1, 1], [3, 0, 0]])
    np.testing.assert_array_equal(cone.hilbert_distance(x, y), [0, math.inf, math.inf, math.nan, 0])


@given(strategies.whole(strategies.shapes(1, 5)))
def test_pairs_of_many_are_as_pairs_of_two(x):
    pairs = [cone.hilbert_distance(a, b) for a, b in itertools.combinations(x, 2)]
    np.testing.assert_array_equal(cone.pairwise_hilbert_distances(x), pairs)


@given(st.integers(1, 40), st.integers(1, 6), st.integers(-13, 3), st.integers(0, 2**32 - 1))
def test_outlying_points_hold_the_two_that_are_farthest_apart(count, size, exponent, seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(1, size)) + 10.0**exponent * rng.standard_cauchy((count, size))
    apart = x[:, None] - x[None]
    unit = x / np.linalg.norm(x, axis=-1, keepdims=True)
    chords = np.linalg.norm(unit[:, None] - unit[None], axis=-1)
    for outlying, points, distance in (
        (farthest.outlying_in_length, x, np.linalg.norm(apart, axis=-1)),
        (farthest.outlying_in_range, x, np.ptp(apart, axis=-1)),
        (farthest.outlying_in_angle, x.T, chords),
    ):
        for form in (points, torch.from_numpy(points)):
            kept = np.flatnonzero(np.asarray(outlying(form)))
            assert distance[np.ix_(kept, kept)].max() == distance.max()


# ---------------------------------------------------------------- rates


def test_rate_at_both_ends():
    diameters = np.asarray([1e-300, 1e-9, 0.3, 1.999, 2.0, 2.001, 40, 80, 1000, 1400])
    rates = cone.birkhoff_rate(diameters)
    with mpmath.workdps(700):
        for d, rate in zip(diameters, rates, strict=True):
            exact = -mpmath.log(mpmath.tanh(mpmath.mpf(float(d)) / 4))
            assert abs(mpmath.mpf(float(rate)) / exact - 1) < 1e-13
    np.testing.assert_array_equal(cone.birkhoff_rate(np.asarray([0.0, math.inf])), [math.inf, 0])
    np.testing.assert_allclose(cone.diameter_of_rate(rates[1:]), diameters[1:], rtol=1e-13)
    assert cone.birkhoff_tau(np.asarray(2.0)) == pytest.approx(math.tanh(0.5))
    assert cone.birkhoff_tau(np.asarray(80.0)) == 1.0  # which is why the rate is what is kept


@given(st.data())
def test_submultiplicative_and_below_the_linear_bound(data):
    """Properties 1 and 2, on the exact product, zero slack."""
    m, r, n = (data.draw(st.integers(1, 4)) for _ in range(3))
    A, B = data.draw(strategies.positive((m, r))), data.draw(strategies.positive((r, n)))
    ratio = exact_ratio(strategies.exact_product(strategies.exact(A), strategies.exact(B)))
    upper = float(cone.product_diameter_upper(np.stack([sound_rate(A), sound_rate(B)])))
    assert ratio == 1 or math.exp(upper) * (1 + 1e-15) >= ratio
    linear = float(cone.birkhoff_tau(cone.projective_diameter(A)) * cone.projective_diameter(B))
    assert upper <= linear + 1e-11


@given(st.integers(1, 30), st.integers(1, 30))
def test_two_by_two_is_an_equality(a, b):
    A, B = (np.asarray([[x, 1.0], [1.0, x]]) for x in (a, b))
    rates = cone.birkhoff_rate(np.stack([cone.projective_diameter(M) for M in (A, B)]))
    exact = float(cone.projective_diameter(A @ B))
    assert float(cone.product_diameter_upper(rates)) == pytest.approx(exact, abs=1e-12)


@given(st.data())
def test_sampled_contraction_never_beats_tau(data):
    m, n = data.draw(strategies.shapes(2, 5))
    A = data.draw(strategies.positive((m, n)))
    x, y = data.draw(strategies.positive(n)), data.draw(strategies.positive(n))
    before, after = float(cone.hilbert_distance(x, y)), float(cone.hilbert_distance(A @ x, A @ y))
    assert after <= math.exp(-float(sound_rate(A))) * before + 1e-13


# ---------------------------------------------------------------- angles


@given(st.lists(st.integers(1, 60), min_size=2, max_size=5), st.data())
def test_sech_lemma(x, data):
    """Property 3, zero slack: cos^2 is rational, and so is 1 / cosh(d / 2)^2 = 4 R / (1 + R)^2, R = e^d."""
    y = data.draw(st.lists(st.integers(1, 60), min_size=len(x), max_size=len(x)))
    ratios = [Fraction(a, b) for a, b in zip(x, y, strict=True)]
    R = max(ratios) / min(ratios)
    assert exact_cosine2(x, y) >= 4 * R / (1 + R) ** 2
    columns = np.asarray([x, y], dtype=float).T
    d = enclosure.diameter_upper(cone.projective_diameter(columns), 0.0, enclosure.largest_log(columns))
    lower, upper = cone.cosine_lower_from_diameter(d), cone.deficit_upper_from_diameter(d)
    assert Fraction(float(lower)) ** 2 <= 4 * R / (1 + R) ** 2
    assert float(lower) == pytest.approx(math.sqrt(4 * R / (1 + R) ** 2), rel=1e-12)
    assert (1 - Fraction(float(upper))) ** 2 <= 4 * R / (1 + R) ** 2
    assert float(upper) == pytest.approx(1 - float(lower), abs=1e-12)


@given(st.integers(1, 30))
def test_sech_lemma_is_attained(root):
    """Ratios 1 and R = root^2 with weights y^2 of which R parts are on the first."""
    x, y = [root, root**2], [root, 1]  # x / y = 1 and R; y^2 in the ratio R : 1
    R = Fraction(root) ** 2
    assert exact_cosine2(x, y) == 4 * R / (1 + R) ** 2


@given(st.data())
def test_half_angle_theorem(data):
    """Property 4, zero slack, on exact products of up to four matrices and any nonnegative starts."""
    sizes = data.draw(st.lists(st.integers(1, 4), min_size=2, max_size=5))
    factors = [data.draw(strategies.positive(shape)) for shape in itertools.pairwise(sizes)]
    rates = np.stack([sound_rate(A) for A in factors])
    x, y = (data.draw(strategies.whole((sizes[-1], 1)).filter(np.any)) for _ in range(2))
    images = [strategies.exact_product(*map(strategies.exact, [*factors, v])) for v in (x, y)]
    cos2 = exact_cosine2(*([row[0] for row in image] for image in images))
    lower, upper = cone.cosine_lower_from_rates(rates), cone.deficit_upper_from_rates(rates)
    assert Fraction(float(lower)) ** 2 <= cos2
    assert (1 - Fraction(min(1.0, float(upper)))) ** 2 <= cos2


def test_half_angle_conversions_agree():
    rates = np.asarray([[0.1, 0.4], [0.0, 0.0], [5.0, 3.0], [20.0, 18.0], [math.inf, 0.0]])
    T = np.exp(-rates.sum(axis=1))
    np.testing.assert_allclose(cone.cosine_lower_from_rates(rates), (1 - T**2) / (1 + T**2), atol=1e-14)
    np.testing.assert_allclose(cone.deficit_upper_from_rates(rates)[:4], 2 * T[:4] ** 2 / (1 + T[:4] ** 2))
    assert cone.deficit_upper_from_rates(rates)[4] < 1e-300
    deficits = np.asarray([1e-30, 1e-8, 0.3, 1.0])
    angles = cone.angle_of_deficit(deficits)
    np.testing.assert_allclose(cone.deficit_of_angle(angles), deficits, rtol=1e-14)
    tangent = cone.half_tangent_of_deficit(deficits)
    np.testing.assert_allclose(tangent, np.tan(angles / 2), rtol=1e-14)
    np.testing.assert_allclose(cone.deficit_of_half_tangent(tangent), deficits, rtol=1e-14)


def test_tiny_diameters_keep_their_digits():
    for d in (1e-3, 1e-8, 1e-14):
        expected = d * d / 8  # 1 - sech(d / 2) up to d^4
        assert float(cone.deficit_upper_from_diameter(np.asarray(d))) == pytest.approx(expected, rel=1e-6)


# ---------------------------------------------------------------- contraction


@given(strategies.positive(strategies.shapes(2, 5)), st.data())
def test_contraction_holds_with_zero_slack(A, data):
    """exp d(A x, A y) in rationals, from the exact exp d(x, y) and exp Delta(A)."""
    A = strategies.exact(A)
    n = len(A[0])
    x, y = (data.draw(st.lists(st.integers(1, 60), min_size=n, max_size=n)) for _ in range(2))
    x, y = ([Fraction(v) for v in z] for z in (x, y))
    images = [[sum(a * b for a, b in zip(row, z, strict=True)) for row in A] for z in (x, y)]
    after = exact_ratio([list(row) for row in zip(*images, strict=True)])
    ends = [exact_ratio(A), exact_ratio([list(row) for row in zip(x, y, strict=True)])]
    upper = float(cone.contracted_diameter_upper(*(round_log(end) for end in ends)))
    with mpmath.workdps(60):
        assert mpmath.log(mpmath.mpf(after.numerator) / after.denominator) <= mpmath.mpf(upper)


def round_log(ratio):
    """log of a rational, rounded up."""
    with mpmath.workdps(60):
        return float(mpmath.log(mpmath.mpf(ratio.numerator) / ratio.denominator)) * (1 + 2.0**-52)


@given(st.floats(0, 2000), st.floats(0, 2000))
def test_contraction_is_the_formula_rounded_up(diameter, distance):
    upper = cone.contracted_diameter_upper(diameter, distance)
    with mpmath.workdps(900):
        exact = 4 * mpmath.atanh(
            mpmath.tanh(mpmath.mpf(diameter) / 4) * mpmath.tanh(mpmath.mpf(distance) / 4)
        )
        assert exact <= mpmath.mpf(float(upper))
    assert upper <= min(diameter, distance)
    if min(diameter, distance) < 1400:  # else the rates are subnormal, and the smaller end is what is left
        off = 1e-13 + 4e-15 * float(-mpmath.log(exact / 4))  # rounding of the rates, which are logarithms
        assert float(upper) == pytest.approx(float(exact), rel=off, abs=1e-300)


def test_subnormal_rates_are_rounded_down():
    for diameter in np.arange(1400.0, 1500.0, 0.5):
        upper = cone.product_diameter_upper(np.asarray([float(cone.birkhoff_rate(diameter)), 0.0]))
        assert upper >= diameter


def test_contraction_at_the_ends():
    far = np.asarray([0.0, 3.0, math.inf, 2.0])
    found = cone.contracted_diameter_upper(far, np.asarray([5.0, math.inf, math.inf, 2.0]))
    np.testing.assert_allclose(found, [0, 3, math.inf, 4 * math.atanh(math.tanh(0.5) ** 2)], rtol=1e-14)
    assert float(cone.deficit_upper_from_diameter(found[3])) == pytest.approx(0.0872, abs=1e-4)
    assert float(cone.deficit_upper_from_diameter(2.0)) == pytest.approx(0.352, abs=1e-3)
    with pytest.raises(InputError):
        cone.contracted_diameter_upper(-1.0, 1.0)


# ---------------------------------------------------------------- generators


@given(strategies.whole(strategies.shapes(1, 5)))
def test_worst_pair_is_the_smallest_cosine(A):
    found = worstpair.worst_pair_cosine(A)
    columns = list(zip(*strategies.exact(A), strict=True))
    live = [k for k, column in enumerate(columns) if any(column)]
    if not live:
        assert math.isnan(found.cosine)
        assert (found.first, found.second) == (-1, -1)
        return
    if len(live) == 1:
        assert (found.deficit, found.first, found.second) == (0, live[0], live[0])
        return
    smallest = min(exact_cosine2(columns[k], columns[m]) for k, m in itertools.combinations(live, 2))
    assert float(found.cosine) == pytest.approx(math.sqrt(smallest), abs=1e-14)
    k, m = int(found.first), int(found.second)
    assert k < m
    assert float(found.cosine) ** 2 == pytest.approx(float(exact_cosine2(columns[k], columns[m])), abs=1e-14)


@given(strategies.allowable(strategies.shapes(2, 5)), st.data())
def test_no_nonnegative_pair_is_worse(A, data):
    """Property 5, in rationals."""
    columns = list(zip(*strategies.exact(A), strict=True))
    worst = min(exact_cosine2(c, d) for c in columns for d in columns)
    starts = [data.draw(strategies.whole((A.shape[1], 1)).filter(np.any)) for _ in range(2)]
    images = [strategies.exact_product(strategies.exact(A), strategies.exact(x)) for x in starts]
    assert exact_cosine2(*([row[0] for row in image] for image in images)) >= worst


@pytest.mark.parametrize("spread", [1e-3, 1e-7, 1e-12])
def test_worst_pair_of_nearly_equal_columns(spread, monkeypatch):
    rng = np.random.default_rng(0)
    A = rng.uniform(1, 2, (20, 1)) * (1 + spread * rng.uniform(-1, 1, (20, 30))) * rng.uniform(1, 9, 30)
    from conetheory.theory.cosine import pairwise_deficits

    expected = pairwise_deficits(A.T).max()
    assert worstpair.worst_pair_cosine(A).deficit == pytest.approx(expected, rel=1e-3)
    monkeypatch.setattr(worstpair, "TILE", 64)
    assert worstpair.worst_pair_cosine(A).deficit == pytest.approx(expected, rel=1e-3)


@given(st.integers(17, 60), st.integers(2, 30), st.integers(-4, 0), st.integers(0, 2**32 - 1))
def test_what_is_left_out_unseen_is_in_no_worst_pair(count, rows, exponent, seed):
    """Some far, many near, some dead: all pairs against those that the triangle inequality leaves."""
    rng = np.random.default_rng(seed)
    far = 10.0 ** (exponent * rng.random(count))
    A = np.exp(rng.normal(size=(rows, 1)) + far * rng.normal(size=(rows, count))) * rng.uniform(1, 9, count)
    A[:, rng.random(count) < 0.1] = 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(farthest, "MANY", 1000)
        pair, diameters = (
            worstpair.worst_pair_cosine(A),
            (cone.projective_diameter(A), cone.projective_diameter(A.T)),
        )
    for form in (A, torch.from_numpy(A)):
        found = worstpair.worst_pair_cosine(form)
        assert float(found.deficit) == pytest.approx(float(pair.deficit), nan_ok=True, rel=1e-6)
        assert float(cone.projective_diameter(form)) == pytest.approx(
            float(diameters[0]), nan_ok=True, rel=1e-14
        )
        transposed = float(cone.projective_diameter(form.T))
        assert transposed == pytest.approx(float(diameters[1]), nan_ok=True, rel=1e-14)
