"""Softmax diameter: attention in Hilbert's metric, and the factors of attention rollout

**Statement.** Let S be a real matrix of logits, one row a query, and A = softmax(S) by rows.

1. `Delta(A) = Delta(A^T) = max_(i,j,k,l) (S_ik - S_jk - S_il + S_jl)`. For entries in [-b, b] it is at most
   4 b, with equality for S = [[b, -b], [-b, b]]. For S = c Q K^T (rows q_i, k_k; c > 0), with offsets that
   depend on the query alone or on the key alone, it is at most c times the Euclidean diameters of {q_i} and
   of {k_k}.
2. Let H be a mean of such matrices for n >= 2 tokens, entries of the logits in [-b, b], no mask. Then

       Delta((H + I) / 2) <= 2 log(1 + n e^(2 b)),   so tau_B <= n e^(2 b) / (2 + n e^(2 b)),

   and for every n there are logits of one head with equality. In total variation of rows,
   tau_1((H + I) / 2) <= 1 - n m / 2 with m = 1 / (1 + (n - 1) e^(2 b)).
3. With masks, of which every query keeps a key: a key masked (S_ik = -inf) for all queries is a column of
   zeros, which does not count; one masked for some queries and not for others makes Delta(A) infinite.

**Source:** new here. That Delta does not change under positive diagonal scalings: Birkhoff 1957.

**Proof.** 1. A = D(1/Z) exp(S) with Z_i = sum_k exp(S_ik) > 0: a positive diagonal scaling, which cancels in
every cross ratio A_ik A_jl / (A_jk A_il); its logarithm is the claim, symmetric in rows and columns. Four
entries of [-b, b] give at most 4 b. For S = c Q K^T + u 1^T + 1 v^T the offsets cancel and the rest is
c <q_i - q_j, k_k - k_l>, at most c |q_i - q_j| |k_k - k_l|.

2. Let R = H + I. For one head and i != j,

    (1 + A_ii) / A_ij = (Z_i + e^(S_ii)) / e^(S_ij)
                      = 1 + (2 e^(S_ii) + sum_(l != i, j) e^(S_il)) / e^(S_ij) <= 1 + n e^(2 b),

with equality for S_ij = -b and b elsewhere in the row; and A_ik / A_ij <= e^(2 b). A ratio of means is at
most the largest ratio of the terms, so both bounds hold for H. In a cross ratio R_ik R_jl / (R_jk R_il),
i != j, k != l, a diagonal entry below only lowers it, and it has at most two on top: i = k and j = l. With
none it is at most e^(4 b); with i = k alone it is (R_ii / R_il) (R_jl / R_ji) <= (1 + n e^(2 b)) e^(2 b);
with both it is (R_ii / R_ij) (R_jj / R_ji) <= (1 + n e^(2 b))^2, the largest of the three. Rows i and j can
be chosen independently, so that equality is attained. tanh(log(a) / 2) = (a - 1) / (a + 1) gives tau_B.
Every entry of H is at least m, since e^(S_ik) / Z_i >= e^(-b) / (e^(-b) + (n - 1) e^b), so that for two rows
sum_k min(H_ik, H_jk) >= n m and tau_1(H) <= 1 - n m; and tau_1((H + I) / 2) <= (tau_1(H) + 1) / 2.

3. Columns of zeros are left out of Delta, as are rows. Where column k has a zero in row i and none in row j,
the column of a key that query i keeps has a positive entry there: its distance from column k is infinite. []
"""

import itertools
from fractions import Fraction

import mpmath
import numpy as np

from conetheory.theory.attention import rollout_diameter_upper, rollout_tau_1_upper, softmax_diameter
from conetheory.theory.cone import projective_diameter


def largest(R):
    """The largest cross ratio of a matrix of positive Fractions."""
    m, n = len(R), len(R[0])
    return max(
        R[i][k] * R[j][q] / (R[j][k] * R[i][q])
        for i, j in itertools.permutations(range(m), 2)
        for k, q in itertools.permutations(range(n), 2)
    )


def softmax(E):
    """Rows of Fractions e^S over their sums."""
    return [[e / sum(row) for e in row] for row in E]


