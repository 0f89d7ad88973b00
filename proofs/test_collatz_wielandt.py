"""Collatz-Wielandt: quotients enclose the spectral radius, and when power iteration may stop

**Statement.** Let A be a nonnegative n x n matrix with spectral radius rho.

(a) If x >= 0, x != 0 and A x >= lam x, then rho >= lam.

(b) If x > 0 and A x <= mu x, then rho <= mu. So for x > 0 the quotients q_i = (A x)_i / x_i give min q <=
rho <= max q.

(c) Along x, A x, A^2 x, ... (with A x > 0) the lower end never falls and the upper end never rises.

(d) log(max q / min q) is the Hilbert distance of x and A x; it shrinks at least by Birkhoff's tau_B(A) per
step, so for A > 0 the enclosure closes geometrically.

(e) If `upper - lower <= rtol * lower`, every number in [lower, upper] differs from rho by at most rtol *
rho.

(f) Rows of zeros may be struck out with their columns, again and again, without changing rho.

**Argument.**

(a) A is monotone on nonnegative vectors, so A^k x >= lam^k x for all k, and so the norm of A^k is at least
lam^k; Gelfand's formula gives rho = lim |A^k|^(1/k) >= lam.

(b) For |y| <= c x entrywise, |A y| <= A |y| <= c mu x; in the norm max_i |y_i|/x_i, A has norm at most mu,
and rho is below every operator norm. Positivity of x is what makes that a norm: with zeros in x the
statement is false (below).

(c) If A x >= lam x then A (A x) >= lam A x; likewise with <=.

(d) d_H(Ax, x) = log (max_i (Ax)_i/x_i * max_j x_j/(Ax)_j) = log(max q/min q), and d_H(A^2 x, A x) <=
tau_B(A) d_H(A x, x) (Birkhoff-Hopf).

(e) For m in the enclosure |m - rho| <= upper - lower <= rtol lower <= rtol rho.

(f) A zero row is a vertex without outgoing edges: it is on no cycle, so the characteristic polynomial of A
is that of the rest times a power of the variable.

**In floating point.** All terms are nonnegative, so a computed entry of A x has relative error at most
gamma_n = n u/(1 - n u), in any order of summation; the quotient and the outward factor cost three roundings
more. `perron_root` therefore multiplies the ends by 1 -+ gamma_(n+6). The enclosure is then one of the
matrix as stored, and is tested below against exact rational arithmetic with no slack at all.

A step rule has no such property: for a slowly converging A the vector moves by less than any given step long
before it is right. The last check shows one.

Sources: Collatz 1942, Satz 1; Wielandt 1950, Satz II; the step rule's failure: new here.
"""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import sympy as sp

from conetheory.theory.spectrum import perron_root

t = sp.symbols("t")


def exact_root_side(A: sp.Matrix, number: Fraction) -> int:
    """Sign of rho(A) - number, exactly, by Sturm sequences on the characteristic polynomial."""
    polynomial = A.charpoly(t).as_poly()
    r = sp.Rational(number.numerator, number.denominator)
    if polynomial.eval(r) == 0 and polynomial.count_roots(r, sp.oo) == 1:
        return 0
    return 1 if polynomial.count_roots(r, sp.oo) - (polynomial.eval(r) == 0) > 0 else -1


def quotients(A: list[list[Fraction]], x: list[Fraction]) -> list[Fraction]:
    return [
        sum((a * b for a, b in zip(row, x, strict=True)), Fraction(0)) / xi
        for row, xi in zip(A, x, strict=True)
    ]


def rational_matrices(count: int, n: int, low: int) -> list[list[list[Fraction]]]:
    rng = np.random.default_rng(7)
    return [
        [[Fraction(int(a), 16) for a in row] for row in rng.integers(low, 64, (n, n))] for _ in range(count)
    ]


