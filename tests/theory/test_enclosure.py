"""Bounds with zero slack against exact rationals and python-flint's balls."""

import itertools
import math
from fractions import Fraction

import flint
import mpmath
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from conetheory.errors import InputError
from conetheory.theory import cone, cosine, enclosure, ergodicity
from tests import strategies


def exact_z_plus(W, a):
    """diag(a) W^T diag(1 / (W a)) in rationals, from whole-number weights (outputs, inputs)."""
    W, a = [[Fraction(int(w)) for w in row] for row in W], [Fraction(int(x)) for x in a]
    sums = [sum(w * x for w, x in zip(row, a, strict=True)) for row in W]
    return [[a[i] * W[o][i] / sums[o] for o in range(len(W))] for i in range(len(a))]


def float_z_plus(W, a, dtype):
    W, a = W.astype(dtype), a.astype(dtype)
    return a[:, None] * W.T / (W @ a)


@st.composite
def chains(draw, low=1):
    """Weights and activations of a z+ chain of three layers, whole numbers."""
    sizes = draw(st.lists(st.integers(1, 5), min_size=4, max_size=4))
    layers = []
    for inputs, outputs in itertools.pairwise(sizes):
        W = draw(strategies.whole((outputs, inputs), low, 99))
        a = draw(strategies.whole((inputs,), 1, 99))
        layers.append((W, a))
    return layers


def product_both_ways(layers, dtype=np.float64):
    floats = [float_z_plus(W, a, dtype) for W, a in layers]
    exact = strategies.exact_product(*(exact_z_plus(W, a) for W, a in layers))
    product = floats[0]
    for Z in floats[1:]:
        product = product @ Z
    fans = [(W.shape[1], W.shape[0]) for W, _ in layers]
    return product.astype(np.float64), exact, fans


@given(chains(), st.sampled_from([np.float64, np.float32]))
def test_the_a_priori_factor_of_a_chain(layers, dtype):
    product, exact, fans = product_both_ways(layers, dtype)
    g = Fraction(enclosure.subtraction_free_factor(fans, np.finfo(dtype).eps / 2))
    for row, exact_row in zip(product, exact, strict=True):
        for value, entry in zip(row, exact_row, strict=True):
            assert abs(Fraction(float(value)) - entry) <= g * entry


@given(chains())
def test_diameter_upper_is_sound(layers):
    product, exact, fans = product_both_ways(layers)
    g = enclosure.subtraction_free_factor(fans)
    upper = enclosure.diameter_upper(cone.projective_diameter(product), g, enclosure.largest_log(product))
    flint.ctx.prec = 200
    ratios = [[x / y for x, y in zip(r, s, strict=True)] for r in exact for s in exact]
    largest = max(max(r) / min(r) for r in ratios)
    ball = (flint.arb(largest.numerator) / flint.arb(largest.denominator)).log()
    # The whole ball lies at or below the bound, unless the diameter is zero.
    assert largest == 1 or ball <= flint.arb(float(upper))
    assert float(upper) <= float(ball) + 1e-11


@given(st.integers(2, 10**9))
def test_diameter_upper_is_sharp(part):
    """fl(P) all ones, P of entries 1 / (1 - g) and 1 / (1 + g): Delta = 2 log((1 + g) / (1 - g))."""
    g = 1 / part
    flint.ctx.prec = 200
    exact = 2 * ((1 + flint.arb(g)) / (1 - flint.arb(g))).log()
    upper = flint.arb(float(enclosure.diameter_upper(0.0, g, 0.0)))
    assert exact <= upper
    assert upper <= exact * flint.arb(1 + 2.0**-40)


