"""The main job: images through one method, measured, predicted, certified and compared, image by image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from conetheory.attribution import ExplainerChain, open_chain
from conetheory.certify import CscCertifier, certificate
from conetheory.chain import RelevanceChain
from conetheory.comparison import Comparison, compare
from conetheory.measure import CscMeter
from conetheory.networks import Network
from conetheory.predict import LocalSpectrum, TwoScale, prediction
from conetheory.results import Result

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Settings:
    """What to run. theories: of `local-spectrum` and `two-scale`. certify: images to certify (None: all)."""

    starts: tuple[str, ...] = ("logits",)
    vectors: int = 5
    seed: int = 0
    bootstrap: int = 100
    layers: tuple[str, ...] | None = None
    theories: tuple[str, ...] = ("local-spectrum", "two-scale")
    predict: int | None = None
    certify: int | None = 1
    positions: int | None = None
    device: str = "cpu"
    dtype: torch.dtype = torch.float32
    parameters: dict[str, Any] = field(default_factory=dict)
    measure: bool = True


def run(
    network: Network, images: Tensor, method: str, settings: Settings, progress: Progress | None = None
) -> Comparison:
    """Compare one method on `(N, C, H, W)` images.

    predict and certify bound how many of the images, from the first, take part in the local spectrum
    and in the certificate (None: all); measurement and two-scale use every image. `progress(what, done,
    total)` is called as it goes.
    """
    job = _Job(network, method, settings, progress or (lambda what, done, total: None))
    for number, image in enumerate(images):
        job.add(image, number)
        job.progress(method, number + 1, len(images))
    return job.result()


class _Job:
    def __init__(self, network: Network, method: str, settings: Settings, progress: Progress) -> None:
        self.network, self.method, self.settings, self.progress = network, method, settings, progress
        s = settings
        self.meter = CscMeter(
            s.starts, vectors=s.vectors, seed=s.seed, layers=s.layers, bootstrap=s.bootstrap
        )
        self.spectra = {
            n: LocalSpectrum(n, layers=s.layers, positions=s.positions, seed=s.seed) for n in s.starts
        }
        self.two_scale = {n: TwoScale(n, vectors=s.vectors, seed=s.seed, layers=s.layers) for n in s.starts}
        self.certifiers = {
            n: CscCertifier(n, layers=s.layers, positions=s.positions, seed=s.seed) for n in s.starts
        }
        self.violations: dict[tuple[str, str], int] = {}
        self.checked: dict[tuple[str, str], int] = {}
        self.chain: RelevanceChain | ExplainerChain | None = None

    def add(self, image: Tensor, number: int) -> None:
        s = self.settings
        options = {"device": s.device, **s.parameters}
        self.chain = chain = open_chain(self.network, image, self.method, dtype=s.dtype, **options)
        theories = [name for name in s.theories if chain.method.applies(name) is None]
        if s.measure:
            self.meter.add(chain)
        certified = s.certify is None or number < s.certify
        double = chain.double() if certified and chain.method.nonnegative else None
        for start in s.starts:
            blocks = self._certify(double, start, number) if double is not None else {}
            if "local-spectrum" in theories and (s.predict is None or number < s.predict):
                spectrum = self.spectra[start]
                if blocks:
                    spectrum.add_blocks(blocks)
                else:
                    spectrum.add(chain, lambda done, total: self.progress("local spectrum", done, total))
            if "two-scale" in theories:
                self.two_scale[start].add(chain)
        if not chain.method.nonnegative:
            for certifier in self.certifiers.values():
                certifier.add(chain)

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
        predictors = {
            start: [
                p
                for name, p in (("local-spectrum", self.spectra[start]), ("two-scale", self.two_scale[start]))
                if name in s.theories and chain.method.applies(name) is None
            ]
            for start in s.starts
        }
        if s.theories:
            parts.append(prediction(chain, predictors))
        if s.certify != 0:
            parts.append(certificate(chain, self.certifiers))
        if s.measure:
            parts.insert(0, self.meter.result())
        return compare(self._with_counts(parts[0]), *parts[1:])

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
