"""Occlusion, by captum: what the output loses when a part of the image is covered."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from conetheory.errors import InputError
from conetheory.networks.graph import Graph
from conetheory.rules.explainer import Explainer
from conetheory.rules.explainers import forward
from conetheory.rules.registry import register


@register(
    "occlusion",
    family="perturbation",
    description="what the output loses when a window of the image is covered",
    equation="f(x) - f(x with the window set to the baseline)",
    source="Zeiler and Fergus 2014",
)
@dataclass(frozen=True)
class Occlusion(Explainer):
    """`f(x) - f(x with the window set to the baseline)`, at a pixel the mean over the windows that hold it.

    window: side in pixels; None is a sixteenth of the image's, 14 at 224 (as in Schulz et al. 2020), and one
    feature of a vector. stride: from window to window; None is the window. baseline: the covering value in
    preprocessed units. per_channel: cover one channel at a time; otherwise all, and the map has one value for
    each location.
    """

    window: int | None = None
    stride: int | None = None
    baseline: float = 0.0
    per_channel: bool = False

    def maps(self, graph: Graph, images: Tensor, outputs: Tensor) -> Tensor:
        windows, strides = self._geometry(graph.input_shape)
        method = forward.captum("attr")
        found = []
        with torch.no_grad():
            for x, v in zip(*(t.split(forward.batch_size(graph)) for t in (images, outputs)), strict=True):
                # all vectors of all images from one pass: captum takes any fixed number of outputs
                occlusion = method.Occlusion(
                    lambda x, v=v: torch.einsum("nkc,nc->nk", v, forward.outputs_of(graph, x)).flatten()
                )
                found.append(occlusion.attribute(x, windows, strides, float(self.baseline)))
        maps = torch.cat(found).to(outputs).unflatten(0, outputs.shape[:2])  # captum averages in float32
        return maps if self.per_channel or len(graph.input_shape) == 1 else maps[:, :, :1]

    def _geometry(self, shape: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Sizes of the window and of its steps."""
        channels, *space = shape if len(shape) > 1 else (1, *shape)
        usual = max(1, min(space) // 16) if len(shape) > 1 else 1
        window = usual if self.window is None else self.window
        stride = window if self.stride is None else self.stride
        if not 1 <= window <= min(space) or not 1 <= stride <= window:
            size = " x ".join(map(str, space))
            what = f"images of {size} pixels" if len(space) == 2 else f"inputs of {size} values"
            raise InputError(f"window {window} and stride {stride} don't cover {what}")
        depth = [] if len(shape) == 1 else [1 if self.per_channel else channels]
        return (*depth, *[window] * len(space)), (*depth, *[stride] * len(space))
