"""Class activation maps: the activations of one layer, weighed by the gradient there.

With A the layer's map, `(channels, locations)`, and G the gradient of `<v, logits>` at it,

    Grad-CAM     sum_k A_k(p) mean_q G_k(q)
    HiResCAM     sum_k A_k(p) G_k(p)
    LayerCAM     sum_k A_k(p) max(G_k(p), 0)
    Grad-CAM++   sum_k A_k(p) sum_q w_k(q) max(G_k(q), 0),   w_k(q) = G^2 / (2 G^2 + sum A_k G^3)

interpolated to the image's size. The papers show `max(0, map)`: the map before that is what is compared, and
then the first two are linear in v. The decision enters through G alone. Where the layer is followed by a mean
and a dense layer, G does not depend on the location, and the first two are one method.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from conetheory.errors import InputError
from conetheory.networks.graph import Graph
from conetheory.rules.explainer import Explainer
from conetheory.rules.explainers import forward
from conetheory.rules.registry import register

SPACE = (-2, -1)


@dataclass(frozen=True)
class ClassActivation(Explainer):
    """layer: whose activations (None: the last map of more than one location that all paths cross).

    rectified: whether the map is `max(0, map)`, as the papers show it.
    """

    layer: str | None = None
    rectified: bool = False

    def maps(self, graph: Graph, images: Tensor, outputs: Tensor) -> Tensor:
        below, above = forward.split_at(graph, self._layer(graph))
        activations = forward.outputs_of(below, images)

        def explain(a: Tensor, v: Tensor) -> Tensor:
            score = (forward.outputs_of(above, a.requires_grad_()) * v).sum()
            (gradient,) = torch.autograd.grad(score, a)
            return self.weighed(a.detach(), gradient).sum(1, keepdim=True)

        found = forward.by_pairs(explain, activations, outputs, forward.batch_size(graph))
        found = F.interpolate(
            found.flatten(0, 1), graph.input_shape[1:], mode="bilinear", align_corners=False
        )
        found = found.unflatten(0, outputs.shape[:2])
        return found.clamp(min=0) if self.rectified else found

    def weighed(self, a: Tensor, gradient: Tensor) -> Tensor:
        """The activations `(N, channels, height, width)`, each times its weight."""
        raise NotImplementedError

    def _layer(self, graph: Graph) -> str:
        if len(graph.input_shape) != 3:
            raise InputError("class activation maps are of images, not of vectors")
        maps = [
            cut for cut in graph.cuts[1:-1] if len(graph.shape(cut)) == 3 and min(graph.shape(cut)[1:]) > 1
        ]
        if self.layer is None and not maps:
            raise InputError("no map of more than one location lies on all paths: name a layer=")
        return maps[-1] if self.layer is None else self.layer


@register(
    "grad-cam",
    family="class activation",
    description="activations of the last map, each channel weighed by its mean gradient",
    equation="sum_k A_k mean(G_k)",
    source="Selvaraju et al. 2017",
)
class GradCam(ClassActivation):
    """`sum_k A_k mean(G_k)`."""

    def weighed(self, a: Tensor, gradient: Tensor) -> Tensor:
        return a * gradient.mean(SPACE, keepdim=True)


@register(
    "hirescam",
    family="class activation",
    description="activations of the last map times the gradient at each location",
    equation="sum_k A_k G_k",
    source="Draelos and Carin 2020",
)
class HiResCam(ClassActivation):
    """`sum_k A_k G_k`."""

    def weighed(self, a: Tensor, gradient: Tensor) -> Tensor:
        return a * gradient


@register(
    "layercam",
    family="class activation",
    description="activations of the last map times the positive gradient at each location",
    equation="sum_k A_k max(G_k, 0)",
    source="Jiang et al. 2021",
)
class LayerCam(ClassActivation):
    """`sum_k A_k max(G_k, 0)`."""

    is_linear = False

    def weighed(self, a: Tensor, gradient: Tensor) -> Tensor:
        return a * gradient.clamp(min=0)


@register(
    "grad-cam++",
    family="class activation",
    description="activations of the last map, each channel weighed by its positive gradients",
    equation="sum_k A_k sum_q w_k(q) max(G_k(q), 0),  w = G^2/(2 G^2 + sum A_k G^3)",
    source="Chattopadhay et al. 2018, eq. 5, 19",
    aliases=("grad-cam-plus-plus",),
)
class GradCamPlusPlus(ClassActivation):
    """The weights of the paper's eq. 19, for a score that is the exponential of the output, whose derivatives
    are powers of G; where a denominator is zero the weight is."""

    is_linear = False

    def weighed(self, a: Tensor, gradient: Tensor) -> Tensor:
        bottom = 2 * gradient**2 + a.sum(SPACE, keepdim=True) * gradient**3
        weight = torch.where(bottom == 0, 0.0, gradient**2 / torch.where(bottom == 0, 1.0, bottom))
        return a * (weight * gradient.clamp(min=0)).sum(SPACE, keepdim=True)
