"""Mean field: random layers move five numbers per pair, and ReLU'd ones an angle

**Statement.** Let M be N x n with independent rows, entries of mean m and variance v, uncorrelated within a
row.

(a) For fixed x, y: E S' = N m S, E <x', y'> = N (m^2 S_x S_y + v <x, y>), Cov(S_x', S_y') = N v <x, y>,
with S the entry sum and ' the image. So the moments of (S_x, S_y, |x|^2, |y|^2, <x, y>) after a layer
depend on the five numbers before it only.

(b) If the entries are Gaussian, the law of the five numbers is a Markov chain. In the orthonormal frame
(ones/sqrt N, then Gram-Schmidt), the images of x, y are: first components sqrt(N n) m e + sqrt(v) z U, the
others sqrt(v) B U, where U is the triangular Gram factor of (x, y), e = S/sqrt n, z is standard normal and
B = ((b11, b12), (0, b22)) has independent entries b11 ~ chi_(N-1), b12 ~ N(0, 1), b22 ~ chi_(N-2). Without
Gaussian entries it holds in the limit of wide inputs, by the central limit theorem along each row.

(c) With v = p u + d, d orthogonal to the unit vector u, all of it is carried by (E, A, w, C, p), u = (E, A,
0), d = (-A w, E w, C); for a new u = (E, A, 0), d = (F, B, C) the update is w = (E B - A F)/|u|^2, p += (E
F + A B)/|u|^2.

(d) Noise-free: T = (|x|/mean part)^2 - 1 obeys T' = (1 - 1/N) rho (1 + T) with rho = kappa/n, kappa =
v/m^2.

(e) For the layer relu(M x) with m = 0, Gaussian entries and many rows, the cosine c = cos t becomes k(c) =
(sin t + (pi - t) cos t)/pi. It rises, k(1) = 1, k'(c) = 1 - t/pi, so it has no other fixed point in [-1,
1]; eps = 1 - c obeys eps' = eps - (2 sqrt 2/(3 pi)) eps^(3/2) + O(eps^(5/2)), hence eps_l ~ 9 pi^2/(2 l^2):
polynomial.

**Argument.** (a) (Mx)_i = sum_k M_ik x_k; take expectations, rows being independent.

(b) Let Q be orthogonal N x N with first row ones/sqrt N. The images are m S 1 + sqrt(v) G (x, y) with G
Gaussian; G (x, y) = H U with H an N x 2 standard Gaussian matrix, since (x, y) = O U with orthonormal
columns O and G O is Gaussian. Q H is standard Gaussian again: its first row is z, the other N - 1 rows are
independent of it and have the QR factor B by Bartlett's decomposition. The orthogonal factor does not
change S or inner products, and can be dropped: what follows depends on the five numbers only, by induction.

(c) Gram-Schmidt; (-A, E, 0)/|u| and (0, 0, 1) span the complement of u in the frame, and w, a determinant,
is the first coordinate there (over |u|).

(d) Put z = b12 = 0, b11^2 = N - 1 in (b).

(e) In polar coordinates of the plane of the two Gaussian fields, E relu(g) relu(h) = (1/2 pi) int r^3
exp(-r^2/2) dr int cos(f) cos(f - t) df over the arc where both are positive, of length pi - t; divide by E
relu(g)^2 = 1/2 and use the law of large numbers over rows. k' = 1 - t/pi > 0 gives monotonicity; k(c) - c =
(sin t - t cos t)/pi > 0 for t in (0, pi]. The last bracket is t^3/3 + O(t^5) with eps = t^2/2 + O(t^4);
then 1/sqrt(eps) grows by sqrt 2/(3 pi) per layer.

Forward ReLU masks that do not depend on the backward signal keep a fraction of rows, and so leave (e) as it
is.

Sources: (e) Cho and Saul 2009, eq. (6); Bartlett 1933 for B; the rest new here.
"""

from __future__ import annotations

from fractions import Fraction
from itertools import product

import numpy as np
import pytest
import sympy as sp

from conetheory.theory import meanfield
from conetheory.theory.bundle import Bundle, frame_coordinates, reduced_layer
from conetheory.theory.randomlayers import RandomLayer, arc_cosine_deficit, rate


def dot(x: list, y: list) -> Fraction:
    return sum((a * b for a, b in zip(x, y, strict=True)), Fraction(0))


