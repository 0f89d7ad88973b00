"""Memory that a process may take: what fits, by the costs of the plan (`chain.cost`), before it is run."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from conetheory import room
from conetheory.chain.local import ENUMERABLE
from conetheory.errors import InputError
from conetheory.networks.graph import INPUT, Graph
from conetheory.results.plan import CERTIFY, GIGA, MEASURE, Plan
from conetheory.runs.settings import PLANNED, Settings

PROCESS = 0.5 * GIGA  # Python and its libraries
WEIGHT = 12  # bytes: in float32 and, where something is certified, in float64
KEPT = 0.25  # share of the memory for what is kept of the images of a unit
COPIES = 3  # of that, when it is written
LOCATIONS = 512  # of a layer whose spectra are kept
PAIRS, BOUNDS = 16, 4  # numbers that are kept of each location


def fitting(settings: Settings, graph: Graph, planned: Callable[[], Plan]) -> tuple[Plan, int]:
    """The plan of what fits, and how often blocks are halved for it.

    Parameters
    ----------
    settings
        with the memory that there is (None: it is not asked).
    graph
        whose weights are held.
    planned
        the plan, with its costs in blocks as they are now (`room`).

    Returns
    -------
    tuple
        the plan, without what does not fit in any blocks and was not asked for by name.

    Raises
    ------
    InputError
        where something else does not fit.
    """
    plan = planned()
    if settings.memory is None:
        return plan, 0
    left = settings.memory - PROCESS - WEIGHT * weights(graph)
    for times in range(room.MOST + 1):
        with room.halved(times):
            bytes = {step.stage: step.bytes for step in planned().steps}
        lacking = [stage for stage in plan.stages if bytes[stage] > left]
        if not lacking:
            return plan, times
    for stage in lacking:
        if _asked(settings, stage):
            takes = (settings.memory - left + bytes[stage]) / GIGA
            raise InputError(f"{stage} takes {takes:.1f} GB in the smallest blocks, more than --memory gives")
    return Plan(tuple(replace(s, runs=s.runs and s.stage not in lacking) for s in plan.steps)), room.MOST


def _asked(settings: Settings, stage: str) -> bool:
    """Whether a stage was asked for by name."""
    if stage == CERTIFY:
        return settings.certify != PLANNED
    return stage == MEASURE or settings.theories is not None


def images(settings: Settings, graph: Graph, most: int) -> int:
    """Images of a unit of whose numbers a quarter of the memory holds all that is kept; `most` if unlimited.

    Parameters
    ----------
    settings
        with the memory that there is.
    graph
        whose layers these numbers are of.
    most
        of the images.

    Returns
    -------
    int
        at least 1.
    """
    if settings.memory is None:
        return most
    kept = sum(_kept(graph, start, settings) for start in settings.starts)
    return min(most, max(1, int(KEPT * settings.memory / (COPIES * max(kept, 1)))))


def _kept(graph: Graph, start: str, settings: Settings) -> float:
    """Bytes that are kept of an image, at most."""
    top = graph.resolve(start)
    units = math.prod(graph.shape(top))
    below = [node.name for node in graph.between(top, INPUT)] + [INPUT]
    wanted = below if settings.layers is None else [graph.resolve(name) for name in settings.layers]
    found = 0.0
    for layer in wanted:
        channels, *space = graph.shape(layer)
        locations = math.prod(space)
        spectrum = min(channels, units if units <= ENUMERABLE else channels)
        found += min(LOCATIONS, locations) * 2 * spectrum + locations * (PAIRS + BOUNDS)
    return 8 * found


def smaller(times: int) -> str:
    """What is said where memory was short and blocks are halved for the time that is given."""
    return f"not enough memory: again in blocks of 1/{2**times} of their size"


def weights(graph: Graph) -> int:
    """Numbers of the network."""
    held = (getattr(node.op, "weight", None) for node in graph.nodes.values())
    return sum(weight.numel() for weight in held if weight is not None)
