"""FullGrad (Srinivas and Fleuret 2019): what the input and every bias add to the output.

A network of elementwise activations, max pools and linear operations is, around each image, linear, so that

    f(x) = <x, grad f(x)> + sum over operations of <b, df/dy>,

y an operation's output and b its bias: the full gradients of f. A batch norm's bias is `shift - mean scale`;
one that is folded has one bias with its convolution. An activation's is implicit, `f(x) - f'(x) x`, which is
zero for a ReLU. What else is not linear (gates, norms of the image itself, softmax) adds more than these. The
map adds the channels of all of them,

    sum_c psi(x_c grad_c) + sum over operations on maps, sum_c psi(b_c df/dy_c),

psi the absolute value, scaled to [0, 1] and interpolated to the image's size. Biases of what has no locations
are left out of the map, as in the paper. The authors' code scales all channels of an operation together, and
interpolates with corners on corners, and so does this; the paper's equation has psi around each channel, as
`scaled="channel"` does. Either way every operation counts alike, however much of it there is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from conetheory.errors import InputError
from conetheory.networks.graph import Graph, Node
from conetheory.networks.ops import Affine, LinearOp, PassThrough, spread
from conetheory.rules.explainer import Explainer
from conetheory.rules.explainers import forward
from conetheory.rules.gradient import derivative
from conetheory.rules.registry import register


@register(
    "fullgrad",
    family="averaged gradient",
    description="input times gradient and biases times theirs, every operation scaled alike",
    equation="sum_c psi(x_c grad_c) + sum_l sum_c psi(b_c df/dy_c),  psi absolute, scaled, interpolated",
    source="Srinivas and Fleuret 2019",
)
@dataclass(frozen=True)
class FullGrad(Explainer):
    """Of images: `psi` interpolates maps to their size.

    scaled: what is scaled to [0, 1] at a time, all channels of an `operation` or each `channel`.
    """

    scaled: Literal["operation", "channel"] = "operation"
    is_linear = False

    def bind(self, graph: Graph) -> FullGrad:
        if len(graph.input_shape) != 3:
            raise InputError("full gradients are drawn of images, not of vectors")
        return self

    def maps(self, graph: Graph, images: Tensor, outputs: Tensor) -> Tensor:
        size, axes = graph.input_shape[1:], (1, 2, 3) if self.scaled == "operation" else (2, 3)

        def explain(x: Tensor, v: Tensor) -> Tensor:
            found = full_gradients(graph, x, v)
            return torch.stack(
                [_scaled(t, size, axes).sum(1, keepdim=True) for t in found if _is_map(t)]
            ).sum(0)

        return forward.by_pairs(explain, images, outputs, forward.batch_size(graph))


def full_gradients(graph: Graph, x: Tensor, v: Tensor) -> list[Tensor]:
    """`x grad` and, for every operation with a bias, `b df/dy`; f = <v, logits>, one number an image.

    Implicit biases of activations are among them where they are not zero.
    """
    values, biases, outputs = [x.requires_grad_()], [x], x
    for node, xs, y in graph.run(x):
        if (bias := _bias(node, xs, y)) is not None:
            values.append(y)
            biases.append(bias)
        if node.name == graph.output:
            outputs = y
    found = torch.autograd.grad((outputs * v).sum(), values, allow_unused=True)
    return [g * b for g, b in zip(found, biases, strict=True) if g is not None]


def _bias(node: Node, xs: Sequence[Tensor], y: Tensor) -> Tensor | None:
    match node.op:
        case Affine():
            return spread(node.op.shift, y)
        case LinearOp() if node.op.bias is not None:
            return spread(node.op.bias, y)
        case PassThrough(kind="activation"):
            x = xs[0].detach()
            bias = y.detach() - derivative(node.op, x) * x
            return bias if bool(bias.any()) else None
    return None


def _is_map(t: Tensor) -> bool:
    """Tokens in a row are none."""
    return t.ndim == 4 and min(t.shape[2:]) > 1


def _scaled(t: Tensor, size: tuple[int, ...], axes: tuple[int, ...]) -> Tensor:
    """psi, scaled over these axes."""
    t = t.abs()
    low, high = t.amin(axes, keepdim=True), t.amax(axes, keepdim=True)
    t = torch.where(high > low, (t - low) / torch.where(high > low, high - low, 1.0), 0.0)
    return F.interpolate(t, size, mode="bilinear", align_corners=True)
