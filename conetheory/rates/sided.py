"""A number with the side it is on, or the reason why there is none."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

Side = Literal["exact", "upper", "lower", "estimate", "measured", "absent"]


@dataclass(frozen=True)
class Sided:
    """value, side; `why`: what stands in the way where it is absent, or what else there is to say."""

    value: float
    side: Side
    why: str = ""

    @property
    def record(self) -> dict[str, Any]:
        """As JSON has it: infinities as text, a missing value as null."""
        value = self.value
        known = None if math.isnan(value) else ("inf" if math.isinf(value) else value)
        return {"value": known, "side": self.side, **({"why": self.why} if self.why else {})}


def absent(why: str) -> Sided:
    return Sided(math.nan, "absent", why)
