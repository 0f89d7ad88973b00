"""One method on one network: images through the stages of its plan, each saved when it is done."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from torch import Tensor

from conetheory import schema
from conetheory.chain.explained import ExplainerChain, open_chain
from conetheory.chain.relevance import RelevanceChain
from conetheory.errors import InputError
from conetheory.networks import Network
from conetheory.networks.edge import Model, as_network, shape_of
from conetheory.predict.registry import usual
from conetheory.progress import Progress, silent
from conetheory.results.comparison import Comparison, compare
from conetheory.results.dataset import Result
from conetheory.results.plan import CERTIFY, MEASURE, Plan
from conetheory.rules.repro import reproduced, reproduced_inputs
from conetheory.runs.plan import planned
from conetheory.runs.settings import PLANNED, Settings, check_applies
from conetheory.runs.stages import Case, Stage, certifiable, stage, unpredicted

SAVED = 2.0  # seconds of work from which on they are saved, which takes a good part of one itself
Save = Callable[[Comparison, tuple[str, ...]], Any]
Told = Callable[[str], Any]


def run(
    network: Model,
    images: Tensor,
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
        `(N, C, H, W)`, preprocessed.
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
    network = as_network(network, shape_of(images))
    return _Run(network, images, method, settings, progress, begun).finished(left, save, told)


class _Run:
    """The stages of one method, and what they have found so far: of the earlier run, then of each stage."""

    def __init__(
        self,
        network: Network,
        images: Tensor,
        method: str,
        settings: Settings,
        progress: Progress,
        begun: Comparison | None,
    ) -> None:
        self.network, self.name, self.progress = network.to(device=settings.device), method, progress
        self.images = reproduced_inputs(self.network, images, settings.repro)
        self.method = reproduced(method, settings.repro, parameters=settings.parameters)
        check_applies(self.method, settings)
        self.asked = self.settings = settings
        first = self._chain(self.images[:1])
        self.plan = planned(first, settings, certifiable=certifiable(first, settings))
        if not self.plan.stages:
            raise InputError(f"the budget affords nothing: {self.plan.text()}")
        self.settings = _by_plan(settings, self.plan)
        self.stages = [stage(name, self.settings) for name in self.plan.stages]
        self.open = Case(0, first, self.settings, progress)  # the image that was seen last
        self.results: list[Result] = [] if begun is None else [begun]

    def finished(self, left: Sequence[str] | None, save: Save | None, told: Told) -> Comparison:
        todo = [one for one in self.stages if left is None or one.name in left]
        seconds: float | None = None  # a pass
        saved = time.perf_counter()
        for number, one in enumerate(todo):
            began = time.perf_counter()
            if (result := self._through(one)) is not None:
                self.results.append(result)
            if one.name == MEASURE:
                seconds = (time.perf_counter() - began) / max(self._cost(MEASURE), 1.0)
            if save is not None and number < len(todo) - 1 and time.perf_counter() - saved >= SAVED:
                save(self.found(), tuple(later.name for later in todo[number + 1 :]))
                saved = time.perf_counter()
        if said := self.plan.text(seconds):
            told(f"{self.name}: {said}")
        return self.found()

    def _cost(self, name: str) -> float:
        """Passes of a stage over all of its images."""
        (step,) = (step for step in self.plan.steps if step.stage == name)
        return step.passes * len(self.images)

    def _through(self, one: Stage) -> Result | None:
        """A stage's result of all images, in batches while they are measured; the open one comes first."""
        size = self.settings.batch if one.name == MEASURE and self.method.backpropagated else 1
        numbers = [n for n in range(0, len(self.images), size) if one.wants(n)]
        if one.name != MEASURE:  # those that are certified last: their columns serve predictions too
            numbers.sort(key=lambda n: (n != self.open.number, self.settings.certifies(n)))
        for done, number in enumerate(numbers, 1):
            one.add(self._case(number, size))
            self.progress(f"{self.name}: {one.name}", done, len(numbers))
        return one.result()

    def _case(self, number: int, size: int) -> Case:
        """Some images from a number on; the last that was seen is kept."""
        batch = self.images[number : number + size]
        if self.open.number != number or len(self.open.chain) != len(batch):
            self.open = Case(number, self._chain(batch), self.settings, self.progress)
        return self.open

    def _chain(self, images: Tensor) -> RelevanceChain | ExplainerChain:
        s = self.settings
        return open_chain(self.network, images, self.method, dtype=s.dtype, device=s.device)

    def found(self) -> Comparison:
        """What there is so far, compared."""
        base = self._with_reasons(self.results[0])
        found = compare(base, *self.results[1:])
        repro = ", ".join(self.settings.repro)
        return Comparison(found.dataset.assign_attrs(repro=repro)) if repro else found

    def _with_reasons(self, result: Result) -> Result:
        """With the plan, why no theory says anything about this method, and why nothing is certified."""
        data = self.plan.onto(result.dataset)
        names = usual() if self.asked.theories is None else self.asked.theories
        if reasons := unpredicted(self.method, names) if names else "":
            data[schema.NOT_PREDICTED.name] = (("method",), np.array([reasons], dtype=object))
        for step in self.plan.left_out:
            if step.stage == CERTIFY:
                reason = np.full((1, data.sizes["start"]), f"left out: {step.text()}", dtype=object)
                data[schema.REASONS[0].name] = (("method", "start"), reason)
        return type(result)(data)


def _by_plan(settings: Settings, plan: Plan) -> Settings:
    """The settings with what is run in place of what may be."""
    certify = settings.certify
    if certify == PLANNED:
        certify = int(CERTIFY in plan.stages)
    theories = tuple(name for name in plan.stages if name not in (MEASURE, CERTIFY))
    return replace(settings, theories=theories, certify=certify)
