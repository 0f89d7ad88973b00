"""Pairs of columns that are left out unseen, of many matrices at once."""

import numpy as np
import pytest
import torch

from conetheory.theory import cone, worstpair


@pytest.mark.parametrize("rows", [3, 30])
def test_matrices_of_a_batch_are_screened_each_by_itself(rows):
    """Of one nearly all columns are left, of another few; dead ones, none alive, numbers out of range."""
    rng = np.random.default_rng(0)
    far = 10.0 ** (np.array([0, -3, -6, -1, -2, -1, -4])[:, None, None] * rng.random((7, 1, 40)))
    A = np.exp(rng.normal(size=(7, rows, 1)) + far * rng.normal(size=(7, rows, 40)))
    A[1, :, ::3], A[3, :, 1:], A[4], A[5, 0, ::2] = 0, 0, 0, 0
    A[6] *= 1e-200
    for form in (A, torch.from_numpy(A)):
        found, diameters = worstpair.worst_pair_cosine(form), cone.projective_diameter(form)
        for k, matrix in enumerate(A):
            one = worstpair.worst_pair_cosine(matrix)
            np.testing.assert_allclose(float(found.deficit[k]), one.deficit, rtol=1e-12)
            assert {int(found.first[k]), int(found.second[k])} == {int(one.first), int(one.second)}
            np.testing.assert_allclose(float(diameters[k]), cone.projective_diameter(matrix), rtol=1e-14)
    assert np.isnan(float(found.deficit[4]))
    assert int(found.first[4]) == -1
