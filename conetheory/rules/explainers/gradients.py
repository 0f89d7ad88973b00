"""Gradients averaged over many inputs, by captum: Integrated Gradients and SmoothGrad."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from conetheory.counts import checked_seed
from conetheory.errors import InputError
from conetheory.networks.graph import Graph
from conetheory.rules.explainer import Explainer
from conetheory.rules.explainers import forward
from conetheory.rules.registry import register


@register(
    "integrated-gradients",
    family="averaged gradient",
    description="the gradient integrated along the line from a baseline, times the difference",
    equation="(x - x0) * int_0^1 grad f(x0 + t (x - x0)) dt",
    source="Sundararajan, Taly and Yan 2017",
)
@dataclass(frozen=True)
class IntegratedGradients(Explainer):
    """`(x - x0) * int_0^1 grad f(x0 + t (x - x0)) dt`, by Gauss-Legendre quadrature with `steps` nodes.

    The map sums to `f(x) - f(x0)`. baseline: x0, one value for all pixels, in preprocessed units: where
    images are standardised, 0 is the mean colour.
    """

    steps: int = 50
    baseline: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.steps < 1:
            raise InputError(f"steps must be at least 1, not {self.steps}")

    def maps(self, graph: Graph, images: Tensor, outputs: Tensor) -> Tensor:
        method = forward.captum("attr").IntegratedGradients(forward.projected_logits(graph))
        size = forward.batch_size(graph)

        def explain(x: Tensor, v: Tensor) -> Tensor:
            options = {"n_steps": self.steps, "internal_batch_size": max(size, len(x))}
            return method.attribute(
                x.requires_grad_(), self.baseline, additional_forward_args=(v,), **options
            )

        return forward.by_pairs(explain, images, outputs, size)


@register(
    "smoothgrad",
    family="averaged gradient",
    description="the gradient averaged over noisy copies of the image",
    equation="E grad f(x + e),  e ~ N(0, s^2)",
    source="Smilkov et al. 2017",
)
@dataclass(frozen=True)
class SmoothGrad(Explainer):
    """The mean over `samples` of `grad f(x + e)`, e ~ N(0, s^2) with s = `noise` * (max x - min x).

    All vectors of an image see the same noise, so the map is linear in them, and it is the same in
    whichever batch an image comes.
    """

    samples: int = 50
    noise: float = 0.15
    seed: int = 0
    reduce: ClassVar[str] = "absmax"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.samples < 1 or self.noise < 0:
            raise InputError("samples must be at least 1 and noise at least 0")
        checked_seed(self.seed)

    def maps(self, graph: Graph, images: Tensor, outputs: Tensor) -> Tensor:
        attr = forward.captum("attr")
        method = attr.NoiseTunnel(attr.Saliency(forward.projected_logits(graph)))
        size = forward.batch_size(graph)

        def explain(x: Tensor, v: Tensor) -> Tensor:
            options = {"nt_samples": self.samples, "nt_samples_batch_size": size, "abs": False}
            spread = self.noise * float(x.max() - x.min())
            with _seeded(self.seed, x.device):
                return method.attribute(x, stdevs=spread, additional_forward_args=(v,), **options)

        return forward.by_pairs(explain, images, outputs, 1)


@contextmanager
def _seeded(seed: int, device: torch.device) -> Iterator[None]:
    """torch's own generators from `seed`, afterwards as they were: captum draws from no other."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield
