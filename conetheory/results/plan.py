"""What a study runs of all that it could, each stage with its cost as it was counted before."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from conetheory.errors import InputError
from conetheory.schema import PLAN, STAGE

MEASURE, CERTIFY = "measure", "certify"
GIGA = 1e9


@dataclass(frozen=True)
class Step:
    """stage: `measure`, the name of a theory, or `certify`. passes: what it costs for an image, in vectors
    sent down the chain. bytes: at its peak, beside network and chain. runs: whether it is run.
    """

    stage: str
    passes: float
    bytes: float
    runs: bool

    @property
    def option(self) -> str:
        """How a command is asked for it by name."""
        return "--certify-images 1" if self.stage == CERTIFY else f"--theory {self.stage}"

    def text(self, seconds_a_pass: float | None = None) -> str:
        """`certify: 1,040 passes, about 3 min, 1.2 GB (--certify-images 1)`."""
        time = "" if seconds_a_pass is None else f", about {_time(self.passes * seconds_a_pass)}"
        memory = "< 0.1 GB" if self.bytes < GIGA / 10 else f"{self.bytes / GIGA:.1f} GB"
        return f"{self.stage}: {self.passes:,.0f} passes{time}, {memory} ({self.option})"


@dataclass(frozen=True)
class Plan:
    """The steps of one method, in the order in which they are run."""

    steps: tuple[Step, ...]

    @property
    def left_out(self) -> tuple[Step, ...]:
        return tuple(step for step in self.steps if not step.runs)

    @property
    def stages(self) -> tuple[str, ...]:
        """What is run."""
        return tuple(step.stage for step in self.steps if step.runs)

    @property
    def passes(self) -> float:
        """What is run, for an image."""
        return sum(step.passes for step in self.steps if step.runs)

    def text(self, seconds_a_pass: float | None = None) -> str:
        """What was left out and what it would take; empty where nothing was."""
        said = "; ".join(step.text(seconds_a_pass) for step in self.left_out)
        return f"left out for want of a budget: {said}; or all: --everything" if said else ""

    def records(self) -> list[dict[str, Any]]:
        """As JSON holds it."""
        return [asdict(step) for step in self.steps]

    def onto(self, data: xr.Dataset) -> xr.Dataset:
        """A result of this method, with its plan."""
        columns = {v.name: [[getattr(step, v.label) for step in self.steps]] for v in PLAN}
        found = {name: (("method", STAGE), np.array(values, float)) for name, values in columns.items()}
        return data.assign_coords({STAGE: [step.stage for step in self.steps]}).assign(found)


def plans(data: xr.Dataset) -> dict[str, Plan]:
    """The plan of each method of a result, of those that have one."""
    if not all(v.name in data for v in PLAN):
        return {}
    found = {}
    for method in map(str, data["method"].values):
        one = data.sel({"method": method})
        each = {v.label: one[v.name].transpose(STAGE).values for v in PLAN}
        known = np.isfinite(each["runs"])
        rows = zip(data[STAGE].values[known], *(each[v.label][known] for v in PLAN), strict=True)
        steps = (Step(str(stage), float(p), float(b), bool(runs)) for stage, p, b, runs in rows)
        found[method] = Plan(tuple(steps))
    return {method: plan for method, plan in found.items() if plan.steps}


def stages_in(path: Path) -> tuple[str, ...]:
    """The stages that a file asks for: a JSON list of their names; or the plan of a result, of which what
    `runs` for any method. Raises `InputError`.
    """
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise InputError(f"no plan can be read from {path}: {error}") from error
    if isinstance(content, dict):
        content = content.get("plan", content)
    lists: Sequence[Any] = list(content.values()) if isinstance(content, dict) else [content]
    try:
        steps = [step for one in lists for step in one]
        names = [step if isinstance(step, str) else step["stage"] for step in steps if _asked(step)]
    except (TypeError, KeyError) as error:
        wanted = f'a list such as ["{MEASURE}", "second-moment"], or the plan of a result'
        raise InputError(f"{path} holds no plan: {wanted}") from error
    if not names:
        raise InputError(f"{path} holds no plan: nothing in it is run")
    return tuple(dict.fromkeys(names))


def _asked(step: Any) -> bool:
    return isinstance(step, str) or bool(step["runs"])


def _time(seconds: float) -> str:
    return f"{max(seconds, 1):.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"
