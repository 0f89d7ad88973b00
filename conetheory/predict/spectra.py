"""The law of CSC pooled over locations and images, from singular values that a theory gives for each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import Any, ClassVar

import numpy as np

from conetheory.chain.cost import Cost, work
from conetheory.chain.layers import below
from conetheory.chain.local import checked_positions
from conetheory.chain.relevance import RelevanceChain
from conetheory.chain.supply import Supply
from conetheory.measure.by_image import ByImage, below_each_other
from conetheory.networks.graph import INPUT
from conetheory.predict.theory import Theory
from conetheory.progress import Progress, silent
from conetheory.theory.gaussian_law import gaussian_deficit_cdf, mixture_deficit_quantile

LAW = 1.3e7  # multiplications that a location's law takes, its share of the median and its band
SPREAD = 32  # locations of a layer that tell how far the law differs from one to another
POINTS = 128  # of each law there


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

    def __getitem__(self, layer: str) -> dict[int, np.ndarray]:
        """The spectra of all images by their numbers."""
        return self._held.numbered(layer)

    def add(self, layer: str, values: np.ndarray, total: int, number: int | None = None) -> None:
        """Singular values (locations, r) of some of the `total` locations of one image."""
        squares = np.square(np.asarray(values, np.float64))
        known = squares[:, 1:].sum(1, keepdims=True) >= self.resolved * squares[:, :1]
        kept = np.concatenate([values[:, :1], np.where(known, values[:, 1:], 0.0)], 1)
        number = self._held.free(layer, self.first_image) if number is None else number
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
        return sum(map(len, self._held.each(layer))), sum(map(int, self._totals.each(layer)))

    def live(self, layer: str) -> Live:
        """Those of all images that are not dead."""
        return Live(self._held, layer)

    def median(self, layer: str) -> float:
        """The predicted median of `1 - |cos|`; NaN where nothing is known or every location is dead."""
        if layer not in self._medians:
            live = self.live(layer)
            found = float(mixture_deficit_quantile(live).value) if len(live) else float("nan")
            self._medians[layer] = found
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
        with np.errstate(over="ignore"):  # where nearly nothing is known; it is cut
            return middle * np.exp(-width), min(1.0, middle * np.exp(width))


class Live:
    """The spectra (locations, r) of a layer that are not dead, some images at a time, again and again."""

    def __init__(self, held: ByImage, layer: str) -> None:
        self._held, self._layer = held, layer

    def __iter__(self) -> Iterator[np.ndarray]:
        return (part[part[:, 0] > 0] for part in self._held.stacked(self._layer))

    def __len__(self) -> int:
        return sum(map(len, self))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self.every(1)

    def every(self, step: int) -> np.ndarray:
        """One of so many, from the first on."""
        found, before = [np.empty((0, 1))], 0
        for part in self:
            found.append(part[-before % step :: step])
            before += len(part)
        return below_each_other(found)


def median_log_error(spectra: Live, median: float, sampled: int, total: int) -> float:
    """The standard error of the logarithm of a median of sampled locations.

    The law of the mixture at its median m is a mean over locations; its standard error, divided by the slope
    of the law in log m. Zero where all `total` locations were sampled; NaN where there is no slope.
    """
    count = len(spectra)
    if count < 2 or not median > 0:
        return 0.0
    levels = median * np.exp(np.array([-0.1, 0.0, 0.1]))
    some = spectra.every(-(-count // SPREAD))
    law = np.asarray(gaussian_deficit_cdf(some, np.minimum(levels, 1.0), POINTS).value)
    slope = (law[:, 2] - law[:, 0]).mean() / np.log(levels[2] / levels[0])
    error = law[:, 1].std(ddof=1) / np.sqrt(count) * np.sqrt(1 - sampled / total)
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
        import_module("scipy.stats")  # of the law: its second is not that of the stage that is the first
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

    def law(self, chain: RelevanceChain, spectrum: Callable[[int], float] = lambda channels: 0.0) -> Cost:
        """What it costs to get medians and bands from the spectra; spectrum: and each of these, before."""
        spent = 0.0
        for layer in below(chain, self.start, self.layers):
            channels, *size = chain.shape(layer)
            spent += min(self.positions, int(np.prod(size, dtype=int))) * (LAW + spectrum(channels))
        return Cost(spent / work(chain.graph, self.start, INPUT))

    def median(self, layer: str) -> float:
        return self.spectra.median(layer)

    def band(self, layer: str) -> tuple[float, float]:
        return self.spectra.band(layer)
