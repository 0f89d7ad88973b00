"""The stages that a method goes through: measure, predict, certify, check.

Each takes cases and gives a result. A case is an image, or some that are only measured together, with its
chain. What stages want of the same chain they find in its supply, computed once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol, cast

from conetheory.certify.certifier import CscCertifier
from conetheory.certify.check import Held, check_certificates
from conetheory.certify.summary import certificate
from conetheory.chain.explained import ExplainerChain
from conetheory.chain.local import is_enumerable
from conetheory.chain.relevance import RelevanceChain
from conetheory.chain.supply import UNITS, Supply
from conetheory.counts import SEEDS
from conetheory.measure.meter import CscMeter
from conetheory.predict.predictions import prediction, predictors
from conetheory.predict.registry import applies
from conetheory.progress import Progress
from conetheory.results.dataset import Result
from conetheory.rules.registry import Method
from conetheory.runs.settings import Settings

STAGES = ("measure", "predict", "certify", "check")


@dataclass
class Case:
    """number: of its first image. double: the chain in float64, where it is to be certified."""

    number: int
    chain: RelevanceChain | ExplainerChain
    settings: Settings
    progress: Progress
    double: RelevanceChain | None = None
    _supplies: dict[str, Supply] = field(default_factory=dict)

    @property
    def relevance(self) -> RelevanceChain:
        """The chain, for theories and certificates: those of explainers they refuse by their method."""
        return cast(RelevanceChain, self.chain)

    def supply(self, start: str) -> Supply:
        """What is known of the chain from a start layer; of a chain to be certified, its columns."""
        if start not in self._supplies:
            s = self.settings
            options = {"positions": s.positions, "seed": s.seed, "first_image": self.number}
            chain = self.relevance if self.double is None else self.double
            supply = Supply(chain, start, s.layers, **options, progress=self.progress)
            if self.double is not None and is_enumerable(chain, start):
                supply[UNITS]  # certificates need them, so that predictions take them too
            self._supplies[start] = supply
        return self._supplies[start]

    def made(self, start: str) -> Supply | None:
        """What theories have asked for, or None."""
        return self._supplies.get(start)


class Stage(Protocol):
    """One thing that is done with every case it wants."""

    name: str

    def wants(self, number: int) -> bool:
        """Whether the image with this number is one of its own."""
        ...

    def add(self, case: Case) -> None: ...


class Measure:
    """CSC of random vectors (`measure.CscMeter`)."""

    name = "measure"

    def __init__(self, method: Method, settings: Settings) -> None:
        s = self.settings = settings
        options = {"vectors": s.vectors, "seed": s.seed, "layers": s.layers, "bootstrap": s.bootstrap}
        self.meter = CscMeter(s.starts, **options)

    def wants(self, number: int) -> bool:
        return self.settings.measure

    def add(self, case: Case) -> None:
        self.meter.add(case.chain)

    def result(self) -> Result | None:
        return self.meter.result() if self.meter.images else None


class Predict:
    """Every theory that was asked for and says something of the method."""

    name = "predict"

    def __init__(self, method: Method, settings: Settings) -> None:
        s = self.settings = settings
        self.method = method
        self.chain: RelevanceChain | None = None
        self.refused = {name: applies(name, method) for name in s.theories}
        names = [name for name, reason in self.refused.items() if reason is None]
        options = {"vectors": s.vectors, "seed": s.seed, "layers": s.layers, "positions": s.positions}
        self.theories = {start: predictors(names, start, **options) for start in s.starts}

    def wants(self, number: int) -> bool:
        each = [theory for found in self.theories.values() for theory in found.values()]
        return bool(each) and (self.settings.predicts(number) or any(t.of_drawn_vectors for t in each))

    def add(self, case: Case) -> None:
        self.chain = case.relevance
        for start, found in self.theories.items():
            for theory in found.values():
                if theory.of_drawn_vectors or self.settings.predicts(case.number):
                    theory.add(case.relevance, case.supply(start), case.progress)

    def result(self) -> Result | None:
        if self.chain is None:
            return None
        return prediction(self.chain, {start: list(found.values()) for start, found in self.theories.items()})

    @property
    def reasons(self) -> str:
        """Why no theory that was asked for says anything; empty where one does."""
        refused = [found for found in self.refused.values() if found is not None]
        if len(refused) < len(self.refused):
            return ""
        return "; ".join(dict.fromkeys(found.reason for found in refused))


class Certify:
    """What holds for every start (`certify.CscCertifier`)."""

    name = "certify"

    def __init__(self, method: Method, settings: Settings) -> None:
        s = self.settings = settings
        self.chain: RelevanceChain | None = None
        options = {"layers": s.layers, "positions": s.positions, "seed": s.seed}
        self.certifiers = {n: CscCertifier(n, thorough=not s.measure, **options) for n in s.starts}
        self.held: dict[str, dict[str, Held]] = {}  # what `Check` finds of them

    def wants(self, number: int) -> bool:
        return self.settings.certifies(number)

    def add(self, case: Case) -> None:
        self.chain = case.relevance
        for start, certifier in self.certifiers.items():
            if case.double is None:
                certifier.add(case.relevance)
            else:
                certifier.add(case.double, case.made(start), case.progress)

    def result(self) -> Result | None:
        if self.chain is None:
            return None
        return certificate(self.chain, self.certifiers, self.held)


class Check:
    """Every certificate of an image held against the starts that come nearest to violating it."""

    name = "check"

    def __init__(self, certify: Certify, settings: Settings) -> None:
        self.certify, self.settings = certify, settings

    def wants(self, number: int) -> bool:
        return self.certify.wants(number)

    def add(self, case: Case) -> None:
        if case.double is None:
            return
        options = {"vectors": self.settings.vectors, "seed": (self.settings.seed + case.number) % (SEEDS + 1)}
        for start, certifier in self.certify.certifiers.items():
            found = check_certificates(certifier, case.double, **options, progress=case.progress)
            for layer, held in found.items():
                self.certify.held.setdefault(start, {}).setdefault(layer, Held()).join(held)
