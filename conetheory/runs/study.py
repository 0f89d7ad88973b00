"""The main job: images through one method, measured, predicted, certified and compared, image by image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from conetheory.certify.certifier import CscCertifier, certificate
from conetheory.certify.signed import bounded
from conetheory.chain.explained import ExplainerChain, open_chain
from conetheory.chain.relevance import RelevanceChain
from conetheory.errors import InputError
from conetheory.measure.meter import CscMeter
from conetheory.networks import Network
from conetheory.predict.theories import THEORIES, Predictor, prediction, predictors
from conetheory.results.comparison import Comparison, compare
from conetheory.results.dataset import Result
from conetheory.rules.registry import Method
from conetheory.rules.repro import reproduced, reproduced_inputs

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Settings:
    """What to run. theories: of `predict.THEORIES`. certify: images to certify (None: all). repro: choices of
    the paper's own code (`repro.CHOICES`). batch: images that share a chain where they are only measured; no
    result depends on it.
    """

    starts: tuple[str, ...] = ("logits",)
    vectors: int = 5
    seed: int = 0
    bootstrap: int = 100
    layers: tuple[str, ...] | None = None
    theories: tuple[str, ...] = tuple(THEORIES)
    predict: int | None = None
    certify: int | None = 1
    positions: int | None = None
    device: str = "cpu"
    dtype: torch.dtype = torch.float32
    parameters: dict[str, Any] = field(default_factory=dict)
    repro: tuple[str, ...] = ()
    measure: bool = True
    batch: int = 1

    def __post_init__(self) -> None:
        if self.batch < 1:
            raise InputError(f"a batch holds at least 1 image, not {self.batch}")
        if not self.measure and not self.theories and self.certify == 0:
            raise InputError("nothing is asked for: neither to measure nor to predict nor to certify")


def check_applies(method: Method, settings: Settings) -> None:
    """Raise `InputError` where nothing that is asked for says anything about the method."""
    if settings.measure or (settings.certify != 0 and method.backpropagated):
        return
    refused = [method.applies(theory) for theory in settings.theories or THEORIES]
    if None not in refused:
        reasons = "; ".join(dict.fromkeys(found.reason for found in refused))
        raise InputError(f"nothing that is asked for applies: {reasons}")


def run(
    network: Network, images: Tensor, method: str, settings: Settings, progress: Progress | None = None
) -> Comparison:
    """Compare one method on `(N, C, H, W)` images.

    predict and certify bound how many of the images, from the first, take part in the local spectrum
    and in the certificate (None: all); measurement and two-scale use every image. `progress(what, done,
    total)` is called as it goes.
    """
    job = _Job(network, method, settings, progress or (lambda what, done, total: None))
    done = 0
    while done < len(images):
        batch = images[done : done + job.together(done)]
        job.add(batch, done)
        done += len(batch)
        job.progress(method, done, len(images))
    return job.result()


class _Job:
    def __init__(self, network: Network, method: str, settings: Settings, progress: Progress) -> None:
        self.network, self.settings, self.progress = network.to(device=settings.device), settings, progress
        s = settings
        self.method = reproduced(method, s.repro, **s.parameters)
        check_applies(self.method, s)
        self.meter = CscMeter(
            s.starts, vectors=s.vectors, seed=s.seed, layers=s.layers, bootstrap=s.bootstrap
        )
        options = {"vectors": s.vectors, "seed": s.seed, "layers": s.layers, "positions": s.positions}
        self.predictors = {n: predictors(s.theories, n, **options) for n in s.starts}
        self.certifiers = {
            n: CscCertifier(n, layers=s.layers, positions=s.positions, seed=s.seed, thorough=not s.measure)
            for n in s.starts
        }
        self.violations: dict[tuple[str, str], int] = {}
        self.checked: dict[tuple[str, str], int] = {}
        self.chain: RelevanceChain | ExplainerChain | None = None

    def together(self, number: int) -> int:
        """How many images from this one on may share a chain: theories and whole maps take one at a time."""
        s = self.settings
        names = {name for each in self.predictors.values() for name in each}
        names = {name for name in names if self.method.applies(name) is None}
        certified, few = _among(number, s.certify), _among(number, s.predict)
        theorised = certified or bool(names if few else names & {"two-scale"})
        return s.batch if self.method.backpropagated and not theorised else 1

    def add(self, images: Tensor, number: int) -> None:
        """Measure the images, of which the first has this number; predict and certify where it is one."""
        s = self.settings
        images = reproduced_inputs(self.network, images, s.repro)
        self.chain = chain = open_chain(self.network, images, self.method, dtype=s.dtype, device=s.device)
        if s.measure:
            self.meter.add(chain)
        if len(chain) == 1:
            self._theorise(chain, number)

    def _theorise(self, chain: RelevanceChain | ExplainerChain, number: int) -> None:
        s = self.settings
        certified = _among(number, s.certify)
        double = chain.double() if certified and self._certifiable() else None
        for start in s.starts:
            blocks = self._certify(double, start, number) if double is not None else {}
            for name, predictor in self._applicable(start).items():
                if name == "two-scale":
                    predictor.add(chain)
                elif not _among(number, s.predict):
                    continue
                elif blocks:
                    predictor.add_blocks(blocks)
                else:
                    what = predictor.name.replace("_", " ")
                    predictor.add(chain, lambda done, total, what=what: self.progress(what, done, total))
        if certified and double is None:
            for certifier in self.certifiers.values():
                certifier.add(chain)

    def _certifiable(self) -> bool:
        """A cone is kept; or what a signed chain allows is asked for, that is where nothing is measured."""
        return self.chain.method.nonnegative or (not self.settings.measure and bounded(self.chain) is None)

    def _applicable(self, start: str) -> dict[str, Predictor]:
        """The predictors of a start layer that say something about the method."""
        method = self.chain.method
        return {k: p for k, p in self.predictors[start].items() if method.applies(k) is None}

    def _certify(self, chain: RelevanceChain, start: str, number: int) -> dict:
        """Certify one image, and hold nonnegative starts of its own against the bounds, pair by pair."""
        certifier = self.certifiers[start]
        blocks = certifier.add(chain, lambda done, total: self.progress("certificate", done, total))
        if not blocks:
            return {}
        observe = lambda start, layer, _, deficits: self._count(certifier, start, layer, deficits)  # noqa: E731
        seed = self.settings.seed + number
        options = {"distribution": "nonnegative", "layers": list(certifier.certificates), "observe": observe}
        CscMeter([start], vectors=self.settings.vectors, seed=seed, **options).add(chain)
        return blocks

    def _count(self, certifier: CscCertifier, start: str, layer: str, deficits: Tensor) -> None:
        found = certifier.certificates[layer]
        bound = torch.from_numpy(found.deficit_upper[-1]).to(deficits.device)
        measured = deficits[torch.as_tensor(found.positions[-1], device=deficits.device)]
        live = ~torch.isnan(measured)
        key = start, layer
        self.violations[key] = self.violations.get(key, 0) + int((live & ~(measured <= bound[:, None])).sum())
        self.checked[key] = self.checked.get(key, 0) + int(live.sum())

    def result(self) -> Comparison:
        s, chain = self.settings, self.chain
        parts: list[Any] = []
        if s.theories and chain.method.backpropagated:
            found = {start: list(self._applicable(start).values()) for start in s.starts}
            parts.append(prediction(chain, found))
        if s.certify != 0:
            parts.append(certificate(chain, self.certifiers))
        if s.measure:
            parts.insert(0, self.meter.result())
        found = compare(self._with_reasons(self._with_counts(parts[0])), *parts[1:])
        return Comparison(found.dataset.assign_attrs(repro=", ".join(s.repro))) if s.repro else found

    def _with_reasons(self, result: Result) -> Result:
        """Why theories say nothing about this method, one line for each."""
        reasons = {name: self.chain.method.applies(name) for name in self.settings.theories}
        said = dict.fromkeys(found.reason for found in reasons.values() if found is not None)
        if len(said) == 0 or None in reasons.values():
            return result
        data = result.dataset.copy()
        data["not_predicted"] = (("method",), np.array(["; ".join(said)], dtype=object))
        return type(result)(data)

    def _with_counts(self, result: Result) -> Result:
        if not self.checked:
            return result
        dims = ("method", "start", "layer")
        data = result.dataset.copy()
        for name, counts in (("violations", self.violations), ("checked", self.checked)):
            values = np.zeros([data.sizes[dim] for dim in dims])
            for (start, layer), count in counts.items():
                values[
                    0, list(data["start"].values).index(start), list(data["layer"].values).index(layer)
                ] = count
            data[name] = (dims, values)
        return type(result)(data)


def _among(number: int, first: int | None) -> bool:
    """Whether an image is one of the first so many (None: all)."""
    return first is None or number < first
