"""Origin overlap: channels tell starts apart by where relevance comes from, and by the start's own channels

**Statement.** Let P be the rows of a linear chain at one location: channels i x units (q, k), q the
locations of the start, k its channels. Let c0(q) be any field of vectors there, not all zero, c_i = sum_q
C_i,q c0(q) with C_i,q the block of row i at q, and f_i(q) = C_i,q c0(q) / c_i where c_i != 0. Then

    P P^T = A + T,   A_ij = sum_q (C_i,q c0(q)) (C_j,q c0(q)) / |c0(q)|^2
                          = c_i c_j sum_q f_i(q) f_j(q) / |c0(q)|^2

over q with c0(q) != 0, and T = P' P'^T, P' the chain on starts that are orthogonal to c0(q) at every q.
Both are positive semidefinite. sum_q f_i(q) = 1. For a nonnegative chain and c0 >= 0, f_i is a probability
distribution, and A_ij >= 0. At a cut where r(q) = s(q) c0(q) + eta(q) with K = Cov s and Cov(s, eta) = 0
the same holds with A_ij = sum_qq' (C_i,q c0(q)) K_qq' (C_j,q' c0(q')) and T = C Cov(eta) C^T; with Cov(s,
eta) != 0 there is a cross term. If channels have forgotten what started, T = 0: two starts differ at this
location only through the overlaps of origins. For white starts P P^T = A has rank one then iff its rows
C_i,q c0(q) are parallel, not all zero: where no row but zero ones has c_i = 0 (as in a nonnegative chain with
c0 >= 0), iff c != 0 and all f_i with c_i != 0 are equal, q by q.

**Source:** new here.

**Proof.** Let U(q) be the projection on c0(q) at every location (zero where c0 is). It is symmetric and U^2
= U, so P P^T = P U P^T + P (1 - U) P^T. The first is sum_q (C_i,q c0(q)) (c0(q)^T C_j,q^T) / |c0(q)|^2 =
A_ij, the second T with P' = P (1 - U). f sums to one by the definition of c_i. For nonnegative blocks C_i,q
c0(q) >= 0, so f_i >= 0. With a cut, r = s c0 + eta gives Cov = (C c0) K (C c0)^T + C Cov(eta) C^T + two
cross terms in Cov(s, eta). For white starts A = F F^T with F_iq = C_i,q c0(q) / |c0(q)|, and rank F = 1 iff
its rows are parallel, not all zero; rows c_i f_i and c_j f_j with sums c_i and c_j != 0 are parallel iff f_i
= f_j. In a signed chain a row with c_i = 0 need not be zero; then it is parallel to none with c_j != 0. []
"""

from fractions import Fraction

import numpy as np
import pytest

from conetheory.theory.origin import overlap

rng = np.random.default_rng(0)
CHANNELS, LOCATIONS, UNITS = 3, 4, 2


def rational(shape, low, high):
    return np.vectorize(lambda n, d: Fraction(int(n), int(d)), otypes=[object])(
        rng.integers(low, high, shape), rng.integers(1, 6, shape)
    )


def case(signed):
    """Blocks C (i, q, k) and c0 (q, k), with a dead location."""
    C = rational((CHANNELS, LOCATIONS, UNITS), -4 if signed else 0, 5)
    c0 = rational((LOCATIONS, UNITS), -3 if signed else 0, 4)
    c0[0] = 0
    c0[1:, 0] += 4
    return C, c0


@pytest.mark.parametrize("signed", [False, True])
def test_the_split_is_exact(signed):
    for _ in range(60):
        C, c0 = case(signed)
        norm2 = (c0 * c0).sum(1)
        along = (C * c0[None]).sum(2)  # C_i,q c0(q)
        share = np.array(
            [[a / n if n else Fraction(0) for a, n in zip(row, norm2, strict=True)] for row in along]
        )
        A = share @ along.T
        rest = C - share[:, :, None] * c0[None]
        assert not (rest * c0[None]).sum(2).any()  # orthogonal to c0(q) at every q
        T = np.einsum("iqk,jqk->ij", rest, rest)
        assert (np.einsum("iqk,jqk->ij", C, C) == A + T).all()
        c = along.sum(1)
        live = c != 0
        f = along[live] / c[live, None]
        assert (f.sum(1) == 1).all()
        with_f = [
            [
                ci * cj * sum(a * b / n for a, b, n in zip(fi, fj, norm2, strict=True) if n)
                for cj, fj in zip(c[live], f, strict=True)
            ]
            for ci, fi in zip(c[live], f, strict=True)
        ]
        assert (np.array(with_f) == A[np.ix_(live, live)]).all()
        if not signed:
            assert (f >= 0).all()
            assert (A >= 0).all()
        for x in rational((5, CHANNELS), -3, 4):
            assert x @ A @ x >= 0
            assert x @ T @ x >= 0


def test_equal_origins_have_rank_one_and_others_do_not():
    for _ in range(50):
        f = rational((LOCATIONS,), 1, 5)
        c = rational((CHANNELS,), 1, 5)
        D = c[:, None] * (f / f.sum())[None]
        A = D @ D.T
        minors = [A[0, 0] * A[i, j] - A[0, j] * A[i, 0] for i in range(1, 3) for j in range(1, 3)]
        assert not any(minors)
        D[0, 0] += Fraction(1, 7)
        A = D @ D.T
        assert A[0, 0] * A[1, 1] - A[0, 1] * A[1, 0] > 0


def test_a_signed_row_of_sum_zero_has_no_origin_and_counts():
    """One f only, of the row with c_i != 0, and A of rank two."""
    D = np.array([[1.0, 0.0], [1.0, -1.0]])
    A = overlap(D, np.ones(2))
    assert D.sum(1).tolist() == [1, 0]
    assert A[0, 0] * A[1, 1] - A[0, 1] * A[1, 0] == 1


def test_a_cross_term_is_what_correlated_deviations_add():
    """Cov of r = s c0 + eta with eta = w s + e: the statement's sum misses C (w K c0^T + ...) C^T."""
    c0, w = np.array([[2, 0], [1, 1]], dtype=object), np.array([[0, 3], [1, -1]], dtype=object)
    K = np.array([[2, 1], [1, 3]], dtype=object)
    C = np.array([[[1, 2], [0, 1]], [[3, 1], [1, 4]]], dtype=object)
    a, b = (C * c0[None]).sum(2), (C * w[None]).sum(2)
    whole = (a + b) @ K @ (a + b).T
    assert (whole == a @ K @ a.T + b @ K @ b.T + a @ K @ b.T + b @ K @ a.T).all()
    assert (a @ K @ b.T).any()


def test_the_function_is_the_matrix_of_the_statement():
    for _ in range(30):
        C, c0 = case(True)
        D, norm2 = (C * c0[None]).sum(2), (c0 * c0).sum(1)
        A = [[sum(x * y / n for x, y, n in zip(u, v, norm2, strict=True) if n) for v in D] for u in D]
        found = overlap(D.astype(float), norm2.astype(float))
        np.testing.assert_allclose(found, np.array(A, dtype=float), rtol=1e-13, atol=1e-13)
