"""Composition of cones: how location cones make the cone of the next layer

**Statement.** For locations q = 1, ..., k let K_q be convex cones of nonnegative vectors, w_q a nonnegative
vector with d(x, w_q) <= R_q < infinity for all x in K_q (Hilbert's metric), and A_q nonnegative matrices
with a common number of rows. Let

    K = {sum_q A_q x_q : x_q in K_q or zero},    B = [A_1 w_1, ..., A_k w_k],

    rho = max_q 4 artanh(tau(A_q) tanh(R_q / 4)) <= max_q tau(A_q) R_q.

  (a) Any two members of K that are not zero and have the same zeros satisfy d <= Delta(B) + 2 rho; if
  Delta(B) is finite, all of them have the same zeros, and Delta(K) <= Delta(B) + 2 rho.
  (b) Every member that is not zero is within max d(B e_q, B 1) + rho of B 1, over the q with B e_q != 0: the
  radius of the next step's recursion.
  (c) No bound by the tau(A_q) and the Delta(K_q) alone exists: with all of them zero, Delta(K) = Delta(B)
  takes every value in [0, infinity].

The fields of different locations need not agree. This is how blocks of layers compose at a location; the
product of the coefficients of single locations is no bound, by (c).

**Source:** new here.

**Proof.** (a) Let x_q in K_q, not zero. A_q maps x_q and w_q to vectors at a distance of at most 4
artanh(tau(A_q) tanh(R_q / 4)) <= rho (proofs/test_birkhoff_hopf.py, (e)), or both to zero. So there is s_q >
0 with

    e^{-rho/2} s_q A_q w_q <= A_q x_q <= e^{rho/2} s_q A_q w_q    entry by entry,

namely the geometric mean of the largest and smallest factor. Put s_q = 0 where x_q = 0 and add: y = sum
A_q x_q and v = B s satisfy e^{-rho/2} v <= y <= e^{rho/2} v, hence d(y, v) <= rho. For two members,

    d(y, y') <= d(y, B s) + d(B s, B s') + d(B s', y') <= rho + Delta(B) + rho.

If Delta(B) is finite, all B s that are not zero have the same zeros (the dead rows of B), and y has those of
B s. (b) d(y, B 1) <= d(y, B s) + d(B s, B 1), and a ball around B 1 is a convex cone, which holds B s
as soon as it holds the columns of B. (c) K_q = rays, A_q = w_q of one column: then K is the cone of the
columns of B, any nonnegative vectors. []
"""

import itertools
from fractions import Fraction

import numpy as np
import pytest

from conetheory.theory.cone import (
    birkhoff_tau,
    contracted_diameter_upper,
    hilbert_distance,
    projective_diameter,
)
from conetheory.theory.generators import composed_diameter_upper

rng = np.random.default_rng(0)


def example(count=3, rows=3, inner=2, rays=4, spread=0.4):
    A = rng.uniform(0.2, 3, (count, rows, inner))
    w = rng.uniform(0.5, 2, (count, inner))
    K = w[:, :, None] * np.exp(spread * rng.normal(size=(count, inner, rays)))
    return A, w, K


def radius(K, w):
    return float(np.max(hilbert_distance(K.T, w)))


@pytest.mark.parametrize("spread", [0.0, 0.01, 0.5, 2.0])
def test_a_all_pairs_of_generators(spread):
    for _ in range(20):
        A, w, K = example(spread=spread)
        B = np.stack([a @ x for a, x in zip(A, w, strict=True)], 1)
        radii = [radius(k, x) for k, x in zip(K, w, strict=True)]
        taus = [float(birkhoff_tau(projective_diameter(a))) * (1 + 1e-13) for a in A]
        made = np.concatenate([a @ k for a, k in zip(A, K, strict=True)], 1)
        assert projective_diameter(made) <= composed_diameter_upper(B, radii, taus, 1e-15)
        pairs = [(4 * np.arctanh(t), r) for t, r in zip(taus, radii, strict=True)]
        rho = max(float(contracted_diameter_upper(*pair)) for pair in pairs)
        assert rho <= max(t * r for t, r in zip(taus, radii, strict=True)) + 1e-12
        around = float(np.max(hilbert_distance(B.T, B.sum(axis=1)))) + rho + 1e-13
        assert float(np.max(hilbert_distance(made.T, B.sum(axis=1)))) <= around


def test_a_the_sandwich_in_rationals():
    """e^rho is the ratio of the extreme factors; the sum stays inside the same factors, exactly."""
    for _ in range(50):
        vectors = [[Fraction(int(v), 7) for v in rng.integers(1, 20, 3)] for _ in range(4)]
        u, v = vectors[:2], vectors[2:]  # A_q x_q and A_q w_q for two locations
        ratios = [[a / b for a, b in zip(x, y, strict=True)] for x, y in zip(u, v, strict=True)]
        squared = max(max(r) / min(r) for r in ratios)
        total = [a + b for a, b in zip(*u, strict=True)]
        # With s_q^2 = max * min, compare squares: (y_i / (B s)_i)^2 <= e^rho, using exact s_q where square.
        s = [float(max(r) * min(r)) ** 0.5 for r in ratios]
        middle = [float(a) * s[0] + float(b) * s[1] for a, b in zip(*v, strict=True)]
        for y, m in zip(total, middle, strict=True):
            assert (float(y) / m) ** 2 <= float(squared) * (1 + 1e-12)
            assert (m / float(y)) ** 2 <= float(squared) * (1 + 1e-12)


def test_b_is_needed_directions_attain_it():
    """Rays: the bound is the diameter of the directions, and it is attained."""
    for _ in range(20):
        B = rng.lognormal(0, 1, (3, 4))
        bound = composed_diameter_upper(B, [0.0] * 4, [0.0] * 4)
        assert float(projective_diameter(B)) <= bound <= float(projective_diameter(B)) * (1 + 1e-12) + 1e-13


def test_a_the_carried_part_is_attained():
    """One location, A and the two-ray cone of the sharp contraction: the distance of A x to A w is rho."""
    for k, r in itertools.product((2.0, 5.0), repeat=2):
        A, w = np.array([[k, 1], [1, k]]), np.array([1 / r, 1.0])
        image = float(hilbert_distance(A @ np.array([r, 1.0]), A @ w))
        tau = (k - 1) / (k + 1)
        bound = composed_diameter_upper((A @ w)[:, None], [2 * np.log(r) * (1 + 1e-15)], [tau * (1 + 1e-15)])
        assert 2 * image <= bound * (1 + 1e-15) <= 2 * image * (1 + 1e-12)
        assert bound < 2 * tau * 2 * np.log(r) * 0.99  # what the linear form says


def test_c_products_of_single_locations_bound_nothing():
    for t in (1.0, 10.0, 1e6):
        parts = [np.array([[t], [1.0]]), np.array([[1.0], [t]])]
        assert all(projective_diameter(part) == 0 for part in parts)
        assert projective_diameter(np.hstack(parts)) == pytest.approx(2 * np.log(t), abs=1e-12)


def test_members_of_a_cone_of_sums():
    A, w, K = example(spread=1.0)
    B = np.stack([a @ x for a, x in zip(A, w, strict=True)], 1)
    radii = [radius(k, x) for k, x in zip(K, w, strict=True)]
    bound = composed_diameter_upper(B, radii)
    masses = rng.lognormal(0, 3, (200, 3, 4))
    members = np.einsum("qic,qck,sqk->si", A, K, masses)
    for x, y in itertools.islice(itertools.combinations(members, 2), 2000):
        assert hilbert_distance(x, y) <= bound
