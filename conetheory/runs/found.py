"""What stages have found, laid over each other, with the plan and why parts are missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from conetheory import schema
from conetheory.results.comparison import Comparison, compare
from conetheory.results.dataset import Result
from conetheory.results.plan import CERTIFY, MEASURE, Plan
from conetheory.runs.settings import PLANNED, Settings

HALVED = "blocks_halved"  # the attribute that says how often blocks were, where memory was short


def compared(
    results: Sequence[Result], plan: Plan, unpredicted: str, repro: Sequence[str], halved: int = 0
) -> Comparison:
    """The results of a method's stages as one.

    Parameters
    ----------
    results
        in the order of the stages.
    plan
        of the method.
    unpredicted
        why no theory says anything of it; empty where one does.
    repro
        choices of the paper's own code.
    halved
        how often blocks were halved at most, for want of memory (`room`).

    Returns
    -------
    Comparison
        with all of these.
    """
    first = _with_reasons(results[0], plan, unpredicted)
    found = compare(first, *results[1:])
    said = ({"repro": ", ".join(repro)} if repro else {}) | ({HALVED: halved} if halved else {})
    return Comparison(found.dataset.assign_attrs(said)) if said else found


def _with_reasons(result: Result, plan: Plan, unpredicted: str) -> Result:
    """With the plan, why no theory says anything about this method, and why nothing is certified."""
    data = plan.onto(result.dataset)
    if unpredicted:
        data[schema.NOT_PREDICTED.name] = (("method",), np.array([unpredicted], dtype=object))
    for step in plan.left_out:
        if step.stage == CERTIFY:
            reason = np.full((1, data.sizes["start"]), f"left out: {step.text()}", dtype=object)
            data[schema.REASONS[0].name] = (("method", "start"), reason)
    return type(result)(data)


def by_plan(settings: Settings, plan: Plan) -> Settings:
    """The settings with what is run in place of what may be."""
    certify = settings.certify
    if certify == PLANNED:
        certify = int(CERTIFY in plan.stages)
    theories = tuple(name for name in plan.stages if name not in (MEASURE, CERTIFY))
    return replace(settings, theories=theories, certify=certify)
