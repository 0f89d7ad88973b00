"""The rates of one operation, as results keep them and as JSON has them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from conetheory.contraction.block import Block
from conetheory.contraction.exponents import Exponents
from conetheory.contraction.layer import Meeting, Ratio, Size
from conetheory.contraction.ritz import RitzRatio
from conetheory.contraction.sided import Sided, absent
from conetheory.predict.walk_steps import WalkStep

LEFT_OUT = absent("left out for its cost")


@dataclass
class Record:
    """name: the operation's tensor; below: those that it hands relevance to. None: it was left out.

    gains: what the gap of the exponents grows by from the operation's output to each of `below`; exponents:
    of the chain down to each of them. step, flat_step: of the origin's walk, on the image and on flat
    activations; a text says why there is none. lost: decades by source; unknown: sources left out, and why.
    """

    name: str
    below: tuple[str, ...]
    kind: str
    size: Size
    nonnegative: bool
    sum_error: float
    meeting: Meeting
    diameter: Sided
    coefficient: Sided
    tau_1: Sided
    sigma: Ratio | str | None = None
    block: Block | str | None = None
    local: RitzRatio | None = None
    whole: RitzRatio | None = None
    exponents: Sequence[Exponents] = ()
    above: Exponents | None = None
    mixing: Sided = LEFT_OUT
    step: WalkStep | str = LEFT_OUT.why
    flat_step: WalkStep | str = LEFT_OUT.why
    lost: dict[str, float] = field(default_factory=dict)

    @property
    def gap(self) -> Sided:
        """Of the chain down to what is below, the mean over its tensors."""
        return _mean([e.gap for e in self.exponents]) if self.exponents else LEFT_OUT

    @property
    def gap_gained(self) -> Sided:
        if self.above is None:
            return self.gap
        return _mean([e.gap - self.above.gap for e in self.exponents])

    @property
    def walk_mixing(self) -> Sided:
        """The second eigenvalue of a reflected walk that steps as far as this operation."""
        return self._of_step(self.step, "slowest_step", "estimate")

    def stepped(self, name: str, flat: bool = False) -> Sided:
        """A number of the operation's step, on the image (exact) or on flat activations (an estimate)."""
        step = self.flat_step if flat else self.step
        return self._of_step(step, name, "estimate" if flat else "exact")

    def _of_step(self, step: WalkStep | str, name: str, side: Any) -> Sided:
        if isinstance(step, str):
            return absent(step)
        value = getattr(step, name)
        return absent("no grid of its own, or no live location") if math.isnan(value) else Sided(value, side)

    def decades(self, source: str) -> Sided:
        """Decades of the median deficit that are lost from its output to its inputs."""
        value = self.lost.get(source)
        if value is None:
            return LEFT_OUT
        side = "measured" if source == "measured" else "estimate"
        return absent("a deficit is unknown or rounding there") if math.isnan(value) else Sided(value, side)

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
            "tau_1": sided(self.tau_1),
            "sigma": {
                "layer": _ratio(self.sigma),
                "location": _ritz(self.local),
                "whole": _ritz(self.whole),
            },
            "lyapunov": {
                **sided(self.gap_gained),
                "gap": sided(self.gap),
                "log_singular_values": [[_plain(x) for x in e.sizes.tolist()] for e in self.exponents],
            },
            "mixing": {"chain": sided(self.mixing), "walk": sided(self.walk_mixing)},
            "origin": self._origin(flat=False),
            "walk": {**sided(self.decades("walk")), **self._origin(flat=True)},
            "decades_lost": {source: sided(self.decades(source)) for source in self.lost},
        }

    def _origin(self, flat: bool) -> dict[str, Any]:
        names = {"variance_added": "added", "variance_injected": "injected"}
        whole = {"variance_below": "total", "explained_below": "explained"}
        return {key: sided(self.stepped(name, flat)) for key, name in {**names, **whole}.items()}

    def _birkhoff(self) -> dict[str, Any]:
        own = {"diameter": sided(self.diameter), "coefficient": sided(self.coefficient)}
        block = self.block
        if not isinstance(block, Block):
            return {**own, "block": sided(LEFT_OUT if block is None else absent(block))}
        return {
            **own,
            "block": {
                "top": block.top,
                "certain": block.certain,
                "location": block.place,
                "channels_held": block.held,
                "live_channels": block.live,
                "arriving_units": block.arriving,
                "diameter": sided(block.diameter),
                "coefficient": sided(block.coefficient),
            },
        }


def _mean(values: Sequence[float]) -> Sided:
    known = [value for value in values if not math.isnan(value)]
    if not known:
        return absent("the probes' images span fewer dimensions there")
    return Sided(sum(known) / len(known), "estimate")


def number(value: float, side: str, **more: Any) -> dict[str, Any]:
    """As JSON has a number: infinities as text, NaN as null."""
    known = _plain(value)
    said = {key: _plain(found) if isinstance(found, float) else found for key, found in more.items()}
    return {"value": known, "side": "absent" if known is None else side, **said}


def _plain(value: float) -> float | str | None:
    return None if math.isnan(value) else ("inf" if value > 0 else "-inf") if math.isinf(value) else value


def sided(found: Sided) -> dict[str, Any]:
    return number(found.value, found.side, **({"why": found.why} if found.why else {}))


def _meeting(found: Meeting) -> dict[str, Any]:
    side = "absent" if found.holds is None else "exact"
    why = {"why": "none of those that were tried are apart"} if found.holds is None else {}
    return {"value": found.holds, "side": side, "witness": found.columns, "columns_tried": found.tried, **why}


def _ratio(found: Ratio | str | None) -> dict[str, Any]:
    if not isinstance(found, Ratio):
        return sided(LEFT_OUT if found is None else absent(found))
    return number(found.estimate, "estimate", lower=found.lower, upper=found.upper, residual=found.residual)


def _ritz(found: RitzRatio | None) -> dict[str, Any]:
    if found is None:
        return sided(LEFT_OUT)
    if math.isnan(found.ratio):
        return sided(absent("one row or column, or no relevance arrives"))
    return number(found.ratio, "estimate", residual=found.residual, reached=found.reached)
