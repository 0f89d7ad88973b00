"""Numbers as text: bounds on their safe side, cosines nearer to one than a float can be."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conetheory.report import formats


@pytest.mark.parametrize(
    ("deficit", "text"),
    [
        (None, ""),
        (0.0, "1"),
        (1.0, "0.0000"),
        (0.05001, "0.9499"),
        (6.05e-6, "1-6.1e-6"),
        (9.95e-5, "1-1.0e-4"),
        (2.05e-16, "1-2.1e-16"),
        (3e-30, "1-3.0e-30"),  # the float is a little below 3e-30
        (5e-324, "1-5.0e-324"),
    ],
)
def test_certified_cosines(deficit, text):
    assert formats.cosine_lower(deficit) == text


def read(text: str) -> Fraction:
    first, minus, second = text.partition("-")
    return Fraction(first) - Fraction(second) if minus else Fraction(first)


@given(st.floats(0, 1))
def test_a_certified_cosine_is_never_written_too_large_nor_far_too_small(deficit):
    exact, written = 1 - Fraction(deficit), read(formats.cosine_lower(deficit))
    assert written <= exact
    places = Fraction(1, 10**4) if deficit > formats.NEAR_ONE else (1 - exact) / 10
    assert exact - written <= places


@given(st.floats(0, 1e6))
def test_upper_bounds_are_rounded_up(value):
    assert 0 <= Fraction(formats.ceiled(value)) - Fraction(value) <= Fraction(1, 10**4)


@pytest.mark.parametrize(("deficit", "text"), [(0.25, "0.7500"), (1.5e-20, "1-1.5e-20"), (0.0, "1")])
def test_cosines_of_deficits(deficit, text):
    assert formats.cosine(deficit) == text
