"""Zero patterns against brute-force powers; every witness is checked."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from conetheory.errors import InputError
from conetheory.theory import pattern
from tests import strategies


def powers(A, last):
    power = A.astype(int)
    for k in range(1, last + 1):
        yield k, power
        power = (power @ A.astype(int) > 0).astype(int)


def columns_meet(A):
    return all((A[:, j] & A[:, k]).any() for j in range(A.shape[1]) for k in range(A.shape[1]))


@given(strategies.zero_patterns())
def test_allowable(A):
    verdict = pattern.allowable(A)
    assert bool(verdict) == (A.any(axis=0).all() and A.any(axis=1).all())
    if verdict.zero_row is not None:
        assert not A[verdict.zero_row].any()
    elif not verdict:
        assert not A[:, verdict.zero_column].any()


@given(strategies.allowable(), strategies.scrambling(), strategies.primitive())
def test_strategies_keep_their_promise(a, s, p):
    assert pattern.allowable(a)
    assert pattern.scrambling(s)
    assert pattern.primitive(p)


@given(strategies.zero_patterns())
def test_scrambling(A):
    verdict = pattern.scrambling(A)
    assert bool(verdict) == columns_meet(A)
    if not verdict:
        j, k = verdict.columns
        assert not (A[:, j] & A[:, k]).any()
    assert pattern.scrambling(torch.tensor(A)) == verdict


@given(st.integers(1, 5).flatmap(lambda n: strategies.zero_patterns((n, n))))
def test_primitive_against_all_powers(A):
    n = A.shape[0]
    first = next((k for k, power in powers(A, (n - 1) ** 2 + 1) if power.all()), None)
    verdict = pattern.primitive(A)
    assert verdict.index == first == pattern.primitivity_index(A)
    assert bool(verdict) == (first is not None)
    if verdict.unreachable is not None:
        i, j = verdict.unreachable
        assert not any(power[i, j] for _, power in powers(A, n))
    elif not verdict and verdict.period:
        # A cycle through 0 comes back in multiples of the period only, and in no larger ones.
        returns = [k for k, power in powers(A, 4 * n * n) if power[0, 0]]
        assert np.gcd.reduce(returns) == verdict.period


@pytest.mark.parametrize("n", [2, 5, 9, 30])
def test_wielandts_matrix_is_the_slowest(n):
    A = np.roll(np.eye(n), 1, axis=0)
    A[1, n - 1] = 1
    assert pattern.primitivity_index(A) == (n - 1) ** 2 + 1
    assert pattern.primitive(np.roll(np.eye(n), 1, axis=0)).period == n


@given(st.integers(1, 5).flatmap(lambda n: strategies.zero_patterns((n, n))))
def test_scrambling_index_against_all_powers(A):
    n = A.shape[0]
    first = next((k for k, power in powers(A, n * n + 2) if columns_meet(power)), None)
    verdict = pattern.scrambling_index(A)
    assert verdict.index == first
    if first is None:
        j, k = verdict.columns
        assert not any((power[:, j] & power[:, k]).any() for _, power in powers(A, n * n + 2))


def test_bad_patterns_are_refused():
    for bad in (np.ones(3), np.ones((0, 2)), -np.ones((2, 2))):
        with pytest.raises(InputError):
            pattern.scrambling(bad)
    with pytest.raises(InputError, match="square"):
        pattern.primitive(np.ones((2, 3)))


# ---------------------------------------------------------------- convolutions


@given(st.data())
def test_conv_pattern_is_the_matrix_of_the_convolution(data):
    outs, ins, kh, kw = (data.draw(st.integers(1, 3)) for _ in range(4))
    stride, padding = data.draw(st.integers(1, 2)), data.draw(st.integers(0, 1))
    h, w = data.draw(st.integers(3, 5)), data.draw(st.integers(3, 5))
    kernel = data.draw(strategies.zero_patterns((outs, ins, kh, kw)))
    alive = data.draw(strategies.zero_patterns((ins, h, w)))
    units = torch.eye(ins * h * w).reshape(-1, ins, h, w)
    image = torch.nn.functional.conv2d(units, torch.tensor(kernel).float(), stride=stride, padding=padding)
    expected = image.reshape(ins * h * w, -1).numpy() > 0
    found = pattern.conv_pattern(kernel, (h, w), stride, padding)
    np.testing.assert_array_equal(found.toarray(), expected)
    masked = pattern.conv_pattern(torch.tensor(kernel), (h, w), stride, padding, active_in=alive)
    np.testing.assert_array_equal(masked.toarray(), expected & alive.reshape(-1, 1))
    out_alive = np.zeros(image.shape[1:], dtype=bool)
    masked = pattern.conv_pattern(kernel, (h, w), stride, padding, active_out=out_alive)
    assert masked.nnz == 0


@given(st.data())
def test_local_scrambling_time(data):
    sizes = data.draw(st.lists(st.integers(1, 5), min_size=2, max_size=5))
    factors = [data.draw(strategies.zero_patterns(shape)) for shape in itertools.pairwise(sizes)]
    positions = data.draw(st.lists(st.integers(0, 1), min_size=sizes[0], max_size=sizes[0]))

    def positive(product):
        for p in set(positions):
            block = product[np.asarray(positions) == p]
            block = block[block.any(axis=1)]
            if not block[:, block.any(axis=0)].all():
                return False
        return True

    product, first = None, None
    for k, Z in enumerate(factors, start=1):
        product = Z if product is None else product @ Z
        if positive(product):
            first = k
            break
    verdict = pattern.local_scrambling_time(factors, positions)
    assert verdict.length == first
    if verdict:
        longer = product
        for Z in factors[first:]:
            longer = longer @ Z
            assert positive(longer)  # it stays
    else:
        here, there = verdict.rows
        assert positions[here] == positions[there] == verdict.position
        assert product[here, verdict.column]
        assert not product[there, verdict.column]
        assert product[there].any()


def test_a_stack_of_convolutions():
    """Full kernels: one layer suffices; channels apart: never; half of the weights positive: a few layers."""
    rng = np.random.default_rng(0)
    size, channels = (7, 7), 12
    positions = np.tile(np.arange(49), channels)

    def stack(kernels):
        return [pattern.conv_pattern(k, size, padding=1) for k in kernels]

    full = np.ones((channels, channels, 3, 3))
    assert pattern.local_scrambling_time(stack([full] * 2), positions).length == 1
    apart = np.eye(channels)[:, :, None, None] * np.ones((3, 3))
    verdict = pattern.local_scrambling_time(stack([apart] * 5), positions)
    assert not verdict
    assert verdict.rows is not None
    signs = rng.uniform(size=(6, channels, channels, 3, 3)) < 0.5
    assert 2 <= pattern.local_scrambling_time(stack(signs), positions).length <= 5
    with pytest.raises(InputError):
        pattern.local_scrambling_time([], positions)
    with pytest.raises(InputError, match="does not fit"):
        pattern.conv_pattern(np.ones((1, 1, 9, 9)), size)
