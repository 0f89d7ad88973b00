"""The stages that a method goes through: measure, each theory, certificates and their check.

Each takes cases and gives a result. A case is an image, or some that are only measured together, with its
chain. What stages want of the same chain they find in its supply, computed once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol, cast

from conetheory.certify.certifier import CscCertifier
from conetheory.certify.check import Held, check_certificates
from conetheory.certify.kept import KeptCertificates
from conetheory.certify.signed import bounded
from conetheory.certify.summary import certificate
from conetheory.chain.explained import ExplainerChain
from conetheory.chain.layers import below
from conetheory.chain.relevance import RelevanceChain
from conetheory.chain.supply import Supply
from conetheory.counts import SEEDS
from conetheory.measure.meter import CscMeter
from conetheory.predict.predictions import prediction
from conetheory.predict.registry import find, speaks
from conetheory.progress import Progress
from conetheory.results.dataset import Result
from conetheory.results.plan import CERTIFY, MEASURE
from conetheory.runs.settings import Settings


@dataclass
class Case:
    """numbers: of its images in the study."""

    numbers: Sequence[int]
    chain: RelevanceChain | ExplainerChain
    settings: Settings
    progress: Progress
    _supplies: dict[str, Supply] = field(default_factory=dict)

    @property
    def number(self) -> int:
        """Of its first image."""
        return self.numbers[0]

    @property
    def relevance(self) -> RelevanceChain:
        """The chain, for theories and certificates: those of explainers they refuse by their method."""
        return cast(RelevanceChain, self.chain)

    @cached_property
    def double(self) -> RelevanceChain | None:
        """The chain in float64, where it is to be certified."""
        wanted = self.settings.certifies(self.number) and certifiable(self.chain, self.settings)
        return self.relevance.double("cpu") if wanted else None

    def supply(self, start: str) -> Supply:
        """What theories know of the chain from a start layer."""
        if start not in self._supplies:
            s = self.settings
            options = {"positions": s.positions, "seed": s.seed, "first_image": self.number}
            self._supplies[start] = Supply(self.relevance, start, s.layers, **options, progress=self.progress)
        return self._supplies[start]


def certifiable(chain: RelevanceChain | ExplainerChain, settings: Settings) -> bool:
    """A cone is kept; or what a signed chain allows is asked for, that is where nothing is measured."""
    if not isinstance(chain, RelevanceChain):
        return False
    return chain.method.nonnegative or (not settings.measure and bounded(chain) is None)


class Stage(Protocol):
    """One thing that is done with every case it wants."""

    name: str

    def wants(self, number: int) -> bool:
        """Whether the image with this number is one of its own."""
        ...

    def add(self, case: Case) -> None: ...

    def record(self) -> dict[str, Any] | None:
        """What it has found, of plain values and arrays, as `take` takes it up; None where it saw nothing."""
        ...

    def take(self, record: dict[str, Any], chain: Any) -> None:
        """Add what the stage has found of later images; chain: or its outline, of which results speak."""
        ...

    def layers(self) -> list[str]:
        """Those that its result speaks of."""
        ...

    def result(self) -> Result | None: ...


class Measure:
    """CSC of random vectors (`measure.CscMeter`)."""

    name = MEASURE

    def __init__(self, settings: Settings) -> None:
        s = settings
        options = {"vectors": s.vectors, "seed": s.seed, "layers": s.layers, "bootstrap": s.bootstrap}
        self.meter = CscMeter(s.starts, **options)

    def wants(self, number: int) -> bool:
        return True

    def add(self, case: Case) -> None:
        self.meter.add(case.chain, numbers=case.numbers)

    def record(self) -> dict[str, Any] | None:
        return self.meter.record() if self.meter.images else None

    def take(self, record: dict[str, Any], chain: Any) -> None:
        self.meter.take(record)
        self.meter.chain = chain

    def layers(self) -> list[str]:
        return [layer for _, layer in self.meter.statistics]

    def result(self) -> Result | None:
        return self.meter.result() if self.meter.images else None


class Predict:
    """One theory (`predict.Theory`), from each start layer."""

    def __init__(self, name: str, settings: Settings) -> None:
        s = self.settings = settings
        self.name = name
        self.chain: RelevanceChain | None = None
        options = {"vectors": s.vectors, "seed": s.seed, "layers": s.layers, "positions": s.positions}
        self.theories = {start: find(name)(start, **options) for start in s.starts}

    def wants(self, number: int) -> bool:
        theory = find(self.name)
        if theory.of_weights:
            return number == 0 and self.settings.predicts(0)
        return theory.of_drawn_vectors or self.settings.predicts(number)

    def add(self, case: Case) -> None:
        self.chain = case.relevance
        for start, theory in self.theories.items():
            theory.add(case.relevance, case.supply(start), case.progress)

    def record(self) -> dict[str, Any] | None:
        return None if self.chain is None else {start: one.record() for start, one in self.theories.items()}

    def take(self, record: dict[str, Any], chain: Any) -> None:
        self.chain = chain
        for start, found in record.items():
            self.theories[start].take(found)

    def layers(self) -> list[str]:
        if self.chain is None:
            return []
        return [n for start, one in self.theories.items() for n in below(self.chain, start, one.layers)]

    def result(self) -> Result | None:
        if self.chain is None:
            return None
        return prediction(self.chain, {start: [theory] for start, theory in self.theories.items()})


class Certify:
    """What holds for every start (`certify.CscCertifier`), held against those that come nearest to violating
    it.
    """

    name = CERTIFY

    def __init__(self, settings: Settings) -> None:
        s = self.settings = settings
        self.chain: RelevanceChain | None = None
        self.found = {start: KeptCertificates() for start in s.starts}
        self.held: dict[str, dict[str, Held]] = {}

    def certifier(self, start: str, number: int) -> CscCertifier:
        """One that has seen nothing yet, for an image by its number."""
        s = self.settings
        options = {"layers": s.layers, "positions": s.positions, "seed": s.seed, "first_image": number}
        return CscCertifier(start, thorough=not s.measure, **options)

    def wants(self, number: int) -> bool:
        return self.settings.certifies(number)

    def add(self, case: Case) -> None:
        self.chain = case.relevance
        for start, found in self.found.items():
            certifier = self.certifier(start, case.number)
            if case.double is None:
                certifier.add(case.relevance)
            else:
                certifier.add(case.double, progress=case.progress)
                self._check(start, certifier, case, case.double)
            found.add(case.number, certifier)

    def _check(self, start: str, certifier: CscCertifier, case: Case, chain: RelevanceChain) -> None:
        seed = (self.settings.seed + case.number) % (SEEDS + 1)
        options = {"vectors": self.settings.vectors, "seed": seed, "progress": case.progress}
        for layer, held in check_certificates(certifier, chain, **options).items():
            self.held.setdefault(start, {}).setdefault(layer, Held()).join(held)

    def record(self) -> dict[str, Any] | None:
        if self.chain is None:
            return None
        held = {s: {layer: one.record() for layer, one in each.items()} for s, each in self.held.items()}
        return {"found": {start: found.record() for start, found in self.found.items()}, "held": held}

    def take(self, record: dict[str, Any], chain: Any) -> None:
        self.chain = chain
        for start, found in record["found"].items():
            self.found[start].take(found)
        for start, each in record["held"].items():
            for layer, held in each.items():
                self.held.setdefault(start, {}).setdefault(layer, Held()).join(Held(**held))

    def layers(self) -> list[str]:
        return [layer for found in self.found.values() for layer in found.certificates]

    def result(self) -> Result | None:
        return None if self.chain is None else certificate(self.chain, self.found, self.held)


def stage(name: str, settings: Settings) -> Stage:
    """The stage of a plan's step."""
    kinds = {MEASURE: Measure, CERTIFY: Certify}
    return kinds[name](settings) if name in kinds else Predict(name, settings)


def unpredicted(chain: RelevanceChain | ExplainerChain, names: Sequence[str], starts: Sequence[str]) -> str:
    """Why no theory that was asked for says anything of a chain; empty where one does."""
    refused = [speaks(name, chain, starts) for name in names]
    reasons = [found.reason for found in refused if found is not None]
    return "; ".join(dict.fromkeys(reasons)) if len(reasons) == len(refused) else ""