def test_quotients_enclose_the_root_exactly() -> None:
    rng = np.random.default_rng(1)
    for A in rational_matrices(12, 4, 0):
        x = [Fraction(int(v), 8) for v in rng.integers(1, 40, 4)]
        q = quotients(A, x)
        M = sp.Matrix(4, 4, lambda i, j, A=A: sp.Rational(A[i][j].numerator, A[i][j].denominator))
        assert exact_root_side(M, min(q)) >= 0
        assert exact_root_side(M, max(q)) <= 0


def test_upper_quotient_needs_a_positive_vector() -> None:
    # x = e_1 is an eigenvector of diag(1, 2) for 1; the quotient over its support is 1 < 2 = rho
    A = sp.diag(1, 2)
    assert exact_root_side(A, Fraction(1)) == 1


def test_negative_entries_break_the_enclosure() -> None:
    A = [[Fraction(1), Fraction(-3)], [Fraction(-3), Fraction(1)]]
    assert max(quotients(A, [Fraction(1), Fraction(1)])) == -2
    assert exact_root_side(sp.Matrix([[1, -3], [-3, 1]]), Fraction(4)) == 0  # while rho = 4


def test_the_enclosure_never_widens_and_closes_at_the_birkhoff_rate() -> None:
    for A in rational_matrices(6, 3, 1):
        cross = max(
            A[i][k] * A[j][m] / (A[j][k] * A[i][m])
            for i in range(3)
            for j in range(3)
            for k in range(3)
            for m in range(3)
        )  # e^Delta, so tau_B = (sqrt(cross) - 1)/(sqrt(cross) + 1)
        root = np.sqrt(float(cross))
        tau = (root - 1) / (root + 1)
        x = [Fraction(1)] * 3
        ends = []
        for _ in range(6):
            q = quotients(A, x)
            ends.append((min(q), max(q)))
            x = [qi * xi for qi, xi in zip(q, x, strict=True)]
        for (low, high), (low2, high2) in itertools.pairwise(ends):
            assert low <= low2 <= high2 <= high
            assert np.log(float(high2 / low2)) <= tau * np.log(float(high / low)) * (1 + 1e-9)


def test_zero_rows_go_without_changing_the_root() -> None:
    A = sp.Matrix(
        [[0, 3, 1, 2], [0, 0, 0, 0], [5, 1, 2, 0], [0, 7, 0, 0]]
    )  # row 2 goes, then row 4 is zero too
    core = A.extract([0, 2], [0, 2])
    assert sp.expand(A.charpoly(t).as_expr() - t**2 * core.charpoly(t).as_expr()) == 0
    bound = perron_root(np.array(A.tolist(), dtype=float), rtol=1e-12).bound
    assert (
        exact_root_side(core, Fraction(float(bound.lower)))
        >= 0
        >= exact_root_side(core, Fraction(float(bound.upper)))
    )


def test_the_computed_enclosure_holds_with_no_slack() -> None:
    rng = np.random.default_rng(3)
    for n in (2, 3, 5):
        for _ in range(6):
            A = np.exp(rng.normal(size=(n, n))) * (rng.random((n, n)) < 0.8)
            found = perron_root(A, rtol=1e-13, max_steps=400)
            M = sp.Matrix(n, n, lambda i, j, A=A: sp.Rational(*float(A[i, j]).as_integer_ratio()))
            assert exact_root_side(M, Fraction(float(found.bound.lower))) >= 0
            assert exact_root_side(M, Fraction(float(found.bound.upper))) <= 0


def test_a_small_step_proves_nothing() -> None:
    gap = 1e-6  # eigenvalues 1 and 1 + gap, weakly coupled: x creeps from e_1 to the Perron vector
    A = np.array([[1.0, 1e-10], [1e-10, 1 + gap]])
    x = np.array([1.0, 1e-4])
    y = A @ x
    step = np.abs(y / y.max() - x / x.max()).max()
    estimate = y[0] / x[0]
    assert step < 1e-9  # "converged"
    assert (1 + gap) - estimate > 9e-7  # a thousand times the step
    q = y / x
    assert q.max() - q.min() > 9e-7  # and the enclosure knows it
