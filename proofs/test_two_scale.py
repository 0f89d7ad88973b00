"""Two scales: one layer moves location weights by a Markov chain, and injects and carries deviations

**Statement.** Let M have blocks M_pq (channels out x channels in) between locations q and p, let c(q) be
vectors (the image of the all-ones start, at each location), and d_p = c'(p) = sum_q M_pq c(q). Write any
r(q) = s(q) c(q) + eta(q) with eta(q) orthogonal to c(q). Where d_p != 0, r' = M r is s'(p) d_p + eta'(p)
with eta'(p) orthogonal to d_p and

    s'(p) = sum_q t_pq s(q) + <d_p, (M eta)_p> / |d_p|^2,      t_pq = <d_p, M_pq c(q)> / |d_p|^2,      (1)
    eta'(p) = sum_q (s(q) - s_0(p)) M_pq c(q)  +  ((M eta)_p off the direction d_p),                   (2)

with s_0(p) = sum_q t_pq s(q).

(a) sum_q t_pq = 1. (b) If M >= 0 and c >= 0, then t >= 0: a Markov chain on locations; with eta = 0 the
spread max s - min s over live locations never grows. (c) The first term of eta', the injection, is
orthogonal to d_p and vanishes where s is constant on the q with M_pq c(q) != 0; so a pointwise layer and a
max pool without overlap inject nothing. (d) If deviations e_1, e_2, orthogonal to each other and to y_1, y_2,
are added to y_1, y_2 of deficit D, and k_i = |e_i| / |y_i|, the deficit becomes
1 - (1 - D) / sqrt((1 + k_1^2)(1 + k_2^2)). (e) With e = M eta, f = e - (<d, e>/|d|^2) d, i the injection, and
any g in the place of f (the closure's, of a random direction), at each location

    s' = s_0 + <d, e>/|d|^2,      |eta'|^2 = |i|^2 + |g|^2  +  2 <i, f>  +  (|f|^2 - |g|^2),

and |i|^2 + |f|^2 >= |eta'|^2 / 2: without the cross term the square of the amplitude is too small by at most
a factor of two, and too large without a bound.

**Source:** new here.

**Proof.** r'(p) = sum_q s(q) M_pq c(q) + (M eta)_p, and s'(p) = <d_p, r'(p)> / |d_p|^2 because eta'(p) has no
part along d_p; this is (1). Since d_p = sum_q M_pq c(q), s_0(p) d_p = sum_q s_0(p) M_pq c(q); subtracting
s'(p) d_p from r'(p) leaves (2), where what is taken off (M eta)_p is its projection on d_p. (a)
sum_q <d_p, M_pq c(q)> = <d_p, d_p>. (b) d_p and M_pq c(q) are nonnegative, so their product is; s' is then a
mean of s, between its least and its largest value. (c) <d_p, injection> = sum_q s(q) t_pq |d_p|^2 - s_0(p)
|d_p|^2 = 0; where s is constant on the q that count, s_0 is that constant by (a), and each term is zero. A
pointwise layer has one q for each p; so has, for each p, a max pool without overlap: the window that p lies
in. (d) <y_1 + e_1, y_2 + e_2> = <y_1, y_2> and |y_i + e_i|^2 = |y_i|^2 (1 + k_i^2). (e) is (1), and (2)
squared; |i + f|^2 <= 2 |i|^2 + 2 |f|^2. []

**What is no theorem.** The closure that predicts CSC from this: that the mean of eta over s, the second term
of (1), may be dropped, that the direction of eta may be drawn at random, with the coherence that neighbours
have, that injection and carried part are orthogonal, and that deviations of two vectors are independent. It
is an estimate; `test_the_closure_is_not_exact` shows a layer on which it fails.
"""

from fractions import Fraction

import numpy as np
import pytest
import sympy as sp

from conetheory.theory.twoscale import closure_errors, combined_deficit, location_chain

rng = np.random.default_rng(0)
OUT, CHANNELS_OUT, IN, CHANNELS_IN = 3, 2, 4, 3


def rational(shape, low, high):
    """An object array of fractions."""
    numbers = np.vectorize(lambda n, d: Fraction(int(n), int(d)), otypes=[object])
    return numbers(rng.integers(low, high, shape), rng.integers(1, 7, shape))


def layer(signed):
    """Blocks (p, channel, q, channel) with zeros in them, c >= 0, and s, eta with eta orthogonal to c."""
    M = rational((OUT, CHANNELS_OUT, IN, CHANNELS_IN), -4 if signed else 0, 6)
    c = rational((IN, CHANNELS_IN), 0, 5)
    c[:, 0] += 1
    r = rational((IN, CHANNELS_IN), -9, 10)
    s = (r * c).sum(1) / (c * c).sum(1)
    return M, c, s, r - s[:, None] * c


def terms(M, c):
    """M_pq c(q), their sum d_p, and t."""
    images = (M * c[None, None]).sum(3)  # p, channel, q
    d = images.sum(2)
    norm2 = (d * d).sum(1)
    live = norm2 > 0
    t = (images * d[:, :, None]).sum(1)[live] / norm2[live, None]
    return images[live], d[live], t, live


def apply(M, x):
    return (M * x[None, None]).sum((2, 3))


