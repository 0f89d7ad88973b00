"""Cosine similarity convergence (CSC), by the protocol of Sixt, Granz and Landgraf (2020).

Independent random relevance vectors start at a layer s; at each layer l below, |cos| between their
images is taken over the channels at every location, for all pairs of vectors, and pooled over pairs,
locations and images. What is kept is the deficit `1 - |cos|`, as histograms on a logarithmic scale.
Vectors are drawn anew for every image, from a seed made of (seed, image, start layer), so results do
not depend on batches, on the device or on which start layers share a sweep.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from conetheory.chain.protocol import Chain
from conetheory.chain.watch import Watch
from conetheory.counts import DEFAULT_VECTORS, VECTORS, checked_seed, checked_whole
from conetheory.errors import InputError
from conetheory.measure import histogram
from conetheory.measure.bootstrap import pair_band, pair_weights, whole_map_band
from conetheory.measure.starts import Distribution, draw, drawn_name
from conetheory.measure.statistics import LayerStatistics
from conetheory.networks.ops import Shape
from conetheory.progress import Progress, silent
from conetheory.results.dataset import Measurement
from conetheory.results.layout import frame, provenance
from conetheory.schema import SIDES
from conetheory.theory.cosine import pairwise_deficits, random_baseline_deficit
from conetheory.theory.gaussian_law import live_baseline_deficit

QUANTILES = (0.0, 0.01, 0.05, 0.1, 0.2, 0.5, 0.8, 0.95, 0.99, 1.0)
EXACT = 256  # images up to which medians of whole maps are those of the sorted deficits
TOGETHER = 64  # images whose bootstrap weights are there at a time, of more
CHUNK = {"cpu": 2**18, "cuda": 2**26}  # float64 numbers converted at a time: a cache, or enough to fill a GPU


def deficit_chunks(r: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor | None]]:
    """Deficits of all pairs, some locations at a time; with the last, the deficits of the flattened maps.

    float64 relevance is compared by the chord, float32 by a Gram matrix in float64, which is below float32's
    own error floor of about 1e-14. In float32, where asking would make a GPU wait, the deficits of the whole
    maps of images whose relevance is not finite are inf.

    Parameters
    ----------
    r
        `(images, vectors, channels, *space)`.

    Yields
    ------
    tuple
        `(images, some locations, pairs)`, NaN at dead locations; how many channels are live there in any of
        the vectors, `(images, some locations)`; and `(images, pairs)` or None.

    Raises
    ------
    InputError
        in float64, for relevance that is not finite.
    """
    x = (r.flatten(3) if r.ndim > 3 else r.unsqueeze(-1)).permute(0, 3, 1, 2)
    images, locations, vectors, channels = x.shape
    first, second = torch.triu_indices(vectors, vectors, 1, device=x.device)
    exact = r.dtype == torch.float64
    total = x.new_zeros((images, vectors, vectors), dtype=torch.float64)
    step = max(1, CHUNK.get(r.device.type, CHUNK["cpu"]) // (images * vectors * max(channels, vectors)))
    for start in range(0, locations, step):
        chunk = x[:, start : start + step].contiguous().to(torch.float64)
        if exact:
            local = pairwise_deficits(chunk)
        else:
            gram = chunk @ chunk.mT
            total += gram.sum(1)
            local = _gram_deficits(gram, first, second)
        live = (chunk.abs().sum(2) != 0).sum(-1)  # a third of what `any` takes
        if start + step < locations:
            yield local, live, None
        elif exact:
            yield local, live, pairwise_deficits(x.permute(0, 2, 1, 3).flatten(2))
        else:
            whole = _gram_deficits(total, first, second)
            finite = torch.isfinite(total).all(-1).all(-1, keepdim=True)
            yield local, live, torch.where(finite, whole, torch.inf)


def local_deficits(r: Tensor) -> tuple[Tensor, Tensor]:
    """`deficit_chunks` at once: `(images, locations, pairs)` and `(images, pairs)`."""
    parts, _, flattened = zip(*deficit_chunks(r), strict=True)
    return torch.cat(parts, 1), flattened[-1]


def _gram_deficits(gram: Tensor, first: Tensor, second: Tensor) -> Tensor:
    norms = gram.diagonal(dim1=-2, dim2=-1).sqrt()
    cosine = gram[..., first, second].abs() / (norms[..., first] * norms[..., second])
    return (1 - cosine).clamp(min=0)


class CscMeter:
    """Measures CSC over any number of chains (batches of images) of one method.

    Parameters
    ----------
    starts
        the start layers.
    vectors
        per image and start layer.
    seed
        of the vectors.
    layers
        where to measure (default: the network's).
    distribution
        of the vectors (`draw`).
    bootstrap
        replicates that resample the vectors of each image, for a 95% band around the median (0: none, and
        none for two vectors).
    observe
        `observe(start, layer, image, deficits)`, if given, sees every image's deficits.
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
        if not starts:
            raise InputError("CSC needs a start layer, such as 'logits'")
        self.starts, self.seed, self.layers = tuple(starts), checked_seed(seed), layers
        self.vectors = checked_whole(vectors, "vectors, of which pairs are compared,", 2, VECTORS)
        self.bootstrap = checked_whole(bootstrap, "bootstrap", 0)
        self.distribution, self.observe = distribution, observe
        self.numbers: list[int] = []
        self.statistics: dict[tuple[str, str], LayerStatistics] = {}
        self.chain: Chain | None = None

    @property
    def images(self) -> int:
        """How many were measured."""
        return len(self.numbers)

    def add(self, chain: Chain, progress: Progress = silent, *, numbers: Sequence[int] | None = None) -> None:
        """Measure all images of a chain.

        Parameters
        ----------
        chain
            of the method and network that the meter saw before, if any.
        progress
            is told of each layer that is done.
        numbers
            of the images in the study, which their vectors depend on (None: those that come next).

        Raises
        ------
        InputError
            where relevance leaves the range of its dtype, at any tensor on the way: what is dead or has
            forgotten its start is then not told from what was lost (`chain.watch`).
        """
        first = max(self.numbers, default=-1) + 1
        numbers = range(first, first + len(chain)) if numbers is None else numbers
        wanted = {chain.graph.resolve(name) for name in (self.layers or chain.layers)}
        weights = torch.stack([self._weights(image) for image in numbers]).to(chain.device)
        done: set[str] = set()
        with Watch("location") as watch:
            for layer, parts in watch.over(chain, self._starts(chain, numbers), chain.sweep):
                if layer not in wanted:
                    continue
                for start, r in parts.items():
                    if tuple(r.shape[2:]) == tuple(chain.graph.shape(layer)):
                        self._record(start, layer, numbers, r, weights)
                    else:
                        self._record_flattened(start, layer, r)
                done.add(layer)
                progress("layers", len(done), len(wanted))
        self.numbers += numbers
        self.chain = chain

    def _record(self, start: str, layer: str, numbers: Sequence[int], r: Tensor, weights: Tensor) -> None:
        found, seen, observe = self._statistics(start, layer, r.device), [], self.observe
        for local, live, flattened in deficit_chunks(r):
            found.add(local, live, r.shape[2])
            if observe is not None:
                seen.append(local)
            if flattened is not None:
                found.add_flattened(flattened)
        found.weigh(weights)
        if observe is not None and seen:
            for i, image in enumerate(numbers):
                observe(start, layer, image, torch.cat([local[i] for local in seen]))

    def _record_flattened(self, start: str, layer: str, r: Tensor) -> None:
        """A map of one value for each location has no cosine there: only whole maps are compared."""
        deficits = pairwise_deficits(r.flatten(2).to(torch.float64))
        self._statistics(start, layer, r.device).add_flattened(deficits)

    def _statistics(self, start: str, layer: str, device: torch.device) -> LayerStatistics:
        if (start, layer) not in self.statistics:
            self.statistics[start, layer] = LayerStatistics(1 + self.bootstrap, device)
        return self.statistics[start, layer]

    def _starts(self, chain: Chain, numbers: Sequence[int]) -> Mapping[str, Callable[[Shape], Tensor]]:
        options = {"seed": self.seed, "distribution": self.distribution}
        names = {start: drawn_name(chain.graph, start) for start in self.starts}
        return {
            start: lambda shape, name=name: draw(shape, numbers, self.vectors, start=name, **options)
            for start, name in names.items()
        }

    def _weights(self, image: int) -> Tensor:
        rng = np.random.default_rng([self.seed, image, 1])
        return torch.from_numpy(pair_weights(self.vectors, self.bootstrap, rng))

    def record(self) -> dict[str, Any]:
        """What was measured, as `take` takes it up."""
        return {
            "numbers": self.numbers,
            "statistics": [[*key, found.record()] for key, found in self.statistics.items()],
        }

    def take(self, record: Mapping[str, Any]) -> None:
        """Add what a meter of the same options has measured of later images; no order but theirs matters.

        Parameters
        ----------
        record
            of that meter.
        """
        self.numbers += record["numbers"]
        for start, layer, found in record["statistics"]:
            self._statistics(start, layer, torch.device("cpu")).take(found)

    def result(self) -> Measurement:
        """Medians, means, percentiles, bands, dead locations and the baseline for each start and layer.

        Returns
        -------
        Measurement
            `measured_*` by method, start and layer (see `schema`).

        Raises
        ------
        InputError
            where nothing was measured.
        """
        if self.chain is None:
            raise InputError("nothing was measured: add a chain first")
        graph, values = self.chain.graph, {}
        whole = self._whole_maps()
        kinds = {
            "measured_deficit_median": lambda s: histogram.quantile(s.counts[0], 0.5)[0],
            "measured_deficit_mean": lambda s: s.mean,
            "measured_deficit_quantile": lambda s: histogram.quantile(s.counts[0], np.array(QUANTILES)),
            "measured_band": lambda s: pair_band(s.counts, self.vectors, self.images),
            "dead_fraction": lambda s: s.dead / s.total if s.total else float("nan"),
            "live_baseline_deficit": lambda s: live_baseline_deficit(s.live),
            "pairs_pooled": lambda s: s.total - s.dead,
        }
        for name, function in kinds.items():
            values[name] = {key: function(found) for key, found in self.statistics.items()}
        values["measured_flattened_deficit_median"] = {key: median for key, (median, _) in whole.items()}
        values["measured_flattened_band"] = {key: band for key, (_, band) in whole.items()}
        extra = {"measured_deficit_quantile": ("quantile", QUANTILES)}
        extra |= {name: ("side", SIDES) for name in ("measured_band", "measured_flattened_band")}
        layers = [layer for _, layer in self.statistics]
        dataset = frame(graph, self.chain.method, self.starts, layers, values, extra)
        baseline = [random_baseline_deficit(graph.shape(layer)[0]) for layer in dataset["layer"].values]
        dataset["baseline_deficit"] = ("layer", baseline)
        settings = {k: getattr(self, k) for k in ("vectors", "seed", "distribution", "bootstrap", "images")}
        return Measurement(dataset.assign_attrs(provenance(self.chain.network, **settings)))

    def _whole_maps(self) -> dict[tuple[str, str], tuple[float, tuple[float, float]]]:
        """The median deficit of whole maps and its band; of more than `EXACT` images by histograms."""
        if self.images <= EXACT:
            weights = np.concatenate([self._weights(image).numpy() for image in self.numbers], 1)
            return {
                key: (
                    found.flattened_median,
                    whole_map_band(found.flattened, weights, self.vectors, self.images),
                )
                for key, found in self.statistics.items()
            }
        counts = {key: np.zeros((1 + self.bootstrap, histogram.BINS), np.int64) for key in self.statistics}
        flattened = {key: found.flattened.reshape(self.images, -1) for key, found in self.statistics.items()}
        for first in range(0, self.images, TOGETHER):
            some = slice(first, first + TOGETHER)
            weights = np.concatenate([self._weights(image).numpy() for image in self.numbers[some]], 1)
            for key, deficits in flattened.items():
                counts[key] += histogram.weighted(deficits[some].ravel(), weights)
        return {
            key: (
                float(histogram.quantile(found[0], 0.5)[0]),
                pair_band(found, self.vectors, self.images),
            )
            for key, found in counts.items()
        }


def measure_csc(
    chain: Chain,
    start: str | Sequence[str] = "logits",
    *,
    vectors: int = DEFAULT_VECTORS,
    seed: int = 0,
    **options: Any,
) -> Measurement:
    """Cosine similarity convergence of one chain.

    Parameters
    ----------
    chain
        any `Chain`.
    start
        one start layer or several.
    vectors
        per image and start layer.
    seed
        of the vectors.
    **options
        the others of `CscMeter`.

    Returns
    -------
    Measurement
        median deficits with bands, by method, start and layer (see `schema`).

    Raises
    ------
    InputError
        where relevance leaves the range of its dtype, for unknown layers and fewer than 2 vectors.
    """
    meter = CscMeter([start] if isinstance(start, str) else start, vectors=vectors, seed=seed, **options)
    meter.add(chain)
    return meter.result()
