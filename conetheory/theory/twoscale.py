"""The two-scale theory: fast collapse of the channels at each location, slow mixing over locations.

Let `c` be the image of the all-ones start. Write relevance at location p as `r(p) = s(p) c(p) + eta(p)`
with `eta(p)` orthogonal to `c(p)`; one layer M takes it to `r' = M r`, and `c' = M c`. Then, exactly,

    s'(p) = sum_q t_pq s(q) + <c'(p), (M eta)(p)> / |c'(p)|^2,   t_pq = <c'(p), M_pq c(q)> / |c'(p)|^2,
    eta'(p) = sum_q (s(q) - s'_0(p)) M_pq c(q)  +  (M eta)(p) off the direction c'(p),

with `s'_0 = sum_q t_pq s(q)`, `sum_q t_pq = 1` where c'(p) != 0, and t_pq >= 0 for nonnegative M: a
Markov chain on locations. The first term of eta' is the *injection*; it vanishes where s does not vary
inside the receptive field. The second is the *carried* deviation.

The closure (an estimate, not a theorem). The state of a vector is two numbers at each location, s and
the amplitude `a = |eta| / |c|`, and one for all of them, the coherence kappa of neighbouring deviations:
directions that are shared survive a sum over locations, others average out (those that a linear layer
makes are not shared at all). The direction of eta is forgotten at every step and replaced by a random one,
`eta ~ a |c| unit(c * xi)` with `xi = sqrt(kappa) shared + sqrt(1 - kappa) own`, i.i.d. over channels, own
i.i.d. over locations too (`surrogate`). The mean of eta over s, the second term of s', is dropped;
injection and carried part are taken as orthogonal:

    s' = <c', M(s c)> / |c'|^2,   a'^2 = (|M(s c) - s' c'|^2 + |M eta~ off c'|^2) / |c'|^2.

Its error terms are what is exact and not in it (`closure_errors`): the drift of s, and in a'^2 twice the
inner product of injection and carried part, and what the surrogate has more or less than eta.

Functions take arrays of any Array-API namespace; `axis` is that of the channels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from conetheory.errors import InputError
from conetheory.theory.matrices import real


def location_weight(r: Any, c: Any, axis: int) -> Any:
    """`s = <r, c> / |c|^2` over the channels, zero where c is.

    Parameters
    ----------
    r, c
        relevance and the image of the all-ones start, broadcast.
    axis
        of the channels; it is kept with length one.

    Returns
    -------
    Array
        s.
    """
    xp, r, c = real(r, c)
    return _ratio(xp, xp.sum(r * c, axis=axis, keepdims=True), xp.sum(c * c, axis=axis, keepdims=True))


def amplitude(r: Any, c: Any, axis: int) -> Any:
    """`a = |r - s c| / |c|`, the deviation from the direction of c in units of c; zero where c is.

    Parameters
    ----------
    r, c
        relevance and the image of the all-ones start, broadcast.
    axis
        of the channels; it is kept with length one.

    Returns
    -------
    Array
        a.
    """
    xp, r, c = real(r, c)
    eta = r - location_weight(r, c, axis) * c
    return _ratio(xp, _norm(xp, eta, axis), _norm(xp, c, axis))


def surrogate(c: Any, a: Any, xi: Any, axis: int) -> Any:
    """A deviation of amplitude a and random direction: `a |c| unit(c * xi - projection on c)`.

    Parameters
    ----------
    c
        the image of the all-ones start.
    a
        the amplitude.
    xi
        random numbers, of the shape of c or broadcast.
    axis
        of the channels.

    Returns
    -------
    Array
        of the broadcast shape.
    """
    xp, c, a, xi = real(c, a, xi)
    eta = c * xi
    eta = eta - location_weight(eta, c, axis) * c
    return eta * (a * _ratio(xp, _norm(xp, c, axis), _norm(xp, eta, axis)))


def coherence(eta: Any, c: Any, axis: int) -> Any:
    """How far neighbouring deviations share their direction: the kappa of the closure, in [0, 1].

    `sum a(p) a(q) cos(eta(p), eta(q)) / sum a(p) a(q) cos(c(p), c(q))` over pairs of adjacent locations;
    deviations `c * xi` with one xi for all locations have 1, independent ones 0.

    Parameters
    ----------
    eta, c
        deviations and the image of the all-ones start.
    axis
        of the channels; the axes behind it are those of the locations, kept with length one.

    Returns
    -------
    Array
        1 where there are no such pairs.
    """
    xp, eta, c = real(eta, c)
    axis = axis % eta.ndim
    size, reference = _norm(xp, eta, axis), _norm(xp, c, axis)
    a, of_eta, of_c = _ratio(xp, size, reference), _ratio(xp, eta, size), _ratio(xp, c, reference)
    shared = whole = xp.zeros_like(_total(xp, a, axis))
    for along in range(axis + 1, eta.ndim):
        (u, v), (x, y), (first, second) = (_adjacent(z, along) for z in (of_eta, of_c, a))
        weight = first * second
        shared = shared + _total(xp, weight * xp.sum(u * v, axis=axis, keepdims=True), axis)
        whole = whole + _total(xp, weight * xp.sum(x * y, axis=axis, keepdims=True), axis)
    one = xp.ones_like(whole)
    found = xp.clip(xp.where(whole > 0, shared / xp.where(whole > 0, whole, one), one), min=0.0, max=1.0)
    return xp.where(xp.isnan(whole), whole, found)


@dataclass(frozen=True)
class ClosureErrors:
    """What a step has beyond the closure: s' = closure + drift, a'^2 = closure + cross + direction.

    Attributes
    ----------
    drift
        of the location weight.
    cross, direction
        of the squared amplitude.
    """

    drift: Any
    cross: Any
    direction: Any


def closure_errors(image: Any, carried: Any, stand_in: Any, c: Any, axis: int) -> ClosureErrors:
    """The error terms of one step, at each location, in units of c' (zero where c' is).

    Exact identities for every linear M, signed ones too:

        drift = <c', M eta> / |c'|^2,   cross = 2 <injection, M eta off c'> / |c'|^2,
        direction = (|M eta off c'|^2 - |M eta~ off c'|^2) / |c'|^2.

    As |x + y|^2 <= 2 |x|^2 + 2 |y|^2, dropping the cross term makes a'^2 too small by at most a factor of
    two; too large without a bound, where injection and carried part cancel.

    Parameters
    ----------
    image
        M (s c).
    carried
        M eta.
    stand_in
        M eta~ of the surrogate.
    c
        c', the image of c.
    axis
        of the channels; it is kept with length one.

    Returns
    -------
    ClosureErrors
        arrays.

    References
    ----------
    Theorem: two-scale.
    """
    xp, image, carried, stand_in, c = real(image, carried, stand_in, c)
    drift = location_weight(carried, c, axis)
    injection, off = image - location_weight(image, c, axis) * c, carried - drift * c
    norm2 = xp.sum(c * c, axis=axis, keepdims=True)
    cross = _ratio(xp, 2 * xp.sum(injection * off, axis=axis, keepdims=True), norm2)
    direction = amplitude(carried, c, axis) ** 2 - amplitude(stand_in, c, axis) ** 2
    return ClosureErrors(drift, cross, direction)


def combined_deficit(deficit: Any, first: Any, second: Any) -> Any:
    """The deficit of two vectors after each gets a further independent, orthogonal deviation.

    `1 - (1 - deficit) / sqrt((1 + k_1^2)(1 + k_2^2))`, without the subtraction.

    Parameters
    ----------
    deficit
        before.
    first, second
        k_i = |eta_i| / |y_i|; all three broadcast.

    Returns
    -------
    Array
        the deficit after.
    """
    xp, deficit, first, second = real(deficit, first, second)
    lost = -xp.expm1(-0.5 * (xp.log1p(first * first) + xp.log1p(second * second)))
    return deficit + (1 - deficit) * lost


def location_chain(blocks: Any, c: Any) -> Any:
    """The matrix `t_pq = <c'(p), M_pq c(q)> / |c'(p)|^2`, whose live rows sum to one.

    Nonnegative M and c give a stochastic matrix.

    Parameters
    ----------
    blocks : (locations out, channels out, locations in, channels in)
        M.
    c : (locations in, channels in)
        as in the module.

    Returns
    -------
    (locations out, locations in)
        rows with c'(p) = 0 are zero.

    Raises
    ------
    InputError
        for shapes that do not belong together.

    References
    ----------
    Theorem: two-scale.
    """
    xp, blocks, c = real(blocks, c)
    if blocks.ndim != 4 or tuple(c.shape) != tuple(blocks.shape[2:]):
        raise InputError(f"blocks {tuple(blocks.shape)} and c {tuple(c.shape)} do not belong together")
    images = xp.sum(blocks * c[None, None, :, :], axis=3)  # M_pq c(q): (p, channels, q)
    below = xp.sum(images, axis=2, keepdims=True)
    norm2 = xp.sum(below * below, axis=1)
    return _ratio(xp, xp.sum(images * below, axis=1), norm2)


def mixing_layers_estimate(side: int, step_variance: float) -> float:
    """Layers after which the slowest spatial mode of a side x side map has shrunk by 1/e.

    `2 side^2 / (pi^2 v)` for a reflecting walk. An estimate: real location chains have unequal weights.

    Parameters
    ----------
    side
        of the map, in locations.
    step_variance
        v per axis of a step (2/3 for three equal taps).

    Returns
    -------
    float
        layers.

    Raises
    ------
    InputError
        for no locations, and a variance that is not positive.

    References
    ----------
    elementary, as cosines are the modes of a reflecting walk.
    """
    if side < 1 or not step_variance > 0:
        raise InputError(f"a map has locations and a step a variance; got {side}, {step_variance}")
    return float(2 * side**2 / (np.pi**2 * step_variance))


def _norm(xp: Any, x: Any, axis: int) -> Any:
    return xp.sqrt(xp.sum(x * x, axis=axis, keepdims=True))


def _ratio(xp: Any, numerator: Any, denominator: Any) -> Any:
    """The quotient, zero where the denominator is; NaN stays."""
    safe = xp.where(denominator == 0, xp.ones_like(denominator), denominator)
    return xp.where(denominator == 0, xp.zeros_like(numerator / safe), numerator / safe)


def _adjacent(x: Any, axis: int) -> tuple[Any, Any]:
    """x without its last and without its first entry along an axis."""
    before = (slice(None),) * axis
    return x[(*before, slice(None, -1))], x[(*before, slice(1, None))]


def _total(xp: Any, x: Any, axis: int) -> Any:
    """The sum over all axes from `axis` on, kept with length one."""
    return xp.sum(x, axis=tuple(range(axis, x.ndim)), keepdims=True)
