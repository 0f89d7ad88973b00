"""Origin walk: where kernels are the same everywhere, the moments of the origin close in every layer

**Statement.** Let r'_i(p) = sum_(q, k: p = s q - a + e k) sum_j K_ij(k) r_j(q) on the whole lattice, with
stride s, padding a, dilation e, and let the place of a location be u'(p) = (h/s) p below and u(q) = h q
above, in pixels of the start. Let f_j(x; q) be the image of a field c0 with a marker: the moments of order n
<= 2 of channel j at q, counted from u(q), are m_j^n(q) = sum_x (x - u(q))^n C_(qj),x c0(x). Then, exactly and
for signed K, below the layer, with the step d_k = (h/s) (a - e k),

    m'_i^n(p) = sum_(q, k) sum_j K_ij(k) sum_(l <= n) binom(n, l) d_k^(n - l) m_j^l(q),

and likewise for two axes (the moment XY). If above m depends on q modulo P only, below it depends on p modulo
s P only: the state is finite. For K >= 0, c_j >= 0 and c'_i(p) > 0 the origin of channel i at p is a step (k,
j) drawn with probability pi_i(k, j) = K_ij(k) c_j(q) / c'_i(p), q the location that p hears through the tap
k, followed by the walk from there: its mean is E(d_k + mean_j), its variance E var_j + Var(d_k + mean_j). If
K_ij(k) = a_i(k) b_j (every channel mixes those above alike) and m is the same at all q, this is Var_i(d) +
(Var_b(mean) + E_b var), with weights b_j c_j: each layer adds the variance of its own step to the whole
variance above, and all the difference between channels is that of the mean steps of the lowest layer.

For independent weights w_1, ..., w_N of mean m != 0 and variance v, kappa = v/m^2, and factors that are 1
with chance phi and 0 otherwise, independent of them, kappa of the products is (1 + kappa)/phi - 1.

**Hypotheses.** Kernels the same everywhere: away from borders, flat activations or rules that do not look at
them. Chance walks and variances: a nonnegative chain.
**Source:** new here; receptive fields as walks: Luo et al. 2016.

**Proof.** u(q) = h q = (h/s) (p + a - e k) = u'(p) + d_k, so x - u'(p) = d_k + (x - u(q)): expand by the
binomial theorem and sum. The q that p hears are those with s q = p + a - e k, which depends on p modulo s,
and modulo s P if the state above has period P. Dividing by c'_i gives the mixture, and the law of total
variance its moments; with K = a_i(k) b_j step and channel are independent under pi_i. E (w g)^2 = phi (m^2 +
v), (E w g)^2 = phi^2 m^2. []

**What is no theorem.** That a network's activations are flat.
"""

from fractions import Fraction

import numpy as np
import pytest

from conetheory.theory.walk import joined, kernel_variances, point, thinned_kappa, variances, walk_step

rng = np.random.default_rng(0)
LAYERS = (  # kernel shape (below, above, rows, columns), stride, padding, dilation, from the start down
    ((3, 2, 3, 3), (1, 1), (1, 1), (1, 1)),
    ((2, 3, 2, 3), (2, 1), (0, 1), (1, 1)),
    ((4, 2, 1, 1), (1, 1), (0, 0), (1, 1)),
    ((2, 4, 3, 2), (2, 2), (1, 0), (1, 2)),
    ((3, 2, 3, 3), (1, 1), (1, 1), (2, 1)),
)


