"""Seeds, counts and sizes as a user gives them: whole numbers in range, or one clear line."""

from __future__ import annotations

from numbers import Integral
from typing import Any

from conetheory.errors import InputError

SEEDS = 2**32 - 1  # the largest that numpy and torch both take
VECTORS = 10_000  # vectors or starts at most: all pairs of them are compared
DEFAULT_VECTORS = 10  # for each image and start layer
SIZES = 2**31 - 1  # the largest count that is still a size of arrays


def checked_whole(value: Any, name: str, least: int = 0, most: int = SIZES) -> int:
    """A whole number from `least` to `most`, which a boolean is not.

    Parameters
    ----------
    value
        what was given.
    name
        what it is, for errors.
    least, most
        both allowed.

    Returns
    -------
    int
        the same.

    Raises
    ------
    InputError
        for anything else.
    """
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise InputError(f"{name} must be a whole number, not {value!r}")
    number = int(value)
    if not least <= number <= most:
        limit = f"at least {least}" if number < least else f"at most {most}"
        raise InputError(f"{name} must be {limit}, not {value}")
    return number


def checked_seed(seed: Any) -> int:
    """A seed that every generator takes.

    Parameters
    ----------
    seed
        a whole number from 0 to `SEEDS`.

    Returns
    -------
    int
        the same.

    Raises
    ------
    InputError
        for anything else.
    """
    if isinstance(seed, bool) or not isinstance(seed, Integral) or int(seed) < 0:
        raise InputError(f"a seed is a whole number from 0 on, not {seed!r}")
    return checked_whole(seed, "a seed", most=SEEDS)