@given(chains(low=0).filter(lambda layers: all((W @ a > 0).all() for W, a in layers)))
def test_column_bounds_are_sound(layers):
    product, exact, fans = product_both_ways(layers)
    g = enclosure.subtraction_free_factor(fans)
    columns = [list(c) for c in zip(*exact, strict=True)]
    rows = product.shape[0]
    unit = product / np.sqrt((product**2).sum(axis=0))
    for k in range(len(columns)):
        for m in range(k):
            dot = sum(a * b for a, b in zip(columns[k], columns[m], strict=True))
            cos2 = dot**2 / (sum(a * a for a in columns[k]) * sum(b * b for b in columns[m]))
            exactly_taken = cosine.deficit(product[:, k], product[:, m]) * (1 + 1e-13)
            by_chord = ((unit[:, k] - unit[:, m]) ** 2).sum() / 2
            for deficit, terms in ((exactly_taken, 0), (by_chord, rows)):
                upper = enclosure.deficit_inflated_upper(deficit, g, terms)
                assert (1 - Fraction(min(1.0, float(upper)))) ** 2 <= cos2
            norms = np.linalg.norm(product[:, k]) * np.linalg.norm(product[:, m])
            lower = enclosure.cosine_inflated_lower(product[:, k] @ product[:, m] / norms, g, rows)
            assert Fraction(float(lower)) ** 2 <= cos2
            assert float(lower) >= math.sqrt(cos2) * (1 - 1e-12)


@given(st.integers(2, 2000))
def test_a_column_turns_by_at_most_arcsin_g(part):
    """Sharp: cos^2 = 1 - g^2 at weights 1 - g, 1 + g on entries that go up and down by g."""
    g = Fraction(1, part)
    mean = ((1 - g) * (1 + g) + (1 + g) * (1 - g)) / 2
    square = ((1 - g) * (1 + g) ** 2 + (1 + g) * (1 - g) ** 2) / 2
    assert mean**2 / square == 1 - g**2
    upper = Fraction(float(enclosure.deficit_inflated_upper(0.0, 1 / part)))
    assert 2 * Fraction(1 / part) ** 2 <= upper <= 2 * g**2 * (1 + Fraction(1, 10**9))


@given(chains(low=0).filter(lambda layers: all((W @ a > 0).all() for W, a in layers)))
def test_tau_1_upper_is_sound(layers):
    product, exact, fans = product_both_ways(layers)
    g = enclosure.subtraction_free_factor(fans)
    columns = list(zip(*exact, strict=True))
    tau = max(sum(abs(a - b) for a, b in zip(c, d, strict=True)) / 2 for c in columns for d in columns)
    upper = enclosure.tau_1_upper(ergodicity.tau_1(product), g, product.shape[0])
    assert Fraction(float(upper)) >= tau
    assert float(upper) <= float(tau) + 1e-12


@given(strategies.whole((2, 3), -9, 9).filter(np.any))
def test_stable_rank_excess_upper_against_exact_singular_values(P):
    """For two rows: the eigenvalues of the Gram matrix are the roots of a quadratic, enclosed in balls."""
    flint.ctx.prec = 300
    (a, b), (_, c) = [
        [sum(x * y for x, y in zip(r, s, strict=True)) for s in strategies.exact(P)]
        for r in strategies.exact(P)
    ]
    trace, determinant = flint.arb(int(a + c)), flint.arb(int(a * c - b * b))
    top = (trace + (trace * trace - 4 * determinant).sqrt()) / 2 if a * c != b * b else trace
    if int((a - c) ** 2 + 4 * b * b) == 0:
        top = flint.arb(int(a))
    S = determinant / top**2
    upper = float(enclosure.stable_rank_excess_upper(P, 0.0))
    assert flint.arb(upper) >= S or a * c == b * b
    assert upper <= float(S) * (1 + 1e-9) + 1e-24


@given(chains(), st.sampled_from([np.float64, np.float32]))
@settings(max_examples=40)
def test_stable_rank_excess_upper_covers_the_rounding_of_the_chain(layers, dtype):
    product, exact, fans = product_both_ways(layers, dtype)
    g = enclosure.subtraction_free_factor(fans, np.finfo(dtype).eps / 2)
    with mpmath.workdps(60):
        P = mpmath.matrix([[mpmath.mpf(e.numerator) / e.denominator for e in row] for row in exact])
        s = list(mpmath.svd_r(P, compute_uv=False))
        S = mpmath.fsum((x / s[0]) ** 2 for x in s[1:])
    assert mpmath.mpf(float(enclosure.stable_rank_excess_upper(product, g))) >= S
    if dtype == np.float64 and S > 1e-12:
        assert enclosure.stable_rank_excess_upper(product, g) == pytest.approx(float(S), rel=1e-5)