@pytest.mark.parametrize("signed", [False, True])
def test_the_decomposition_is_exact(signed):
    for _ in range(100):
        M, c, s, eta = layer(signed)
        images, d, t, live = terms(M, c)
        norm2 = (d * d).sum(1)
        below, carried = apply(M, s[:, None] * c + eta)[live], apply(M, eta)[live]
        along = (d * carried).sum(1) / norm2
        weight = (d * below).sum(1) / norm2
        assert (weight == t @ s + along).all()  # (1)
        s_0 = t @ s
        injection = (images * (s[None, None] - s_0[:, None, None])).sum(2)
        assert (below - weight[:, None] * d == injection + carried - along[:, None] * d).all()  # (2)
        assert (t.sum(1) == 1).all()  # (a)
        assert ((injection * d).sum(1) == 0).all()  # (c)
        if not signed:
            assert (t >= 0).all()  # (b)
            assert len(s_0) == 0 or max(s_0) - min(s_0) <= max(s) - min(s)
        constant = np.full(IN, Fraction(3, 7))
        assert ((images * (constant[None, None] - (t @ constant)[:, None, None])).sum(2) == 0).all()


def test_the_function_is_the_matrix_of_the_statement():
    for _ in range(50):
        M, c, _, _ = layer(signed=bool(rng.integers(2)))
        M[rng.integers(OUT)] *= int(rng.integers(2))  # a dead location at times
        _, _, t, live = terms(M, c)
        found = location_chain(M.astype(float), c.astype(float))
        assert not found[~live].any()
        np.testing.assert_allclose(found[live], t.astype(float), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("signed", [False, True])
def test_the_error_terms_of_the_closure(signed):
    """(e) in rationals, and the function against it."""
    for _ in range(50):
        M, c, s, eta = layer(signed)
        _, d, t, live = terms(M, c)
        norm2 = (d * d).sum(1)
        image, carried = apply(M, s[:, None] * c)[live], apply(M, eta)[live]
        stand_in = rational(carried.shape, -5, 6)
        below = apply(M, s[:, None] * c + eta)[live]
        weight = (below * d).sum(1) / norm2
        square = ((below - weight[:, None] * d) ** 2).sum(1) / norm2
        s_0, drift = t @ s, (carried * d).sum(1) / norm2
        injection, f = image - s_0[:, None] * d, carried - drift[:, None] * d
        g = stand_in - ((stand_in * d).sum(1) / norm2)[:, None] * d
        closure = ((injection**2).sum(1) + (g**2).sum(1)) / norm2
        cross, direction = 2 * (injection * f).sum(1) / norm2, ((f**2).sum(1) - (g**2).sum(1)) / norm2
        assert (weight == s_0 + drift).all()
        assert (square == closure + cross + direction).all()
        assert (square <= 2 * (closure + direction)).all()
        floats = (x.astype(float) for x in (image, carried, stand_in, d))
        found = closure_errors(*floats, axis=1)
        for mine, theirs in ((found.drift, drift), (found.cross, cross), (found.direction, direction)):
            np.testing.assert_allclose(mine[:, 0], theirs.astype(float), rtol=1e-9, atol=1e-9)


def test_pointwise_layers_inject_nothing():
    for _ in range(50):
        M, c, s, _ = layer(signed=False)
        M = M[[0, 1, 2, 0]]
        for p in range(IN):
            M[p, :, [q for q in range(IN) if q != (p + 1) % IN]] = Fraction(0)  # any one q for each p
        images, _, t, _ = terms(M, c)
        assert ((images * (s[None, None] - (t @ s)[:, None, None])).sum(2) == 0).all()


def test_orthogonal_deviations():
    D, a, b, m, n = sp.symbols("D a b m n", positive=True)
    C = 1 - D
    first = sp.Matrix([m, 0, a * m, 0])
    second = sp.Matrix([n * C, n * sp.sqrt(1 - C**2), 0, b * n])
    cosine = first.dot(second) / sp.sqrt(first.dot(first) * second.dot(second))
    claimed = (1 - D) / sp.sqrt((1 + a**2) * (1 + b**2))
    assert sp.simplify(cosine**2 - claimed**2) == 0  # and both have the sign of 1 - D
    values = {D: sp.Rational(1, 9), a: sp.Rational(3, 4), b: sp.Rational(5, 12)}
    exact = 1 - claimed.subs(values)
    assert exact == 1 - sp.Rational(8, 9) * sp.Rational(4, 5) * sp.Rational(12, 13)
    assert float(combined_deficit(np.float64(1 / 9), np.float64(0.75), np.float64(5 / 12))) == pytest.approx(
        float(exact), rel=1e-15
    )


def test_the_closure_is_not_exact():
    """Two channels with unequal weights move the mean of eta into s', which the closure drops."""
    M = np.array([[Fraction(1), Fraction(2)]]).reshape(1, 1, 1, 2)
    c, s, eta = (
        np.array([[Fraction(1)] * 2]),
        np.array([Fraction(5)]),
        np.array([[Fraction(1), Fraction(-1)]]),
    )
    _, d, t, _ = terms(M, c)
    below = apply(M, s[:, None] * c + eta)
    assert (t @ s == 5).all()
    assert below[0, 0] / d[0, 0] == 5 - Fraction(1, 3)
