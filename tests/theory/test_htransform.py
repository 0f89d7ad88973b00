"""The h-transform of chains whose products leave the range of floats, against rationals."""

import math
from fractions import Fraction

import mpmath
import numpy as np
import pytest
import torch
from flint import fmpq
from scipy import sparse

from conetheory.errors import InputError
from conetheory.theory.htransform import h_transform
from tests.certify.exact import rational


def exact_transform(chain):
    """The S_l and h in rationals."""
    h, out = [fmpq(1)] * len(chain[0]), []
    for Z in chain:
        weighted = [[g * rational(z) for z in row] for g, row in zip(h, np.asarray(Z), strict=True)]
        h = [sum(column, fmpq(0)) for column in zip(*weighted, strict=True)]
        out.append([[w / g if g else fmpq(0) for w, g in zip(row, h, strict=True)] for row in weighted])
    return [[[fraction(w) for w in row] for row in S] for S in out], [fraction(x) for x in h]


def fraction(x):
    return Fraction(int(x.p), int(x.q))


def logarithm(x):
    with mpmath.workdps(50):
        return float(mpmath.log(mpmath.mpf(x.numerator) / x.denominator)) if x else -math.inf


@pytest.mark.covering
@pytest.mark.parametrize("form", [np.asarray, torch.tensor, sparse.csr_array])
@pytest.mark.parametrize("scale", [1e-30, 1e-3, 1.0, 1e5, 1e100])
def test_two_hundred_factors(form, scale):
    rng = np.random.default_rng(0)
    chain = [rng.integers(0, 5, (3, 3)) * scale + np.eye(3) * scale for _ in range(200)]
    S, h = exact_transform(chain)
    found = h_transform([form(Z) for Z in chain])
    np.testing.assert_allclose(np.asarray(found.log_h), [logarithm(x) for x in h], rtol=1e-12, atol=1e-12)
    for mine, theirs in zip(found.stochastic, S, strict=True):
        mine = mine.toarray() if sparse.issparse(mine) else np.asarray(mine)
        np.testing.assert_allclose(mine, np.asarray(theirs, float), rtol=1e-12, atol=0)
        np.testing.assert_allclose(mine.sum(axis=0), 1, rtol=1e-13)


@pytest.mark.parametrize("form", [np.asarray, torch.tensor, sparse.csr_array])
def test_units_of_unlike_scale_and_dead_ones(form):
    """Two units that fall apart by 10^600 keep their columns; the third is fed by nothing that is alive."""
    Z = np.asarray([[1.0, 0, 0], [0, 1e-300, 0], [0, 0, 0]])
    last = np.asarray([[0, 1.0, 1], [1, 0, 0], [1, 0, 0]])
    chain = [Z, Z, Z, last]
    S, h = exact_transform(chain)
    found = h_transform([form(A) for A in chain])
    for mine, theirs in zip(found.stochastic, S, strict=True):
        mine = mine.toarray() if sparse.issparse(mine) else np.asarray(mine)
        np.testing.assert_allclose(mine, np.asarray(theirs, float), rtol=1e-13, atol=0)
    np.testing.assert_allclose(np.asarray(found.log_h), [logarithm(x) for x in h], rtol=1e-13)
    np.testing.assert_array_equal(np.asarray(found.h), [0, 1, 1])  # 1e-900 is below the floats


def test_large_products_are_inf_with_their_logarithm():
    found = h_transform([np.full((2, 2), 1e300)] * 3)
    assert np.all(np.isinf(found.h))
    np.testing.assert_allclose(found.log_h, 3 * math.log(2e300), rtol=1e-14)
    np.testing.assert_allclose(found.stochastic[2], 0.5)


def test_what_is_refused():
    for chain in ([], [np.ones((2, 2)), np.ones((3, 2))], [np.ones(2)], [np.full((2, 2), np.inf)]):
        with pytest.raises(InputError):
            h_transform(chain)
