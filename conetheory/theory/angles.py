"""What a projective diameter says: rates of contraction, and angles.

The rate of a matrix of projective diameter Delta is -log tau, tau = tanh(Delta / 4): it is what adds up along
a chain, where tau itself is 1.0 in float64. `cone` has these functions too.
"""

from __future__ import annotations

import math
from typing import Any

from array_api_compat import array_namespace

from conetheory.errors import InputError
from conetheory.theory.enclosure import floats, round_down, round_up

# ---------------------------------------------------------------- rates


def birkhoff_rate(diameter: Any) -> Any:
    """-log tau = 2 artanh(exp(-Delta / 2)) = -log tanh(Delta / 4): what one application contracts.

    Parameters
    ----------
    diameter
        Delta, a number or an array, in nats.

    Returns
    -------
    float64
        in nats: zero for an infinite diameter, inf for rank one.

    References
    ----------
    theorem `birkhoff-hopf`.
    """
    return _minus_log_tanh_half(diameter / 2)


def birkhoff_tau(diameter: Any) -> Any:
    """tau = tanh(Delta / 4), the Birkhoff-Hopf coefficient; exactly 1.0 in float64 for Delta > 77."""
    xp, diameter = floats(diameter)
    return xp.tanh(diameter / 4)


def diameter_of_rate(rate: Any) -> Any:
    """Delta = 4 artanh(exp(-rate)) = -2 log tanh(rate / 2), the inverse of `birkhoff_rate`."""
    return 2 * _minus_log_tanh_half(rate)


def product_diameter_upper(rates: Any) -> Any:
    """Delta(A_1 ... A_L) <= 4 artanh(prod tau) from the rates of the factors: added, converted once.

    Never above (prod_{l < L} tau_l) Delta(A_L).

    Parameters
    ----------
    rates : (..., L)
        -log tau of the factors.

    Returns
    -------
    (...)
        in nats, rounded up.

    References
    ----------
    Theorem: birkhoff-hopf (d).
    """
    return round_up(diameter_of_rate(_total_lower(rates)), 12)


def contracted_diameter_upper(diameter: Any, distance: Any) -> Any:
    """d(A x, A y) <= 4 artanh(tanh(Delta(A) / 4) tanh(d(x, y) / 4)), sharp: Birkhoff-Hopf in its full form.

    As Delta(A D B) is a distance of two images of A, it bounds that, for every positive diagonal D, from
    Delta(A) and Delta(B). Never above tau d(x, y) nor above Delta(A).

    Parameters
    ----------
    diameter
        Delta(A), inf where infinite.
    distance
        d(x, y), or a bound of it, such as a radius; both broadcast.

    Returns
    -------
    float64
        in nats, rounded up.

    References
    ----------
    Theorem: birkhoff-hopf (e).
    """
    xp, diameter, distance = floats(diameter, distance)
    diameter, distance = xp.broadcast_arrays(diameter, distance)
    rates = xp.stack([birkhoff_rate(diameter), birkhoff_rate(distance)], axis=-1)
    return xp.minimum(product_diameter_upper(rates), xp.minimum(diameter, distance))


def _minus_log_tanh_half(x: Any) -> Any:
    """-log tanh(x / 2) for x in [0, inf], an involution, accurate at both ends."""
    xp, x = floats(x)
    if bool(xp.any(x < 0)):
        raise InputError("a diameter or a rate can't be negative")
    inside = x > 0
    safe = xp.where(inside, x, xp.ones_like(x))
    small = -xp.log(xp.tanh(xp.clip(safe, max=1.0) / 2))
    large = 2 * xp.atanh(xp.exp(-xp.clip(safe, min=1.0)))
    return xp.where(inside, xp.where(safe < 1, small, large), x + math.inf)  # NaN stays


def _total_lower(rates: Any) -> Any:
    xp = array_namespace(rates)
    total = xp.sum(xp.astype(rates, xp.float64), axis=-1)
    # Rates of diameters above 1400 are subnormal: what they have lost is not relative to them.
    lower = total * (1 - (rates.shape[-1] + 8) * 2.0**-52) - rates.shape[-1] * 2.0**-1072
    return xp.where(total > 0, xp.clip(lower, min=0.0), total)


