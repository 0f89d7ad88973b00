"""The recursion of random convolutions: exact steps, its power laws, what it keeps, what it refuses."""

from __future__ import annotations

from decimal import Decimal, localcontext
from fractions import Fraction
from itertools import islice, product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from conetheory.errors import InputError
from conetheory.theory.convchains import (
    Walk,
    deficit_exponent,
    neighbours,
    slowest_rate,
    walk_layer,
    walk_layers,
    white_walk,
)


def exact_step(s, T, ratio, reach, stride, border):
    """The recursion in fractions, place by place; s: {place: value} a start, T: {place: value} a pair."""
    sides = [1 + max(place[axis] for place in s[0]) for axis in range(len(next(iter(s[0]))))]
    taps = list(product(range(-reach, reach + 1), repeat=len(sides)))

    def source(p, tap):
        at = [x + d for x, d in zip(p, tap, strict=True)]
        if border == "periodic":
            at = [x % (stride * side) for x, side in zip(at, sides, strict=True)]
        place = tuple(x // stride for x in at)
        return place if all(x % stride == 0 for x in at) and place in s[0] else None

    below, spread = [{} for _ in s], {pair: {} for pair in T}
    for p in product(*(range(stride * side) for side in sides)):
        found = [q for tap in taps if (q := source(p, tap)) is not None]
        for x, weights in enumerate(s):
            below[x][p] = sum(weights[q] for q in found)
        for x, y in T:
            parts = [s[x][q] * s[y][q] * (1 + T[x, y][q]) for q in found]
            spread[x, y][p] = ratio * sum(parts) / (below[x][p] * below[y][p])
    return below, spread


def fractions_of(values):
    return {place: Fraction(int(value)) for place, value in np.ndenumerate(values)}


@st.composite
def steps(draw):
    shape = draw(st.sampled_from([(2,), (3,), (5,), (2, 3), (3, 3)]))
    reach = draw(st.sampled_from([1, 2] if len(shape) == 1 else [1]))
    places = int(np.prod(shape))
    s, T = (
        np.reshape(draw(st.lists(st.integers(1, 9), min_size=k * places, max_size=k * places)), (k, *shape))
        for k in (2, 3)
    )
    return s, T, reach, draw(st.integers(1, 2)), draw(st.sampled_from(["periodic", "zero"]))


@settings(deadline=None, max_examples=60)
@given(steps(), st.integers(1, 5), st.fractions(0, 3))
def test_a_step_is_exact(step, channels, kappa):
    """One and two dimensions, both borders, with and without a stride, place by place in fractions."""
    s, T, reach, stride, border = step
    pairs = {(0, 0): T[0], (0, 1): T[1], (1, 1): T[2]}
    below, spread = exact_step(
        [fractions_of(one) for one in s],
        {pair: fractions_of(one) for pair, one in pairs.items()},
        kappa / channels,
        reach,
        stride,
        border,
    )
    both = np.stack([np.stack([T[0], T[1]]), np.stack([T[1], T[2]])]).astype(float)
    found = walk_layer(Walk(s.astype(float), both), channels, float(kappa), reach, stride, border)
    for (x, y), values in spread.items():
        assert np.abs(found.T[x, y] - found.T[y, x]).max() == 0
        for place, value in values.items():
            assert found.T[(x, y, *place)] == pytest.approx(float(value), rel=1e-12, abs=0)
    for x, values in enumerate(below):
        largest = max(values.values())
        for place, value in values.items():
            assert found.s[(x, *place)] == pytest.approx(float(value / largest), rel=1e-12, abs=0)


@pytest.mark.parametrize("stride", [1, 2])
def test_the_geometry_is_that_of_a_transposed_convolution(stride):
    """Means and covariances of relevance through torch's transposed convolution, whose border is zero."""
    r = torch.rand((3, 5, 4, 6), generator=torch.Generator().manual_seed(0), dtype=torch.float64) + 0.1
    ones = torch.ones((1, 1, 3, 3), dtype=torch.float64)

    def down(values):
        more = {"stride": stride, "padding": 1, "output_padding": stride - 1}
        return torch.nn.functional.conv_transpose2d(values.flatten(0, -3).unsqueeze(1), ones, **more)[:, 0]

    means = down(r.sum(1))
    products = down(torch.einsum("xcij,ycij->xyij", r, r)).unflatten(0, (3, 3))
    found = walk_layer(white_walk(r.numpy()), 5, 0.7, stride=stride, border="zero")
    np.testing.assert_allclose(found.T, (0.7 * products / (means[:, None] * means[None])).numpy(), rtol=1e-12)


def test_taps_are_the_neighbours():
    values = np.arange(6.0).reshape(1, 2, 3)
    found = neighbours(values, 2, 1)
    assert len(found) == 9
    for tap, moved in zip(product((-1, 0, 1), repeat=2), found, strict=True):
        np.testing.assert_array_equal(moved, np.roll(values, [-d for d in tap], (1, 2)))
    assert [moved.tolist() for moved in neighbours(values[0, :1], 1, 1, "zero")] == [
        [[0, 0, 1]],
        [[0, 1, 2]],
        [[1, 2, 0]],
    ]


@settings(deadline=None, max_examples=50)
@given(st.floats(-1e-9, 1e-9), st.floats(-1e-9, 1e-9), st.floats(1e-4, 1e-2))
def test_deficits_below_the_spacing_of_floats_at_one(apart, more, spread):
    """`1 - cos` would have an absolute error of 1e-16; this has 1e-16 times T, against 60 digits."""
    a, b, c = spread + apart, spread - apart, spread - abs(more)
    T = np.array([[a, c], [c, b]])[..., None]
    with localcontext() as context:
        context.prec = 60
        A, B, C = (1 + Decimal(float(x)) for x in (a, b, c))
        exact = 1 - C / (A * B).sqrt()
    found = Walk(np.ones((2, 1)), T).deficits[0, 0]
    assert found == pytest.approx(float(exact), rel=1e-9, abs=4e-16 * spread)


def test_the_cosine_has_a_sign():
    """T_xy below -1: the channels point apart, and the deficit is that of their lines."""
    T = np.array([[0.5, -1.4], [-1.4, 0.2]])[..., None]
    assert Walk(np.ones((2, 1)), T).deficits[0, 0] == pytest.approx(1 - 0.4 / np.sqrt(1.5 * 1.2), rel=1e-12)


def medians(s: np.ndarray, layers: int, n: int = 64) -> np.ndarray:
    blank = np.zeros((len(s), len(s), *s.shape[1:]))
    return np.array([np.median(walk.deficits) for walk in walk_layers(Walk(s, blank), layers, n, 1.0)])


def slope(values: np.ndarray, first: int, last: int) -> float:
    layers = np.log(np.arange(first, last))
    return float(np.polyfit(layers, np.log(values[first - 1 : last - 1]), 1)[0])


@pytest.mark.parametrize("mean", [0.0, 30.0])
def test_a_power_law_within_a_resolution(mean):
    """One dimension: l^-1 for zero-mean starts, l^-3/2 for positive ones, while l is well below side^2."""
    rng = np.random.default_rng(0)
    values = medians(mean + rng.standard_normal((8, 1024)), 120)
    assert slope(values, 20, 120) == pytest.approx(deficit_exponent(1, mean == 0), abs=0.15)


@pytest.mark.parametrize("mean", [0.0, 30.0])
@pytest.mark.slow
def test_a_power_law_in_two_dimensions(mean):
    """l^-1 and l^-2, on a torus of 128 x 128, from 24 layers to 48."""
    start = Walk(mean + np.random.default_rng(0).standard_normal((8, 128, 128)), np.zeros((8, 8, 128, 128)))
    half, whole = (np.median(walk.deficits) for walk in islice(walk_layers(start, 48, 64, 1.0), 23, None, 24))
    assert np.log2(whole / half) == pytest.approx(deficit_exponent(2, mean == 0), abs=0.1)


@pytest.mark.parametrize("reach", [1, 2])
def test_then_it_is_exponential(reach):
    """On a small ring the slowest mode decides."""
    rng = np.random.default_rng(1)
    side, blank = 12, np.zeros((4, 4, 12))
    start = Walk(5 + rng.standard_normal((4, side)), blank)
    values = [np.median(walk.deficits) for walk in walk_layers(start, 80 // reach**2, 64, 1.0, reach)]
    assert values[-1] / values[-6] == pytest.approx(slowest_rate(side, reach) ** 5, rel=0.02)
    steps = np.arange(-reach, reach + 1)
    assert slowest_rate(side, reach) == pytest.approx(
        abs(np.mean(np.exp(2j * np.pi * steps / side))) ** 2, rel=1e-12
    )


@pytest.mark.parametrize(("shape", "mean"), [((96,), 0.0), ((96,), 20.0), ((24, 24), 0.0), ((24, 24), 20.0)])
def test_a_stride_is_a_factor_of_a_quarter(shape, mean):
    """From one resolution to the next, with two layers at each, as these add ever less to the walk."""
    rng = np.random.default_rng(2)
    walk = Walk(mean + rng.standard_normal((4, *shape)), np.zeros((4, 4, *shape)))
    *_, walk = walk_layers(walk, 24, 32, 1.0)
    values = []
    for stride in (1, 1, 2, 1, 2, 1, 2, 1):
        walk = walk_layer(walk, 32, 1.0, stride=stride)
        values.append(np.median(walk.deficits))
    ends = np.array(values[3::2])
    factors = ends[1:] / ends[:-1]
    assert factors == pytest.approx([0.25, 0.25], rel=0.1)
    assert factors[-1] == pytest.approx(0.25, rel=0.05)


def test_equal_location_weights_leave_channels_alone():
    """Their spread shrinks by kappa/(n k) a layer, whatever the channels hold."""
    rng = np.random.default_rng(3)
    T = rng.standard_normal((6, 7, 5, 8))
    T = np.einsum("xkij,ykij->xyij", T, T)
    apart = lambda T: T[0, 0] + T[1, 1] - 2 * T[0, 1]  # noqa: E731
    walk = Walk(np.ones((6, 5, 8)), T)
    below = walk_layer(walk, 16, 0.5)
    assert apart(below.T).mean() == pytest.approx(0.5 / (16 * 9) * apart(T).mean(), rel=1e-12)


def test_equal_walks_have_no_deficit():
    s = np.ones((2, 5, 6))
    (walk,) = walk_layers(Walk(s, np.zeros((2, 2, 5, 6))), 1, 16, 0.5)
    assert np.abs(walk.deficits).max() < 1e-15
    np.testing.assert_allclose(walk.T, 0.5 / 16 / 9)


def test_what_it_refuses():
    start = Walk(np.ones((2, 4)), np.zeros((2, 2, 4)))
    with pytest.raises(InputError, match="kappa"):
        next(walk_layers(start, 1, 4, -1.0))
    with pytest.raises(InputError, match="a stride is between 1 and the 3 taps"):
        walk_layer(start, 4, 1.0, stride=4)
    with pytest.raises(InputError, match="periodic, zero"):
        walk_layer(start, 4, 1.0, border="mirror")
