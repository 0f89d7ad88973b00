"""Random layers in closed form: five numbers per pair of vectors, and the law by which a layer moves them.

A chain of independent random matrices x' = M x, each N x n (n inputs, N outputs), acts on a pair of
vectors. Given x, the rows of M x are independent with mean m S (S the entry sum of x, m the mean of the
matrix entries) and variance v |x|^2 (v their variance), and jointly so for a pair: Gaussian for Gaussian
entries, and by the central limit theorem for others. So the law of (S_u, S_v, |u|^2, |v|^2, <u,v>) after a
layer depends on the same five numbers before it, and on nothing else.

`Pair` holds them in coordinates that stay accurate when the two vectors have all but merged: |u| = 1,
v = p u + d with d orthogonal to u, in the orthonormal frame (ones/sqrt(n), rest of u, rest of d)

    u = (E, A, 0),    d = (-A w, E w, C),    so S_u = sqrt(n) E and |d|^2 = w^2 + C^2.

The deficit is |d|^2 / (|v| (|v| + |p|)): nothing cancels in it, however small it is.

Facts used (B the QR factor of an (N-1) x 2 Gaussian matrix, Bartlett's decomposition; z standard normal):
the ones component of a row-independent layer is sqrt(N n) m E + sqrt(v) z.(Gram factor), and the rest is
sqrt(v) B (Gram factor). Theorem: mean-field; argument and check in `proofs/test_mean_field.py`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from array_api_compat import array_namespace

from conetheory.errors import InputError
from conetheory.theory.randomlayers import RandomLayer


@dataclass(frozen=True)
class Pair:
    """Pairs of vectors with `n` entries as five arrays of one shape; see the module docstring.

    Attributes
    ----------
    E, A
        u = (E, A, 0) in the frame (ones, rest of u, rest of d).
    w, C
        d = (-A w, E w, C).
    p
        v = p u + d, |u| = 1.
    n
        entries of the vectors.
    """

    E: Any
    A: Any
    w: Any
    C: Any
    p: Any
    n: int

    @property
    def deficit(self) -> Any:
        """`1 - |cos(u, v)|`, right to a few ulp at any size."""
        xp = array_namespace(self.E)
        off = self.w**2 + self.C**2
        length = xp.sqrt(self.p**2 + off)
        return off / (length * (length + xp.abs(self.p)))

    @property
    def spread(self) -> Any:
        """`T = |u - mean|^2 / |mean|^2`, what of u is off the ones direction; inf for a sum of zero."""
        return (self.A / self.E) ** 2

    @property
    def five_numbers(self) -> tuple[Any, Any, Any, Any, Any]:
        """`(S_u, S_v, |u|^2, |v|^2, <u,v>)` up to the common scale |u| = 1."""
        root = math.sqrt(self.n)
        one = self.E**2 + self.A**2
        S_v = root * (self.p * self.E - self.A * self.w)
        return root * self.E, S_v, one, self.p**2 + self.w**2 + self.C**2, self.p * one


@dataclass(frozen=True)
class Noise:
    """What a layer draws.

    Attributes
    ----------
    z1, z2
        normals for the ones direction.
    b11, b12, b22
        the factor ((b11, b12), (0, b22)) of the rest.
    """

    z1: Any
    z2: Any
    b11: Any
    b12: Any
    b22: Any


def typical_noise(outputs: int, like: Any) -> Noise:
    """The noise-free layer: normals at zero, chi variables at the root of their mean square.

    Parameters
    ----------
    outputs
        rows of the layer.
    like
        an array of the shape and kind wanted.

    Returns
    -------
    Noise
        of that shape.
    """
    xp = array_namespace(like)
    zero = xp.zeros_like(like)
    return Noise(zero, zero, zero + math.sqrt(outputs - 1), zero, zero + math.sqrt(max(outputs - 2, 0)))


def sampled_noise(outputs: int, shape: tuple[int, ...], rng: Any) -> Noise:
    """A draw from the exact law.

    Parameters
    ----------
    outputs
        rows of the layer.
    shape
        of the batch.
    rng
        a `numpy.random.Generator`.

    Returns
    -------
    Noise
        numpy arrays of that shape.
    """
    z1, z2, b12 = rng.standard_normal((3, *shape))
    tail = rng.chisquare(outputs - 2, shape) ** 0.5 if outputs > 2 else 0.0 * z1
    return Noise(z1, z2, rng.chisquare(outputs - 1, shape) ** 0.5, b12, tail)


def _from_frame(u: tuple[Any, Any], d: tuple[Any, Any, Any], p: Any, n: int) -> Pair:
    """Split `p u + d` again into a multiple of u and a part orthogonal to it, and scale u to length 1.

    With u = (E, A, 0), d = (F, B, C): the orthogonal part is (-A w, E w, C), w = (E B - A F)/|u|^2, a
    determinant, in which nothing cancels that had not cancelled in u and d themselves.
    """
    (E, A), (F, B, C) = u, d
    xp = array_namespace(E)
    scale = xp.sqrt(E**2 + A**2)
    E, A, F, B, C = (x / scale for x in (E, A, F, B, C))
    return Pair(E, A, E * B - A * F, C, p + E * F + A * B, n)


def pair_of(u: Any, v: Any) -> Pair:
    """The state of two vectors, batched over leading axes.

    Parameters
    ----------
    u, v : (..., n)
        u nonzero, n >= 2.

    Returns
    -------
    Pair
        arrays (...).

    Raises
    ------
    InputError
        if u vanishes somewhere or the shapes differ.

    References
    ----------
    Theorem: mean-field.
    """
    xp = array_namespace(u, v)
    u, v = xp.astype(u, xp.float64), xp.astype(v, xp.float64)
    if u.ndim < 1 or v.ndim < 1 or u.shape[-1] != v.shape[-1] or u.shape[-1] < 2:
        raise InputError(f"need two vectors of one length >= 2, got {tuple(u.shape)} and {tuple(v.shape)}")
    n = int(u.shape[-1])
    length = xp.sqrt(xp.sum(u * u, axis=-1, keepdims=True))
    if bool(xp.any(length == 0)):
        raise InputError("the first vector of a pair is zero: it has no direction")
    u, v = u / length, v / length
    p = xp.sum(u * v, axis=-1, keepdims=True)
    d = v - p * u
    mean_u, mean_d = xp.mean(u, axis=-1, keepdims=True), xp.mean(d, axis=-1, keepdims=True)
    rest_u, rest_d = u - mean_u, d - mean_d
    A = xp.sqrt(xp.sum(rest_u**2, axis=-1, keepdims=True))
    axis = rest_u / xp.where(A > 0, A, xp.ones_like(A))
    B = xp.sum(rest_d * axis, axis=-1, keepdims=True)
    C = xp.sqrt(xp.sum((rest_d - B * axis) ** 2, axis=-1, keepdims=True))
    root = math.sqrt(n)
    E, A, F, B, C, p = (x[..., 0] for x in (root * mean_u, A, root * mean_d, B, C, p))
    return _from_frame((E, A), (F, B, C), p, n)


def gaussian_pairs(n: int, shape: tuple[int, ...], rng: Any) -> Pair:
    """Independent N(0, I_n) starts, drawn as their five numbers (no vector is made).

    Parameters
    ----------
    n
        entries, n >= 3.
    shape
        of the batch.
    rng
        a `numpy.random.Generator`.

    Returns
    -------
    Pair
        numpy arrays of that shape.

    Raises
    ------
    InputError
        for n below 3.
    """
    if n < 3:
        raise InputError(f"Gaussian pairs need at least 3 entries, got {n}")
    noise = sampled_noise(n, shape, rng)
    zero = 0.0 * noise.z1
    return _from_frame((noise.z1, noise.b11), (noise.z2, noise.b12, noise.b22), zero, n)


def apply_layer(pair: Pair, layer: RandomLayer, outputs: int, noise: Noise | None = None) -> Pair:
    """One random layer on the state of pairs.

    For row-independent layers, with U the triangular factor of the Gram matrix of (u, d) (of the centred pair
    if the layer's rows sum to one): ones components e' = ones_mean sqrt(n) e + ones_deviation z U, rest =
    deviation B U. Column-stochastic layers keep the sum, so their ones_deviation is 0.

    Parameters
    ----------
    pair
        the state above.
    layer
        its two moments.
    outputs
        rows, >= 2.
    noise
        what it draws; None is the typical, noise-free step.

    Returns
    -------
    Pair
        the state below.

    Raises
    ------
    InputError
        for fewer than two rows.

    References
    ----------
    Theorem: mean-field.
    """
    if outputs < 2:
        raise InputError(f"a layer needs at least 2 outputs for a cosine, got {outputs}")
    xp = array_namespace(pair.E)
    noise = typical_noise(outputs, pair.E) if noise is None else noise
    along, along_dev, dev = layer.moments(pair.n, outputs)
    zero = xp.zeros_like(pair.E)
    if layer.sums == "rows":  # such rows act on x - mean(x) only
        u11, u12, u22 = pair.A, pair.E * pair.w, pair.C
    else:
        u11, u12, u22 = xp.sqrt(pair.E**2 + pair.A**2), zero, xp.sqrt(pair.w**2 + pair.C**2)
    E = along * pair.E + along_dev * noise.z1 * u11
    F = -along * pair.A * pair.w + along_dev * (noise.z1 * u12 + noise.z2 * u22)
    A = dev * noise.b11 * u11
    B = dev * (noise.b11 * u12 + noise.b12 * u22)
    return _from_frame((E, A), (F, B, dev * noise.b22 * u22), pair.p, outputs)


def propagate(pair: Pair, layer: RandomLayer, widths: Iterable[int], rng: Any = None) -> Iterator[Pair]:
    """The state after each of some layers.

    Parameters
    ----------
    pair
        the start.
    layer
        all of them are of this kind.
    widths
        rows of each.
    rng
        sampled if a `numpy.random.Generator` is given, else typical.

    Yields
    ------
    Pair
        the state below each.

    References
    ----------
    Theorem: mean-field.
    """
    for outputs in widths:
        noise = None if rng is None else sampled_noise(outputs, tuple(pair.E.shape), rng)
        pair = apply_layer(pair, layer, outputs, noise)
        yield pair
