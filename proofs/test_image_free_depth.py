"""Image-free depth: no number of layers bounds all inner scalings unless one does

**Statement.** Let A_1, ..., A_L be nonnegative, L >= 1, each with as many columns as the next has rows, and
let every unit be alive: no row and no column of any A_l is zero. Then

    sup over positive diagonals D_1, ..., D_(L-1) of Delta(A_1 D_1 A_2 ... D_(L-1) A_L)

is finite iff Delta(A_l) is for one l, that is iff one A_l has no zero entry; and it is at most the smallest
of the Delta(A_l), and at most 4 artanh(prod tau(A_l)). If it is infinite, powers of one variable show it:
there are whole numbers e_l such that the diameter is infinite at D_l = diag(t^(e_l)), or grows at least like
log t.

Where units are dead, those that lie on no path from a row of A_1 to a column of A_L are dropped first. That
changes no product, and leaves a chain of live units (or a product that is zero). So whether a bound holds
for all positive diagonals, and so for all images with the same active units, is decided layer by layer:
depth adds nothing. (Images may make some of the D only, and of a bound over these alone nothing is said.)

**Source:** new here (for L = 2: proofs/test_image_free_blocks.py, by cases).

**Lemma.** Let A have a zero entry but no zero row and no zero column, and let r be a vector of numbers, one
for each column, that are not all equal. Then some row i' holds a column c' (A_i'c' > 0) and misses a column
c (A_i'c = 0) with r_c != r_c'. And if r = x - y, there are whole numbers v (for whole x, y) such that x'_i =
max over c in row i of (v_c + x_c) and y'_i, the same for y, have x' - y' not constant.

**Proof of the lemma.** Take a row i' with a zero. The columns that it holds and those that it misses are two
sets, neither of them empty, that cover all columns. If r_c = r_c' for all c in one and all c' in the other,
all r are equal. For the second claim let g exceed max x - min x + max y - min y, v_c = 2 g, v_c' = g, and
the other v zero. A row that holds c has x' - y' = (2 g + x_c) - (2 g + y_c) = r_c, as c beats all other
columns both in x' and in y'; there is one, as column c is not zero. Row i' has r_c', as c' beats all but c.

**Proof.** If Delta(A_l) is finite, all images of the chain lie among those of A_1 D_1 ... A_l, and
nonnegative matrices without zero rows do not expand Hilbert's metric: Delta <= Delta(A_l). The bound by tau
is submultiplicativity (proofs/test_birkhoff_hopf.py). And with all units alive a finite Delta(A_l) means no
zero.

Suppose that every A_l has a zero. Put x_L = 0 and y_L = (1, 0, ..., 0) on the columns of A_L: there are at
least two of them, as the row of A_L with a zero has also a positive entry. The lemma for A_L, ..., A_1 in
turn gives v_L, ..., v_1, and vectors x_l, y_l with x_l - y_l not constant, down to x_0, y_0 on the rows of
A_1. Put D_l = diag(t^(v_l)), X = t^(x_L), Y = t^(y_L). Sums of positive multiples of powers of t are, as t
-> oo, between positive multiples of their largest power, so that

    (A_1 D_1 A_2 ... D_(L-1) A_L D_L X)_i  is between positive multiples of  t^((x_0)_i),

and the same for Y with y_0. Hence the distance of these two images of A_1 D_1 ... A_L is at least (max - min
of x_0 - y_0) log t - const >= log t - const, and so is the diameter. []
"""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest

from conetheory.theory.cone import projective_diameter
from conetheory.theory.innerscalings import chain_diameter_sup_is_finite
from conetheory.theory.records import NotApplicable

rng = np.random.default_rng(0)


def product(chain, diagonals):
    """A_1 D_1 A_2 ... D_(L-1) A_L in whole numbers of any size."""
    P = [[int(a) for a in row] for row in chain[0]]
    for D, A in zip(diagonals, chain[1:], strict=True):
        rows = [[d * int(a) for a in row] for d, row in zip(D, A, strict=True)]
        P = [[sum(a * b for a, b in zip(p, c, strict=True)) for c in zip(*rows, strict=True)] for p in P]
    return P


def cross_ratio(P):
    """exp of the diameter, None where it is infinite; rows and columns of zeros left out."""
    P = [row for row in P if any(row)]
    columns = [c for c in zip(*P, strict=True) if any(c)]
    if any(a == 0 for c in columns for a in c):
        return None
    ratios = [[Fraction(a, b) for a, b in zip(p, q, strict=True)] for p in columns for q in columns]
    return max(max(r) / min(r) for r in ratios)