def test_moments_by_enumerating_every_matrix() -> None:
    """(a), exactly: all 3^(2*3) matrices with entries from a skewed three-point law."""
    values, N = (
        [(Fraction(-1), Fraction(1, 2)), (Fraction(2), Fraction(1, 3)), (Fraction(5), Fraction(1, 6))],
        2,
    )
    m = sum(p * x for x, p in values)
    v = sum(p * (x - m) ** 2 for x, p in values)
    x, y = [Fraction(1), Fraction(-2), Fraction(4)], [Fraction(3), Fraction(1), Fraction(1, 2)]
    mean_x, inner, sums = Fraction(0), Fraction(0), Fraction(0)
    for entries in product(values, repeat=6):
        chance = Fraction(1)
        for _, p in entries:
            chance *= p
        rows = [[e for e, _ in entries[:3]], [e for e, _ in entries[3:]]]
        image_x, image_y = [dot(row, x) for row in rows], [dot(row, y) for row in rows]
        mean_x += chance * sum(image_x)
        inner += chance * dot(image_x, image_y)
        sums += chance * sum(image_x) * sum(image_y)
    assert mean_x == N * m * sum(x)
    assert inner == N * (m**2 * sum(x) * sum(y) + v * dot(x, y))
    assert sums - N**2 * m**2 * sum(x) * sum(y) == N * v * dot(x, y)


def test_bartlett_factor_has_the_wishart_moments() -> None:
    """B^T B against H^T H with nu rows: all moments of second order, chi-square and Isserlis."""
    nu = sp.symbols("nu", positive=True)

    def chi2(power: int, dof: sp.Expr) -> sp.Expr:
        return sp.prod([dof + 2 * i for i in range(power)])

    s, t, z = sp.symbols("s t z")  # s = b11^2, t = b22^2, z = b12

    def expect(f: sp.Expr) -> sp.Expr:
        total = 0
        for (i, j, k), coefficient in sp.Poly(sp.expand(f), s, t, z).terms():
            normal = 0 if k % 2 else sp.factorial2(k - 1) if k else 1
            total += coefficient * chi2(i, nu) * chi2(j, nu - 1) * normal
        return sp.expand(total)

    w11, w22, w12_squared = s, z**2 + t, s * z**2
    assert expect(w11) == nu
    assert expect(w22) == nu
    assert expect(w22**2) == sp.expand(nu**2 + 2 * nu)
    assert expect(w11 * w22) == sp.expand(nu**2)
    assert expect(w12_squared) == nu
    assert expect(w12_squared * w11) == sp.expand(nu**2 + 2 * nu)
    assert expect(w12_squared * w22) == sp.expand(nu**2 + 2 * nu)
    assert expect(w12_squared**2) == sp.expand(3 * nu**2 + 6 * nu)


def test_the_split_is_gram_schmidt() -> None:
    """(c): images by explicit coordinates; the five numbers agree symbolically."""
    E, A, F, B, C, p = sp.symbols("E A F B C p", real=True)
    u, d = sp.Matrix([E, A, 0]), sp.Matrix([F, B, C])
    size = E**2 + A**2
    w, q = (E * B - A * F) / size, (E * F + A * B) / size
    rest = sp.Matrix([-A * w, E * w, C])
    assert sp.simplify(q * u + rest - d) == sp.zeros(3, 1)
    assert sp.simplify(u.dot(rest)) == 0
    v = p * u + d
    assert sp.simplify((p + q) * u + rest - v) == sp.zeros(3, 1)
    wedge = sp.expand(u.dot(u) * v.dot(v) - u.dot(v) ** 2)
    assert sp.simplify(wedge - size * (size * w**2 + C**2)) == 0


def test_a_layer_equals_its_explicit_matrix() -> None:
    """(b) and (c) in code: `apply_layer` against explicit images in the frame, all five numbers."""
    rng = np.random.default_rng(5)
    layer, n, N = RandomLayer("any", 0.3, 2.0), 7, 5
    u, v = rng.standard_normal((2, n))
    pair, noise = meanfield.pair_of(u, v), meanfield.sampled_noise(N, (), rng)
    moved = meanfield.apply_layer(pair, layer, N, noise)
    frame_u = np.array([pair.E, pair.A, 0.0])
    frame_d = np.array([-pair.A * pair.w, pair.E * pair.w, pair.C])
    U = np.diag([1.0, np.linalg.norm(frame_d)])
    first = (
        np.sqrt(N * n) * 0.3 * np.array([frame_u[0], frame_d[0]])
        + np.sqrt(2) * np.array([noise.z1, noise.z2]) @ U
    )
    others = np.sqrt(2) * np.array([[noise.b11, noise.b12], [0, noise.b22]]) @ U
    image_u, image_d = np.vstack([first, others]).T
    image_v = pair.p * image_u + image_d
    scale = image_u @ image_u
    S_u, S_v = np.sqrt(N) * image_u[0], np.sqrt(N) * image_v[0]
    expected = [S_u / scale**0.5, S_v / scale**0.5, 1.0, image_v @ image_v / scale, image_u @ image_v / scale]
    assert np.allclose(moved.five_numbers, expected, rtol=1e-12)


