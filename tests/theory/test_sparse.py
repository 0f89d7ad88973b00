"""Scipy sparse matrices get the answers of dense ones."""

import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from conetheory.errors import InputError
from conetheory.theory import cone, ergodicity, htransform, pattern, spectrum
from conetheory.theory.records import NotApplicable
from tests import strategies

FORMATS = st.sampled_from([sparse.csr_array, sparse.csc_array, sparse.coo_array, sparse.csr_matrix])


def with_holes(data, A):
    """A with some rows and columns set to zero."""
    A = A * data.draw(strategies.zero_patterns(A.shape[0]))[:, None]
    return A * data.draw(strategies.zero_patterns(A.shape[1]))


@given(strategies.signed_sum_preserving(), FORMATS, st.data())
def test_tau_1(case, form, data):
    """Multiples of 1/1024: both are exact, dead columns and the early end of the search included."""
    A = case[0] * data.draw(strategies.zero_patterns(case[0].shape[1]))
    np.testing.assert_array_equal(ergodicity.tau_1(form(A)), ergodicity.tau_1(A))


@given(strategies.whole(strategies.shapes(1, 8), -9, 9), FORMATS, st.data())
def test_weighted_tau_1(A, form, data):
    A = with_holes(data, A)
    rows, columns = (data.draw(strategies.positive(n)) for n in A.shape)
    dense = ergodicity.tau_1_weighted(A, rows, columns)
    found = ergodicity.tau_1_weighted(form(A), rows, columns)
    np.testing.assert_allclose(found, dense, rtol=1e-14, atol=1e-13)


def test_the_search_ends_at_disjoint_supports(monkeypatch):
    """A convolution's columns: tau_1 of one is known after the first of them."""
    kernel = np.random.default_rng(0).uniform(size=(4, 3, 3, 3))
    Z = pattern.conv_pattern(kernel, (20, 20), padding=1).astype(float)
    Z = sparse.csc_array(Z @ sparse.diags_array(1 / Z.sum(axis=0)))
    looked_at = []
    bincount = np.bincount
    monkeypatch.setattr(np, "bincount", lambda *a, **k: looked_at.append(1) or bincount(*a, **k))
    assert ergodicity.tau_1(Z) == pytest.approx(1, rel=1e-15)
    assert len(looked_at) <= 4


@given(strategies.stochastic(), FORMATS, st.data())
def test_doeblin(A, form, data):
    A = A * data.draw(strategies.zero_patterns(A.shape[1]).filter(np.any))
    assert ergodicity.doeblin_upper(form(A)) == ergodicity.doeblin_upper(A)
    assert isinstance(ergodicity.doeblin_upper(form(A / 2)), NotApplicable)
    assert "negative" in ergodicity.doeblin_upper(form(-A)).reason


@given(FORMATS, st.data())
def test_h_transform(form, data):
    sizes = data.draw(st.lists(st.integers(1, 4), min_size=2, max_size=5))
    factors = [data.draw(strategies.whole(shape)) for shape in itertools.pairwise(sizes)]
    dense, found = htransform.h_transform(factors), htransform.h_transform([form(Z) for Z in factors])
    np.testing.assert_array_equal(found.h, dense.h)
    for S, T in zip(found.stochastic, dense.stochastic, strict=True):
        assert sparse.issparse(S)
        np.testing.assert_allclose(S.toarray(), T, rtol=1e-15)


@given(strategies.whole(strategies.shapes(1, 5), 0, 3), FORMATS)
def test_projective_diameter(A, form):
    np.testing.assert_array_equal(cone.projective_diameter(form(A)), cone.projective_diameter(A))


@given(strategies.zero_patterns(strategies.shapes(1, 5)), FORMATS)
def test_patterns(A, form):
    assert pattern.allowable(form(A)) == pattern.allowable(A)
    assert pattern.scrambling(form(A)) == pattern.scrambling(A)
    if A.shape[0] == A.shape[1]:
        assert pattern.primitive(form(A)) == pattern.primitive(A)
        assert pattern.scrambling_index(form(A)) == pattern.scrambling_index(A)


@given(strategies.primitive(), FORMATS)
def test_perron_root(A, form):
    found = spectrum.perron_root(form(A), rtol=1e-9)
    root = max(abs(np.linalg.eigvals(A)))
    assert found.reached
    assert float(found.bound.lower) <= root * (1 + 1e-12)
    assert root * (1 - 1e-12) <= float(found.bound.upper)


def test_repeated_entries_are_added_and_stored_zeros_do_not_count():
    rows, columns = [0, 1, 1, 0, 1], [0, 0, 1, 0, 1]
    repeated = sparse.coo_array(([0.25, 0.5, 1.0, 0.25, 0.0], (rows, columns)), shape=(2, 2))
    assert Fraction(float(ergodicity.tau_1(repeated))) == Fraction(1, 2)
    assert cone.projective_diameter(repeated) == np.inf
    stored = sparse.csr_array((np.array([1.0, 0.0]), ([0, 1], [0, 1])), shape=(2, 2))
    assert ergodicity.tau_1(stored) == 0
    assert pattern.allowable(stored).zero_row == 1
    assert np.isnan(ergodicity.tau_1(sparse.csr_array((2, 2))))
    assert np.isnan(cone.projective_diameter(sparse.csr_array((2, 2))))


def test_bad_matrices_are_refused():
    infinite, negative = sparse.csr_array([[np.inf, 1.0]]), sparse.csr_array([[-1.0, 1.0]])
    refused = [
        (ergodicity.tau_1, infinite),
        (ergodicity.doeblin_upper, infinite),
        (cone.projective_diameter, negative),
        (pattern.scrambling, negative),
        (spectrum.perron_root, sparse.csr_array([[1.0, 1.0]])),
        (spectrum.perron_root, sparse.csr_array([[-1.0]])),
        (lambda Z: htransform.h_transform([Z]), negative),
    ]
    for function, A in refused:
        with pytest.raises(InputError):
            function(A)