def live_chain(density):
    """A random chain of one to six factors, entries 0 to 3, every unit alive."""
    sizes = rng.integers(1, 5, int(rng.integers(2, 8)))
    chain = []
    for m, n in itertools.pairwise(sizes):
        A = rng.integers(1, 4, (m, n)) * (rng.random((m, n)) < density)
        A[range(m), rng.integers(0, n, m)] += A[range(m)].sum(axis=1) == 0
        A[rng.integers(0, m, n), range(n)] += A.sum(axis=0) == 0
        chain.append(A)
    return chain


def test_the_lemma_on_every_small_pattern():
    """Every 0-1 matrix of three shapes with a zero and no zero line, every r of two values."""
    for m, n in ((2, 2), (2, 3), (3, 3)):
        for bits in itertools.product((0, 1), repeat=m * n):
            A = np.reshape(bits, (m, n))
            if A.all() or not (A.any(axis=0).all() and A.any(axis=1).all()):
                continue
            for r in itertools.product((0, 1), repeat=n):
                apart = any(
                    A[i, c2] and not A[i, c] and r[c] != r[c2]
                    for i in range(m)
                    for c, c2 in itertools.permutations(range(n), 2)
                )
                assert apart == (len(set(r)) > 1)


@pytest.mark.slow
def test_random_chains():
    """1,500 chains. Infinite: in whole numbers, exp Delta grows with the witness, t = 2^12 and 2^24.

    Finite: at random powers of two the diameter is at most the smallest of a factor, in rationals.
    """
    finite = infinite = growing = 0
    for _ in range(1500):
        chain = live_chain(rng.choice([0.3, 0.5, 0.8]))
        found = chain_diameter_sup_is_finite(chain)
        own = [cross_ratio(A.tolist()) for A in chain]
        assert bool(found) == any(ratio is not None for ratio in own)
        if found:
            finite += 1
            smallest = min(ratio for ratio in own if ratio is not None)
            diagonals = [[2 ** int(e) for e in rng.integers(0, 60, A.shape[1])] for A in chain[:-1]]
            assert own[found.factor] is not None
            assert cross_ratio(product(chain, diagonals)) <= smallest
            continue
        infinite += 1
        powers = [[[t**e for e in v] for v in found.exponents] for t in (2**12, 2**24)]
        first, second = (cross_ratio(product(chain, diagonals)) for diagonals in powers)
        assert (first is None) == (second is None)
        if first is not None:
            growing += 1
            assert second >= first * 2**6  # 2^12 but for what the bounded factors may still change
    assert min(finite, infinite, growing) > 100


def test_dead_units_are_dropped():
    """Chains with dead units: as the chain of its live units says, and the witness still grows."""
    counts = {True: 0, False: 0, None: 0}
    for _ in range(1000):
        sizes = rng.integers(1, 5, 4)
        chain = [rng.integers(0, 2, shape) for shape in itertools.pairwise(sizes)]
        found = chain_diameter_sup_is_finite(chain)
        whole = product(chain, [[1] * A.shape[1] for A in chain[:-1]])
        if isinstance(found, NotApplicable):
            assert not any(map(any, whole))
            counts[None] += 1
            continue
        counts[bool(found)] += 1
        ratios = []
        for t in (2**20, 2**40):
            exponents = found.exponents or [rng.integers(0, 9, A.shape[1]) for A in chain[:-1]]
            ratios.append(cross_ratio(product(chain, [[t ** int(e) for e in v] for v in exponents])))
        if found:
            assert max(ratios) <= 2**6
        else:
            assert ratios[0] is None or ratios[1] >= ratios[0] * 2**10
    assert min(counts.values()) > 30


def test_ten_layers_of_a_convolution_stay_unbounded():
    """A chain whose product is positive and, at equal activations, close to rank one."""
    A = np.asarray([[2, 1, 0], [1, 2, 1], [0, 1, 2]])
    assert projective_diameter(np.linalg.matrix_power(A.astype(float), 10)) < 0.1
    found = chain_diameter_sup_is_finite([A] * 10)
    assert not found
    assert not chain_diameter_sup_is_finite([A] * 100)
    ratio = cross_ratio(product([A] * 6, [[256**e for e in v] for v in found.exponents[-5:]]))
    assert ratio is None or math.log(ratio) > 5
