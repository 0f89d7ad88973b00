"""Cosine similarity convergence (CSC), by the protocol of Sixt, Granz and Landgraf (2020).

Independent random relevance vectors start at a layer s; at each layer l below, |cos| between their
images is taken over the channels at every location, for all pairs of vectors, and pooled over pairs,
locations and images. What is kept is the deficit `1 - |cos|`, as histograms on a logarithmic scale.
Vectors are drawn anew for every image, from a seed made of (seed, image, start layer), so results do
not depend on batches, on the device or on which start layers share a sweep.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
import torch
from torch import Tensor

from conetheory import histogram
from conetheory.errors import InputError
from conetheory.networks.ops import Shape
from conetheory.results import SIDES, Measurement, frame, provenance
from conetheory.theory.cosine import pairwise_deficits, random_baseline_deficit

Distribution = Literal["gaussian", "nonnegative"]
QUANTILES = (0.0, 0.01, 0.05, 0.1, 0.2, 0.5, 0.8, 0.95, 0.99, 1.0)
CHUNK = 2**20  # float64 numbers converted at a time


class Chain(Protocol):
    """What CSC is measured on: a `RelevanceChain`, an `ExplainerChain`, or an adapter's `VjpChain`.

    Its length is the number of images. `graph` names the layers and knows their shapes (`nodes`,
    `resolve`, `shape`, `label`, as `networks.Graph` or `adapters.vjp.Layers`); `method` has a name.
    """

    method: Any
    graph: Any
    network: Any
    device: torch.device
    layers: tuple[str, ...]

    def __len__(self) -> int: ...

    def sweep(
        self, starts: Mapping[str, Callable[[Shape], Tensor]]
    ) -> Iterator[tuple[str, dict[str, Tensor]]]:
        """Yield (layer, {start: relevance `(images, vectors, *shape)`}), from the start layers down."""
        ...


def draw(
    shape: Shape,
    images: Sequence[int],
    vectors: int,
    *,
    start: str,
    seed: int,
    distribution: Distribution = "gaussian",
) -> Tensor:
    """Start vectors `(images, vectors, *shape)`, i.i.d. N(0, 1) or |N(0, 1)|.

    Drawn on the CPU in float32: the same numbers for chains of any dtype and device.
    """
    if distribution not in ("gaussian", "nonnegative"):
        raise InputError(f"distribution must be gaussian or nonnegative, not {distribution!r}")
    drawn = []
    for image in images:
        entropy = np.random.SeedSequence([seed, image, zlib.crc32(start.encode())]).generate_state(1)[0]
        drawn.append(torch.randn((vectors, *shape), generator=torch.Generator().manual_seed(int(entropy))))
    stacked = torch.stack(drawn)
    return stacked.abs() if distribution == "nonnegative" else stacked


def deficit_chunks(r: Tensor) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Deficits of all pairs, some locations at a time; with the last, the deficits of the flattened maps.

    r: `(images, vectors, channels, *space)`. Gives `(images, some locations, pairs)`, NaN at dead
    locations, and `(images, pairs)`; both float64. float64 relevance is compared by the chord, float32
    by a Gram matrix in float64, which is below float32's own error floor of about 1e-14.
    """
    x = (r.flatten(3) if r.ndim > 3 else r.unsqueeze(-1)).permute(0, 3, 1, 2)
    images, locations, vectors, channels = x.shape
    first, second = torch.triu_indices(vectors, vectors, 1, device=x.device)
    exact = r.dtype == torch.float64
    total = x.new_zeros((images, vectors, vectors), dtype=torch.float64)
    step = max(1, CHUNK // (images * vectors * max(channels, vectors)))
    for start in range(0, locations, step):
        chunk = x[:, start : start + step].to(torch.float64).contiguous()
        if exact:
            local = pairwise_deficits(chunk)
        else:
            gram = chunk @ chunk.mT
            total += gram.sum(1)
            local = _gram_deficits(gram, first, second)
        if start + step < locations:
            yield local, None
        elif exact:
            yield local, pairwise_deficits(x.permute(0, 2, 1, 3).flatten(2))
        else:
            yield local, _gram_deficits(total, first, second)


def local_deficits(r: Tensor) -> tuple[Tensor, Tensor]:
    """`deficit_chunks` at once: `(images, locations, pairs)` and `(images, pairs)`."""
    parts, flattened = zip(*deficit_chunks(r), strict=True)
    return torch.cat(parts, 1), flattened[-1]


def _gram_deficits(gram: Tensor, first: Tensor, second: Tensor) -> Tensor:
    norms = gram.diagonal(dim1=-2, dim2=-1).sqrt()
    cosine = gram[..., first, second].abs() / (norms[..., first] * norms[..., second])
    return (1 - cosine).clamp(min=0)


@dataclass
class LayerStatistics:
    """What is kept of one start layer at one layer; row 0 is the measurement, the others its bootstrap."""

    counts: np.ndarray
    flattened: list[float] = field(default_factory=list)
    mean_sum: float = 0.0
    dead: int = 0
    total: int = 0

    def add(self, deficits: Tensor, weights: Tensor) -> None:
        """Add locations of one image: `(locations, pairs)`, and the bootstrap weights `(rows, pairs)`."""
        if len(weights) == 1:  # no bootstrap: the pairs need not be told apart
            self.counts += histogram.pair_histograms(deficits.reshape(-1, 1)).cpu().numpy()
        else:
            self.counts += (weights @ histogram.pair_histograms(deficits)).cpu().numpy()
        self.mean_sum += float(torch.nansum(deficits))
        self.dead += int(torch.isnan(deficits).sum())
        self.total += deficits.numel()

    @property
    def mean(self) -> float:
        return self.mean_sum / (self.total - self.dead) if self.total > self.dead else float("nan")


class CscMeter:
    """Measures CSC over any number of chains (batches of images) of one method.

    starts: the start layers. vectors: per image and start layer. layers: where to measure (default: the
    network's). bootstrap: replicates that resample the vectors of each image, for a band around the
    median (0: none). `observe(start, layer, image, deficits)`, if given, sees every image's deficits.
    """

    def __init__(
        self,
        starts: Sequence[str],
        *,
        vectors: int = 5,
        seed: int = 0,
        layers: Sequence[str] | None = None,
        distribution: Distribution = "gaussian",
        bootstrap: int = 0,
        observe: Callable[[str, str, int, Tensor], None] | None = None,
    ) -> None:
        if vectors < 2:
            raise InputError(f"CSC compares pairs of vectors: at least 2 are needed, not {vectors}")
        self.starts, self.vectors, self.seed, self.layers = tuple(starts), vectors, seed, layers
        self.distribution, self.bootstrap, self.observe = distribution, bootstrap, observe
        self.images = 0
        self.statistics: dict[tuple[str, str], LayerStatistics] = {}
        self.chain: Chain | None = None

    def add(self, chain: Chain, on_layer: Callable[[str], None] | None = None) -> None:
        """Measure all images of a chain; `on_layer` is told of each layer that is done."""
        numbers = range(self.images, self.images + len(chain))
        wanted = {chain.graph.resolve(name) for name in (self.layers or chain.layers)}
        weights = [self._weights(image, chain.device) for image in numbers]
        for layer, parts in chain.sweep(self._starts(chain, numbers)):
            if layer not in wanted:
                continue
            for start, r in parts.items():
                if tuple(r.shape[2:]) == tuple(chain.graph.shape(layer)):
                    self._record(start, layer, numbers, r, weights)
                else:
                    self._record_flattened(start, layer, r)
            if on_layer is not None:
                on_layer(layer)
        self.images += len(chain)
        self.chain = chain

    def _record(self, start: str, layer: str, numbers: range, r: Tensor, weights: list[Tensor]) -> None:
        found, seen = self._statistics(start, layer), []
        for local, flattened in deficit_chunks(r):
            for one, weight in zip(local, weights, strict=True):
                found.add(one, weight)
            if self.observe is not None:
                seen.append(local)
            if flattened is not None:
                found.flattened += flattened.flatten().tolist()
        for i, image in enumerate(numbers if seen else ()):
            self.observe(start, layer, image, torch.cat([local[i] for local in seen]))

    def _record_flattened(self, start: str, layer: str, r: Tensor) -> None:
        """A map of one value for each location has no cosine there: only whole maps are compared."""
        deficits = pairwise_deficits(r.flatten(2).to(torch.float64))
        self._statistics(start, layer).flattened += deficits.flatten().tolist()

    def _statistics(self, start: str, layer: str) -> LayerStatistics:
        blank = LayerStatistics(np.zeros((1 + self.bootstrap, histogram.BINS)))
        return self.statistics.setdefault((start, layer), blank)

    def _starts(self, chain: Chain, numbers: range) -> Mapping[str, Callable[[Shape], Tensor]]:
        return {
            start: lambda shape, start=start: draw(
                shape, numbers, self.vectors, start=start, seed=self.seed, distribution=self.distribution
            )
            for start in self.starts
        }

    def _weights(self, image: int, device: torch.device) -> Tensor:
        """Row 0: every pair once. The others: how often a resample of the vectors holds the pair."""
        first, second = np.triu_indices(self.vectors, 1)
        rng = np.random.default_rng([self.seed, image, 1])
        counts = rng.multinomial(self.vectors, np.full(self.vectors, 1 / self.vectors), self.bootstrap)
        rows = np.vstack([np.ones((1, len(first))), counts[:, first] * counts[:, second]])
        return torch.from_numpy(rows).to(device)

    def result(self) -> Measurement:
        """Medians, means, percentiles, bands, dead locations and the baseline for each start and layer."""
        if self.chain is None:
            raise InputError("nothing was measured: add a chain first")
        graph, values = self.chain.graph, {}
        kinds = {
            "measured_deficit_median": lambda s: histogram.quantile(s.counts[0], 0.5)[0],
            "measured_deficit_mean": lambda s: s.mean,
            "measured_deficit_quantile": lambda s: histogram.quantile(s.counts[0], np.array(QUANTILES)),
            "measured_band": _band,
            "measured_flattened_deficit_median": lambda s: _median(s.flattened),
            "dead_fraction": lambda s: s.dead / s.total if s.total else float("nan"),
            "pairs_pooled": lambda s: s.total - s.dead,
        }
        for name, function in kinds.items():
            values[name] = {key: function(found) for key, found in self.statistics.items()}
        extra = {"measured_deficit_quantile": ("quantile", QUANTILES), "measured_band": ("side", SIDES)}
        layers = [layer for _, layer in self.statistics]
        dataset = frame(graph, self.chain.method.name, self.starts, layers, values, extra)
        baseline = [random_baseline_deficit(graph.shape(layer)[0]) for layer in dataset["layer"].values]
        dataset["baseline_deficit"] = ("layer", baseline)
        settings = {k: getattr(self, k) for k in ("vectors", "seed", "distribution", "bootstrap", "images")}
        return Measurement(dataset.assign_attrs(provenance(self.chain.network, **settings)))


def _band(found: LayerStatistics, level: float = 0.95) -> tuple[float, float]:
    """The bootstrap band of the median, NaN without replicates."""
    if len(found.counts) < 2:
        return float("nan"), float("nan")
    medians = histogram.quantile(found.counts[1:], 0.5)[:, 0]
    tail = (1 - level) / 2
    return float(np.nanquantile(medians, tail)), float(np.nanquantile(medians, 1 - tail))


def _median(values: Sequence[float]) -> float:
    live = [v for v in values if v == v]
    return float(np.median(live)) if live else float("nan")


def measure_csc(
    chain: Chain,
    start: str | Sequence[str] = "logits",
    *,
    vectors: int = 5,
    seed: int = 0,
    **options: Any,
) -> Measurement:
    """Cosine similarity convergence of one chain (see `CscMeter` for the options)."""
    meter = CscMeter([start] if isinstance(start, str) else start, vectors=vectors, seed=seed, **options)
    meter.add(chain)
    return meter.result()
