"""Predictions of CSC: the local spectrum (exact law for Gaussian starts) and the two-scale theory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from conetheory import histogram
from conetheory.chain import RelevanceChain
from conetheory.errors import InputError
from conetheory.local import LocalBlock, is_enumerable, local_columns, local_rows, singular_values
from conetheory.measure import draw, local_deficits
from conetheory.networks.graph import INPUT
from conetheory.networks.ops import PassThrough
from conetheory.results import SIDES, Prediction, frame, provenance
from conetheory.theory.gaussian_law import gaussian_deficit_cdf, mixture_deficit_quantile
from conetheory.theory.twoscale import amplitude, combined_deficit, location_weight, surrogate

CHANNELS = 2  # axis of the channels in (images, vectors, channels, *space)
SPECTRA = 256  # locations per layer and image whose spectra enter the mixture
SLAVED = 0.05  # median deficit below which a start counts as collapsed on the location weights


class LocalSpectrum:
    """The median of `1 - |cos|` from the singular values of P_p, for Gaussian starts and any linear rule.

    The law of |cos| at a location depends on the singular values of P_p alone (theorem `gaussian-law`);
    the prediction is the median of the mixture over locations and images. positions: locations per layer
    and image (None: up to 256, or 16 where rows take adjoint passes).
    """

    name = "local_spectrum"

    def __init__(
        self, start: str, *, layers: Sequence[str] | None = None, positions: int | None = None, seed: int = 0
    ) -> None:
        self.start, self.layers, self.positions, self.seed = start, layers, positions, seed
        self.spectra: dict[str, list[np.ndarray]] = {}
        self.sampled: dict[str, tuple[int, int]] = {}

    def add(self, chain: RelevanceChain, on_step: Callable[[int, int], None] | None = None) -> None:
        """Spectra of every image of a chain."""
        layers = below(chain, self.start, self.layers)
        if is_enumerable(chain, self.start):
            limit = self.positions or SPECTRA
            options = {"positions": limit, "seed": self.seed, "on_block": on_step}
            self.add_blocks(local_columns(chain, self.start, layers, **options))
            return
        for done, layer in enumerate(layers, 1):
            self.add_blocks(
                {layer: local_rows(chain, self.start, layer, positions=self.positions, seed=self.seed)}
            )
            if on_step is not None:
                on_step(done, len(layers))

    def add_blocks(self, blocks: dict[str, list[LocalBlock]]) -> None:
        """The same from local matrices that were made already."""
        for images in blocks.values():
            for block in images:
                self._keep(block.thinned(self.positions or SPECTRA))

    def _keep(self, block: LocalBlock) -> None:
        self.spectra.setdefault(block.layer, []).append(singular_values(block.matrices).cpu().numpy())
        sampled, total = self.sampled.get(block.layer, (0, 0))
        self.sampled[block.layer] = sampled + len(block.positions), total + block.total

    def median(self, layer: str) -> float:
        """The predicted median deficit at a layer, NaN where every sampled location is dead."""
        spectra = self._live(layer)
        return float(mixture_deficit_quantile(spectra).value) if len(spectra) else float("nan")

    def band(self, layer: str, sigmas: float = 1.96) -> tuple[float, float]:
        """A 95% band for the median, from the spread over the sampled locations.

        The law of the mixture at its median m is a mean over locations; its standard error, divided by
        the slope of the law in log m, is that of log m. Of no width where every location was used.
        """
        spectra = self._live(layer)
        middle = self.median(layer)
        if len(spectra) < 2 or not middle > 0:
            return middle, middle
        levels = middle * np.exp(np.array([-0.1, 0.0, 0.1]))
        law = np.asarray(gaussian_deficit_cdf(spectra, np.minimum(levels, 1.0)).value)
        slope = (law[:, 2] - law[:, 0]).mean() / np.log(levels[2] / levels[0])
        sampled, total = self.sampled[layer]
        error = law[:, 1].std(ddof=1) / np.sqrt(len(spectra)) * np.sqrt(1 - sampled / total)
        width = float(sigmas * error / slope) if slope > 0 else float("nan")
        return middle * np.exp(-width), min(1.0, middle * np.exp(width))

    def _live(self, layer: str) -> np.ndarray:
        spectra = np.concatenate(self.spectra[layer])
        return spectra[spectra[:, 0] > 0]


class TwoScale:
    """The two-scale prediction for given start vectors: those that `CscMeter` draws with the same seed.

    The chain is run exactly until the start has spread over locations and collapsed on the location
    weights (a spatial layer with a median deficit below 0.05); from there on each vector is two numbers
    per location, its weight s and the amplitude a of its deviation, propagated from cut to cut of the
    network (`theory.twoscale`). Layers above that point have no prediction.
    """

    name = "two_scale"

    def __init__(
        self, start: str, *, vectors: int = 5, seed: int = 0, layers: Sequence[str] | None = None
    ) -> None:
        self.start, self.vectors, self.seed, self.layers = start, vectors, seed, layers
        self.images = 0
        self.counts: dict[str, np.ndarray] = {}
        self.predicted: dict[str, int] = {}

    def add(self, chain: RelevanceChain, on_step: Callable[[int, int], None] | None = None) -> None:
        """Propagate the vectors of every image of a chain."""
        images = range(self.images, self.images + len(chain))
        self.images += len(chain)
        shape = chain.shape(self.start)
        exact = draw(shape, images, self.vectors, start=self.start, seed=self.seed).to(
            chain.device, chain.dtype
        )
        ones = torch.ones((len(chain), 1, *shape), dtype=chain.dtype, device=chain.device)
        wanted = set(below(chain, self.start, self.layers))
        cuts = state_cuts(chain, self.start)
        batch, state = torch.cat([exact, ones], 1), None
        for step, (top, bottom) in enumerate(pairwise(cuts)):
            for layer, parts in chain.sweep({top: batch}, bottom):
                if state is not None and layer in wanted and layer != top:
                    self._record(layer, parts[top])
            state = self._next_state(parts[top], state is not None)
            batch = (
                parts[top]
                if state is None
                else self._lifted(parts[top][:, -1:], *state, seed=[self.seed, step])
            )
            if on_step is not None:
                on_step(step + 1, len(cuts) - 1)

    def _next_state(self, r: Tensor, started: bool) -> tuple[Tensor, Tensor] | None:
        """(s, a) of every vector at a cut, or None while the chain is still run exactly."""
        c, k = r[:, -1:], self.vectors
        if started:
            injected, carried = amplitude(r[:, :k], c, CHANNELS), amplitude(r[:, k : 2 * k], c, CHANNELS)
            return location_weight(r[:, :k], c, CHANNELS), (injected**2 + carried**2).sqrt()
        spatial = r.ndim > 3 and r[0, 0, 0].numel() > 1
        if not spatial or not local_deficits(r[:, :k])[0].nanmedian() < SLAVED:
            return None
        return location_weight(r[:, :k], c, CHANNELS), amplitude(r[:, :k], c, CHANNELS)

    def _lifted(self, c: Tensor, s: Tensor, a: Tensor, seed: list[int]) -> Tensor:
        """What is sent down from a cut: `s c`, a surrogate of the deviation, and c itself."""
        noise = np.random.default_rng(seed).standard_normal((1, self.vectors, c.shape[CHANNELS]))
        xi = torch.from_numpy(noise).to(c).view(1, self.vectors, -1, *[1] * (c.ndim - 3))
        return torch.cat([s * c, surrogate(c, a, xi, CHANNELS), c], 1)

    def _record(self, layer: str, r: Tensor) -> None:
        k, c = self.vectors, r[:, -1:]
        norm = r[:, :k].square().sum(CHANNELS, keepdim=True).sqrt()
        deviation = amplitude(r[:, k : 2 * k], c, CHANNELS) * c.square().sum(CHANNELS, keepdim=True).sqrt()
        relative = (
            torch.where(norm > 0, deviation / norm, 0).flatten(3)
            if r.ndim > 3
            else (deviation / norm)[..., None]
        )
        first, second = torch.triu_indices(k, k, 1, device=r.device)
        relative = relative[:, :, 0].permute(0, 2, 1).to(torch.float64)
        deficits = combined_deficit(local_deficits(r[:, :k])[0], relative[..., first], relative[..., second])
        counts = self.counts.setdefault(layer, np.zeros(histogram.BINS))
        counts += histogram.pair_histograms(deficits.flatten(0, 1)).sum(0).cpu().numpy()
        self.predicted[layer] = self.predicted.get(layer, 0) + len(r)

    def median(self, layer: str) -> float:
        """The predicted median deficit, NaN where the chain of any image was still run exactly."""
        if self.predicted.get(layer) != self.images:
            return float("nan")
        return float(histogram.quantile(self.counts[layer], 0.5)[0])


THEORIES = {"local-spectrum": LocalSpectrum, "two-scale": TwoScale}


def prediction(
    chain: RelevanceChain, predictors: Mapping[str, Sequence[LocalSpectrum | TwoScale]], *, bands: bool = True
) -> Prediction:
    """The dataset of predictors that have seen their chains: `{start: [predictor, ...]}`."""
    values: dict[str, dict[tuple[str, str], Any]] = {}
    starts = list(predictors)
    for start, each in predictors.items():
        for predictor in each:
            for layer in below(chain, start, predictor.layers):
                entry = values.setdefault(f"predicted_{predictor.name}", {})
                entry[start, layer] = predictor.median(layer)
                if bands and isinstance(predictor, LocalSpectrum):
                    values.setdefault(f"predicted_{predictor.name}_band", {})[start, layer] = predictor.band(
                        layer
                    )
    extra = {name: ("side", SIDES) for name in values if name.endswith("_band")}
    layers = [layer for entries in values.values() for _, layer in entries]
    dataset = frame(chain.graph, chain.method.name, starts, layers, values, extra)
    return Prediction(dataset.assign_attrs(provenance(chain.network)))


def predict_csc(
    chain: RelevanceChain,
    start: str | Sequence[str] = "logits",
    *,
    theory: str | Sequence[str] = ("local-spectrum", "two-scale"),
    vectors: int = 5,
    seed: int = 0,
    layers: Sequence[str] | None = None,
    positions: int | None = None,
) -> Prediction:
    """Predict the median CSC deficit of one chain by one theory or several (`local-spectrum`, `two-scale`).

    vectors and seed are those of the measurement (the two-scale prediction is for given vectors);
    positions are the locations per layer of the local spectrum.
    """
    starts = [start] if isinstance(start, str) else list(start)
    chosen = [theory] if isinstance(theory, str) else list(theory)
    if unknown := set(chosen) - set(THEORIES):
        raise InputError(f"unknown theory {sorted(unknown)[0]!r}; known: {', '.join(THEORIES)}")
    predictors: dict[str, list[LocalSpectrum | TwoScale]] = {}
    for name in starts:
        each: list[LocalSpectrum | TwoScale] = []
        if "local-spectrum" in chosen:
            each.append(LocalSpectrum(name, layers=layers, positions=positions, seed=seed))
        if "two-scale" in chosen:
            each.append(TwoScale(name, vectors=vectors, seed=seed, layers=layers))
        for predictor in each:
            predictor.add(chain)
        predictors[name] = each
    return prediction(chain, predictors)


def below(chain: RelevanceChain, start: str, layers: Sequence[str] | None = None) -> list[str]:
    """The layers to say something about, from the one below the start down to the input."""
    top = chain.graph.resolve(start)
    reached = {name for node in chain.graph.between(top, INPUT) for name in node.inputs}
    wanted = [chain.graph.resolve(name) for name in (layers or chain.layers)]
    order = [*chain.graph.nodes]
    return sorted({n for n in wanted if n in reached}, key=lambda n: -order.index(n) if n in order else 1)


def state_cuts(chain: RelevanceChain, start: str) -> list[str]:
    """The cuts of the network from the start down to the input, without those behind a pass-through."""
    top = chain.graph.resolve(start)
    names = [
        c for c in chain.graph.cuts if c == INPUT or not isinstance(chain.graph.nodes[c].op, PassThrough)
    ]
    order = [INPUT, *chain.graph.nodes]
    lower = [c for c in reversed(names) if order.index(c) < order.index(top)]
    return [top, *lower]
