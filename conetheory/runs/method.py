"""One method on one network: images through the stages, what is done saved as it is done."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from conetheory import schema
from conetheory.certify.signed import bounded
from conetheory.chain.explained import ExplainerChain, open_chain
from conetheory.chain.relevance import RelevanceChain
from conetheory.networks import Network
from conetheory.networks.edge import Model, as_network, shape_of
from conetheory.progress import Progress, silent
from conetheory.results.comparison import Comparison, compare
from conetheory.results.dataset import Result
from conetheory.rules.repro import reproduced, reproduced_inputs
from conetheory.runs.settings import Settings, check_applies
from conetheory.runs.stages import STAGES, Case, Certify, Check, Measure, Predict, Stage

Save = Callable[[Comparison, tuple[str, ...]], Any]


def run(
    network: Model,
    images: Tensor,
    method: str,
    settings: Settings,
    progress: Progress = silent,
    *,
    save: Save | None = None,
    begun: Comparison | None = None,
    left: Sequence[str] = STAGES,
) -> Comparison:
    """Measure, predict, certify and compare one method on `(N, C, H, W)` images.

    save: is given what there is when a stage is done, and the names of those that are left. begun, left:
    such a pair of an earlier run with the same settings, which is then finished.
    """
    network = as_network(network, shape_of(images))
    return _Run(network, images, method, settings, progress, begun).finished(left, save)


class _Run:
    """The stages of one method, and what they have found so far."""

    def __init__(
        self,
        network: Network,
        images: Tensor,
        method: str,
        settings: Settings,
        progress: Progress,
        begun: Comparison | None,
    ) -> None:
        s = self.settings = settings
        self.network, self.name, self.progress = network.to(device=s.device), method, progress
        self.images, self.begun = reproduced_inputs(self.network, images, s.repro), begun
        self.method = reproduced(method, s.repro, parameters=s.parameters)
        check_applies(self.method, s)
        self.measure, self.predict = Measure(self.method, s), Predict(self.method, s)
        self.certify = Certify(self.method, s)
        self.check = Check(self.certify, s)

    def finished(self, left: Sequence[str], save: Save | None) -> Comparison:
        singly = [stage for stage in (self.predict, self.certify, self.check) if stage.name in left]
        numbers = [n for n in self._order() if any(stage.wants(n) for stage in singly)]
        if "measure" in left and self.settings.measure:
            self._measure()
            if save is not None and numbers:  # else it is finished, and saved as that
                save(self.found(), STAGES[1:])
        for done, number in enumerate(numbers, 1):
            self._case(number, singly, save if done == len(numbers) else None)
            self.progress(f"{self.name}: theory", done, len(numbers))
        return self.found()

    def _measure(self) -> None:
        """Images in batches; whole maps one at a time."""
        size = self.settings.batch if self.method.backpropagated else 1
        for first in range(0, len(self.images), size):
            batch = self.images[first : first + size]
            self.measure.add(Case(first, self._chain(batch), self.settings, self.progress))
            self.progress(self.name, first + len(batch), len(self.images))

    def _order(self) -> list[int]:
        """The images, those that are certified last: their columns serve predictions and certificates."""
        return sorted(range(len(self.images)), key=self.settings.certifies)

    def _case(self, number: int, stages: Sequence[Stage], save: Save | None) -> None:
        """One image through stages; what was predicted is saved before the last one is certified."""
        chain = self._chain(self.images[number : number + 1])
        certified = self.settings.certifies(number) and self._certifiable(chain)
        double = chain.double("cpu") if certified and isinstance(chain, RelevanceChain) else None
        case = Case(number, chain, self.settings, self.progress, double)
        for stage in stages:
            if stage is self.certify and save is not None and self._parts():
                save(self.found(), STAGES[2:])
            if stage.wants(number):
                stage.add(case)

    def _chain(self, images: Tensor) -> RelevanceChain | ExplainerChain:
        s = self.settings
        return open_chain(self.network, images, self.method, dtype=s.dtype, device=s.device)

    def _certifiable(self, chain: RelevanceChain | ExplainerChain) -> bool:
        """A cone is kept; or what a signed chain allows is asked for, that is where nothing is measured."""
        return self.method.nonnegative or (not self.settings.measure and bounded(chain) is None)

    def found(self) -> Comparison:
        """What there is so far: of the earlier run, then of each stage."""
        parts = self._parts()
        base = self._with_reasons(parts[0])
        found = compare(base, *parts[1:])
        repro = ", ".join(self.settings.repro)
        return Comparison(found.dataset.assign_attrs(repro=repro)) if repro else found

    def _parts(self) -> list[Result]:
        results = [stage.result() for stage in (self.measure, self.predict, self.certify)]
        return [part for part in (self.begun, *results) if part is not None]

    def _with_reasons(self, result: Result) -> Result:
        """Why theories say nothing about this method, one line for each."""
        if not self.predict.reasons:
            return result
        data = result.dataset.copy()
        data[schema.NOT_PREDICTED.name] = (("method",), np.array([self.predict.reasons], dtype=object))
        return type(result)(data)
