"""A number with the side it is on, or the reason why there is none."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

Side = Literal["exact", "upper", "lower", "estimate", "measured", "absent"]


@dataclass(frozen=True)
class Sided:
    """value, side; `why`: what stands in the way where it is absent, or what else there is to say."""

    value: float
    side: Side
    why: str = ""


def absent(why: str) -> Sided:
    return Sided(math.nan, "absent", why)
