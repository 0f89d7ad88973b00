"""What a pattern of zeros says: whether a property holds, and a witness where it does not."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Allowable:
    """No zero row and no zero column.

    Attributes
    ----------
    holds
        whether it is so.
    zero_row, zero_column
        otherwise the first of either.
    """

    holds: bool
    zero_row: int | None = None
    zero_column: int | None = None

    def __bool__(self) -> bool:
        return self.holds


@dataclass(frozen=True)
class Scrambling:
    """Every two columns are positive in a common row.

    Attributes
    ----------
    holds
        whether it is so.
    columns
        otherwise a pair of columns that is not.
    """

    holds: bool
    columns: tuple[int, int] | None = None

    def __bool__(self) -> bool:
        return self.holds


@dataclass(frozen=True)
class Primitive:
    """Some power is positive.

    Attributes
    ----------
    holds
        whether it is so.
    index
        the first such power.
    unreachable
        otherwise (i, j) with no path j -> i.
    period
        or the period.
    """

    holds: bool
    index: int | None = None
    unreachable: tuple[int, int] | None = None
    period: int | None = None

    def __bool__(self) -> bool:
        return self.holds


@dataclass(frozen=True)
class ScramblingIndex:
    """The first power that is scrambling.

    Attributes
    ----------
    index
        that power, None where there is none.
    columns
        then two columns that never meet, in any power.
    """

    index: int | None
    columns: tuple[int, int] | None = None

    def __bool__(self) -> bool:
        return self.index is not None


@dataclass(frozen=True)
class LocalScrambling:
    """The shortest block Z_1 ... Z_k that is positive at every position, on the rows and columns alive there.

    Attributes
    ----------
    length
        k, None where there is none.
    position
        then, for the whole chain, a position,
    rows
        two of its rows
    column
        and a column that reaches just the first.
    """

    length: int | None
    position: int | None = None
    rows: tuple[int, int] | None = None
    column: int | None = None

    def __bool__(self) -> bool:
        return self.length is not None
