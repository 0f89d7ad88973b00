"""Image-free blocks: two factors are bounded over all inner scalings only if one of them is

**Statement.** Let A, B be nonnegative, and let every inner unit be alive in both: no column of A and no row
of B is zero. Then

    sup over positive diagonals D of Delta(A D B) is finite  iff  Delta(A) or Delta(B) is,

and it is at most the smaller of the two, and at most 4 artanh(tau(A) tau(B)). So a z+ block of two layers is
bounded over all positive D exactly where one of its factors is bounded alone, and then for all images with
the same active units. Images may make some of the D only, and of a bound over these alone nothing is said.
(Units that are dead in one of the factors must be dropped first: A may have a zero at a unit that B never
feeds.)

**Source:** new here (sharpens the exchange condition of proofs/test_z_plus_image_dependence.py, which it
decides for live inner units).

**Proof.** Delta(A D B) <= min(Delta(A), Delta(B)): the images of A D B are among those of A, and Delta is the
same for the transposes; the bound by tau is submultiplicativity (proofs/test_birkhoff_hopf.py). Drop zero
rows of A and zero columns of B; because every inner unit is alive, all other rows and columns of A D B are
alive too, so that a zero entry of A D B makes its diameter infinite.

Suppose that both diameters are infinite. Then some column k of A is mixed, a_ik > 0 = a_i'k, and some row l
of B is mixed, b_lj > 0 = b_lj'. All d are one but d_k and d_l.

  (a) Row k of B is mixed too, b_kj > 0 = b_kj' for some j, j'. With d_k = t, the entry (i, j) of A D B grows
  like t, and (i, j'), (i', j), (i', j') don't depend on t. If one of them is zero, the diameter is infinite;
  else the cross ratio of the four grows like t. The same if column l of A is mixed, by transposition.
  (b) Row k of B is positive, and so is column l of A; k != l. With d_k = d_l = t, the entries (i, j), (i, j')
  and (i', j) lie between positive multiples of t: they hold a_ik b_kj t, a_ik b_kj' t and a_i'l b_lj t. In
  (i', j'), a_i'k = 0 and b_lj' = 0, so it does not depend on t. If it is zero, the diameter is infinite;
  else the cross ratio (i, j')(i', j) / ((i, j)(i', j')) grows like t. []
"""

import itertools
import math

import numpy as np
import sympy as sp

from conetheory.theory.cone import projective_diameter
from conetheory.theory.innerscalings import diameter_sup_over_inner_scalings_is_finite


def patterns(rows, columns):
    for bits in itertools.product((0.0, 1.0), repeat=rows * columns):
        yield np.array(bits).reshape(rows, columns)


def test_every_small_pattern():
    """Against the exchange condition, whose proof is another one, for all patterns of three shapes."""
    for m, r, n in ((2, 2, 2), (2, 3, 2), (3, 2, 3)):
        lefts = [A for A in patterns(m, r) if A.any(axis=0).all()]
        rights = [B for B in patterns(r, n) if B.any(axis=1).all()]
        bounded_left = [math.isfinite(projective_diameter(A)) for A in lefts]
        bounded_right = [math.isfinite(projective_diameter(B)) for B in rights]
        for A, left in zip(lefts, bounded_left, strict=True):
            for B, right in zip(rights, bounded_right, strict=True):
                assert bool(diameter_sup_over_inner_scalings_is_finite(A, B)) == (left or right)


def test_growth_in_both_cases():
    t = sp.Symbol("t", positive=True)
    cases = {
        "a": (sp.Matrix([[1, 1], [0, 1]]), sp.Matrix([[1, 0], [1, 1]]), sp.diag(t, 1), (0, 1, 0, 1)),
        "b": (sp.Matrix([[1, 1], [0, 1]]), sp.Matrix([[1, 1], [1, 0]]), sp.diag(t, t), (0, 1, 0, 1)),
    }
    for A, B, D, (i, i2, j, j2) in cases.values():
        P = A * D * B
        top, bottom = P[i, j] * P[i2, j2], P[i, j2] * P[i2, j]
        assert top == 0 or bottom == 0 or sp.limit(top / bottom, t, sp.oo) in (0, sp.oo)
        # With a third inner unit of ones no entry is zero, and the cross ratio still has no bound.
        full = P + sp.ones(2, 2)
        ratio = full[i, j] * full[i2, j2] / (full[i, j2] * full[i2, j])
        assert sp.limit(ratio, t, sp.oo) in (0, sp.oo)


def test_dead_inner_units_must_go():
    """Both infinite, and bounded all the same: the mixed column of A belongs to a unit that B never feeds."""
    A, B = np.array([[1.0, 1.0], [1.0, 0.0]]), np.array([[1.0, 2.0], [0.0, 0.0]])
    assert math.isinf(projective_diameter(A))
    assert diameter_sup_over_inner_scalings_is_finite(A, B)
