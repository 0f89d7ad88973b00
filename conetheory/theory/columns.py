"""What the singular values of a matrix say about the angles between its columns.

Theorem (proofs/test_column_angles.py). Let C have n >= 2 columns of squared lengths w_i and singular values
s_k, and PR = (sum s_k^2)^2 / sum s_k^4 their participation ratio. Since C^T C has the diagonal w and
|C^T C|_F^2 = sum s_k^4,

    sum_(i != j) w_i w_j cos_ij^2 = sum s_k^4 - sum w_i^2,

and, as sum w_i^2 >= (sum w_i)^2 / n, the mean of sin^2 over pairs of columns, weighted by w_i w_j, is

    mean sin^2 >= n / (n - 1) (1 - 1 / PR),    with equality iff all are equally long, or parallel.

For a saliency chain, whose columns are the maps of the classes, the spectrum alone so says how far apart the
maps of two classes are, without a look at any of them.
"""

from __future__ import annotations

from typing import Any

from array_api_compat import array_namespace

from conetheory.errors import InputError
from conetheory.theory.matrices import real


def mean_squared_sine(singular_values: Any, columns: int, tail: Any = 0.0) -> Any:
    """n/(n-1) (1 - 1/PR): a lower bound of the weighted mean of sin^2 over pairs of columns (see the module).

    No digits cancel for small tails: 1 - 1/PR = (2 S + S^2 - S4) / (1 + S)^2 with S, S4 the sums over k >= 2
    of the squares and fourth powers of s_k/s_1.

    Parameters
    ----------
    singular_values : (..., r)
        any order, not all zero (else NaN).
    columns
        n.
    tail
        the sum of the squares of those that were left out, taken as spread evenly over the remaining n -
        r directions: the most that they can add, so that it is a bound for tail = 0 only.

    Returns
    -------
    (...)
        in [0, 1].

    Raises
    ------
    InputError
        for fewer than two columns.

    References
    ----------
    Theorem: column-angles.
    """
    if columns < 2:
        raise InputError(f"angles between columns need at least 2 of them, not {columns}")
    xp, s = real(singular_values)
    if s.ndim < 1 or s.shape[-1] < 1:
        raise InputError("singular values need a last axis that is not empty")
    s = xp.sort(s, axis=-1, descending=True)
    top = xp.where(s[..., :1] > 0, s[..., :1], xp.nan)
    shares = (s / top) ** 2
    rest, left = tail / top[..., 0] ** 2, max(columns - s.shape[-1], 1)
    second = xp.sum(shares[..., 1:], axis=-1) + rest
    fourth = xp.sum(shares[..., 1:] ** 2, axis=-1) + rest**2 / left
    return columns / (columns - 1) * (2 * second + second**2 - fourth) / (1 + second) ** 2


def column_deficit_estimate(singular_values: Any, columns: int, tail: Any = 0.0) -> Any:
    """`1 - sqrt(1 - mean sin^2)`: the deficit `1 - |cos|` of two typical columns, from the spectrum.

    The root mean square cosine of columns of equal length, exactly; an estimate of the median otherwise.

    Parameters
    ----------
    singular_values : (..., r)
        any order.
    columns
        how many there are.
    tail
        as in `mean_squared_sine`.

    Returns
    -------
    (...)
        deficits.

    References
    ----------
    Theorem: column-angles.
    """
    xp = array_namespace(singular_values)
    sine = xp.clip(mean_squared_sine(singular_values, columns, tail), 0.0, 1.0)
    return sine / (1 + xp.sqrt(1 - sine))
