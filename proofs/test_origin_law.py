"""Origin law: Gaussian origins have the spectrum (1, sqrt(lambda_1), sqrt(lambda_2)) of value and gradient

**Statement.** Let channels i with weights c_i have origins f_i that are Gaussian densities in the plane of
one covariance S and means m_i, let |c0|^2 be constant, and A_ij = c_i c_j int f_i f_j / |c0|^2 (theorem
origin-overlap). Then, exactly, A_ij = c_i c_j exp(-(m_i - m_j)^T S^-1 (m_i - m_j) / 4) / (4 pi sqrt(det S)
|c0|^2). With m = sum c_i^2 m_i / |c|^2 and G_i = c_i (m_i - m), to second order in m_i - m the matrix is [c
G] B [c G]^T up to a change of c that is itself of second order,

    B = diag(1, S^-1 / 2) / (4 pi sqrt(det S) |c0|^2),

the covariance of a white field smoothed by one Gaussian of covariance S and of its gradient; <c, G> = 0, so
the leading three eigenvalues are |c|^2 / (4 pi sqrt(det S) |c0|^2) times 1 + O(u^2), lambda_1 + O(u^4),
lambda_2 + O(u^4), with lambda_1 >= lambda_2 the eigenvalues of S^-1 G^T G / (2 |c|^2) and u the largest of
the |S^(-1/2) (m_i - m)|. G^T G / |c|^2 is the variance of the mean origin between channels: lambda is half
the share of the variance of the origin that the channel explains, as in an analysis of variance, where Sigma
= S + G^T G / |c|^2 is the whole; putting Sigma for S changes it by O(lambda^2). The rank is at most 1 + 2 to
this order. For origins that differ in their covariances as well, the next Hermite order adds to it: channels
of equal means and widths S (1 + e_i) have a tail of order e^2 that lambda does not see.

**Hypotheses.** c != 0, S positive definite. Origins Gaussian-shaped with widths of a pixel or more (sums of
f_i f_j over pixels are the integral to within some 4 exp(-pi^2 s) of it, s the least variance), of one
covariance, not cut by a border, |c0|^2 constant over them.
**Source:** new here; the Gaussian shape of receptive fields: Luo et al. 2016.

**Proof.** The product of two Gaussian densities of covariance S and means m_i, m_j integrates to the density
of N(0, 2 S) at m_i - m_j, which is 1/(2 pi sqrt(det 2 S)) exp(-(m_i - m_j)^T (2 S)^-1 (m_i - m_j)/2), det 2 S
= 4 det S. With u_i = m_i - m the exponent is -(u_i^T S^-1 u_i + u_j^T S^-1 u_j - 2 u_i^T S^-1 u_j)/4: the
first two terms are a factor on each channel, the third expands to 1 + u_i^T S^-1 u_j / 2 + O(u^4). The
factors 1 + O(u^2) turn c and G into c' and G' with <c', G'> = O(u^3) and G'^T G' = G^T G + O(u^4), so that
they change the eigenvalues by those orders only. For sums, by Poisson: f_i f_j is a Gaussian of covariance
S/2 up to a factor, whose transform at a frequency k of the grid is exp(-pi^2 k^T S k) times its integral, and
sum_(k != 0) exp(-pi^2 s |k|^2) is 4 exp(-pi^2 s) to leading order. Smoothed white noise has Var = int w^2 =
1/(4 pi sqrt(det S)) and gradient covariance int grad w grad w^T = S^-1 (int x x^T w^2) S^-1 = S^-1 (S/2) S^-1
times that; value and gradient are uncorrelated by symmetry. [c G] B [c G]^T has the nonzero eigenvalues of
B^(1/2) diag(|c|^2, G^T G) B^(1/2). []
"""

import math

import numpy as np
import pytest
import sympy as sp

from conetheory.theory.origin import (
    Origin,
    field_covariance,
    origin_spectrum,
    origin_squares,
    smoothing,
    white_field_covariance,
)

rng = np.random.default_rng(0)


def test_the_overlap_of_two_gaussians():
    """One axis, symbolically: int N(x; a, s) N(x; b, s) = exp(-(a - b)^2/(4 s)) / sqrt(4 pi s)."""
    x, d = sp.symbols("x d", real=True)
    s = sp.symbols("s", positive=True)
    product = sp.exp(-((x - d) ** 2) / (2 * s)) * sp.exp(-(x**2) / (2 * s)) / (2 * sp.pi * s)
    found = sp.simplify(sp.integrate(product, (x, -sp.oo, sp.oo)))
    assert sp.simplify(found - sp.exp(-(d**2) / (4 * s)) / sp.sqrt(4 * sp.pi * s)) == 0


