"""A pair of relevance vectors under random layers with a ReLU or a threshold: what weight means add

**Statement.** Let (x, y) be standard Gaussians of correlation rho = 1 - eps, a = h + x, b = h + eta + y, and
psi_z(a) = a if x > z, else 0; z_a, z_b the cuts, t = mean + z the values at them, Q = P(x > z).

(a) E psi(a) = A = h Q + phi(z), E psi(a)^2 = B = (h^2 + 1) Q + (2 h + z) phi(z).

(b) G = E (psi(a) - psi(b))^2 / 2 is, with z the larger cut, [z_1, z] the interval between both and k the mean
of the one that passes there,

    G = (eta^2 Q(z) + int_(z_1)^z (k + x)^2 phi(x) dx) / 2 + int_0^eps J(1 - r) dr,
    J(rho) = P(x > z_a, y > z_b) + t_a phi(z_a) P(y > z_b | x = z_a) + t_b phi(z_b) P(x > z_a | y = z_b)
             + t_a t_b phi_2(z_a, z_b; rho).

For a ReLU z = -mean, t = 0, and J = P(a > 0, b > 0).

(c) If the entries of M are independent with mean m and variance v > 0, Gaussian, then for vectors u, w of
length one the rows of M u, M w over sqrt(v) are independent pairs (a, b) with h = m S_u/sqrt(v) and eta = m
(S_w - S_u)/sqrt(v), 1 - eps = <u, w>. For psi applied to rows without end, with the same cuts z_a, z_b for
all rows, cos(psi(M u), 1) tends to A/sqrt(B), and

    1 - cos(psi(M u), psi(M w))  to  (G - (sqrt(B_b) - sqrt(B_a))^2 / 2) / sqrt(B_a B_b).

(d) As eps -> 0 with eta = c sqrt(eps), c bounded, the ReLU multiplies the deficit by r + (c^2/2)(r -
A^2/B^2) + o(1), r = Phi(h)/B, where r > A^2/B^2; so by r only if eta/sqrt(eps) -> 0. And r < 1, r = 1, r >
1 as h > 0, h = 0, h < 0. For m = 0 it is the arc-cosine map. At a fixed point h > 0 of h -> h' the shift
goes to eta' = (h F'(h)/F) eta + o(eta), F = A/sqrt(B), and

    (h F'/F)^2 < r / (1 + h^2) < r,

so that as eps -> 0 c^2 shrinks by a factor below 1/(1 + h^2) a layer, whatever it is at first: a merged
pair's deficit ends by being multiplied by r. (The factor is below 0.15 for all h > 0.)

(e) A cut z, the same for both, with t = h + z != 0 and eta = O(sqrt(eps)) gives eps' = (t^2 phi(z)/B)
sqrt(eps/pi) + O(eps): the slope at zero is infinite, so zero repels, whatever the mean.

**Argument.** (a) int_z^oo x phi = phi(z), int_z^oo x^2 phi = z phi(z) + Q. (b) At eps = 0, y = x: above both
cuts psi(b) - psi(a) = eta, between them one of the two is zero, below both are. In the covariance of (a, b)
a moment E f(a) g(b) has the derivative E f'(a) g'(b) (Price 1958), here with psi' = 1_(x > z) + t delta(x -
z): where |rho| < 1, d phi_2/d rho = d^2 phi_2/dx dy, by parts on x > z_a, y > z_b; J is integrable, and E
psi(a) psi(b) continuous, at both ends. The squares in G do not depend on rho. (c) A row of M times (u, w) is
Gaussian with these moments. The law of large numbers over rows; lengths drop out of cosines, and 2 (1 - cos)
sqrt(B_a B_b) = 2 G - (sqrt(B_b) - sqrt(B_a))^2. (d) With eta = c sqrt(eps) the first part of G is (c^2/2)
Phi(h) eps + o(eps), the integral Phi(h) eps + o(eps), and sqrt(B_b) - sqrt(B_a) = (B'/(2 sqrt B)) eta +
o(eta) with B' = 2 A, so that its square is (A^2/B) c^2 eps: together eps' = eps (Phi + (c^2/2)(Phi -
A^2/B))/B. Cauchy and Schwarz, A = E 1_(a > 0) a, give A^2 < Phi B, as a is not constant there. B - Phi = h (h
Phi + phi) = h A, and A = int_(-oo)^h Phi > 0. For h = eta = 0 it is J = 1/4 + arcsin (rho)/(2 pi), whose
integral is the arc-cosine map. (e) t^2 phi_2(z, z; 1 - r) ~ t^2 phi(z)/sqrt(4 pi r), and int_0^eps dr/sqrt r
= 2 sqrt eps; the other terms of J are bounded, and what eta adds, with t_a t_b = t^2 + O(eta), is O(eps).

The shift: with sqrt(n/kappa) = h/F at the fixed point, eta' = (h/F)(F(h + eta) - F(h)). From A' = Phi, B' =
2 A and B = Phi + h A, F' = (Phi B - A^2)/B^(3/2) = (Phi^2 - phi A)/B^(3/2), which is >= 0, and (h F'/F)^2/r
= h^2 (Phi^2 - phi A)^2/(A^2 B Phi). For h > 0, Phi^2 - phi A < Phi^2, A > h Phi and B > (h^2 + 1) Phi, so
that it is below h^2 Phi^4/(h^2 Phi^2 (h^2 + 1) Phi^2) = 1/(1 + h^2). The next c^2 is eta'^2/eps', at most
((h F'/F)^2/r) c^2 + o(1). Below 0.15: by that bound for h > 2.4, and on (0, 2.4] by interval arithmetic
(`test_the_shift_is_forgotten`). []

**What is no theorem.** Rows without end: a layer of N rows scatters by about 1/sqrt(N). Gaussian entries:
the central limit theorem for other weights. In networks weights of different layers, activations and masks
are not independent of each other.

Sources: (b) Price 1958; (d) for m = 0 Cho and Saul 2009, eq. (6); the rest new here.
"""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
import sympy as sp
from flint import arb
from scipy.special import ndtr

