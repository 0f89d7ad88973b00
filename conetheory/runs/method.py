"""One method on one network: images through the stages of its plan, each saved when it is done."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

from torch import Tensor

from conetheory import room
from conetheory.chain.checks import checked_images
from conetheory.chain.explained import ExplainerChain, open_chain
from conetheory.chain.relevance import RelevanceChain
from conetheory.errors import InputError
from conetheory.networks import Images, Network
from conetheory.networks.edge import Model, as_network
from conetheory.predict.registry import find, usual
from conetheory.predict.theory import Theory
from conetheory.progress import Progress, silent
from conetheory.results.comparison import Comparison
from conetheory.results.dataset import Result
from conetheory.results.plan import CERTIFY, MEASURE, Plan
from conetheory.rules.repro import reproduced, reproduced_inputs
from conetheory.runs.found import by_plan, compared
from conetheory.runs.heap import HEAP
from conetheory.runs.memory import fitting, smaller
from conetheory.runs.outline import outlined
from conetheory.runs.plan import planned
from conetheory.runs.progress import note
from conetheory.runs.settings import Settings, check_applies
from conetheory.runs.stages import Case, Stage, certifiable, stage, unpredicted

SAVED = 2.0  # seconds of work from which on they are saved, which takes a good part of one itself
Save = Callable[[Comparison, tuple[str, ...]], Any]
Told = Callable[[str], Any]


class Planned(NamedTuple):
    """The plan of a method, how often its blocks are halved, and why no theory speaks of it, if none does."""

    plan: Plan
    halved: int
    unpredicted: str


def run(
    network: Model,
    images: Tensor | Images,
    method: str,
    settings: Settings,
    progress: Progress = silent,
    *,
    save: Save | None = None,
    begun: Comparison | None = None,
    left: Sequence[str] | None = None,
    told: Told = lambda line: None,
) -> Comparison:
    """Measure, predict, certify and compare one method on `(N, C, H, W)` images, by the plan (`runs.plan`).

    Parameters
    ----------
    network
        a module, a `Graph` or a `Network`.
    images
        `(N, C, H, W)`, preprocessed, or `Images`.
    method
        by name.
    settings
        what is done.
    progress
        is told of each part that is done.
    save
        is given what there is when a stage is done, and the names of those that are left, where it took more
        than `SAVED` seconds to get there.
    begun, left
        what `save` was given by an earlier run with the same settings, which is then finished.
    told
        is given a line on what the plan leaves out.

    Returns
    -------
    Comparison
        measured, predicted and certified by start and layer.
    """
    one = _Run(network, _as_images(images), method, settings, progress)
    return one.finished(begun, left, save, told)


def record_of(
    network: Model,
    images: Tensor | Images,
    method: str,
    settings: Settings,
    part: range,
    progress: Progress = silent,
    plans: dict[str, Planned] | None = None,
) -> dict[str, Any]:
    """What the stages of a method find of a part of the images, for `runs.merging` to join with the others.

    Parameters
    ----------
    network, images, method, settings, progress
        as `run` takes them; of the images all, as the plan is that of the whole study.
    part
        the numbers of the images that are looked at.
    plans
        of methods that are known in this process, which is added to: it takes the first image to make one.

    Returns
    -------
    dict
        of plain values and arrays: `plan`, `unpredicted`, `outline`, and of each stage its `record`.

    Raises
    ------
    InputError
        for a theory that can't be run in parts.
    """
    return _Run(network, _as_images(images), method, settings, progress, plans).record(part)


def _as_images(images: Tensor | Images) -> Images:
    if isinstance(images, Images):
        return images
    return Images(images, tuple(map(str, range(len(images)))))


class _Run:
    """The stages of one method, and the image that was seen last, whose chain is kept."""

    def __init__(
        self,
        network: Model,
        images: Images,
        method: str,
        settings: Settings,
        progress: Progress,
        plans: dict[str, Planned] | None = None,
    ) -> None:
        network = as_network(network, images.shape)
        self.network: Network = network.to(device=settings.device)
        self.images, self.name, self.progress = images, method, progress
        self.method = reproduced(method, settings.repro, parameters=settings.parameters)
        check_applies(self.method, settings)
        self.settings = settings
        self._open: Case | None = None
        self.opened = (-1, -1)
        plans = {} if plans is None else plans
        if method not in plans:
            plans[method] = self._planned()
        self.plan, self.halved, self.unpredicted = plans[method]
        if not self.plan.stages:
            empty = f"nothing that is asked for applies: {self.unpredicted}"
            raise InputError(empty if self.unpredicted else f"the budget affords nothing: {self.plan.text()}")
        self.settings = by_plan(settings, self.plan)
        if self._open is not None:
            self._open.settings = self.settings
        self.stages = [stage(name, self.settings) for name in self.plan.stages]

    def _planned(self) -> Planned:
        """By the first image that can be read, which stays open."""
        chain, s = self.open.chain, self.settings
        plan = partial(planned, chain, s, certifiable=certifiable(chain, s))
        names = usual() if s.theories is None else s.theories
        silence = unpredicted(chain, names, s.starts) if names else ""
        return Planned(*fitting(s, self.network.graph, plan), silence)

    @property
    def open(self) -> Case:
        """The images that were seen last; before that the first."""
        if self._open is None:
            number, self._open = self._first()
            self.opened = number, number + 1
        return self._open

    def finished(
        self, begun: Comparison | None, left: Sequence[str] | None, save: Save | None, told: Told
    ) -> Comparison:
        results: list[Result] = [] if begun is None else [begun]
        todo = [one for one in self.stages if left is None or one.name in left]
        seconds: float | None = None  # a pass
        saved = time.perf_counter()
        for number, one in enumerate(todo):
            began = time.perf_counter()
            done = self._through(one, range(len(self.images)))
            if (result := done.result()) is not None:
                results.append(result)
            if one.name == MEASURE:
                seconds = (time.perf_counter() - began) / max(self._cost(MEASURE), 1.0)
            if save is not None and number < len(todo) - 1 and time.perf_counter() - saved >= SAVED:
                save(self._compared(results), tuple(later.name for later in todo[number + 1 :]))
                saved = time.perf_counter()
        if said := self.plan.text(seconds):
            told(f"{self.name}: {said}")
        return self._compared(results)

    def record(self, part: range) -> dict[str, Any]:
        for one in self.stages:
            if one.name not in (MEASURE, CERTIFY) and find(one.name).record is Theory.record:
                find(one.name)(self.settings.starts[0]).record()  # says so
        self.stages = [self._through(one, part) for one in self.stages]
        starts, layers = self.settings.starts, self.settings.layers
        return {
            "plan": self.plan.records(),
            "unpredicted": self.unpredicted,
            "halved": self.halved,
            "outline": outlined(self.open.chain, starts, layers, [one.layers() for one in self.stages]),
            "stages": {one.name: one.record() for one in self.stages},
        }

    def _compared(self, results: Sequence[Result]) -> Comparison:
        return compared(results, self.plan, self.unpredicted, self.settings.repro, self.halved)

    def _cost(self, name: str) -> float:
        """Passes of a stage over all of its images."""
        (step,) = (step for step in self.plan.steps if step.stage == name)
        return step.passes * len(self.images)

    def _through(self, one: Stage, part: range) -> Stage:
        """Some images through a stage; where memory lacks again from the first, in smaller blocks."""
        stages = iter([one])

        def seen() -> Stage:
            fresh = next(stages, None) or stage(one.name, self.settings)
            self._seen(fresh, part)
            return fresh

        return room.within(seen, partial(self._smaller, one.name), self.halved)

    def _smaller(self, name: str, times: int) -> None:
        self.halved = times
        self._open = Case(self.open.numbers, self.open.chain, self.settings, self.progress)  # of no supplies
        note(f"{self.name}, {name}: {smaller(times)}")

    def _seen(self, one: Stage, part: range) -> None:
        """Some images through a stage, in batches while they are measured; the open one comes first."""
        size = room.block(self.settings.batch) if one.name == MEASURE and self.method.backpropagated else 1
        firsts = [n for n in range(part.start, part.stop, size) if one.wants(n)]
        if one.name != MEASURE:  # those that are certified last: their columns serve predictions too
            firsts.sort(key=lambda n: ((n, n + 1) != self.opened, self.settings.certifies(n)))
        for done, first in enumerate(firsts, 1):
            case = self._case(first, min(first + size, part.stop))
            if case is not None:
                one.add(case)
                HEAP.hand_back()
            self.progress(f"{self.name}: {one.name}", done, len(firsts))

    def _case(self, first: int, stop: int) -> Case | None:
        """Some images from a number on; the last that was seen is kept. None where none can be read."""
        if self.opened != (first, stop):
            case = self._opened(first, stop)
            if case is None:
                return None
            self._open, self.opened = case, (first, stop)
        return self._open

    def _first(self) -> tuple[int, Case]:
        """The first image that can be read, of which the plan of all parts of a study is made."""
        for number in range(len(self.images)):
            if (case := self._opened(number, number + 1)) is not None:
                return number, case
        checked_images(self.images.part(0, 1)[1], self.network.graph.input_shape)
        raise InputError("none of the images can be read")

    def _opened(self, first: int, stop: int) -> Case | None:
        s = self.settings
        numbers, batch = self.images.part(first, stop)
        if not numbers:
            return None
        batch = reproduced_inputs(self.network, batch, s.repro)
        chain: RelevanceChain | ExplainerChain = open_chain(
            self.network, batch, self.method, dtype=s.dtype, device=s.device
        )
        return Case(numbers, chain, s, self.progress)
