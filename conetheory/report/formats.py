"""How numbers are written in tables and reports; bounds are rounded to their safe side, None is blank."""

from __future__ import annotations

import re
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal

NEAR_ONE = 5e-4  # deficits below which a cosine is written as 1 - deficit
PLACES = Decimal("0.0001")


def cosine_lower(deficit_upper: float | None) -> str:
    """The cosine that is certain where a deficit is at most this much, rounded down."""
    if deficit_upper is None:
        return ""
    if deficit_upper > NEAR_ONE:
        return str((1 - Decimal(deficit_upper)).max(0).quantize(PLACES, ROUND_FLOOR))
    return _one_minus(Context(prec=2, rounding=ROUND_CEILING).create_decimal_from_float(deficit_upper))


def ceiled(value: float | None) -> str:
    """An upper bound, rounded up."""
    return "" if value is None else str(Decimal(value).quantize(PLACES, ROUND_CEILING))


def deficit(value: float | None) -> str:
    return "" if value is None else scientific(value, 2)


def scientific(value: float, digits: int) -> str:
    """`1.2e-5`, without the zero that Python puts into the exponent."""
    return re.sub(r"e([+-])0*(?=\d)", lambda m: f"e{m[1].replace('+', '')}", f"{value:.{digits}e}")


def decades(value: float | None) -> str:
    return "" if value is None else f"{value:+.2f}"


def cosine(deficit: float) -> str:
    """The cosine of a deficit, which may be nearer to one than a float can be."""
    return f"{1 - deficit:.4f}" if deficit > NEAR_ONE else _one_minus(Decimal(deficit))


def _one_minus(deficit: Decimal) -> str:
    return f"1-{deficit:.1e}" if deficit else "1"


def percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.1f}%"
