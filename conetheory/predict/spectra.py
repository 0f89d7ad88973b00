"""The law of CSC pooled over locations and images, from singular values that a theory gives for each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from conetheory.chain.cost import Cost, work
from conetheory.chain.layers import below
from conetheory.chain.local import checked_positions
from conetheory.chain.relevance import RelevanceChain
from conetheory.chain.supply import Supply
from conetheory.networks.graph import INPUT
from conetheory.predict.by_image import ByImage
from conetheory.predict.theory import Theory
from conetheory.progress import Progress, silent
from conetheory.theory.gaussian_law import gaussian_deficit_cdf, mixture_deficit_quantile

LAW = 2.2e7  # multiplications that a location's law takes, its share of the median and its band
SPREAD = 32  # locations of a layer that tell how far the law differs from one to another


class Spectra:
    """Singular values of sampled locations, layer by layer; the median of the mixture, and its band.

    Dead locations (all singular values zero) are left out, as they are of a measurement. resolved: the tail
    `sum_(i>=2) (sigma_i/sigma_1)^2` below which there is nothing but rounding, so that it counts as zero.
    first_image: the number of the image whose spectra come next.
    """

    def __init__(self, resolved: float = 0.0) -> None:
        self.resolved, self.first_image = resolved, 0
        self._held, self._totals = ByImage(), ByImage()
        self._medians: dict[str, float] = {}

    def add(self, layer: str, values: np.ndarray, total: int) -> None:
        """Singular values (locations, r) of some of the `total` locations of one image."""
        squares = np.square(np.asarray(values, np.float64))
        known = squares[:, 1:].sum(1, keepdims=True) >= self.resolved * squares[:, :1]
        kept = np.concatenate([values[:, :1], np.where(known, values[:, 1:], 0.0)], 1)
        number = self._held.free(layer, self.first_image)
        self._held.add(layer, number, np.asarray(kept, np.float64))
        self._totals.add(layer, number, total)
        self._medians.pop(layer, None)

    def record(self) -> dict[str, Any]:
        """All spectra, as `take` takes them up."""
        return {"values": self._held.record(), "totals": self._totals.record()}

    def take(self, record: Mapping[str, Any]) -> None:
        """Add those of other images."""
        self._held.take(record["values"])
        self._totals.take(record["totals"])
        self._medians.clear()

    @property
    def layers(self) -> tuple[str, ...]:
        return self._held.names

    @property
    def _values(self) -> dict[str, list[np.ndarray]]:
        """The spectra of each layer, image by image."""
        return {layer: self._held.of(layer) for layer in self.layers}

    def _sampled(self, layer: str) -> tuple[int, int]:
        """How many locations were looked at, and how many there are."""
        return sum(map(len, self._held.of(layer))), sum(map(int, self._totals.of(layer)))

    def live(self, layer: str) -> np.ndarray:
        """(locations, r), those of all images that are not dead; shorter ones filled up with zeros."""
        parts = self._held.of(layer)
        width = max((part.shape[1] for part in parts), default=1)
        filled = [np.pad(part, ((0, 0), (0, width - part.shape[1]))) for part in parts]
        spectra = np.concatenate([np.empty((0, width)), *filled])
        return spectra[spectra[:, 0] > 0]

    def median(self, layer: str) -> float:
        """The predicted median of `1 - |cos|`; NaN where nothing is known or every location is dead."""
        if layer not in self._medians:
            spectra = self.live(layer)
            self._medians[layer] = (
                float(mixture_deficit_quantile(spectra).value) if len(spectra) else float("nan")
            )
        return self._medians[layer]

    def log_error(self, layer: str) -> float:
        """The standard error of the logarithm of the median that comes from the sample of locations."""
        return median_log_error(self.live(layer), self.median(layer), *self._sampled(layer))

    def band(self, layer: str, extra: float = 0.0, sigmas: float = 1.96) -> tuple[float, float]:
        """A band around the median, cut at 1: `sigmas` standard errors of its logarithm to both sides.

        extra: a further independent standard error of the logarithm.
        """
        middle = self.median(layer)
        width = sigmas * float(np.hypot(self.log_error(layer), extra))
        return middle * np.exp(-width), min(1.0, middle * np.exp(width))


def median_log_error(spectra: np.ndarray, median: float, sampled: int, total: int) -> float:
    """The standard error of the logarithm of a median of sampled locations, of spectra (locations, r).

    The law of the mixture at its median m is a mean over locations; its standard error, divided by the slope
    of the law in log m. Zero where all `total` locations were sampled; NaN where there is no slope.
    """
    if len(spectra) < 2 or not median > 0:
        return 0.0
    levels = median * np.exp(np.array([-0.1, 0.0, 0.1]))
    some = spectra[:: -(-len(spectra) // SPREAD)]
    law = np.asarray(gaussian_deficit_cdf(some, np.minimum(levels, 1.0)).value)
    slope = (law[:, 2] - law[:, 0]).mean() / np.log(levels[2] / levels[0])
    error = law[:, 1].std(ddof=1) / np.sqrt(len(spectra)) * np.sqrt(1 - sampled / total)
    return float(error / slope) if slope > 0 else float("nan")


class SpectralTheory(Theory):
    """A theory that gives the spectra of sampled locations; the law of Gaussian starts does the rest.

    sampled: locations a layer and image, unless `positions` says it. resolved: as `Spectra` has it. The band
    is of the sample of locations alone: what a theory leaves out is not in it.
    """

    sampled: ClassVar[int]
    resolved: ClassVar[float] = 0.0

    def __init__(self, start: str, **options: Any) -> None:
        super().__init__(start, **options)
        self.positions = checked_positions(self.positions) or self.sampled
        self.spectra = Spectra(self.resolved)

    def add(self, chain: RelevanceChain, supply: Supply | None = None, progress: Progress = silent) -> None:
        supply = supply or self.supply(chain, progress)
        self.spectra.first_image = supply.first_image
        super().add(chain, supply, progress)

    def record(self) -> dict[str, Any]:
        return {"spectra": self.spectra.record()}

    def take(self, record: Mapping[str, Any]) -> None:
        self.spectra.take(record["spectra"])

    def law(self, chain: RelevanceChain, spectrum: float = 0.0) -> Cost:
        """What it costs to get medians and bands from the spectra; spectrum: and each of these, before."""
        places = sum(
            min(self.positions, int(np.prod(chain.shape(layer)[1:], dtype=int)))
            for layer in below(chain, self.start, self.layers)
        )
        return Cost(places * (LAW + spectrum) / work(chain.graph, self.start, INPUT))

    def median(self, layer: str) -> float:
        return self.spectra.median(layer)

    def band(self, layer: str) -> tuple[float, float]:
        return self.spectra.band(layer)
