"""What is bounded over all inner diagonals, against Newton polytopes and products of large numbers."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from scipy.optimize import linprog

from conetheory.errors import InputError
from conetheory.theory import cone
from conetheory.theory.innerscalings import (
    chain_diameter_sup_is_finite,
    diameter_sup_over_inner_scalings_is_finite,
)
from conetheory.theory.records import NotApplicable
from tests import strategies


def cross_ratio_is_bounded(A, B):
    """Brute force: whether each cross ratio of A D B is bounded over D > 0.

    A ratio of polynomials with positive coefficients is bounded over D > 0 iff each monomial of the numerator
    lies in the Newton polytope of the denominator, here decided by a linear program.
    """

    r = A.shape[1]

    def monomials(i, i2, j, j2):
        return {
            tuple(np.eye(r)[k] + np.eye(r)[m])
            for k in range(r)
            for m in range(r)
            if A[i, k] and B[k, j] and A[i2, m] and B[m, j2]
        }

    for i, i2 in itertools.permutations(range(A.shape[0]), 2):
        for j, j2 in itertools.permutations(range(B.shape[1]), 2):
            top, bottom = monomials(i, i2, j, j2), monomials(i, i2, j2, j)
            for point in top - bottom:
                if not bottom:
                    return False
                vertices = np.asarray(sorted(bottom)).T
                rows = np.vstack([vertices, np.ones(vertices.shape[1])])
                answer = linprog(np.zeros(vertices.shape[1]), A_eq=rows, b_eq=[*point, 1])
                if answer.status != 0:
                    return False
    return True


@given(st.data())
@settings(max_examples=60)
def test_inner_scaling_condition_against_newton_polytopes(data):
    m, r, n = (data.draw(st.integers(1, 4)) for _ in range(3))
    A, B = (data.draw(strategies.zero_patterns(s)) for s in ((m, r), (r, n)))
    A, B = A[A.any(axis=1)], B[:, B.any(axis=0)]
    keep = (A @ B).any(axis=1), (A @ B).any(axis=0)
    A, B = A[keep[0]], B[:, keep[1]]
    verdict = diameter_sup_over_inner_scalings_is_finite(A, B)
    assert bool(verdict) == cross_ratio_is_bounded(A, B)
    if not verdict:
        assert diameter_sup_over_inner_scalings_is_finite(torch.tensor(A), torch.tensor(B)) == verdict
        assert witnessed_diameter(A, B, verdict.inner, 1e20) > 40
        assert witnessed_diameter(A, B, verdict.inner, 1e40) > 80


def witnessed_diameter(A, B, inner, M):
    """The largest diameter over three scalings that make d_k d_l large against all but one square."""
    reached = []
    for sizes in ((1, 1), (1, M), (M, 1)):
        d = np.full(A.shape[1], M**-3)
        d[list(inner)] = sizes
        reached.append(float(cone.projective_diameter(A * d @ B.astype(float))))
    return max(reached)


def test_inner_scalings_by_hand():
    eye, full = np.eye(2), np.ones((2, 2))
    assert diameter_sup_over_inner_scalings_is_finite(eye, full)
    assert not diameter_sup_over_inner_scalings_is_finite(eye, eye)
    triangle = np.asarray([[1.0, 1.0], [0, 1]])
    assert not diameter_sup_over_inner_scalings_is_finite(triangle, triangle.T)
    with pytest.raises(InputError):
        diameter_sup_over_inner_scalings_is_finite(np.ones((2, 3)), full)


# ---------------------------------------------------------------- chains


@given(st.data())
def test_two_factors_agree_with_the_exchange_condition(data):
    m, r, n = (data.draw(st.integers(1, 4)) for _ in range(3))
    A, B = (data.draw(strategies.zero_patterns(s)) for s in ((m, r), (r, n)))
    found = chain_diameter_sup_is_finite([A, B])
    if isinstance(found, NotApplicable):
        assert not (A @ B).any()
        return
    rows, columns = (A @ B).any(axis=1), (A @ B).any(axis=0)
    assert bool(found) == bool(diameter_sup_over_inner_scalings_is_finite(A[rows], B[:, columns]))
    assert found == chain_diameter_sup_is_finite([torch.tensor(A), torch.tensor(B)])
    assert found == chain_diameter_sup_is_finite([sparse.csr_array(A), sparse.csc_array(B)])


def test_chains_by_hand():
    triangle, full, dead = np.asarray([[1, 1], [0, 1]]), np.ones((2, 2)), np.asarray([[1, 0], [1, 0]])
    assert chain_diameter_sup_is_finite([triangle, full, triangle]).factor == 1
    deep = chain_diameter_sup_is_finite([triangle] * 4)
    assert not deep
    assert [len(v) for v in deep.exponents] == [2, 2, 2]
    # Of `dead` only the first unit goes on, and what is left of both factors is positive.
    assert chain_diameter_sup_is_finite([dead, triangle.T]).factor == 0
    assert isinstance(chain_diameter_sup_is_finite([dead, np.asarray([[0, 0], [1, 1]])]), NotApplicable)
    for bad in ([], [full, np.ones((3, 2))], [-full]):
        with pytest.raises(InputError):
            chain_diameter_sup_is_finite(bad)
