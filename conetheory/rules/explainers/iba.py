"""Information bottleneck attribution, per sample (Schulz, Sixt, Tombari and Landgraf 2020).

At a layer with activations R, a share lambda of each unit is let through and the rest is replaced by noise
of the same mean and variance: `Z = lambda R + (1 - lambda) e`, `e ~ N(mu, s^2)`. With `lambda =
blur(sigmoid(alpha))`, alpha minimises the loss of the output plus beta times the mean over units of

    KL(Z | R || e) = -1/2 (1 + log (1 - lambda)^2 - (lambda (R - mu) / s)^2 - (1 - lambda)^2).

The map is this information, in bits, summed over channels and brought to the size of the image.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from conetheory.counts import checked_seed
from conetheory.errors import InputError
from conetheory.networks.graph import INPUT, Graph
from conetheory.rules.explainer import Explainer
from conetheory.rules.explainers import forward
from conetheory.rules.registry import register

OPEN = 5.0  # alpha at the start: 99.3% is let through
LEAST_DEVIATION = 0.01  # of the layer's largest, for units that hardly vary


@register(
    "iba",
    family="information",
    description="the bits at a layer that the output needs, when noise replaces the rest",
    equation="KL(Z | R || e),  Z = lambda R + (1 - lambda) e,  lambda the minimiser of loss + beta KL",
    source="Schulz et al. 2020",
)
@dataclass(frozen=True, eq=False)
class InformationBottleneck(Explainer):
    """See the module; the defaults are the paper's.

    layer: one that all paths cross; None is the middle one of those with height and width. objective:
    `cross-entropy` is `-<v, log softmax>`, `output` is `-<v, logits>`. reference: preprocessed images
    `(N, C, H, W)`, from which mu and s are taken unit by unit; without it they are those of the image
    itself, channel by channel. The map is nonnegative and not linear in v.
    """

    layer: str | None = None
    beta: float = 10.0
    steps: int = 10
    learning_rate: float = 1.0
    samples: int = 10
    sigma: float = 1.0
    objective: Literal["cross-entropy", "output"] = "cross-entropy"
    reference: Tensor | None = None
    seed: int = 0
    is_linear = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.samples < 1 or self.steps < 0 or self.sigma < 0:
            raise InputError("samples must be at least 1, steps and sigma at least 0")
        checked_seed(self.seed)

    def bind(self, graph: Graph) -> InformationBottleneck:
        layer = self.layer or middle_layer(graph)
        for what, shape in (
            ("input", graph.input_shape),
            (f"layer {layer!r}", graph.shape(graph.resolve(layer))),
        ):
            if len(shape) != 3:
                raise InputError(f"iba needs height and width, and the {what} has shape {shape}")
        return self

    def maps(self, graph: Graph, images: Tensor, outputs: Tensor) -> Tensor:
        below, above = forward.split_at(graph, self.layer or middle_layer(graph))
        size = max(1, forward.batch_size(above) // self.samples)
        known = None if self.reference is None else unit_statistics(below, self.reference.to(images))

        def explain(h: Tensor, v: Tensor) -> Tensor:
            mean, deviation = known or channel_statistics(h)
            bits = self._information(above, h, mean, deviation, v).sum(1, keepdim=True) / math.log(2)
            return functional.interpolate(bits, graph.input_shape[1:], mode="bilinear")

        return forward.by_pairs(explain, below.forward(images), outputs, size)

    def _information(self, above: Graph, h: Tensor, mean: Tensor, deviation: Tensor, v: Tensor) -> Tensor:
        """KL in nats of each unit after the optimisation; h is `(pairs, C, H, W)`, v `(pairs, classes)`."""
        alpha = torch.full_like(h, OPEN, requires_grad=True)
        optimiser = torch.optim.Adam([alpha], self.learning_rate)
        generator = torch.Generator().manual_seed(self.seed)
        for _ in range(self.steps):
            optimiser.zero_grad()
            through, blocked = self._shares(alpha)
            noise = torch.randn((self.samples, *h.shape[1:]), generator=generator).to(h)
            noise = mean.unsqueeze(1) + deviation.unsqueeze(1) * noise
            z = (through * h).unsqueeze(1) + blocked.unsqueeze(1) * noise
            logits = forward.outputs_of(above, z.flatten(0, 1)).unflatten(0, z.shape[:2])
            cost = information(through, blocked, (h - mean) / deviation).flatten(1).mean(1)
            (self._loss(logits, v.unsqueeze(1)).mean(1) + self.beta * cost).sum().backward()
            optimiser.step()
        with torch.no_grad():
            return information(*self._shares(alpha), (h - mean) / deviation)

    def _shares(self, alpha: Tensor) -> tuple[Tensor, Tensor]:
        """lambda and 1 - lambda, each to its own precision."""
        return blur(alpha.sigmoid(), self.sigma), blur((-alpha).sigmoid(), self.sigma)

    def _loss(self, logits: Tensor, v: Tensor) -> Tensor:
        scores = logits.log_softmax(-1) if self.objective == "cross-entropy" else logits
        return -(scores * v).sum(-1)


def information(through: Tensor, blocked: Tensor, standardised: Tensor) -> Tensor:
    """`KL(Z | R || e)` in nats (see the module), zero where nothing is let through."""
    return -0.5 * (1 + 2 * blocked.log() - (through * standardised) ** 2 - blocked**2)


def blur(x: Tensor, sigma: float) -> Tensor:
    """A Gaussian over height and width, cut off at two sigma, reflected at the border."""
    radius = [min(round(2 * sigma), n - 1) for n in (x.shape[-1], x.shape[-2])]
    if max(radius) == 0:
        return x
    from torchvision.transforms.functional import gaussian_blur  # here: its import takes seconds

    return gaussian_blur(x, [2 * r + 1 for r in radius], [sigma, sigma])


def channel_statistics(h: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation over the locations of each image, `(N, C, 1, 1)`."""
    return h.mean((2, 3), keepdim=True), _floored(h.std((2, 3), correction=0, keepdim=True), (1, 2, 3))


def unit_statistics(below: Graph, images: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation over images, `(1, C, H, W)`."""
    h = torch.cat([below.forward(x) for x in images.split(forward.batch_size(below))]).clone()
    return h.mean(0, keepdim=True), _floored(h.std(0, correction=0, keepdim=True), (0, 1, 2, 3))


def _floored(deviation: Tensor, dims: tuple[int, ...]) -> Tensor:
    least = LEAST_DEVIATION * deviation.amax(dims, keepdim=True)
    return deviation.maximum(least).clamp(min=torch.finfo(deviation.dtype).tiny)


def middle_layer(graph: Graph) -> str:
    """The middle one of the layers with height and width that every path crosses."""
    cuts = set(graph.cuts) - {INPUT, graph.output}
    spatial = [n for n in graph.layers if n in cuts and math.prod(graph.shape(n)[1:]) > 1]
    if not spatial:
        raise InputError(
            "iba needs a layer with height and width that all paths cross; this network has none"
        )
    return spatial[len(spatial) // 2]
