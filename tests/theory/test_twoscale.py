"""The two-scale functions in numpy and torch: identities on dense layers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from conetheory.errors import InputError
from conetheory.theory import twoscale
from conetheory.theory.cosine import deficit

libraries = pytest.mark.parametrize("library", [np.asarray, torch.tensor])
rng = np.random.default_rng(0)


@pytest.fixture
def fields():
    """c >= 0 with one dead location, r, and xi: (vectors, channels, locations)."""
    draw = np.random.default_rng(1)
    c = draw.random((1, 6, 10))
    c[:, :, 3] = 0
    return c, draw.standard_normal((4, 6, 10)), draw.standard_normal((4, 6, 1))


@libraries
def test_weight_and_amplitude_are_the_orthogonal_decomposition(fields, library):
    c, r, _ = (library(x) for x in fields)
    s, a = (np.asarray(f(r, c, 1)) for f in (twoscale.location_weight, twoscale.amplitude))
    assert s.shape == a.shape == (4, 1, 10)
    assert not s[..., 3].any()
    assert not a[..., 3].any()
    c, r, _ = fields
    eta = r - s * c
    np.testing.assert_allclose((eta * c).sum(1), 0, atol=1e-13)
    size2 = (r**2).sum(1, keepdims=True)
    size2[..., 3] = 0
    np.testing.assert_allclose((s**2 + a**2) * (c**2).sum(1, keepdims=True), size2, rtol=1e-12)


@libraries
def test_the_surrogate_has_the_amplitude_and_is_orthogonal(fields, library):
    c, r, xi = (library(x) for x in fields)
    a = twoscale.amplitude(r, c, 1)
    eta = twoscale.surrogate(c, a, xi, 1)
    assert eta.shape == r.shape
    np.testing.assert_allclose(np.asarray(twoscale.amplitude(eta, c, 1)), np.asarray(a), rtol=1e-12)
    np.testing.assert_allclose(np.asarray(twoscale.location_weight(eta, c, 1)), 0, atol=1e-13)


@libraries
def test_coherence_of_explicit_fields(library):
    """Two channels, three locations: a = (1, 2, 3/sqrt 2), cosines 1, 0 of eta and 1, 1/sqrt 2 of c."""
    eta = np.array([[[1.0, 2, 0], [0, 0, 3]], [[1, 0, 1], [1, 0, 1]], [[1, -1, 1], [0, 0, 0]]])
    c = np.array([[[1.0, 1, 1], [0, 0, 1]]])
    found = np.asarray(twoscale.coherence(library(eta), library(c), 1))
    assert found.shape == (3, 1, 1)
    np.testing.assert_allclose(found[:, 0, 0], [2 / (2 + 3), 1, 0], rtol=1e-15)  # no pair; -2 is cut
    alone = twoscale.coherence(library(eta[..., :1]), library(c[..., :1]), 1)
    assert np.asarray(alone).tolist() == [[[1.0]]] * 3
    assert np.asarray(twoscale.coherence(library(eta[..., 0]), library(c[..., 0]), 1)).tolist() == [[1.0]] * 3


@libraries
def test_coherence_tells_shared_from_separate_directions(library):
    draw = np.random.default_rng(2)
    c = draw.random((1, 200, 6, 7))
    for kappa in (0.0, 0.3, 1.0):
        shared, own = draw.standard_normal((3, 200, 1, 1)), draw.standard_normal((3, 200, 6, 7))
        xi = np.sqrt(kappa) * shared + np.sqrt(1 - kappa) * own
        eta = twoscale.surrogate(library(c), library(draw.random((3, 1, 6, 7))), library(xi), 1)
        found = np.asarray(twoscale.coherence(eta, library(c), 1))
        assert found.shape == (3, 1, 1, 1)
        np.testing.assert_allclose(found, kappa, atol=0.06)


def test_the_surrogate_of_one_channel_is_zero():
    c = np.full((1, 1, 5), 2.0)
    found = twoscale.surrogate(c, np.zeros((3, 1, 5)), np.ones((3, 1, 1)), 1)
    assert not found.any()


@libraries
def test_combined_deficit_of_explicit_vectors(library):
    """Down to 1e-20, where one minus a cosine would be lost."""
    for scale in (1.0, 1e-3, 1e-7, 1e-10):
        t, (first, second) = scale * rng.random(), scale * rng.random(2)
        x, y = np.array([1.0, 0, first, 0]), np.array([np.cos(t), np.sin(t), 0, second])
        plain = deficit(np.array([1.0, 0]), np.array([np.cos(t), np.sin(t)]))
        found = twoscale.combined_deficit(*(library(np.float64(v)) for v in (plain, first, second)))
        assert float(found) == pytest.approx(float(deficit(x, y)), rel=1e-9)


def test_combined_deficit_broadcasts_and_keeps_the_ends():
    assert twoscale.combined_deficit(np.array([0.0, 1.0]), np.zeros(2), np.zeros(2)).tolist() == [0, 1]
    d = twoscale.combined_deficit(np.zeros((3, 1)), np.ones((1, 4)), np.ones((3, 4)))
    np.testing.assert_allclose(d, np.full((3, 4), 0.5), rtol=1e-15)


@libraries
@pytest.mark.parametrize("signed", [False, True])
def test_the_location_chain(library, signed):
    blocks = rng.standard_normal((5, 3, 6, 4)) if signed else rng.random((5, 3, 6, 4))
    c, s = rng.random((6, 4)) + 0.1, rng.standard_normal(6)
    t = np.asarray(twoscale.location_chain(library(blocks), library(c)))
    np.testing.assert_allclose(t.sum(1), 1, rtol=1e-12)
    assert signed or (t >= 0).all()
    below = np.einsum("pcqd,qd->pc", blocks, c)
    image = np.einsum("pcqd,q,qd->pc", blocks, s, c)
    np.testing.assert_allclose((image * below).sum(1) / (below**2).sum(1), t @ s, rtol=1e-10, atol=1e-12)


@libraries
def test_dead_rows_of_the_location_chain_are_zero(library):
    blocks = rng.random((5, 3, 6, 4))
    blocks[2] = 0
    t = np.asarray(twoscale.location_chain(library(blocks), library(rng.random((6, 4)))))
    assert not t[2].any()


def test_shapes_that_do_not_belong_together_are_refused():
    with pytest.raises(InputError, match="do not belong together"):
        twoscale.location_chain(np.ones((5, 3, 6, 4)), np.ones((6, 3)))
    with pytest.raises(InputError, match="do not belong together"):
        twoscale.location_chain(np.ones((5, 3, 6)), np.ones((6, 4)))


@pytest.mark.parametrize("side", [20, 40])
def test_mixing_of_the_reflecting_walk(side):
    """The estimate against the walk's own matrix: three equal taps, variance 2/3 a step."""
    walk = sum(np.eye(side, k=k) for k in (-1, 0, 1)) / 3
    walk[0, 0] = walk[-1, -1] = 2 / 3  # a step across the border stays
    second = np.sort(np.linalg.eigvalsh(walk))[-2]
    assert twoscale.mixing_layers_estimate(side, 2 / 3) == pytest.approx(-1 / np.log(second), rel=0.02)
    for bad in ((0, 1.0), (5, 0.0), (5, float("nan"))):
        with pytest.raises(InputError):
            twoscale.mixing_layers_estimate(*bad)
