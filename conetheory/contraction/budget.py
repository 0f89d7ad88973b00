"""What is computed within a number of passes, and what is left out for want of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

T = TypeVar("T")


@dataclass
class Budget:
    """limit: vectors through the whole chain that may be spent, or inf. left_out: cost by name."""

    limit: float = math.inf
    spent: float = 0.0
    left_out: dict[str, float] = field(default_factory=dict)

    def afford(self, name: str, cost: float, compute: Callable[[], T]) -> T | None:
        """What `compute` gives, or None where it costs more than is left; then it is noted by its name."""
        if self.spent + cost > self.limit:
            self.left_out[name] = self.left_out.get(name, 0.0) + cost
            return None
        self.spent += cost
        return compute()
