"""The rates of one operation, as results keep them and as JSON has them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from conetheory.contraction.block import Block
from conetheory.contraction.layer import Meeting, Ratio, Size
from conetheory.contraction.sided import Sided
from conetheory.contraction.sofar import RitzRatio


@dataclass
class Record:
    """name: the operation's tensor; below: those that it hands relevance to. None: it was left out."""

    name: str
    below: tuple[str, ...]
    kind: str
    size: Size
    nonnegative: bool
    sum_error: float
    meeting: Meeting | None = None
    diameter: Sided | None = None
    coefficient: Sided | None = None
    tau_1: Sided | None = None
    sigma: Ratio | str | None = None
    block: Block | None = None
    local: RitzRatio | None = None
    whole: RitzRatio | None = None
    gap: float = math.nan
    mixing: float = math.nan
    walk_mixing: float = math.nan
    variance_added: float = math.nan
    between_added: float = math.nan
    lost: dict[str, float] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """A record with the keys birkhoff, tau_1, sigma, lyapunov, origin, walk, each with its sides."""
        return {
            "layer": self.name,
            "below": list(self.below),
            "operation": self.kind,
            "rows": self.size.rows,
            "columns": self.size.columns,
            "density": number(self.size.density, "exact"),
            "nonnegative": self.nonnegative,
            "sum_error": number(self.sum_error, "measured"),
            "scrambling": _meeting(self.meeting),
            "birkhoff": self._birkhoff(),
            "tau_1": _sided(self.tau_1),
            "sigma": {
                "layer": _ratio(self.sigma),
                "location": _ritz(self.local),
                "whole": _ritz(self.whole),
            },
            "lyapunov": number(self.gap, "estimate"),
            "mixing": {"chain": number(self.mixing, "lower"), "walk": number(self.walk_mixing, "estimate")},
            "origin": {
                "variance_added": number(self.variance_added, "measured"),
                "between_added": number(self.between_added, "measured"),
            },
            "walk": number(self.lost.get("walk", math.nan), "estimate"),
            "decades_lost": {
                k: number(v, "measured" if k == "measured" else "estimate") for k, v in self.lost.items()
            },
        }

    def _birkhoff(self) -> dict[str, Any]:
        block = self.block
        above = (
            _left_out()
            if block is None
            else {
                "top": block.top,
                "location": block.place,
                "live_channels": block.live,
                "arriving_units": block.arriving,
                "diameter": _sided(block.diameter),
                "coefficient": _sided(block.coefficient),
            }
        )
        return {"diameter": _sided(self.diameter), "coefficient": _sided(self.coefficient), "block": above}


def number(value: float, side: str, **more: Any) -> dict[str, Any]:
    """As JSON has a number: infinities as text, NaN as null."""
    known = _plain(value)
    said = {key: _plain(found) if isinstance(found, float) else found for key, found in more.items()}
    return {"value": known, "side": "absent" if known is None else side, **said}


def _plain(value: float) -> float | str | None:
    return None if math.isnan(value) else ("inf" if math.isinf(value) else value)


def _left_out() -> dict[str, Any]:
    return {"value": None, "side": "absent", "why": "left out for its cost"}


def _sided(found: Sided | None) -> dict[str, Any]:
    if found is None:
        return _left_out()
    return number(found.value, found.side, **({"why": found.why} if found.why else {}))


def _meeting(found: Meeting | None) -> dict[str, Any]:
    if found is None:
        return _left_out()
    side = "absent" if found.holds is None else "exact"
    return {"value": found.holds, "side": side, "witness": found.columns, "columns_tried": found.tried}


def _ratio(found: Ratio | str | None) -> dict[str, Any]:
    if found is None or isinstance(found, str):
        return _left_out() if found is None else {"value": None, "side": "absent", "why": found}
    return number(found.estimate, "estimate", lower=found.lower, upper=found.upper, residual=found.residual)


def _ritz(found: RitzRatio | None) -> dict[str, Any]:
    if found is None:
        return _left_out()
    return number(found.ratio, "estimate", residual=found.residual, reached=found.reached)
