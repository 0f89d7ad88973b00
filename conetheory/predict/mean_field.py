"""The mean field of rectified chains: the arc-cosine map, and what weight means add to it.

For GuidedBP, Deconv and RectGrad relevance passes a ReLU or a threshold between linear maps, so there is no
matrix. But each entry of `W^T r` sums many terms, so that a pair of relevances is `M + s + d`, `M + s - d`
with the mean M over starts and Gaussian deviations s (common) and d (apart). Here M and an ensemble of K
draws of s and of d go down: exactly through linear maps; at a ReLU or threshold the law of rectified
Gaussians (`theory.rectified`) gives, unit by unit, the new mean and by how much each deviation shrinks.

An estimate: the ReLU is replaced by its mean slope on the deviations (statistical linearisation), and K draws
stand for their covariance.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from scipy.optimize import brentq
from scipy.special import ndtr
from torch import Tensor

from conetheory.chain.layers import below
from conetheory.chain.relevance import RelevanceChain
from conetheory.chain.supply import Supply
from conetheory.measure.meter import local_deficits
from conetheory.networks.graph import INPUT, Node
from conetheory.networks.ops import PassThrough
from conetheory.predict.registry import register
from conetheory.predict.theory import Theory
from conetheory.progress import Progress
from conetheory.rules.gradient import RectGrad, derivative
from conetheory.rules.registry import Method
from conetheory.theory.records import NotApplicable
from conetheory.theory.rectified import Moments, rectified

DRAWS = 16


@register
class MeanField(Theory):
    """The median deficit of a rectified chain for Gaussian starts.

    At each layer it is taken over the pairs `M + s_k + d_k`, `M + s_k - d_k` of the ensemble, over locations
    and images, so that a median over few channels, or few live ones, is that of pairs and not of a mean.
    """

    name, label = "mean-field", "mean-field"

    def __init__(self, start: str, **options: Any) -> None:
        super().__init__(start, **options)
        self.deficits: dict[str, list[np.ndarray]] = {}

    @classmethod
    def applies(cls, method: Method) -> NotApplicable | None:
        return (
            None if method.rule.rectifies else NotApplicable(f"{method.name} has no ReLU on what goes down")
        )

    def passes(self, chain: RelevanceChain) -> int:
        return 2 * DRAWS + 1

    @torch.inference_mode()
    def observe(self, chain: RelevanceChain, supply: Supply, progress: Progress) -> None:
        """Follow an ensemble of pairs down every image of a chain."""
        wanted = set(below(chain, self.start, self.layers))
        top = chain.graph.resolve(self.start)
        nodes = chain.graph.between(top, INPUT)
        for number, image in enumerate(chain.images):
            follow = _Follower(chain, image[None])
            held = {top: self._start(chain.graph.shape(top), supply.first_image + number)}
            for name in [*(node.name for node in nodes), INPUT]:
                state = held.pop(name)
                if name in wanted:
                    self._record(name, state)
                if name != INPUT:
                    follow.cross(chain.graph.nodes[name], state, held)
            progress(self.label, number + 1, len(chain))

    def _start(self, shape: Sequence[int], image: int) -> Tensor:
        """M = 0 and draws of s and d of variance 1/2: independent N(0, 1) starts."""
        rng = torch.Generator().manual_seed(self.seed + image)
        draws = torch.randn((1, 2 * DRAWS, *shape), generator=rng, dtype=torch.float64) / 2**0.5
        return torch.cat([torch.zeros((1, 1, *shape), dtype=torch.float64), draws], 1)

    def _record(self, layer: str, state: Tensor) -> None:
        mean, common, apart = _parts(state)
        pairs = torch.stack([mean + common + apart, mean + common - apart], 2)[0]
        found = local_deficits(pairs)[0].numpy()
        self.deficits.setdefault(layer, []).append(found[~np.isnan(found)])

    def median(self, layer: str) -> float:
        """The predicted median deficit, NaN where all locations are dead."""
        found = np.concatenate(self.deficits[layer])
        return float(np.median(found)) if len(found) else float("nan")


def _parts(state: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """M, the draws of s and those of d, side by side on the axis of vectors: (1, 1 + 2 K, *shape)."""
    return state.split([1, DRAWS, DRAWS], 1)


class _Follower:
    """Moves the ensemble of one image across one node after the other, in float64 on the CPU."""

    def __init__(self, chain: RelevanceChain, image: Tensor) -> None:
        self.rule = chain.method.rule
        self.maps, self.gates = {}, {}
        graph = chain.graph.to(dtype=torch.float64, device="cpu")
        for node, xs, y in graph.run(image.to("cpu", torch.float64)):
            if isinstance(node.op, PassThrough) and node.op.kind == "activation":
                self.gates[node.name] = (node.op, xs[0], y)
            else:
                self.maps[node.name] = self.rule.local(node, xs, y)

    def cross(self, node: Node, state: Tensor, held: dict[str, Tensor]) -> None:
        """Add what a node hands down to the ensemble at each of its inputs."""
        gate = self.gates.get(node.name)
        parts = self.maps[node.name].down(state) if gate is None else (self._gate(state, *gate),)
        for source, part in zip(node.inputs, parts, strict=True):
            held[source] = part if source not in held else held[source] + part

    def _gate(self, state: Tensor, op: PassThrough, x: Tensor, y: Tensor) -> Tensor:
        """What the rule does at an activation: rectify or cut, then multiply by the activation's slope."""
        mean, common, apart = _parts(state)
        before = _moments(mean, common, apart)
        cut = _cut(before, y.unsqueeze(1).numpy(), 1 - self.rule.percentile / 100) if self._cuts else 0.0
        after = rectified(before, cut)
        shared = after.variance - after.gap / 2, before.variance - before.gap / 2
        new = [
            torch.from_numpy(after.mean),
            common * _shrinkage(*shared),
            apart * _shrinkage(after.gap, before.gap),
        ]
        slope = derivative(op, x).unsqueeze(1) if self.rule.gated else 1.0
        return torch.cat(new, 1) * slope

    @property
    def _cuts(self) -> bool:
        return isinstance(self.rule, RectGrad)


def _moments(mean: Tensor, common: Tensor, apart: Tensor) -> Moments:
    """Unit by unit: E u = M, var u = var s + var d, E (u - v)^2 / 2 = 2 var d."""
    M = mean.numpy()
    s2, d2 = (part.square().mean(1, keepdim=True).numpy() for part in (common, apart))
    return Moments(M, M**2 + s2 + d2, np.minimum(2 * d2, 2 * (s2 + d2)))


def _shrinkage(after: np.ndarray, before: np.ndarray) -> Tensor:
    """The factor on a deviation whose variance goes from `before` to `after`; 0 where there was none."""
    live = before > 0
    ratio = np.where(live, np.maximum(after, 0.0), 0.0) / np.where(live, before, 1.0)
    return torch.from_numpy(np.sqrt(ratio))


def _cut(r: Moments, activation: np.ndarray, kept: float) -> np.ndarray:
    """Thresholds `tau / a` on r, tau such that the share `kept` of all units has `a r > tau >= 0`."""
    sigma = np.sqrt(np.where(r.variance > 0, r.variance, 1e-300))
    live = activation > 0
    size = np.where(live, activation, 1.0)

    def excess(tau: float) -> float:
        return float((live * ndtr((r.mean - tau / size) / sigma)).mean()) - kept

    if excess(0.0) <= 0:
        return np.zeros_like(size)
    top = float((size * (np.abs(r.mean) + 40 * sigma)).max())
    return brentq(excess, 0.0, top, rtol=1e-6) / size