def rolled(heads):
    n = len(heads[0])
    mean = [[sum(A[i][k] for A in heads) / len(heads) for k in range(n)] for i in range(n)]
    return [[(mean[i][k] + (i == k)) / 2 for k in range(n)] for i in range(n)]


def test_cross_ratios_of_a_softmax_are_those_of_its_exponentials():
    """With e^(S_ik) = 2^(s_ik) all is a Fraction, the largest ratio 2 to the largest difference."""
    rng = np.random.default_rng(0)
    for _ in range(40):
        s = rng.integers(-5, 6, rng.integers(2, 5, 2))
        ratio = largest(softmax([[Fraction(2) ** int(e) for e in row] for row in s]))
        difference = max(
            int(s[i, k] - s[j, k] - s[i, q] + s[j, q])
            for i, j in itertools.product(range(len(s)), repeat=2)
            for k, q in itertools.product(range(s.shape[1]), repeat=2)
        )
        assert ratio == Fraction(2) ** difference
        assert softmax_diameter(s.astype(float)) == difference
        assert softmax_diameter(s.T.astype(float)) == difference


def test_equality_at_four_b():
    for b in (0.0, 0.5, 3.0):
        assert softmax_diameter(np.array([[b, -b], [-b, b]])) == 4 * b


def test_queries_and_keys():
    rng = np.random.default_rng(1)
    for _ in range(30):
        q, k = rng.normal(size=(2, 5, 3))
        widths = [max(np.linalg.norm(a - b) for a in x for b in x) for x in (q, k)]
        S = 0.7 * q @ k.T + rng.normal(size=(5, 1)) + rng.normal(size=5)
        assert softmax_diameter(S) <= 0.7 * widths[0] * widths[1] * (1 + 1e-12)


def test_no_rollout_is_wider_and_one_is_as_wide():
    """e^b = t a Fraction: the bound of the ratio is (1 + n t^2)^2."""
    rng = np.random.default_rng(2)
    for n, t in itertools.product((2, 3, 4), (Fraction(1), Fraction(3, 2), Fraction(4))):
        bound = (1 + n * t**2) ** 2
        for _ in range(8):
            E = [[[t ** int(e) for e in row] for row in rng.integers(-1, 2, (n, n))] for _ in range(3)]
            R = rolled([softmax(head) for head in E])
            assert largest(R) <= bound
        worst = [[t] * n for _ in range(n)]
        worst[0][1] = worst[1][0] = 1 / t
        R = rolled([softmax(worst)])
        assert largest(R) == bound
        upper = rollout_diameter_upper(n, float(mpmath.log(t.numerator) - mpmath.log(t.denominator)))
        exact = float(mpmath.log(bound.numerator) - mpmath.log(bound.denominator))
        assert exact * (1 - 1e-12) <= upper <= exact * (1 + 1e-12)
        assert float(projective_diameter(np.array(R, dtype=float))) <= upper * (1 + 1e-12)


def test_rows_of_a_rollout_come_together():
    rng = np.random.default_rng(3)
    for n, t in itertools.product((2, 3, 5), (Fraction(1), Fraction(2))):
        bound = 1 - Fraction(n) / (2 * (1 + (n - 1) * t**2))
        for _ in range(8):
            E = [[t ** int(e) for e in row] for row in rng.integers(-1, 2, (n, n))]
            R = rolled([softmax(E)])
            tau = max(
                sum(abs(a - b) for a, b in zip(R[i], R[j], strict=True)) / 2
                for i in range(n)
                for j in range(n)
            )
            assert tau <= bound
        upper = rollout_tau_1_upper(n, float(mpmath.log(t.numerator)))
        assert abs(upper - float(bound)) < 1e-12
    assert rollout_tau_1_upper(197, 0.0) - 0.5 < 1e-13  # equal logits


def test_masks():
    S = np.zeros((3, 3))
    S[:, 2] = -np.inf
    assert softmax_diameter(S) == 0
    S[0, 1] = -np.inf
    assert softmax_diameter(S) == np.inf
    S[0] = -np.inf  # no key, no softmax: the query is left out
    assert softmax_diameter(S) == 0