from conetheory.theory.randomlayers import RandomLayer
from conetheory.theory.relupair import ReluPair, relu_pair_of, relu_pair_step, relu_rate

UNIT = RandomLayer("unit", 1.0, 1.0)  # with one input h = s and eta = s_v - s


def step(h: float, eta: float, eps: float, keep: float | None = None) -> list[float]:
    moved = relu_pair_step(ReluPair(*(np.asarray(x) for x in (h, eta, eps))), UNIT, 1, keep=keep)
    return [float(x) for x in (moved.ones, moved.shift, moved.deficit)]


def test_moments_of_one_gaussian() -> None:
    """(a), symbolically."""
    h, z, x = sp.symbols("h z x", real=True)
    phi = sp.exp(-(x**2) / 2) / sp.sqrt(2 * sp.pi)
    Q = sp.erfc(z / sp.sqrt(2)) / 2
    A = h * Q + phi.subs(x, z)
    B = (h**2 + 1) * Q + (2 * h + z) * phi.subs(x, z)
    for power, claimed in ((1, A), (2, B)):
        derivative = sp.diff(claimed, z) + (h + x).subs(x, z) ** power * phi.subs(x, z)
        assert sp.simplify(derivative) == 0  # both fall with the cut as the integrand says
        assert sp.limit(claimed, z, sp.oo) == 0


def test_price_for_rectified_pairs() -> None:
    """(b): the closed form of E relu(a) relu(b) has the derivative P(a > 0, b > 0) in the correlation.

    With F(h, k, rho) = P(x < h, y < k): dF/drho = phi_2 (Plackett), dF/dh = phi(h) Phi((k - rho h)/root).
    """
    h, k, rho, Phi = *sp.symbols("h k rho", real=True), sp.Function("Phi")
    root = sp.sqrt(1 - rho**2)
    phi = lambda x: sp.exp(-(x**2) / 2) / sp.sqrt(2 * sp.pi)  # noqa: E731
    exponent = -(h**2 - 2 * rho * h * k + k**2) / (2 * root**2)
    phi_2 = sp.exp(exponent) / (2 * sp.pi * root)
    along, across = (h - rho * k) / root, (k - rho * h) / root
    for outer, inner in ((k, along), (h, across)):  # phi phi = root phi_2
        assert sp.simplify(-(outer**2) / 2 - inner**2 / 2 - exponent) == 0
    over_phi_2 = (  # of (h k + rho) F + h phi(k) Phi(along) + k phi(h) Phi(across) + root^2 phi_2, less F
        h * k
        + rho
        + h * root * sp.diff(along, rho)
        + k * root * sp.diff(across, rho)
        + sp.diff(root**2, rho)
        + root**2 * sp.diff(exponent - sp.log(root), rho)
    )
    assert sp.simplify(over_phi_2) == 0
    # at rho = 0 the product of the two means: (h Phi(h) + phi(h)) (k Phi(k) + phi(k))
    product = h * k * Phi(h) * Phi(k) + h * phi(k) * Phi(h) + k * phi(h) * Phi(k) + phi_2.subs(rho, 0)
    expected = (h * Phi(h) + phi(h)) * (k * Phi(k) + phi(k))
    assert sp.simplify(sp.expand(product - expected)) == 0


