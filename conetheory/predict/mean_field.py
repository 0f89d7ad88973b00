"""The mean field of rectified chains: the arc-cosine map, and what weight means add to it.

For GuidedBP, Deconv and RectGrad relevance passes a ReLU or a threshold between linear maps, so there is no
matrix. But each entry of `W^T r` sums many terms: a pair of relevances is followed, unit by unit, by its
mean, second moment and half gap (`theory.rectified`). Linear maps M move them by

    mean' = M mean,   var' = (M * M) var,   gap' = (M * M) gap,

and ReLUs by the law of rectified Gaussians. An estimate: given their means, units are taken as independent
Gaussians, so what few start units or smoothness in space correlate is missed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from scipy.optimize import brentq
from scipy.special import ndtr
from torch import Tensor

from conetheory.chain import RelevanceChain
from conetheory.measure import local_deficits
from conetheory.networks.graph import INPUT, Node
from conetheory.networks.ops import Add, Affine, LinearOp, PassThrough, Unweighted
from conetheory.predict.layers import below
from conetheory.rules.gradient import RectGrad, derivative
from conetheory.theory.rectified import Moments, rectified

PAIRS = 4  # drawn at each location
State = tuple[Tensor, Tensor, Tensor]  # mean, variance, half gap: (1, 1, *shape), float64


class MeanField:
    """The median deficit of a rectified chain for Gaussian starts.

    At each layer pairs are drawn from the Gaussians of these moments, so that a median over few channels,
    or few live ones, is that of the pairs and not of their mean.
    """

    name = "mean_field"

    def __init__(self, start: str, *, layers: Sequence[str] | None = None, seed: int = 0) -> None:
        self.start, self.layers, self.seed = start, layers, seed
        self.deficits: dict[str, list[np.ndarray]] = {}

    @torch.inference_mode()
    def add(self, chain: RelevanceChain, on_step: Callable[[int, int], None] | None = None) -> None:
        """Follow the moments of a pair down every image of a chain."""
        wanted = set(below(chain, self.start, self.layers))
        top = chain.graph.resolve(self.start)
        nodes = chain.graph.between(top, INPUT)
        for image in chain.images:
            follow = _Follower(chain, image[None])
            zero = torch.zeros((1, 1, *chain.graph.shape(top)), dtype=torch.float64)
            held = {top: (zero, zero + 1, zero + 1)}
            for name in [*(node.name for node in nodes), INPUT]:
                state = held.pop(name)
                if name in wanted:
                    self._record(name, state)
                if name != INPUT:
                    follow.cross(chain.graph.nodes[name], state, held)

    def _record(self, layer: str, state: State) -> None:
        mean, variance, gap = state
        rng = torch.Generator().manual_seed(self.seed)
        x, y = (torch.randn((PAIRS, *mean.shape), generator=rng, dtype=mean.dtype) for _ in range(2))
        common, apart = (variance - gap / 2).clamp(min=0).sqrt() * x, (gap / 2).clamp(min=0).sqrt() * y
        pairs = torch.cat([mean + common + apart, mean + common - apart], 2)[:, 0]
        found = local_deficits(pairs)[0].numpy()
        self.deficits.setdefault(layer, []).append(found[~np.isnan(found)])

    def median(self, layer: str) -> float:
        """The predicted median deficit, NaN where all locations are dead."""
        found = np.concatenate(self.deficits[layer])
        return float(np.median(found)) if len(found) else float("nan")


class _Follower:
    """Moves the moments of one image's relevance across one node after the other."""

    def __init__(self, chain: RelevanceChain, image: Tensor) -> None:
        self.rule = chain.method.rule
        graph = chain.graph.to(dtype=torch.float64, device="cpu")
        self.maps, self.gates = {}, {}
        for node, xs, y in graph.run(image.to("cpu", torch.float64)):
            if isinstance(node.op, PassThrough) and node.op.kind == "activation":
                self.gates[node.name] = (node, xs[0], y)
            else:
                self.maps[node.name] = (node, self.rule.local(node, xs, y), [tuple(x.shape[1:]) for x in xs])

    def cross(self, node: Node, state: State, held: dict[str, State]) -> None:
        """Add what a node hands down to the moments at each of its inputs."""
        if node.name in self.gates:
            parts = [self._gate(state, *self.gates[node.name])]
        else:
            means = self.maps[node.name][1].down(state[0])
            variances, gaps = (self._squared(self.maps[node.name], x) for x in state[1:])
            parts = list(zip(means, variances, gaps, strict=True))
        for source, part in zip(node.inputs, parts, strict=True):
            before = held.get(source)
            held[source] = part if before is None else tuple(a + b for a, b in zip(before, part, strict=True))

    def _squared(self, kept: tuple, x: Tensor) -> tuple[Tensor, ...]:
        """`(M * M) x`; a mean over k units is taken as non-overlapping: each weight is 1/k."""
        node, found, shapes = kept
        match node.op:
            case Add():
                return found.down(x)
            case Unweighted():
                return found.down(x * (x[0, 0].numel() / np.prod(shapes[0])))
            case LinearOp():
                return node.op.transpose(x, [(x.new_ones(()), torch.square)], shapes)
            case Affine():
                return tuple(y * y for y in found.down(x.sqrt()))
        return found.down(x)

    def _gate(self, state: State, node: Node, x: Tensor, y: Tensor) -> State:
        """What the rule does at an activation: rectify or cut, then multiply by the activation's slope."""
        slope = derivative(node.op, x).unsqueeze(1) if self.rule.gated else torch.ones_like(state[0])
        mean, variance, gap = (t.numpy() for t in state)
        moments = Moments(mean, mean**2 + variance, np.minimum(gap, 2 * variance))
        if isinstance(self.rule, RectGrad):
            found = rectified(moments, _cut(moments, y.unsqueeze(1).numpy(), 1 - self.rule.percentile / 100))
        else:
            found = rectified(moments)
        mean, variance, gap = (torch.from_numpy(v) for v in (found.mean, found.variance, found.gap))
        return mean * slope, variance * slope**2, gap * slope**2


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