# ---------------------------------------------------------------- angles


def cosine_lower_from_rates(rates: Any) -> Any:
    """The half-angle theorem: cos(P x, P y) >= (1 - T^2) / (1 + T^2) = tanh(sum of rates), T = prod tau.

    x, y are any nonnegative vectors that P does not kill.

    Parameters
    ----------
    rates : (..., L)
        -log tau of the factors of P.

    Returns
    -------
    (...)
        rounded down.

    References
    ----------
    new here, theorem `half-angle`.
    """
    xp = array_namespace(rates)
    return xp.clip(round_down(xp.tanh(_total_lower(rates)), 4), min=0.0)


def deficit_upper_from_rates(rates: Any) -> Any:
    """1 - cos(P x, P y) <= 2 T^2 / (1 + T^2) = 2 / (exp(2 sum of rates) + 1), accurate far below 1e-16.

    Parameters
    ----------
    rates : (..., L)
        -log tau of the factors of P.

    Returns
    -------
    (...)
        rounded up.

    References
    ----------
    theorem `half-angle`.
    """
    xp = array_namespace(rates)
    total = _total_lower(rates)
    # exp(-2 total) has a relative error of 2 total ulps, from the rounding of its argument.
    square = xp.exp(-2 * total) * (1 + 2.0**-50 * (1 + xp.clip(total, max=1e6)))
    return round_up(2 * square / (1 + square), 8)


def cosine_lower_from_diameter(diameter: Any) -> Any:
    """The sech lemma: cos(u, v) >= 1 / cosh(d / 2) for nonnegative u, v at Hilbert distance <= d. Sharp.

    Parameters
    ----------
    diameter
        d, a number or an array.

    Returns
    -------
    float64
        of its shape, rounded down.

    References
    ----------
    Kantorovich 1948; Watson 1955 (Cassels); theorem `metric-to-cosine`.
    """
    xp, d = _checked_diameter(diameter)
    e = xp.exp(-d / 2)
    slack = 1 - 2.0**-50 * (1 + xp.clip(d, max=1e6))
    return xp.clip(round_down(2 * e / (1 + e * e) * slack, 6), min=0.0)


def deficit_upper_from_diameter(diameter: Any) -> Any:
    """1 - cos(u, v) <= 1 - 1 / cosh(d / 2) = (1 - e)^2 / (1 + e^2), e = exp(-d / 2); no digits lost.

    Parameters
    ----------
    diameter
        d, a number or an array, in nats.

    Returns
    -------
    float64
        of its shape, rounded up.

    References
    ----------
    theorem `metric-to-cosine`.
    """
    xp, d = _checked_diameter(diameter)
    e = xp.expm1(-d / 2)
    return xp.clip(round_up(e * e / (1 + (1 + e) ** 2), 12), max=1.0)


def _checked_diameter(diameter: Any) -> tuple[Any, Any]:
    xp, diameter = floats(diameter)
    if bool(xp.any(diameter < 0)):
        raise InputError("a diameter can't be negative")
    return xp, diameter


def angle_of_deficit(deficit: Any) -> Any:
    """The angle t in [0, pi] with 1 - cos t = deficit: 2 arcsin(sqrt(deficit / 2))."""
    xp, deficit = floats(deficit)
    return 2 * xp.asin(xp.sqrt(deficit / 2))


def deficit_of_angle(angle: Any) -> Any:
    """1 - cos(angle) = 2 sin(angle / 2)^2."""
    xp, angle = floats(angle)
    return 2 * xp.sin(angle / 2) ** 2


def half_tangent_of_deficit(deficit: Any) -> Any:
    """tan(angle / 2) = sqrt(deficit / (2 - deficit)), the quantity that Birkhoff's coefficient bounds."""
    xp, deficit = floats(deficit)
    return xp.sqrt(deficit / (2 - deficit))


def deficit_of_half_tangent(tangent: Any) -> Any:
    """1 - cos(angle) = 2 T^2 / (1 + T^2) for T = tan(angle / 2)."""
    _, tangent = floats(tangent)
    square = tangent * tangent
    return 2 * square / (1 + square)
