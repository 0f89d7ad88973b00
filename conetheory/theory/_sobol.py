"""Scrambled Sobol' points, as `scipy.stats.qmc.Sobol` gives them, whose import takes a second.

Point n is the sum modulo 2 of the direction numbers of the bits of the n-th Gray code. Scrambling multiplies
the bits of each coordinate by a random lower triangular matrix modulo 2 and adds random bits (Matousek 1998).
The direction numbers are those of Joe and Kuo (2008), which scipy holds in a file; where it has none, scipy
makes the points.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import scipy

BITS = 30
_FILE = Path(scipy.__file__).parent / "stats" / "_sobol_direction_numbers.npz"


def points(count: int, dimension: int, seed: list[int]) -> np.ndarray:
    """The first points of a scrambled sequence.

    Parameters
    ----------
    count
        a power of two.
    dimension
        of the points.
    seed
        of the scrambling.

    Returns
    -------
    (count, dimension)
        in [0, 1).
    """
    first = _first_numbers(dimension)
    if first is None:
        from scipy.stats import qmc

        return qmc.Sobol(dimension, rng=np.random.default_rng(seed)).random(count)
    rng = np.random.default_rng(np.random.SeedSequence(seed).spawn(1)[0])  # as scipy does
    shift = _drawn(rng, (dimension, BITS)) @ (1 << np.arange(BITS))
    triangle = np.tril(_drawn(rng, (dimension, BITS, BITS)), -1) + np.eye(BITS, dtype=np.int64)
    directions = _scrambled(_directions(*first), triangle)
    place = np.arange(1, count)
    lowest = np.log2(place & -place).astype(np.int64)  # the bit in which a Gray code differs from the last
    codes = np.concatenate([shift[None], directions[:, lowest].T])
    return np.bitwise_xor.accumulate(codes, axis=0) / 2.0**BITS


def _drawn(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return rng.integers(2, size=shape, dtype=np.uint32).astype(np.int64)


@cache
def _first_numbers(dimension: int) -> tuple[np.ndarray, np.ndarray] | None:
    """The polynomials modulo 2 and the first direction numbers of each coordinate."""
    try:
        with np.load(_FILE) as held:
            return held["poly"][:dimension].astype(np.int64), held["vinit"][:dimension].astype(np.int64)
    except (OSError, KeyError):
        return None


def _directions(polynomials: np.ndarray, first: np.ndarray) -> np.ndarray:
    """All direction numbers, (dimension, BITS), as whole numbers of BITS bits.

    With a polynomial of degree d and coefficients a, `v_k = 2^d v_(k-d) + sum_i 2^i a_i v_(k-i)` modulo 2.
    """
    numbers = np.ones((len(first), BITS), np.int64)
    for row, polynomial, start in zip(numbers[1:], polynomials[1:], first[1:], strict=True):
        degree = int(polynomial).bit_length() - 1
        row[:degree] = start[:degree]
        for k in range(degree, BITS):
            row[k] = row[k - degree]
            for i in range(1, degree + 1):
                if polynomial >> (degree - i) & 1:
                    row[k] ^= row[k - i] << i
    return numbers << np.arange(BITS)[::-1]


def _scrambled(directions: np.ndarray, triangle: np.ndarray) -> np.ndarray:
    """The bits of each number, the highest first, times a matrix modulo 2."""
    powers = np.arange(BITS)[::-1]
    bits = directions[:, None, :] >> powers[:, None] & 1
    return ((triangle @ bits & 1) << powers[:, None]).sum(1)


__all__ = ["points"]
