"""How numbers are written in tables and reports; bounds are rounded to their safe side, None is blank."""

from __future__ import annotations

import math
import re


def floored(value: float | None) -> str:
    """A lower bound on a cosine, rounded down."""
    if value is None:
        return ""
    if value < 0.9995:
        return f"{max(0.0, math.floor(value * 1e4) / 1e4):.4f}"
    exponent = math.floor(math.log10(max(1 - value, 1e-16)))
    return f"1-{math.ceil((1 - value) / 10 ** (exponent - 1)) / 10:.1f}e{exponent}"


def ceiled(value: float | None) -> str:
    """An upper bound, rounded up."""
    return "" if value is None else f"{math.ceil(value * 1e4) / 1e4:.4f}"


def deficit(value: float | None) -> str:
    return "" if value is None else scientific(value, 2)


def scientific(value: float, digits: int) -> str:
    """`1.2e-5`, without the zero that Python puts into the exponent."""
    return re.sub(r"e([+-])0*(?=\d)", lambda m: f"e{m[1].replace('+', '')}", f"{value:.{digits}e}")


def decades(value: float | None) -> str:
    return "" if value is None else f"{value:+.2f}"


def cosine(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.4f}" if value < 0.9995 else f"1-{scientific(1 - value, 1)}"


def percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.1f}%"
