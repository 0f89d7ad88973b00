"""Properties of functions whose other tests are examples: inverses, invariances, exact identities, ranges."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from conetheory.theory import (
    bundle,
    cone,
    cosine,
    gaussian_law,
    generators,
    meanfield,
    randomlayers,
    twoscale,
)
from tests import strategies

spectra = st.lists(st.floats(0.01, 1), min_size=2, max_size=5).map(lambda s: -np.sort(-np.asarray(s)))
levels, seeds = st.floats(0.02, 0.98), st.integers(0, 2**32 - 1)
layers = st.one_of(
    st.floats(1, 9).map(randomlayers.alpha_beta),
    st.floats(0.05, 1).map(randomlayers.pattern_weighted),
    st.sampled_from(
        [
            randomlayers.vanilla(),
            randomlayers.positive(),
            randomlayers.nonnegative(),
            randomlayers.column_stochastic(),
            randomlayers.row_stochastic(),
            randomlayers.positive_sums(),
        ]
    ),
)


def fields(*shape: int) -> st.SearchStrategy:
    return hnp.arrays(np.float64, shape, elements=st.integers(-9, 9).map(float))


# ---------------------------------------------------------------- angles


@given(st.floats(1e-12, 60))
def test_rates_and_diameters_are_inverse(x):
    assert float(cone.diameter_of_rate(cone.birkhoff_rate(np.asarray(x)))) == pytest.approx(x, rel=1e-12)
    tau = float(cone.birkhoff_tau(np.asarray(x)))
    assert tau == pytest.approx(math.exp(-float(cone.birkhoff_rate(np.asarray(x)))), rel=1e-13)


@given(st.floats(1e-280, 1.0))
def test_deficits_angles_and_half_tangents_are_one_thing(deficit):
    angle = float(cone.angle_of_deficit(deficit))
    tangent = float(cone.half_tangent_of_deficit(deficit))
    assert float(cone.deficit_of_angle(angle)) == pytest.approx(deficit, rel=1e-13)
    assert float(cone.deficit_of_half_tangent(tangent)) == pytest.approx(deficit, rel=1e-13)
    assert tangent == pytest.approx(math.tan(angle / 2), rel=1e-13)


@given(fields(3, 5).filter(lambda x: bool(x.any(axis=1).all())))
def test_pairwise_deficits_of_whole_numbers(x):
    """(1 - deficit)^2 is rational."""
    found = cosine.pairwise_deficits(x)
    for value, (i, j) in zip(found, ((0, 1), (0, 2), (1, 2)), strict=True):
        dot, own = int(x[i] @ x[j]), Fraction(int(x[i] @ x[i]) * int(x[j] @ x[j]))
        assert float(value) == pytest.approx(1 - math.sqrt(Fraction(dot**2) / own), abs=1e-15)
    assert np.allclose(cosine.pairwise_deficits(-3 * x), found, rtol=1e-13, atol=1e-30)


@given(st.integers(2, 600), levels, levels)
def test_the_baseline_rises_with_the_level_and_the_channels(channels, p, q):
    low, high = (cosine.random_baseline_deficit(channels, level) for level in sorted((p, q)))
    assert 0 < low <= high < 1
    assert cosine.random_baseline_deficit(channels + 1, p) > cosine.random_baseline_deficit(channels, p)


# ---------------------------------------------------------------- the mixture of Gaussian laws


@settings(max_examples=15)
@given(spectra, spectra, levels, st.floats(0, 1))
def test_a_mixture_lies_between_its_parts(one, other, q, share):
    rows = np.zeros((2, max(len(one), len(other))))
    rows[0, : len(one)], rows[1, : len(other)] = one, other
    alone = [float(gaussian_law.gaussian_deficit_quantile(s, q).value) for s in (one, other)]
    mixed = float(gaussian_law.mixture_deficit_quantile(rows, q, np.array([share, 1 - share])).value)
    assert min(alone) * 0.98 <= mixed <= max(alone) * 1.02
    same = gaussian_law.mixture_deficit_quantile(np.stack([7 * one, one]), q)
    assert float(same.value) == pytest.approx(alone[0], rel=0.02)


# ---------------------------------------------------------------- generators


def exact_worst(P) -> Fraction:
    """The smallest squared cosine of two live columns."""
    columns = [[Fraction(a) for a in c] for c in P.T.tolist() if any(c)]

    def dot(x, y):
        return sum(a * b for a, b in zip(x, y, strict=True))

    return min(dot(c, d) ** 2 / (dot(c, c) * dot(d, d)) for c in columns for d in columns)


@given(strategies.allowable(strategies.shapes(2, 6)), st.integers(1, 6))
def test_worst_deficit_upper_is_sound_however_few_columns_are_kept(P, keep):
    upper = generators.worst_deficit_upper(P, keep=keep)
    assert max(Fraction(0), 1 - Fraction(upper)) ** 2 <= exact_worst(P)
    assert upper <= generators.worst_deficit_upper(P, 1e-3, keep)


@given(strategies.positive(strategies.shapes(2, 6)), st.integers(1, 6))
def test_diameter_upper_is_sound_however_few_columns_are_kept(P, keep):
    ratios = [
        max(Fraction(a) / Fraction(b) for a, b in zip(x, y, strict=True))
        * max(Fraction(b) / Fraction(a) for a, b in zip(x, y, strict=True))
        for x in P.T.tolist()
        for y in P.T.tolist()
    ]
    upper = generators.diameter_upper(P, keep=keep)
    assert math.exp(upper) * (1 + 1e-15) >= max(ratios)


@given(st.data())
def test_radius_upper_holds_the_whole_cone(data):
    m, n = data.draw(strategies.shapes(2, 5))
    P, x = data.draw(strategies.positive((m, n))), data.draw(strategies.whole(n).filter(np.any))
    center = data.draw(strategies.positive(m))
    radius = generators.radius_upper(P, center)
    assert float(cone.hilbert_distance(P @ x, center)) <= radius + 1e-13


@given(st.data())
def test_composed_diameter_upper_holds_the_members(data):
    """Members sum_q A_q x_q with x_q in cones around w_q, of which only the radii are given."""
    count, m, n = data.draw(st.integers(1, 3)), data.draw(st.integers(2, 4)), data.draw(st.integers(1, 3))
    A = [data.draw(strategies.positive((m, n))) for _ in range(count)]
    K = [data.draw(strategies.positive((n, 3))) for _ in range(count)]
    w = [k.sum(axis=1) for k in K]
    radii = [generators.radius_upper(k, c) for k, c in zip(K, w, strict=True)]
    directions = np.stack([a @ c for a, c in zip(A, w, strict=True)], axis=1)
    upper = generators.composed_diameter_upper(directions, radii)
    y, z = (
        sum(a @ k @ data.draw(strategies.whole(3).filter(np.any)) for a, k in zip(A, K, strict=True))
        for _ in range(2)
    )
    assert float(cone.hilbert_distance(y, z)) <= upper + 1e-13


# ---------------------------------------------------------------- random layers


@given(layers, st.integers(2, 5000), st.integers(2, 5000))
def test_moments_and_rates_of_layers(layer, inputs, outputs):
    along, deviation, other = layer.moments(inputs, outputs)
    assert along >= 0
    assert deviation >= 0
    assert other > 0
    rate = randomlayers.rate(layer, inputs)
    if rate:
        assert rate == pytest.approx(layer.variance / layer.mean**2 / inputs)
        lost = {"rows": inputs / (inputs - 1), "columns": outputs / (outputs - 1)}.get(layer.sums, 1)
        assert (other / along) ** 2 * outputs == pytest.approx(lost * rate, rel=1e-9)


@given(st.floats(3, 1e5))
def test_the_rate_is_one_at_the_critical_alpha(inputs):
    alpha = randomlayers.critical_alpha(inputs)
    assert randomlayers.alpha_beta(alpha).kappa == pytest.approx(inputs, rel=1e-9)
    mirrored = randomlayers.alpha_beta(1 - alpha)  # alpha and -beta change places
    assert mirrored.variance == pytest.approx(randomlayers.alpha_beta(alpha).variance, rel=1e-12)


@given(st.floats(0.01, 1))
def test_patterns(correlation):
    assert randomlayers.pattern_weighted(correlation).kappa == pytest.approx(1 + correlation**-2, rel=1e-12)


@given(st.floats(0, 3), st.floats(0, 3), st.integers(1, 400), st.integers(1, 400))
def test_spiked_matrices(mean, deviation, rows, columns):
    found = randomlayers.spiked_singular_values(mean, deviation, rows, columns)
    assert found.sigma1 >= found.sigma2 * (1 - 1e-12)
    assert 0 <= found.alignment_left <= 1
    assert 0 <= found.alignment_right <= 1
    turned = randomlayers.spiked_singular_values(-mean, deviation, columns, rows)
    assert turned.sigma1 == pytest.approx(found.sigma1, rel=1e-12)
    assert turned.alignment_left == pytest.approx(found.alignment_right, abs=1e-12)
    assert found.outlier == (mean**2 * math.sqrt(rows * columns) > deviation**2)


@given(layers, seeds, st.lists(st.integers(3, 60), min_size=1, max_size=5))
def test_states_of_a_chain_are_possible(layer, seed, widths):
    """|u| = 1, Cauchy-Schwarz for the five numbers, deficits in [0, 1]; a common factor changes nothing."""
    rng = np.random.default_rng(seed)
    start = meanfield.gaussian_pairs(9, (4,), rng)
    states = list(meanfield.propagate(start, layer, widths, rng))
    assert len(states) == len(widths)
    for state in states:
        S_u, S_v, uu, vv, uv = state.five_numbers
        assert np.allclose(uu, 1, rtol=1e-9)
        assert (S_u**2 <= state.n * uu * (1 + 1e-9)).all()
        assert (S_v**2 <= state.n * vv * (1 + 1e-9)).all()
        assert (uv**2 <= uu * vv * (1 + 1e-9)).all()
        assert ((state.deficit >= 0) & (state.deficit <= 1)).all()
    u, v = rng.standard_normal((2, 9))
    noise = meanfield.sampled_noise(7, (), rng)
    one, other = (
        meanfield.apply_layer(meanfield.pair_of(*x), layer, 7, noise) for x in ((u, v), (3 * u, 3 * v))
    )
    assert float(one.deficit) == pytest.approx(float(other.deficit), rel=1e-9, abs=1e-15)


@given(seeds, st.integers(2, 8), st.integers(1, 6), st.integers(2, 30), layers)
def test_frames_and_reduced_layers(seed, n, k, outputs, layer):
    """The frame keeps sums and inner products; a reduced layer never has more rows than it needs."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, k))
    coordinates = bundle.frame_coordinates(X)
    np.testing.assert_allclose(coordinates.T @ coordinates, X.T @ X, atol=1e-12)
    np.testing.assert_allclose(math.sqrt(n) * coordinates[0], X.sum(axis=0), atol=1e-12)
    M = bundle.reduced_layer(layer, n, outputs, len(coordinates), rng)
    assert M.shape == (1 + min(outputs - 1, len(coordinates)), len(coordinates))
    assert np.isfinite(M).all()
    if k > 1:
        curve = bundle.reduced_deficits(layer, (n, outputs, outputs), X, rng)
        assert curve.shape == (3, k * (k - 1) // 2)
        expected = cosine.pairwise_deficits(X.T)
        np.testing.assert_allclose(np.sort(curve[0]), np.sort(expected), rtol=1e-7, atol=1e-12)
        assert ((curve >= -1e-12) & (curve <= 1 + 1e-12)).all()


# ---------------------------------------------------------------- two scales


@given(fields(4, 3), fields(4, 3), fields(4, 3), st.floats(0.01, 100))
def test_weights_amplitudes_and_surrogates(r, c, xi, a):
    """r = s c + eta with eta orthogonal to c and |eta| = a |c|; so has the surrogate, and zero where c is."""
    s, size = twoscale.location_weight(r, c, 1), twoscale.amplitude(r, c, 1)
    eta = np.where((c != 0).any(axis=1, keepdims=True), r - s * c, 0)
    length = np.linalg.norm(c, axis=1, keepdims=True)
    np.testing.assert_allclose(np.sum(eta * c, axis=1), 0, atol=1e-12 * 300)
    np.testing.assert_allclose(
        np.linalg.norm(eta, axis=1, keepdims=True), size * length, rtol=1e-9, atol=1e-9
    )
    made = twoscale.surrogate(c, np.full((4, 1), a), xi, 1)
    np.testing.assert_allclose(np.sum(made * c, axis=1), 0, atol=1e-9 * a * 300)
    off = np.linalg.norm(c * xi - twoscale.location_weight(c * xi, c, 1) * c, axis=1) > 1e-6
    np.testing.assert_allclose(np.linalg.norm(made, axis=1)[off], (a * length[:, 0])[off], rtol=1e-9)
    shifted = twoscale.location_weight(r + 2 * c, c, 1)
    np.testing.assert_allclose(shifted, np.where(length > 0, s + 2, 0), atol=1e-12)


@given(*[fields(4, 3)] * 4)
def test_closure_and_error_terms_are_the_exact_step(image, carried, stand_in, c):
    exact = twoscale.amplitude(image + carried, c, 1) ** 2
    closure = twoscale.amplitude(image, c, 1) ** 2 + twoscale.amplitude(stand_in, c, 1) ** 2
    errors = twoscale.closure_errors(image, carried, stand_in, c, 1)
    np.testing.assert_allclose(closure + errors.cross + errors.direction, exact, atol=1e-9)
    weight = twoscale.location_weight(image, c, 1) + errors.drift
    np.testing.assert_allclose(weight, twoscale.location_weight(image + carried, c, 1), atol=1e-12)


@given(st.floats(0, 1), st.floats(0, 10), st.floats(0, 10))
def test_deviations_never_bring_vectors_together(deficit, first, second):
    found = float(twoscale.combined_deficit(*(np.asarray(x) for x in (deficit, first, second))))
    assert deficit <= found <= 1
    swapped = float(twoscale.combined_deficit(*(np.asarray(x) for x in (deficit, second, first))))
    assert found == pytest.approx(swapped, rel=1e-12)
    exact = 1 - (1 - deficit) / math.sqrt((1 + first**2) * (1 + second**2))
    assert found == pytest.approx(exact, rel=1e-12, abs=1e-15)


@given(fields(3, 2, 4, 2), hnp.arrays(np.float64, (4, 2), elements=st.integers(0, 9).map(float)))
def test_rows_of_the_location_chain(blocks, c):
    t = twoscale.location_chain(np.abs(blocks), c)
    below = np.einsum("icqd,qd->ic", np.abs(blocks), c)
    live = below.any(axis=1)
    assert (t >= 0).all()
    np.testing.assert_allclose(t.sum(axis=1), live.astype(float), rtol=1e-12)


@given(st.integers(2, 300), st.floats(0.05, 4))
def test_mixing_grows_with_the_area(side, variance):
    layers_ = twoscale.mixing_layers_estimate(side, variance)
    assert twoscale.mixing_layers_estimate(2 * side, variance) == pytest.approx(4 * layers_, rel=1e-12)
    assert twoscale.mixing_layers_estimate(side, 2 * variance) == pytest.approx(layers_ / 2, rel=1e-12)