def brute_force(kernels, c0, place):
    """The origin of every channel at one place below: {(row, column) of the start: image of c0 by channel}.

    Up from the place, path by path, in whole numbers.
    """
    origins = []
    for channel in range(len(kernels[-1][0])):
        held = {(*place, channel): 1}
        for K, stride, padding, dilation in reversed(kernels):
            above = {}
            for (y, x, i), weight in held.items():
                for a, b in np.ndindex(*K.shape[2:]):
                    t = y + padding[0] - dilation[0] * a, x + padding[1] - dilation[1] * b
                    if t[0] % stride[0] == 0 and t[1] % stride[1] == 0:
                        for j in range(K.shape[1]):
                            key = (t[0] // stride[0], t[1] // stride[1], j)
                            above[key] = above.get(key, 0) + weight * int(K[i, j, a, b])
            held = above
        origins.append({})
        for (y, x, j), weight in held.items():
            origins[-1][y, x] = origins[-1].get((y, x), 0) + weight * int(c0[j])
    return origins


@pytest.mark.parametrize("low", [0, -3])
def test_the_moments_are_those_of_all_paths(low):
    """Whole numbers and pixels that are powers of two: floats are exact, and so is the equality."""
    c0 = rng.integers(1, 4, 2)
    kernels, six, pixel = [], point(c0.astype(float)), [1.0, 1.0]
    for shape, stride, padding, dilation in LAYERS:
        K = rng.integers(low, 4, shape)
        kernels.append((K, stride, padding, dilation))
        pixel = [h / s for h, s in zip(pixel, stride, strict=True)]
        six = walk_step(six, K.astype(float), pixel, stride, padding, dilation)
    assert six.shape == (6, 3, 4, 2)
    for place in ((0, 0), (5, 1), (2, 7), (-3, -2)):
        origins = brute_force(kernels, c0, place)
        for i, origin in enumerate(origins):
            steps = [
                (Fraction(x) - Fraction(pixel[1]) * place[1], Fraction(y) - Fraction(pixel[0]) * place[0], w)
                for (y, x), w in origin.items()
            ]
            exact = [
                sum(w * x**m * y**n for x, y, w in steps)
                for m, n in ((0, 0), (1, 0), (0, 1), (2, 0), (1, 1), (0, 2))
            ]
            found = six[:, i, place[0] % 4, place[1] % 2]
            assert [Fraction(float(f)) for f in found] == exact


def test_variances_add_up_where_channels_mix_alike():
    """K = a_i(k) b_j: a step's own variance and the whole above, between is that of the lowest layer."""
    c = rng.random(4) + 0.1
    six, added = point(c), 0.0
    for below in (3, 5, 2):
        K = rng.random((below, 1, 3, 3)) * (rng.random(six.shape[1]) + 0.1)[None, :, None, None]
        step = kernel_variances(K, six[0, :, 0, 0], (1.0, 1.0))
        before, six = six, walk_step(six, K)
        spread = variances(six)
        # The mixing weights are b_j c_j and not c_j^2, so what was between channels counts by them.
        pi = K[0, :, 0, 0] * before[0, :, 0, 0]
        pi = pi / pi.sum()
        c_, X, Y, XX, XY, YY = before[:, :, 0, 0]
        x, y = (pi * X / c_).sum(), (pi * Y / c_).sum()
        cross = (pi * XY / c_).sum() - x * y
        above = np.array([[(pi * XX / c_).sum() - x * x, cross], [cross, (pi * YY / c_).sum() - y * y]])
        np.testing.assert_allclose(spread.within[0], step.within[0] + above, rtol=1e-12)
        np.testing.assert_allclose(spread.between, step.between, rtol=1e-10)
        added = added + step.within[0]
    assert np.all(np.diag(spread.within[0]) >= np.diag(added) - 1e-12)


def test_a_stride_counts_a_quarter():
    K = rng.random((3, 4, 2, 2)).repeat(2, 2).repeat(2, 3)
    full, half = (kernel_variances(K, np.ones(4), (h, h)) for h in (1.0, 0.5))
    np.testing.assert_allclose(half.within, full.within / 4, rtol=1e-13)
    np.testing.assert_allclose(half.between, full.between / 4, rtol=1e-13)


def test_pointwise_layers_and_separate_windows_add_nothing():
    mixed = kernel_variances(rng.random((3, 4, 1, 1)), rng.random(4) + 0.1)
    pooled = kernel_variances(np.full((4, 2, 2), 0.25), rng.random(4) + 0.1, (0.5, 0.5), (2, 2))
    for found in (mixed, pooled):
        np.testing.assert_allclose(found.within, 0, atol=1e-15)
        np.testing.assert_allclose(found.between, 0, atol=1e-15)
    assert len(pooled.within) == 4


def test_a_residual_sum_is_a_mixture():
    """A share that stays and one that walks: (1 - t) v of variance."""
    c, K = np.array([1.0]), np.full((1, 1, 3, 3), 1 / 9)
    half = joined(0.25 * point(c), walk_step(0.75 * point(c), K, padding=(1, 1)))
    np.testing.assert_allclose(variances(half).within[0], 0.75 * 2 / 3 * np.eye(2), rtol=1e-13, atol=1e-15)


def test_between_channels_of_random_weights():
    """(kappa/(n k)) times the mean square of a step, whole or thinned."""
    n, draws, share = 400, 800, Fraction(1, 4)
    for phi in (Fraction(1), share):
        K = rng.random((draws, n, 3, 3)) * (rng.random((draws, n, 3, 3)) < float(phi))
        kappa = thinned_kappa(1 / 3, float(phi))
        found = kernel_variances(K, np.ones(n)).between[0]
        np.testing.assert_allclose(np.diag(found), kappa / (9 * n) * 2 / 3, rtol=0.2)


def test_thinned_weights():
    """All products of two values and two chances, in fractions."""
    values, phi = (Fraction(1), Fraction(5)), Fraction(1, 3)
    mean = sum(values) / 2
    kappa = sum(v * v for v in values) / 2 / mean**2 - 1
    second, first = phi * sum(v * v for v in values) / 2, phi * mean
    assert thinned_kappa(kappa, phi) == second / first**2 - 1