def many_digits(h: float, eta: float, eps: float, keep: float | None) -> list[float]:
    """s', the shift and the deficit from E psi(a) psi(b) by quadrature with 60 digits, without Price."""
    m = mpmath
    with m.workdps(60):
        h, eta, eps = m.mpf(h), m.mpf(eta), m.mpf(eps)
        k, rho = h + eta, 1 - eps
        z = [-h, -k] if keep is None else [m.sqrt(2) * m.erfinv(1 - 2 * m.mpf(keep))] * 2
        root = m.sqrt(1 - rho**2)

        def first(mean, cut):
            return mean * m.ncdf(-cut) + m.npdf(cut)

        def second(mean, cut):
            return (mean**2 + 1) * m.ncdf(-cut) + (2 * mean + cut) * m.npdf(cut)

        def inner(x):  # E psi(b) given x: b - k has the mean rho x and the deviation root
            cut = (z[1] - rho * x) / root
            return (h + x) * ((k + rho * x) * m.ncdf(-cut) + root * m.npdf(cut)) * m.npdf(x)

        edge = z[1] / rho
        points = sorted({z[0], *(p for j in (-9, -3, -1, 0, 1, 3, 9) if (p := edge + j * root) > z[0])})
        ends = [*points, *(p for p in range(-6, 14, 2) if p > points[-1]), 14]
        product = m.quad(inner, sorted(set(ends)))
        A, B = (first(h, z[0]), first(k, z[1])), (second(h, z[0]), second(k, z[1]))
        ones = [a / m.sqrt(b) for a, b in zip(A, B, strict=True)]
        return [float(ones[0]), float(ones[1] - ones[0]), float(1 - product / m.sqrt(B[0] * B[1]))]


@pytest.mark.covering
@pytest.mark.parametrize("keep", [None, 0.3])
@pytest.mark.parametrize(
    ("h", "eta", "eps"),
    [
        (0.0, 0.0, 0.4),
        (0.7, 0.3, 0.2),
        (-1.0, -0.4, 0.9),
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in ((2.0, 3e-6, 1e-10), (1.3, 1e-9, 1e-14), (4.0, -1.5, 0.3), (0.4, 0.02, 1e-6))
        ),
    ],
)
def test_the_step_to_many_digits(h: float, eta: float, eps: float, keep: float | None) -> None:
    """(b) and (c): all three numbers, deficits of 1e-14 included."""
    assert step(h, eta, eps, keep) == pytest.approx(many_digits(h, eta, eps, keep), rel=1e-11, abs=0)


def test_the_arc_cosine_map_is_the_case_without_means() -> None:
    """(d), m = 0: J = 1/4 + arcsin(rho)/(2 pi) integrates to the kernel of degree one."""
    r, t = sp.symbols("r t", positive=True)
    J = sp.Rational(1, 4) + sp.asin(1 - r) / (2 * sp.pi)
    kernel = (sp.sin(t) + (sp.pi - t) * sp.cos(t)) / sp.pi
    deficit = (1 - kernel) * sp.Rational(1, 2)  # G = B eps', B = 1/2
    change = sp.diff(deficit, t) - J.subs(r, 1 - sp.cos(t)) * sp.diff(1 - sp.cos(t), t)
    assert sp.simplify(change.subs(sp.asin(sp.cos(t)), sp.pi / 2 - t)) == 0
    assert sp.simplify(deficit.subs(t, 0)) == 0


def test_the_rate_and_its_sign() -> None:
    """(d): B - Phi = h A, and A has the derivative Phi and the limit zero, so A > 0."""
    h = sp.symbols("h", real=True)
    phi, Phi = sp.exp(-(h**2) / 2) / sp.sqrt(2 * sp.pi), sp.erfc(-h / sp.sqrt(2)) / 2
    A, B = h * Phi + phi, (h**2 + 1) * Phi + h * phi
    assert sp.simplify(B - Phi - h * A) == 0
    assert sp.simplify(sp.diff(A, h) - Phi) == 0
    assert sp.limit(A, h, -sp.oo) == 0
    for mean in (-1.0, 0.0, 0.5, 3.0):
        rate = float((Phi / B).subs(h, mean))
        assert step(mean, 0.0, 1e-16)[2] / 1e-16 == pytest.approx(rate, rel=1e-6)
        assert np.sign(1 - rate) == np.sign(mean)


def shift_factor(h):
    """(h F'/F)^2/r as a ball that holds its values for all h of a ball."""
    phi = (-h * h / 2).exp() / (2 * arb.pi()).sqrt()
    Phi = (-h / arb(2).sqrt()).erfc() / 2
    A, B = h * Phi + phi, (h * h + 1) * Phi + h * phi
    return (h * (Phi * Phi - phi * A)) ** 2 / (A * A * B * Phi)


