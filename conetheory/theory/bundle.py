"""k vectors under one linear chain, carried so that their deficits stay right however small they get.

x_j = p_j u + d_j with |u| = 1 and every d_j orthogonal to u. A linear layer acts on u and on the d_j apart,
so it never sees the small differences of large vectors; what of M d_j falls along M u then moves into p_j.

Reduction: a random layer with independent Gaussian rows, mean m and variance v per entry, acts on k vectors
in law as a matrix of about k rows. In the frame (ones/sqrt(n), an orthonormal basis of the rest that the
vectors span, of dimension q) it is

    ( sqrt(n N) m e_0^T + sqrt(v) z^T )      z standard normal in R^(1+q)
    ( sqrt(v) R                       )      R the triangular factor of an (N-1) x (1+q) Gaussian matrix

because M in the two orthonormal frames is Gaussian again, and the rotation of its rest is invisible to
cosines. So chains of width 4096 have the law of chains of width k + depth. Theorem: mean-field.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conetheory.errors import InputError
from conetheory.theory.randomlayers import RandomLayer

Array = NDArray[np.float64]


class Bundle:
    """Vectors as one direction and their differences from it: `columns = (u, d_1 ... d_k)` (n, k + 1) and `p`
    (k,).

    Set `columns` to their image under a linear map, then call `split`.

    Parameters
    ----------
    vectors
        (n, k), columns, float64.

    Raises
    ------
    InputError
        if the first vector is zero or not finite.
    """

    def __init__(self, vectors: Array) -> None:
        if vectors.ndim != 2 or 0 in vectors.shape or not 0 < np.linalg.norm(vectors[:, 0]) < math.inf:
            raise InputError("need an (n, k) array of vectors whose first is finite and not zero")
        vectors = vectors.astype(np.float64, copy=False)
        self.columns = np.concatenate([vectors[:, :1], vectors - vectors[:, :1]], axis=1)
        self.p = np.ones(vectors.shape[1])
        self.split()

    def split(self) -> None:
        """After a linear map: make u a unit vector and the d_j orthogonal to it again."""
        u, d = self.columns[:, 0], self.columns[:, 1:]
        scale = np.linalg.norm(u)
        u /= scale
        d /= scale
        shift = u @ d
        d -= np.outer(u, shift)
        self.p = self.p + shift
        size = np.abs(self.p).max()  # a common factor of all x_j, free to drop
        self.p /= size
        d /= size

    def deficits(self) -> Array:
        """`1 - |cos(x_i, x_j)|` of all pairs i > j in the order of `numpy.tril_indices(k, -1)`.

        From the wedge product, `|x_i ^ x_j|^2 = |p_i d_j - p_j d_i|^2 + |d_i ^ d_j|^2`, in which nothing
        cancels but what the pair has in common beyond the first vector.
        """
        i, j = np.tril_indices(len(self.p), -1)
        d, p = self.columns[:, 1:], self.p
        gram = d.T @ d
        own = np.diag(gram)
        wedge = p[i] ** 2 * own[j] + p[j] ** 2 * own[i] - 2 * p[i] * p[j] * gram[i, j]
        wedge = wedge + own[i] * own[j] - gram[i, j] ** 2
        length = np.sqrt(p**2 + own)
        lengths = length[i] * length[j]
        return wedge / (lengths * (lengths + np.abs(p[i] * p[j] + gram[i, j])))


def frame_coordinates(vectors: Array) -> Array:
    """Coordinates of vectors in the frame of the reduction.

    Parameters
    ----------
    vectors
        (n, k), columns.

    Returns
    -------
    (1 + min(n, k), k)
        the sum of each in units of the ones direction, then the rest.

    Raises
    ------
    InputError
        for what is no array (n, k) of finite numbers, n, k >= 1.
    """
    if vectors.ndim != 2 or 0 in vectors.shape or not np.isfinite(vectors).all():
        raise InputError(f"need an (n, k) array of finite vectors, n, k >= 1, not shape {vectors.shape}")
    vectors = vectors.astype(np.float64, copy=False)
    ones = vectors.sum(0, keepdims=True) / math.sqrt(len(vectors))
    return np.concatenate([ones, np.linalg.qr(vectors - vectors.mean(0), mode="r")])


def _gaussian_triangle(rows: int, columns: int, rng: Any) -> Array:
    """The triangular factor of a rows x columns Gaussian matrix, by Bartlett's decomposition."""
    kept = min(rows, columns)
    R = np.triu(rng.standard_normal((kept, columns)), 1)
    R[np.arange(kept), np.arange(kept)] = np.sqrt(rng.chisquare(rows - np.arange(kept)))
    return R


def reduced_layer(layer: RandomLayer, inputs: int, outputs: int, dimension: int, rng: Any) -> Array:
    """A draw of the reduced matrix of a layer, acting on frame coordinates.

    Exact in law for Gaussian entries of free sums; by the central limit theorem, to leading order in 1/width,
    for the others.

    Parameters
    ----------
    layer
        its two moments.
    inputs, outputs
        of the layer itself.
    dimension
        of the frame coordinates.
    rng
        a `numpy.random.Generator`.

    Returns
    -------
    (1 + min(outputs - 1, dimension), dimension)
        float64.

    References
    ----------
    Theorem: mean-field.
    """
    along, along_deviation, deviation = layer.moments(inputs, outputs)
    matrix = np.concatenate(
        [
            along_deviation * rng.standard_normal((1, dimension)),
            deviation * _gaussian_triangle(outputs - 1, dimension, rng),
        ]
    )
    if layer.sums == "rows":  # such rows keep constants, so their noise does not see the ones component
        matrix[:, 0] = 0.0
    matrix[0, 0] += along
    return matrix


def reduced_deficits(layer: RandomLayer, widths: Any, vectors: Array, rng: Any) -> Array:
    """Deficits of all pairs of vectors down a reduced chain.

    Parameters
    ----------
    layer
        of the whole chain.
    widths
        of the layers, the vectors' first.
    vectors
        (widths[0], k), columns.
    rng
        a `numpy.random.Generator`.

    Returns
    -------
    (layers + 1, pairs)
        in the order of `numpy.tril_indices(k, -1)`.
    """
    bundle = Bundle(frame_coordinates(vectors))
    curve = [bundle.deficits()]
    for inputs, outputs in itertools.pairwise(widths):
        bundle.columns = reduced_layer(layer, inputs, outputs, len(bundle.columns), rng) @ bundle.columns
        bundle.split()
        curve.append(bundle.deficits())
    return np.stack(curve)
