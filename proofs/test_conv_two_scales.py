"""Convolutions with independent weights: location weights walk, channels spread by kappa/n and follow

**Statement.** Let r'_i(p) = sum_delta sum_(j <= n) W_delta,ij r_j(p + delta), W independent of mean m != 0
and variance v, kappa = v/m^2, r given for starts x, y, s_x(q) = sum_j r_xj(q) / n. Then, exactly, the
channels i of r' are independent and alike at each p, with

    E r'_xi(p) = m n sum_delta s_x(p + delta),    Cov(r'_xi(p), r'_yi(p)) = v sum_delta <r_x, r_y>(p + delta),

and for <r_x, r_y>(q) = n s_x s_y (1 + T_xy)(q) and sums that are not zero the covariance over the product
of the means is T'_xy(p) = (kappa/n) sum_delta t_x(delta) t_y(delta) (1 + T_xy(p + delta)), t_x(delta) =
s_x(p + delta) / sum s_x. As the number n' of channels below grows, the cosine of r'_x and r'_y over the
channels at p tends in probability to (1 + T'_xy)/sqrt((1 + T'_xx)(1 + T'_yy)), times -1 where the sums of s_x
and s_y have different signs. If T = O(1/n) above and n grows, the t as they are, then

    n (1 - |cos|) -> (kappa/2) sum_delta (t_x - t_y)^2:

what two starts differ by at a location is the difference of their walks, one layer's worth of it, over n.

**Source:** new here.

**Proof.** Row i of W enters r'_i alone. E W = m gives the mean, and Cov(sum W a, sum W b) = v sum a b the
covariance; divide by m^2 n^2 (sum s_x)(sum s_y). By the law of large numbers <r'_x, r'_y>/n' tends to the
product of the means plus the covariance. With T' = (kappa/n) M + O(1/n^2), M_xy = sum t_x t_y, 1 - (1 +
T'_xy)/sqrt((1 + T'_xx)(1 + T'_yy)) = (T'_xx + T'_yy - 2 T'_xy)/2 + O(T'^2), and M_xx + M_yy - 2 M_xy = sum
(t_x - t_y)^2. []

**What is no theorem.** That fluctuations of s' at finite n' do not accumulate over many layers: the
recursion of `theory.convchains` leaves them out. It is checked against drawn chains.
"""

import itertools
from fractions import Fraction

import numpy as np

from conetheory.theory.convchains import Walk, walk_layers, white_walk

rng = np.random.default_rng(0)


def test_means_and_covariances_are_exact():
    """All weights of a layer with two taps, two channels and two values, enumerated."""
    values = (Fraction(-1), Fraction(3))
    m, v = Fraction(1), Fraction(4)
    for _ in range(5):
        x, y = (
            np.vectorize(Fraction, otypes=[object])(rng.integers(-3, 4, (2, 2))) for _ in range(2)
        )  # taps, channels
        draws = [
            ((w * x).sum(), (w * y).sum())
            for chosen in itertools.product(values, repeat=4)
            for w in [np.array(chosen, dtype=object).reshape(2, 2)]
        ]
        mean = [sum(d[k] for d in draws) / 16 for k in (0, 1)]
        assert mean == [m * x.sum(), m * y.sum()]
        covariance = sum((a - mean[0]) * (b - mean[1]) for a, b in draws) / 16
        assert covariance == v * (x * y).sum()


def test_the_recursion_is_the_covariance_over_the_means():
    """T' of the function, in floats, against <r_x, r_y> and sums of explicit relevances."""
    r = rng.random((3, 5, 7)) + 0.1
    kappa, m = 0.7, 1.3
    (after,) = walk_layers(white_walk(r), 1, channels=5, kappa=kappa)
    taps = [np.roll(r, -d, 2) for d in (-1, 0, 1)]
    means = m * sum(t.sum(1) for t in taps)
    covariance = kappa * m**2 * sum(np.einsum("xcp,ycp->xyp", t, t) for t in taps)
    np.testing.assert_allclose(after.T, covariance / (means[:, None] * means[None]), rtol=1e-12)


def test_the_limit_of_wide_layers():
    """n (1 - cos) against (kappa/2) |t_x - t_y|^2 as n grows, from T = 0."""
    s = rng.random((2, 9)) + 0.2
    shares = np.stack([np.roll(s, -d, 1) for d in (-1, 0, 1)])
    shares = shares / shares.sum(0)
    limit = 0.7 / 2 * ((shares[:, 0] - shares[:, 1]) ** 2).sum(0)
    errors = []
    for n in (100, 10_000):
        (after,) = walk_layers(Walk(s, np.zeros((2, 2, 9))), 1, n, 0.7)
        errors.append(np.abs(n * after.deficits[0] - limit).max())
    assert errors[1] < 0.02 * errors[0] + 1e-9
    assert errors[1] < 1e-3 * limit.max()


def test_drawn_chains_follow_the_recursion():
    """Positive weights, n = 64, 1-d, 20 layers: the median deficit within 0.15 decade at every layer."""
    n, side, layers = 64, 48, 20
    r = rng.standard_normal((6, n, side)) + 0.5
    kappa = (1 / 12) / (1 / 4)  # uniform on [0, 1]
    recursion = list(walk_layers(white_walk(r), layers, n, kappa))
    x, y = np.triu_indices(6, 1)
    for layer in range(layers):
        W = rng.random((3, n, n))
        r = sum(np.einsum("ij,xjp->xip", w, np.roll(r, -d, 2)) for w, d in zip(W, (-1, 0, 1), strict=True))
        r /= np.abs(r).max()
        unit = r / np.linalg.norm(r, axis=1, keepdims=True)
        measured = np.median(1 - np.abs((unit[x] * unit[y]).sum(1)))
        predicted = np.median(recursion[layer].deficits)
        assert abs(np.log10(predicted / measured)) < 0.15