def test_stable_rank_excess_upper_is_inf_where_nothing_is_known():
    assert math.isinf(enclosure.stable_rank_excess_upper(np.eye(2), 0.9))
    assert np.isnan(enclosure.stable_rank_excess_upper(np.zeros((2, 2)), 1e-9))
    both = torch.tensor(np.random.default_rng(0).uniform(size=(3, 4, 5)))
    np.testing.assert_allclose(
        enclosure.stable_rank_excess_upper(both, 1e-9).numpy(),
        enclosure.stable_rank_excess_upper(both.numpy(), 1e-9),
        rtol=1e-9,
    )


@pytest.mark.parametrize("tail", [1.0, 0.9, 1e-1, 1e-4])
def test_powers_do_for_a_solver(tail, monkeypatch):
    """Where they settle, and where the leading values are so near that they don't."""
    rng = np.random.default_rng(0)
    U, V = (np.linalg.qr(rng.normal(size=(n, 40)))[0] for n in (40, 60))
    values = np.array([1, *(tail * np.linspace(1, 0.5, 39))])
    P = (U * values) @ V.T
    S = float((values[1:] ** 2).sum())
    found = float(enclosure.stable_rank_excess_upper(P, 0.0))
    assert S * (1 - 1e-12) <= found == pytest.approx(S, rel=1e-9)
    monkeypatch.setattr(enclosure, "_SOLVED", 1000)
    assert found == pytest.approx(float(enclosure.stable_rank_excess_upper(P, 0.0)), rel=1e-11)


# ---------------------------------------------------------------- rounding


@given(st.floats(-1e308, 1e308), st.integers(1, 5))
def test_rounding_steps_outward(x, ulps):
    up, down = enclosure.round_up(x, ulps), enclosure.round_down(x, ulps)
    assert down < x < up
    assert enclosure.round_up(np.asarray([x]), ulps)[0] == up
    assert enclosure.round_down(torch.tensor([x], dtype=torch.float64), ulps)[0] == down
    if ulps == 1:
        assert up == np.nextafter(x, math.inf)
        assert down == np.nextafter(x, -math.inf)


def test_rounding_keeps_infinities():
    for x in (math.inf, -math.inf):
        assert enclosure.round_up(x) == x == enclosure.round_down(x)
        assert enclosure.round_up(np.asarray([x]))[0] == x
        assert enclosure.round_down(torch.tensor([x]))[0] == x


@given(st.integers(0, 2**40), st.sampled_from([2.0**-53, 2.0**-24, 2.0**-11]))
def test_gamma_is_rounded_up(k, u):
    if k * Fraction(u) >= 1:
        with pytest.raises(InputError, match="k \\* u"):
            enclosure.gamma(k, u)
        return
    exact = k * Fraction(u) / (1 - k * Fraction(u))
    assert exact <= Fraction(enclosure.gamma(k, u)) <= exact * (1 + Fraction(1, 2**50))


def test_bad_factors_are_refused():
    for g in (-1e-9, 1.0, math.nan):
        with pytest.raises(InputError):
            enclosure.diameter_upper(1.0, g, 1.0)
        with pytest.raises(InputError):
            enclosure.tau_1_upper(0.5, g, 3)
        with pytest.raises(InputError):
            enclosure.stable_rank_excess_upper(np.eye(2), g)


@given(chains())
def test_wider_is_never_smaller(layers):
    product, _, fans = product_both_ways(layers)
    factors = [0.0, enclosure.subtraction_free_factor(fans), 1e-6, 1e-2]
    for bound in (
        lambda g: enclosure.diameter_upper(cone.projective_diameter(product), g, 3.0),
        lambda g: enclosure.deficit_inflated_upper(0.1, g),
        lambda g: enclosure.tau_1_upper(0.5, g, 4),
        lambda g: enclosure.stable_rank_excess_upper(product, g),
        lambda g: -enclosure.cosine_inflated_lower(0.9, g, 4),
    ):
        values = [float(bound(g)) for g in factors]
        assert values == sorted(values)
