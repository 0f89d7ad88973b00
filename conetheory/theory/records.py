"""What a theorem gives back: a bound, an estimate, or the reason why it does not apply."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class NotApplicable:
    """A theorem's hypothesis fails. A normal answer, never a number; false in a condition."""

    reason: str

    def __bool__(self) -> Literal[False]:
        return False


@dataclass(frozen=True)
class Bound:
    """`lower <= quantity <= upper`, rounded outward.

    Attributes
    ----------
    lower, upper
        floats or arrays; an open side is -inf or inf.
    theorem
        its id in `theory.theorems`.
    """

    lower: Any
    upper: Any
    theorem: str


@dataclass(frozen=True)
class Estimate:
    """A number without a guarantee.

    Attributes
    ----------
    value
        a float or an array.
    error
        its standard error, or the tolerance that it was computed to.
    method
        how, in a word.
    """

    value: Any
    error: Any
    method: str