def test_value_and_gradient_of_a_smoothed_white_field():
    """Variance 1/sqrt(4 pi s) an axis, gradient 1/(2 s) of it, no covariance."""
    x, s = sp.symbols("x", real=True), sp.symbols("s", positive=True)
    w = sp.exp(-(x**2) / (2 * s)) / sp.sqrt(2 * sp.pi * s)
    value = sp.integrate(w**2, (x, -sp.oo, sp.oo))
    slope = sp.integrate(sp.diff(w, x) ** 2, (x, -sp.oo, sp.oo))
    assert sp.simplify(value - 1 / sp.sqrt(4 * sp.pi * s)) == 0
    assert sp.simplify(slope / value - 1 / (2 * s)) == 0
    assert sp.integrate(w * sp.diff(w, x), (x, -sp.oo, sp.oo)) == 0


def channels(spread: float):
    """c, means, S, and the Origin that they have."""
    c, means = rng.uniform(0.5, 2, 6), spread * rng.standard_normal((6, 2))
    F = rng.standard_normal((2, 2))
    S = F @ F.T + np.eye(2)
    mean = (c**2) @ means / (c @ c)
    G = c[:, None] * (means - mean)
    Sigma = S + G.T @ G / (c @ c)
    return c, means, S, Origin(mean[None], Sigma[None], c[None], G[None])


@pytest.mark.parametrize(("spread", "tolerance"), [(0.003, 2e-4), (0.03, 0.02), (0.1, 0.1)])
def test_the_spectrum_to_leading_order(spread, tolerance):
    """Against the exact overlap; the error shrinks with lambda."""
    for _ in range(20):
        c, means, S, origin = channels(spread)
        apart = means[:, None] - means[None]
        exponent = np.einsum("ija,ab,ijb->ij", apart, np.linalg.inv(S), apart) / 4
        A = np.outer(c, c) * np.exp(-exponent) / (4 * math.pi * math.sqrt(np.linalg.det(S)))
        exact = np.linalg.eigvalsh(A)[::-1]
        squares = origin_squares(origin)[0]
        np.testing.assert_allclose(squares, exact[1:3] / exact[0], rtol=tolerance, atol=1e-14)
        B = white_field_covariance(origin.Sigma, np.ones(1))
        values = origin_spectrum(origin, B)[0]
        np.testing.assert_allclose((values[1:] / values[0]) ** 2, squares, rtol=1e-6, atol=1e-15)


def test_lambda_is_half_the_explained_share_of_variance():
    """On one axis: a law of total variance, weights c_i^2."""
    for _ in range(20):
        c, means, S, origin = channels(0.2)
        flat = Origin(
            origin.mean, np.diag([origin.Sigma[0, 0, 0], 1.0])[None], origin.c, origin.G * [1.0, 0.0]
        )
        between = (c**2) @ (means[:, 0] - origin.mean[0, 0]) ** 2 / (c @ c)
        share = between / (S[0, 0] + between)
        np.testing.assert_allclose(origin_squares(flat)[0], [share / 2, 0], rtol=1e-12, atol=1e-16)


def test_where_the_hypotheses_fail_there_is_no_number():
    """A dead location, an origin of one pixel, of one row, a signed one; the one beside keeps its own."""
    c, _, _, origin = channels(0.1)
    Sigmas = [origin.Sigma[0], np.zeros((2, 2)), np.zeros((2, 2)), np.diag([2.0, 0.0]), np.diag([-2.0, -1.0])]
    cs = np.stack([c, 0 * c, c, c, c])
    found = origin_squares(Origin(np.zeros((5, 2)), np.stack(Sigmas), cs, np.repeat(origin.G, 5, 0)))
    assert np.isnan(found[1:]).all()
    np.testing.assert_array_equal(found[0], origin_squares(origin)[0])


@pytest.mark.parametrize("scale", [1.0, 2.0])
def test_on_a_grid_the_covariance_is_that_of_the_plane(scale):
    """Sums over pixels for integrals: to some exp(-pi^2 s), s the least variance."""
    y, x = np.mgrid[-25:26, -25:26]
    grid = np.stack([x.ravel(), y.ravel()], 1).astype(float)
    Sigma = scale * np.array([[[1.0, 0.3], [0.3, 1.5]]])
    L = smoothing(np.array([[0.3, -0.2]]), Sigma, grid)
    found, plane = field_covariance(L, np.ones(len(grid))), white_field_covariance(Sigma, np.ones(1))
    error = 3 * np.exp(-(np.pi**2) * np.linalg.eigvalsh(Sigma[0])[0])
    np.testing.assert_allclose(found, plane, rtol=0, atol=error * plane.max())


def test_widths_that_differ_are_not_seen():
    """Equal means, unequal widths: lambda is zero and the exact tail is not."""
    s = np.array([1.0, 1.3])
    A = 1 / (2 * math.pi * (s[:, None] + s[None]))
    exact = np.linalg.eigvalsh(A)
    c, G = np.ones((1, 2)), np.zeros((1, 2, 2))
    assert not origin_squares(Origin(np.zeros((1, 2)), 1.15 * np.eye(2)[None], c, G)).any()
    assert 1e-3 < exact[0] / exact[1] < 0.3**2