def test_the_shift_is_forgotten() -> None:
    """Below 0.15 on (0, 2.4] by balls that cover it, and 1/(1 + h^2) < 0.15 from there on; sharp."""
    middles = [(arb(k) + arb(1) / 2) / 1000 for k in range(2400)]
    found = [shift_factor(arb(middle, "0.000501")) for middle in middles]
    assert all(value < arb("0.15") for value in found)
    assert 1 / (1 + 2.4**2) < 0.15
    assert max(float(value.mid()) for value in found) > 0.149
    for h in (0.01, 0.3, 1.0, 5.0):
        assert shift_factor(arb(h)) < 1 / (1 + arb(h) ** 2)


@pytest.mark.parametrize("mean", [0.3, 1.5, 6.0])
def test_the_step_moves_the_shift_so(mean: float) -> None:
    """eta'/eta = (F(h)/F(h))' h, here with h/F the scale of the fixed point; and the deficit's multiplier."""
    phi, Phi = np.exp(-(mean**2) / 2) / np.sqrt(2 * np.pi), ndtr(mean)
    A, B = mean * Phi + phi, (mean**2 + 1) * Phi + mean * phi
    slope = (Phi**2 - phi * A) / B**1.5
    assert step(mean, 1e-7, 1e-10)[1] / 1e-7 == pytest.approx(slope, rel=1e-2)
    r = Phi / B
    for c in (0.0, 0.5, 1.4, -1.4):
        multiplier = step(mean, c * 1e-8, 1e-16)[2] / 1e-16
        assert multiplier == pytest.approx(r + c**2 / 2 * (r - A**2 / B**2), rel=1e-6)
        assert multiplier >= r * (1 - 1e-7)


def test_a_shift_of_the_size_of_the_root_counts() -> None:
    """h = 1, eta = 1.4 sqrt(eps): 0.555 and not r = 0.437."""
    assert step(1.0, 1.4e-8, 1e-16)[2] / 1e-16 == pytest.approx(0.555, abs=5e-4)
    assert step(1.0, 0.0, 1e-16)[2] / 1e-16 == pytest.approx(0.437, abs=5e-4)


def test_a_shift_is_forgotten_down_a_chain() -> None:
    """From eta = sqrt(eps) at the fixed point the multiplier tends to r."""
    layer, n = RandomLayer("any", 0.05, 1.0), 1000
    h, r = relu_rate(layer, n)
    scale = np.sqrt(n) * 0.05
    pair = ReluPair(*(np.asarray(x) for x in (h / scale, 1e-10 / scale, 1e-20)))
    multipliers = []
    for _ in range(10):
        moved = relu_pair_step(pair, layer, n)
        multipliers.append(float(moved.deficit / pair.deficit))
        pair = moved
    assert multipliers[0] > r * 1.01
    assert multipliers[-1] == pytest.approx(r, rel=1e-6)


@pytest.mark.parametrize(("h", "keep"), [(0.0, 0.02), (1.5, 0.1), (-0.5, 0.1)])
def test_a_threshold_takes_the_root(h: float, keep: float) -> None:
    """(e): eps' over its claimed leading term tends to one, and so zero repels."""
    with mpmath.workdps(30):
        z = float(mpmath.sqrt(2) * mpmath.erfinv(1 - 2 * mpmath.mpf(keep)))
    phi = np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
    B = (h**2 + 1) * keep + (2 * h + z) * phi
    factor = (h + z) ** 2 * phi / B / np.sqrt(np.pi)
    ratios = [step(h, 0.0, eps, keep)[2] / (factor * np.sqrt(eps)) for eps in (1e-4, 1e-8, 1e-12)]
    assert ratios[-1] == pytest.approx(1, rel=1e-4)
    assert abs(ratios[1] - 1) < abs(ratios[0] - 1)
    small = (factor / 3) ** 2
    assert step(h, 0.0, small, keep)[2] > small


@pytest.mark.parametrize("mean", [0.04, 0.0, -0.01])
def test_a_wide_random_chain(mean: float) -> None:
    """(c) on six layers of 1500 rows: s and eps within what that many rows scatter, and the rate of (d)."""
    rng, n = np.random.default_rng(0), 1500
    layer = RandomLayer("any", mean, 1.0)
    u, v = rng.standard_normal((2, n))
    found = []
    for _ in range(6):
        M = mean + rng.standard_normal((n, n))
        expected = relu_pair_step(relu_pair_of(u, v), layer, n)
        u, v = (np.maximum(M @ x, 0) for x in (u, v))
        u, v = u / np.linalg.norm(u), v / np.linalg.norm(v)
        made = relu_pair_of(u, v)
        assert made.ones == pytest.approx(float(expected.ones), abs=5 / np.sqrt(n))
        found.append(float(made.deficit / expected.deficit))
    assert np.all(np.abs(np.log(found)) < 8 / np.sqrt(n))
