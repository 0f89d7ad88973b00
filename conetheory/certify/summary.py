"""What certificates hold at a layer, and what is said of them in a result.

Locations may be a sample: the worst of them is the worst of a sample. With n locations drawn, one from each
of n equal parts of the layer, a share q of all locations is missed by all draws with probability at most (1
- q)^n, so that with confidence 0.95 at most `1 - 0.05^(1/n)` of them have a worse bound than the worst of
the sample (a one-sided binomial bound, for each layer by itself; 0 where every location was certified).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from conetheory.certify.blocks import CONFIDENCE
from conetheory.certify.kept import LOCAL, KeptLayer
from conetheory.measure.ranks import ranked
from conetheory.results.dataset import Certificate
from conetheory.results.layout import frame, provenance
from conetheory.schema import REASONS
from conetheory.theory import cone
from conetheory.theory.enclosure import round_up


@dataclass
class LayerCertificate:
    """One value for each certified location, image after image, NaN at dead ones; or one for each image.

    Attributes
    ----------
    positions
        the certified locations of each image.
    total
        locations that there are.
    deficit_upper
        of any two nonnegative starts that arrive, from the worst pair of columns; inf where columns of a
        signed chain may be at an obtuse angle, or where float64 can't vouch for them.
    diameter_upper
        of the cone, NaN without one.
    gaussian_deficit_upper
        of two Gaussian starts, each location by itself with probability 0.95.
    arriving
        the share of the start's units that arrive; where some do and others don't their maps differ
        there, and the bounds speak of those that do.
    pairs
        two units whose columns attain `deficit_upper`, or nearly ((locations, 2); -1 at dead ones).
    tau_1_upper
        for each image, of the chain down to here; NaN where there is none.
    map_deficit_upper
        for each image, of whole maps, of any two starts in the norm cone.
    every_image_deficit_upper
        for each image, at the worst of some locations, for all images with the same active units.
    """

    positions: list[np.ndarray] = field(default_factory=list)
    total: int = 0
    deficit_upper: list[np.ndarray] = field(default_factory=list)
    diameter_upper: list[np.ndarray] = field(default_factory=list)
    gaussian_deficit_upper: list[np.ndarray] = field(default_factory=list)
    arriving: list[np.ndarray] = field(default_factory=list)
    pairs: list[np.ndarray] = field(default_factory=list)
    tau_1_upper: list[float] = field(default_factory=list)
    map_deficit_upper: list[float] = field(default_factory=list)
    every_image_deficit_upper: list[float] = field(default_factory=list)

    @property
    def images(self) -> int:
        return len(self.positions)

    @property
    def drawn(self) -> int:
        """Certified locations of all images."""
        return sum(map(len, self.positions))

    def each(self, name: str) -> Iterator[np.ndarray]:
        """The values of one kind, image after image."""
        return iter(getattr(self, name))

    def values(self, name: str) -> np.ndarray:
        """All live values of one kind."""
        found = np.concatenate([np.empty(0), *self.each(name)])
        return found[~np.isnan(found)]


def certificate(
    chain: Any, certifiers: Mapping[str, Any], held: Mapping[str, Mapping[str, Any]] | None = None
) -> Certificate:
    """What certifiers have found: at the worst certified location, the 95th percentile and the median.

    Upper bounds of `1 - |cos|`: the cosines of a converged chain are nearer to one than floats are.

    Parameters
    ----------
    chain
        any of the chains that they saw.
    certifiers
        `{start: CscCertifier}`, or `KeptCertificates`.
    held
        what `check_certificates` found, by start and layer.

    Returns
    -------
    Certificate
        by method, start and layer (`certified_*`, see `schema`).
    """
    values: dict[str, dict[tuple[str, str], float]] = {}
    for start, certifier in certifiers.items():
        for layer, found in certifier.certificates.items():
            for name, value in _summary(found).items():
                values.setdefault(name, {})[start, layer] = value
    for start, layers in (held or {}).items():
        for layer, each in layers.items():
            for name in ("checked", "violations", "nearest_ratio"):
                values.setdefault(name, {})[start, layer] = getattr(each, name)
    layers = [layer for c in certifiers.values() for layer in c.certificates]
    dataset = frame(chain.graph, chain.method, list(certifiers), layers, values)
    for kind in REASONS:
        reasons = [c.reasons.get(kind.name, "") for c in certifiers.values()]
        dataset[kind.name] = (("method", "start"), np.array([reasons], dtype=object))
    return Certificate(dataset.assign_attrs(provenance(chain.network, confidence=CONFIDENCE)))


def _summary(found: LayerCertificate | KeptLayer) -> dict[str, float]:
    deficit, diameter, gaussian, arriving = (_Live(found, name) for name in LOCAL)
    summary = {
        "certified_tau_1_upper": _worst(found.each("tau_1_upper")),
        "certified_map_deficit_upper": float(np.minimum(_worst(found.each("map_deficit_upper")), 1.0)),
        "certified_every_image_deficit_upper": float(
            np.minimum(_worst(found.each("every_image_deficit_upper")), 1.0)
        ),
    }
    if len(deficit):
        summary |= {
            "certified_deficit_upper": deficit.quantile_upper(1.0),
            "certified_deficit_upper_p95": deficit.quantile_upper(0.95),
            "certified_deficit_upper_median": deficit.quantile_upper(0.5),
            "certified_gaussian_deficit_upper_median": gaussian.quantile_upper(0.5),
            "certified_positions": found.drawn,
            "locations": found.total * found.images,
            "certified_worse_share_upper": worse_share_upper(found),
            "certified_arriving_share": arriving.mean,
            "certified_partial_locations": arriving.below(1),
        }
    if len(diameter):
        widest = diameter.quantile_upper(1.0)
        summary |= {
            "certified_half_angle_deficit_upper": float(cone.deficit_upper_from_diameter(widest)),
            "certified_diameter_upper": widest,
            "certified_diameter_upper_median": diameter.quantile_upper(0.5),
        }
    elif len(deficit):  # a signed chain
        summary["certified_share"] = deficit.below(1) / len(deficit)
    return {name: value for name, value in summary.items() if not np.isnan(value)}


class _Live:
    """The live values of one kind of all images, read image by image; of a deficit at most 1."""

    def __init__(self, found: LayerCertificate | KeptLayer, name: str) -> None:
        self._found, self._name = found, name
        self._most = 1.0 if name == "deficit_upper" else np.inf

    def __iter__(self) -> Iterator[np.ndarray]:
        for values in self._found.each(self._name):
            yield np.minimum(values[~np.isnan(values)], self._most)

    def __len__(self) -> int:
        return sum(map(len, self))

    def quantile_upper(self, q: float) -> float:
        """A bound that is one of the values: interpolation between two would round to the nearest."""
        return ranked(lambda: self, lambda count: math.ceil(q * (count - 1)))

    def below(self, least: float) -> int:
        return sum(int((values < least).sum()) for values in self)

    @property
    def mean(self) -> float:
        """Of sums of images, added without rounding between."""
        return math.fsum(float(values.sum()) for values in self) / len(self)


def worse_share_upper(found: LayerCertificate | KeptLayer, confidence: float = CONFIDENCE) -> float:
    """The share of all locations whose bound may exceed the worst certified one, with this confidence.

    The n draws are one from each of n strata of equal shares of the locations (of all images), so they all
    miss a share q of them with probability prod (1 - q_i) <= (1 - q)^n. Zero where all locations are
    certified.
    """
    if found.drawn >= found.total * found.images:
        return 0.0
    return round_up(1 - (1 - confidence) ** (1 / found.drawn), 4)


def _worst(values: Iterable[Any]) -> float:
    """The largest over images; NaN where one of them has none."""
    worst = float(np.max([np.max(each, initial=-np.inf) for each in values], initial=-np.inf))
    return worst if abs(worst) < np.inf else np.nan
