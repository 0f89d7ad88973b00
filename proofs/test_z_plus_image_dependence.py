"""What of the z+ rate depends on the image: outer diagonals never, inner ones within bounds

**Statement.** A z+ layer is Z = D(a) (W+)^T D(1 / z) with a, z >= 0 from the image. Write A, B for
nonnegative matrices.

  (a) Delta(Z) and tau(Z) depend on W+ and on which units are active (a > 0, z > 0), not on the image
  otherwise. The
      same holds for the first and last diagonals of a block of layers.
  (b) For every positive diagonal D: tau(A D B) <= tau(A) tau(B), Delta(A D B) <= min(Delta(A), Delta(B)).
  (c) The inner diagonals do matter: Delta(A D B) is not constant in D; and it can be bounded although
  Delta(A) = inf
      (A = I, B > 0), even although both are infinite.
  (d) sup over D of Delta(A D B) is finite iff for all i, i', j, j' and k != l

          n_kl := A_ik A_i'l B_kj B_lj' + A_il A_i'k B_lj B_kj' > 0

      implies that its counterpart m_kl with j and j' exchanged is positive, or that both
      A_ik A_i'k B_kj B_kj' > 0 and A_il A_i'l B_lj B_lj' > 0.

A certificate from (a), (b) or (d) holds for every image with the same active units; one from a computed
Delta(A D B) holds for one image.

**Source:** new here.

**Proof of (a).** Positive diagonals cancel from cross ratios (proofs/test_birkhoff_hopf.py), and units with
a = 0 or z = 0 give zero rows and columns, which are dropped. (b): tau is submultiplicative and tau(A D) =
tau(A). The images of A D B are among those of A, so Delta(A D B) <= Delta(A); for the other one transpose.

**Proof of (d).** Delta(A D B) = log of the supremum over i, i', j, j' of N / M,

    N = (A D B)_ij (A D B)_i'j' = sum_k q_k d_k^2 + sum_{k<l} n_kl d_k d_l,   q_k = A_ik A_i'k B_kj B_kj',

and M is N with j and j' exchanged, M = sum_k q_k d_k^2 + sum_{k<l} m_kl d_k d_l with the same q_k. (A pair
with N = 0 does not count; a pair with M = 0 < N is an infinite diameter, as it should be.)

If the condition holds, every term of N is at most a constant times M, uniformly in D: q_k d_k^2 is a term
of M; if m_kl > 0, n_kl d_k d_l = (n_kl / m_kl) m_kl d_k d_l; and if q_k, q_l > 0, n_kl d_k d_l is at most
(n_kl / (2 sqrt(q_k q_l))) (q_k d_k^2 + q_l d_l^2). So N <= (1 + sum of these constants) M.

If it fails at k, l: n_kl > 0 = m_kl and, say, q_l = 0. Put d_k = 1, d_l = t, and all other d = t^-3. For
large t, N >= n_kl t. In M, d_l^2 and d_k d_l have the coefficient zero, d_k^2 = 1, and all products with
another index are at most t * t^-3. So M is bounded, and N / M tends to infinity. []

(No monomials but squares and products of two occur, which is why the Newton polytopes need no further case.)
"""

import itertools
import math

import numpy as np
import pytest
import sympy as sp

from conetheory.theory.cone import projective_diameter
from conetheory.theory.innerscalings import diameter_sup_over_inner_scalings_is_finite

rng = np.random.default_rng(0)


def quadratic_form(A, B, i, i2, j, j2):
    """Coefficients of (A D B)_ij (A D B)_i'j' as a symmetric matrix in d."""
    left = np.outer(A[i] * B[:, j], A[i2] * B[:, j2])
    return (left + left.T) / 2


def test_a_the_image_cancels():
    for _ in range(30):
        W = np.maximum(rng.standard_normal((4, 5)) + 1.5, 0)
        values = []
        for _ in range(2):
            a = rng.uniform(0.1, 9, 5)
            z = W @ a
            values.append(float(projective_diameter(a[:, None] * W.T / z)))
        assert values[0] == values[1] or math.isclose(*values, rel_tol=1e-12)


def test_b_bounds_for_every_inner_diagonal():
    for _ in range(100):
        A, B = rng.uniform(0.1, 1, (3, 4)), rng.uniform(0.1, 1, (4, 3))
        D = 10 ** rng.uniform(-6, 6, 4)
        deltas = [float(projective_diameter(M)) for M in (A * D @ B, A, B)]
        assert deltas[0] <= min(deltas[1:]) + 1e-12
        assert math.tanh(deltas[0] / 4) <= math.tanh(deltas[1] / 4) * math.tanh(deltas[2] / 4) + 1e-12