def test_the_reduced_chain_has_the_law_of_the_full_one() -> None:
    """(b) for three vectors: mean Gram matrix and sums of 4000 reduced draws, within five standard errors."""
    rng = np.random.default_rng(11)
    layer, n, N, draws = RandomLayer("any", 0.5, 1.5), 6, 9, 4000
    X = rng.standard_normal((n, 3))
    coordinates = frame_coordinates(X)
    assert np.allclose(coordinates.T @ coordinates, X.T @ X)
    images = [reduced_layer(layer, n, N, len(coordinates), rng) @ coordinates for _ in range(draws)]
    grams = np.stack([Y.T @ Y for Y in images])
    S = X.sum(0)
    expected = N * (0.5**2 * np.outer(S, S) + 1.5 * X.T @ X)
    assert np.all(np.abs(grams.mean(0) - expected) < 5 * grams.std(0) / np.sqrt(draws))
    sums = np.stack([np.sqrt(N) * Y[0] for Y in images])
    assert np.all(np.abs(sums.mean(0) - N * 0.5 * S) < 5 * sums.std(0) / np.sqrt(draws))
    assert Bundle(X).deficits() == pytest.approx(Bundle(coordinates).deficits(), rel=1e-12, abs=0)


def test_noise_free_spread() -> None:
    """(d) with one degree of freedom for the ones direction."""
    rng = np.random.default_rng(2)
    layer, n, N = RandomLayer("any", -0.7, 3.0), 50, 20
    pair = meanfield.pair_of(rng.standard_normal(n), rng.standard_normal(n))
    moved = meanfield.apply_layer(pair, layer, N)
    assert moved.spread == pytest.approx((1 - 1 / N) * rate(layer, n) * (1 + pair.spread), rel=1e-12, abs=0)


@pytest.mark.slow
def test_arc_cosine_by_integration() -> None:
    """(e): the Gaussian integral in polar coordinates, its slope, and the expansion at 1."""
    t, f, r = sp.symbols("t f r", positive=True)
    radial = sp.integrate(r**3 * sp.exp(-(r**2) / 2), (r, 0, sp.oo))
    angular = sp.integrate(sp.expand_trig(sp.cos(f) * sp.cos(f - t)), (f, t - sp.pi / 2, sp.pi / 2))
    kernel = radial * angular / (2 * sp.pi) / sp.Rational(1, 2)
    closed = (sp.sin(t) + (sp.pi - t) * sp.cos(t)) / sp.pi
    assert sp.simplify(kernel - closed) == 0
    assert sp.simplify(sp.diff(closed, t) / sp.diff(sp.cos(t), t) - (1 - t / sp.pi)) == 0
    assert sp.simplify(sp.diff(sp.sin(t) - t * sp.cos(t), t) - t * sp.sin(t)) == 0  # so k(c) > c on (0, pi)
    eps = sp.symbols("epsilon", positive=True)
    loss = sp.series((sp.sin(t) - t * sp.cos(t)) / sp.pi, t, 0, 6).removeO()
    as_eps = sp.series(loss.subs(t, sp.acos(1 - eps)), eps, 0, 2).removeO()
    assert (
        sp.simplify(sp.limit(as_eps / eps ** sp.Rational(3, 2), eps, 0) - 2 * sp.sqrt(2) / (3 * sp.pi)) == 0
    )


@pytest.mark.slow
def test_arc_cosine_iterates_are_polynomial() -> None:
    level, x = 0, np.asarray(1.0)
    published = {1: 0.682, 2: 0.506, 4: 0.319, 8: 0.166, 16: 0.0705, 32: 0.0253}
    for level in range(1, 20_001):
        x = arc_cosine_deficit(x)
        if level in published:
            assert float(x) == pytest.approx(published[level], rel=5e-3, abs=0)
    assert float(x) * 2 * level**2 / (9 * np.pi**2) == pytest.approx(1, rel=5e-3, abs=0)
