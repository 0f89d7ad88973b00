"""Gradient expansion: below the collapse relevance is the value and the gradient of one field, with a bound

**Statement.** Let C be linear from locations q with coordinates (x_q, y_q) to one location, c0 a field of
vectors, and c, X, Y, XX, XY, YY the images of c0 times 1, x, y, x^2, x y, y^2. For any point m = (mx, my),
numbers s, g = (gx, gy) and start

    r0(q) = (s + gx (x_q - mx) + gy (y_q - my) + rho(q)) c0(q) + eta(q)

the image is exactly C r0 = s c + gx (X - mx c) + gy (Y - my c) + R + C eta with R = C (rho c0). If C c0(q)
>= 0 for every q (a nonnegative chain and c0 >= 0) and |rho(q)| <= H |q - m|^2 / 2, then componentwise

    |R| <= (H/2) V,      V = XX + YY - 2 mx X - 2 my Y + (mx^2 + my^2) c >= 0,

with equality for rho = H |q - m|^2 / 2: the bound can't be improved from these six vectors. A twice
differentiable field has such an H where its second derivative is bounded on the segments from m: that bound.
At m = xbar = <c, X>/|c|^2 (and the same for y; c != 0), G = (X - xbar c, Y - ybar c) is orthogonal to c.

**Source:** new here; Taylor's theorem.

**Proof.** C is linear; C ((x - mx) c0) = X - mx c. That is the identity. For the bound, R_i = sum_q rho(q)
d_i(q) with d_i(q) = (C c0(q))_i >= 0, so |R_i| <= sum_q |rho(q)| d_i(q) <= (H/2) sum_q |q - m|^2 d_i(q) and
|q - m|^2 = x^2 + y^2 - 2 mx x - 2 my y + |m|^2, whose image is V. With rho at its bound all terms have one
sign: equality. A field u with second derivatives bounded by H (as a bilinear form) has |u(q) - u(m) - grad
u(m).(q - m)| <= H |q - m|^2 / 2. Last, <c, X - xbar c> = <c, X> - xbar |c|^2 = 0. For a signed C the bound
fails: two d of opposite sign make V small and R not. []
"""

from fractions import Fraction

import numpy as np

from conetheory.theory.origin import moments, remainder_upper

rng = np.random.default_rng(0)
SIDE, CHANNELS = 4, 3


def rational(shape, low, high):
    return np.vectorize(lambda n, d: Fraction(int(n), int(d)), otypes=[object])(
        rng.integers(low, high, shape), rng.integers(1, 6, shape)
    )


def grid():
    y, x = np.mgrid[:SIDE, :SIDE]
    return tuple(np.vectorize(Fraction, otypes=[object])(z.ravel()) for z in (x, y))


def six(d, x, y):
    """Images of c0 times 1, x, y, x^2, x y, y^2, for d_i(q) = (C c0(q))_i."""
    return [(d * z).sum(1) for z in (x * 0 + 1, x, y, x * x, x * y, y * y)]


def test_the_expansion_is_exact():
    x, y = grid()
    for _ in range(40):
        d = rational((CHANNELS, SIDE**2), -4, 5)
        c, X, Y, *_ = six(d, x, y)
        (mx, my), s, (gx, gy) = rational(2, 0, 9), rational(1, -5, 5)[0], rational(2, -5, 5)
        rho = rational(SIDE**2, -3, 4)
        field = s + gx * (x - mx) + gy * (y - my) + rho
        assert ((d * field).sum(1) == s * c + gx * (X - mx * c) + gy * (Y - my * c) + (d * rho).sum(1)).all()


def test_the_bound_holds_with_no_slack_and_an_adversary_attains_it():
    """Exact fractions: any rho within its bound, the sign-changing adversary, and the one that attains it."""
    x, y = grid()
    for _ in range(60):
        d = rational((CHANNELS, SIDE**2), 0, 5)
        c, X, Y, XX, _, YY = six(d, x, y)
        mean, H = rational(2, 0, 9), abs(rational(1, 1, 5)[0])
        bound = remainder_upper(H, mean, c, X, Y, XX, YY)
        allowed = H * ((x - mean[0]) ** 2 + (y - mean[1]) ** 2) / 2
        for _ in range(5):
            rho = allowed * np.vectorize(lambda n: Fraction(int(n), 4), otypes=[object])(
                rng.integers(-4, 5, SIDE**2)
            )
            assert (abs((d * rho).sum(1)) <= bound).all()
        assert ((d * allowed).sum(1) == bound).all()
        assert (abs((d * -allowed).sum(1)) == bound).all()
        assert (bound >= 0).all()


def test_signed_chains_are_not_bounded():
    """d = (1, -1) at two places equally far from m: V = 0 and R is not."""
    x, y = (np.array([Fraction(v) for v in values]) for values in ((0, 2), (0, 0)))
    d = np.array([[Fraction(1), Fraction(-1)]])
    c, X, Y, XX, _, YY = six(d, x, y)
    bound = remainder_upper(Fraction(1), (Fraction(1), Fraction(0)), c, X, Y, XX, YY)
    assert bound[0] == 0
    assert (d * np.array([Fraction(1, 2), Fraction(-1, 2)])).sum() == 1


def test_g_is_orthogonal_to_c_and_the_moments_are_those_of_the_origin():
    x, y = grid()
    for _ in range(30):
        d = rational((CHANNELS, SIDE**2), 0, 5)
        c, X, Y, XX, XY, YY = six(d, x, y)
        norm2 = (c * c).sum()
        if norm2 == 0:
            continue
        xbar, ybar = (c * X).sum() / norm2, (c * Y).sum() / norm2
        assert (c * (X - xbar * c)).sum() == 0
        f = [row / ci for row, ci in zip(d, c, strict=True) if ci]
        w = [ci * ci for ci in c if ci]
        assert xbar == sum(wi * (fi * x).sum() for wi, fi in zip(w, f, strict=True)) / norm2
        variance = sum(wi * (fi * (x - xbar) ** 2).sum() for wi, fi in zip(w, f, strict=True)) / norm2
        found = moments(*(z.astype(float)[:, None] for z in (c, X, Y, XX, XY, YY)))
        np.testing.assert_allclose(found.mean[0], [float(xbar), float(ybar)], rtol=1e-12)
        np.testing.assert_allclose(found.Sigma[0, 0, 0], float(variance), rtol=1e-9, atol=1e-12)