def test_c_inner_diagonals_matter_and_infinite_factors_may_give_a_bounded_block():
    A, B = rng.uniform(0.1, 1, (3, 4)), rng.uniform(0.1, 1, (4, 3))
    values = [float(projective_diameter(A * D @ B)) for D in (np.ones(4), np.asarray([1, 9, 1, 9.0]))]
    assert abs(values[0] - values[1]) > 1e-3
    assert projective_diameter(np.eye(3)) == math.inf
    assert diameter_sup_over_inner_scalings_is_finite(np.eye(4), B)
    # Both factors infinite: the second index is seen by one row of A and one column of B only.
    A, B = np.asarray([[1.0, 1.0], [1.0, 0.0]]), np.asarray([[1.0, 1.0], [1.0, 0.0]])
    assert projective_diameter(A) == projective_diameter(B) == math.inf
    found = diameter_sup_over_inner_scalings_is_finite(A, B)
    largest = max(float(projective_diameter(A * [1.0, t] @ B)) for t in 10.0 ** np.arange(-9, 10))
    assert bool(found) == (largest < 5)


def test_d_the_squares_are_shared():
    names = sp.symbols("a0:6 b0:6 d0:3", positive=True)
    A, B = sp.Matrix(2, 3, names[:6]), sp.Matrix(3, 2, names[6:12])
    d = names[12:]
    C = A * sp.diag(*d) * B
    N, M = (sp.Poly(sp.expand(f), *d) for f in (C[0, 0] * C[1, 1], C[0, 1] * C[1, 0]))
    for k in range(3):
        square = tuple(2 * (m == k) for m in range(3))
        assert N.coeff_monomial(square) == M.coeff_monomial(square) == A[0, k] * A[1, k] * B[k, 0] * B[k, 1]
    cross = N.coeff_monomial((1, 1, 0))
    assert (
        sp.expand(cross - A[0, 0] * A[1, 1] * B[0, 0] * B[1, 1] - A[0, 1] * A[1, 0] * B[1, 0] * B[0, 1]) == 0
    )


@pytest.mark.slow
def test_d_the_bound_and_the_counterexample_on_random_patterns():
    counts = {True: 0, False: 0}
    for _ in range(400):
        m, r, n = rng.integers(2, 4, 3)
        A, B = (rng.uniform(0.5, 2, s) * (rng.uniform(size=s) < 0.75) for s in ((m, r), (r, n)))
        live = (A @ B > 0).any(axis=1), (A @ B > 0).any(axis=0)
        A, B = A[live[0]], B[:, live[1]]
        if A.size == 0:
            continue
        verdict = diameter_sup_over_inner_scalings_is_finite(A, B)
        counts[bool(verdict)] += 1
        if verdict:
            bound = largest_constant(A, B)
            for _ in range(20):
                D = 10 ** rng.uniform(-8, 8, r)
                assert float(projective_diameter(A * D @ B)) <= math.log(bound) + 1e-9
        else:
            k, m2 = verdict.inner
            grown = []
            for t in (1e20, 1e40):
                tried = []
                for low, high in ((k, m2), (m2, k)):
                    D = np.full(r, t**-3)
                    D[low], D[high] = 1.0, t
                    tried.append(float(projective_diameter(A * D @ B)))
                grown.append(max(tried))
            assert grown[0] > 35
            assert grown[1] > grown[0] + 35 or grown[1] == math.inf
    assert min(counts.values()) > 50


def largest_constant(A, B):
    """The constant of the proof, over all rows and columns."""
    best = 1.0
    for i, i2 in itertools.permutations(range(A.shape[0]), 2):
        for j, j2 in itertools.permutations(range(B.shape[1]), 2):
            N, M = quadratic_form(A, B, i, i2, j, j2), quadratic_form(A, B, i, i2, j2, j)
            total = 1.0
            for k, m in itertools.combinations(range(A.shape[1]), 2):
                n_km, m_km, squares = 2 * N[k, m], 2 * M[k, m], M[k, k] * M[m, m]
                if n_km > 0:
                    total += n_km / m_km if m_km > 0 else n_km / (2 * math.sqrt(squares))
            best = max(best, total)
    return best
