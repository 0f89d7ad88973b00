"""The two-scale prediction: a Markov chain on locations, and the deviations that it injects and carries."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from conetheory.chain.cost import Cost, swept
from conetheory.chain.layers import below, state_cuts
from conetheory.chain.relevance import RelevanceChain
from conetheory.chain.supply import Supply
from conetheory.measure import histogram
from conetheory.measure.meter import draw, drawn_name, local_deficits
from conetheory.predict.registry import register
from conetheory.predict.theory import Theory
from conetheory.progress import Progress
from conetheory.rules.registry import Method
from conetheory.theory.records import NotApplicable
from conetheory.theory.twoscale import (
    amplitude,
    coherence,
    combined_deficit,
    location_weight,
    surrogate,
)

CHANNELS = 2  # axis of the channels in (images, vectors, channels, *space)
SLAVED = 0.05  # median deficit below which a start counts as collapsed on the location weights


class State(NamedTuple):
    """What is kept of every vector at a cut, and the image c of the all-ones start."""

    c: Tensor
    s: Tensor
    a: Tensor
    coherence: Tensor


@register
class TwoScale(Theory):
    """The two-scale prediction for given start vectors: those that `CscMeter` draws with the same seed.

    The chain is run exactly until the start has spread over locations and collapsed on the location
    weights (a spatial layer with a median deficit below 0.05); from there on each vector is two numbers
    per location, its weight s and the amplitude a of its deviation, and the coherence of the deviations,
    propagated from cut to cut of the network (`theory.twoscale`). Layers above that point have no
    prediction.

    Parameters
    ----------
    start
        the layer where relevance starts.
    **options
        those of `Theory`; vectors and seed are those of the measurement.
    """

    name, label = "two-scale", "two-scale"
    by_default = False
    squares = True
    of_drawn_vectors = True

    def __init__(self, start: str, **options: Any) -> None:
        super().__init__(start, **options)
        self.counts: dict[str, np.ndarray] = {}
        self.predicted: dict[str, int] = {}
        self.seen = 0

    @classmethod
    def applies(cls, method: Method) -> NotApplicable | None:
        if not method.linear:
            return NotApplicable(f"{method.name} is not linear in the relevance")
        if not (method.nonnegative or method.sum_preserving):
            return NotApplicable(f"{method.name} keeps neither the cone nor the sum: it need not collapse")
        return None

    def cost(self, chain: RelevanceChain) -> Cost:
        return swept(chain, self.start, 2 * self.vectors + 1)

    def observe(self, chain: RelevanceChain, supply: Supply, progress: Progress) -> None:
        """Propagate the vectors of every image of a chain."""
        images = range(supply.first_image, supply.first_image + len(chain))
        shape = chain.shape(self.start)
        name = drawn_name(chain.graph, self.start)
        exact = draw(shape, images, self.vectors, start=name, seed=self.seed).to(chain.device, chain.dtype)
        ones = torch.ones((len(chain), 1, *shape), dtype=chain.dtype, device=chain.device)
        self.seen += len(chain)
        wanted = set(below(chain, self.start, self.layers))
        cuts = state_cuts(chain, self.start)
        batch, state = torch.cat([exact, ones], 1), None
        for step, (top, bottom) in enumerate(pairwise(cuts)):
            for layer, parts in chain.sweep({top: batch}, bottom):
                if state is not None and layer in wanted and layer != top:
                    self._record(layer, parts[top])
            if bottom != cuts[-1]:
                state = self._next_state(parts[top], state is not None)
                batch = parts[top] if state is None else self._lifted(state, seed=[self.seed, step])
            progress(self.label, step + 1, len(cuts) - 1)

    def _next_state(self, r: Tensor, started: bool) -> State | None:
        """The state of the vectors at a cut, or None while the chain is still run exactly."""
        c, k = r[:, -1:], self.vectors
        if not started:
            spatial = r.ndim > 3 and r[0, 0, 0].numel() > 1
            if not spatial or not local_deficits(r[:, :k])[0].nanmedian() < SLAVED:
                return None
        s = location_weight(r[:, :k], c, CHANNELS)
        eta = r[:, :k] - s * c
        a = amplitude(eta, c, CHANNELS)
        if started:
            carried = r[:, k : 2 * k]
            a = (a**2 + amplitude(carried, c, CHANNELS) ** 2).sqrt()
            eta = eta + carried - location_weight(carried, c, CHANNELS) * c
        return State(c, s, a, coherence(eta, c, CHANNELS))

    def _lifted(self, state: State, seed: list[int]) -> Tensor:
        """What is sent down from a cut: `s c`, a surrogate of the deviation, and c itself."""
        c, rng = state.c, np.random.default_rng(seed)
        channels, *space = c.shape[CHANNELS:]
        shapes = (channels, *[1] * len(space)), (channels, *space)
        shared, own = (
            torch.from_numpy(rng.standard_normal((1, self.vectors, *shape), dtype=np.float32)).to(c)
            for shape in shapes
        )
        xi = state.coherence.sqrt() * shared + (1 - state.coherence).sqrt() * own
        return torch.cat([state.s * c, surrogate(c, state.a, xi, CHANNELS), c], 1)

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

    def record(self) -> dict[str, Any]:
        return {"counts": self.counts, "predicted": self.predicted, "seen": self.seen}

    def take(self, record: Mapping[str, Any]) -> None:
        for layer, counts in record["counts"].items():
            self.counts[layer] = self.counts.get(layer, np.zeros(histogram.BINS)) + counts
        for layer, images in record["predicted"].items():
            self.predicted[layer] = self.predicted.get(layer, 0) + images
        self.seen += record["seen"]

    def median(self, layer: str) -> float:
        """The predicted median deficit, NaN where the chain of any image was still run exactly."""
        if self.predicted.get(layer) != self.seen:
            return float("nan")
        return float(histogram.quantile(self.counts[layer], 0.5)[0])
