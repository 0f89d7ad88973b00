"""A traced graph against its model, logit by logit, on inputs of several kinds."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor, nn

from conetheory.errors import InputError, UnsupportedLayerError, one_line
from conetheory.networks.attention import MatMul, Softmax
from conetheory.networks.bcos import Aligned
from conetheory.networks.coupling import Product, Standardise
from conetheory.networks.graph import INPUT, Graph
from conetheory.networks.ops import Affine, LinearOp, Op, PassThrough, Shape
from conetheory.networks.selection import Selection

UNITS = (
    2**12
)  # of rounding in an output, over an estimate that counts each sum once: 50 on torchvision's networks
STEP = 64  # units of rounding by which the slope of an activation is found


def examples(shape: Shape, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Three inputs `(3, *shape)`: normal noise, a picture normalised as ImageNet's are, and one in [0, 255].

    The pictures are smooth, as photographs are: waves of a few periods, with a phase for each channel.
    """
    if device.type == "meta":
        return torch.zeros((3, *shape), dtype=dtype, device=device)
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    angle = torch.zeros((), dtype=torch.float64)
    for axis, size in enumerate(shape):
        steps = torch.arange(size, dtype=torch.float64)
        turned = steps * 2.1 if axis == 0 and len(shape) > 1 else steps / size * math.tau * (1.3 + axis)
        angle = angle.unsqueeze(-1) + turned
    picture = 0.5 + 0.5 * torch.sin(angle)
    batch = torch.stack([noise, (picture - 0.45) / 0.226, 255 * picture])
    return batch.to(device, dtype)


def verify(graph: Graph, model: nn.Module, batch: Tensor) -> None:
    """Raise `UnsupportedLayerError` where an output of the graph is not the model's own, up to rounding.

    `|graph - model| <= 2^12 u e` for each output, u the unit of the dtype, e the sum of the absolute values
    of what is added up in that output in the last layer; where that is not so, with `e` of `_errors`, which
    knows what was lost below, as under a batch norm whose mean is far above its deviation. Outputs that are
    not finite must be so in both. Raises `InputError` where the model can't take the batch.
    """
    if batch.is_meta:
        return
    try:
        expected = model(batch.clone())
    except Exception as error:  # of the model's own code, such as one that reckons with a batch of some size
        raise InputError(
            f"{type(model).__name__} can't take {len(batch)} inputs at a time: {one_line(error)}"
        ) from error
    found, terms = _outputs(graph, batch)
    unit = max(torch.finfo(t.dtype).eps for t in (expected, found)) / 2
    if _but_ones(expected) == _but_ones(found):  # (N,) is (N, 1) in a graph, and (N, C, 1, 1) is (N, C)
        expected = expected.reshape(found.shape)
        if _agree(found, expected, unit * terms):
            return
        if _agree(found, expected, unit * _errors(graph, batch, unit)):
            return
    raise UnsupportedLayerError(
        f"the operations that torch.fx finds in {type(model).__name__} don't give its outputs"
    )


def _but_ones(outputs: Tensor) -> tuple[int, ...]:
    return (len(outputs), *(size for size in outputs.shape[1:] if size > 1))


def _agree(found: Tensor, expected: Tensor, error: Tensor) -> bool:
    close = (found - expected).abs() <= UNITS * torch.maximum(
        error, torch.finfo(found.dtype).tiny + 0 * error
    )
    finite = torch.isfinite(expected) & torch.isfinite(found)
    return bool(torch.where(finite, close, found.isfinite() == expected.isfinite()).all())


@torch.inference_mode()
def _outputs(graph: Graph, batch: Tensor) -> tuple[Tensor, Tensor]:
    """The graph's outputs, and for each the sum of its terms' absolute values in the last layer."""
    last = graph.output
    while last != INPUT and _keeps_all(graph.nodes[last].op):
        (last,) = graph.nodes[last].inputs
    terms, found = batch.abs(), batch
    for node, xs, y in graph.run(batch):
        if node.name == last:
            terms = _terms(node.op, xs, y)
        if node.name == graph.output:
            found = y
    return found, torch.maximum(terms.reshape(found.shape), found.abs())


@torch.inference_mode()
def _errors(graph: Graph, batch: Tensor, unit: float) -> Tensor:
    """What rounding leaves in each output, in units, by running error analysis.

    Every operation adds the sum of its terms' absolute values, and hands on what its inputs have as
    independent errors: through a linear map by the root of the sum of squares (Higham 2002, sec. 2.8, 3.3).
    """
    errors = {INPUT: torch.zeros_like(batch)}
    for node, xs, y in graph.run(batch):
        given = [errors[name] for name in node.inputs]
        errors[node.name] = _handed_on(node.op, xs, y, given, unit)
    return errors[graph.output]


def _handed_on(op: Op, xs: tuple[Tensor, ...], y: Tensor, errors: list[Tensor], unit: float) -> Tensor:
    match op:
        case LinearOp():
            return op.linear([e.square() for e in errors], torch.square).sqrt() + _terms(op, xs, y)
        case Affine():
            return errors[0] * _channels(op.scale.abs(), y) + _terms(op, xs, y)
        case PassThrough(kind="activation"):
            step = STEP * unit * errors[0]
            moved = torch.maximum((op.forward(xs[0] + step) - y).abs(), (op.forward(xs[0] - step) - y).abs())
            return moved / (STEP * unit) + y.abs()
        case Product():
            return errors[0] * xs[1].abs() + errors[1] * xs[0].abs() + y.abs()
        case Aligned():  # |z|^b / |x|^(b-1), whose |x| has the error <|x|, e> / |x| at most
            z, x = (t.abs() for t in xs)
            length = op.windows.linear([x * errors[1]]) / op.squares(x)
            return op.b * op.gate(z, x) * errors[0] + (1 + (op.b - 1) * op.spread(length, z)) * y.abs()
        case MatMul():
            (a, b), (e, f) = op.read([x.abs() for x in xs]), op.read(errors)
            return op.views[2].written(e @ b + a @ f + a @ b, op.shapes[2])
        case Softmax():  # |ds_i| <= s_i (|dx_i| + sum_j s_j |dx_j|)
            s, e = op.view.read(y), op.view.read(torch.where(xs[0].isfinite(), errors[0], 0.0))
            return op.written(s * (e + (s * e).sum(-1, keepdim=True) + 1), y)
        case Standardise():
            return errors[0] * _spread(op.inverse(xs[0]), op, y) + _terms(op, xs, y)
    return op.forward(*errors)  # reshapes, concatenations, and a maximum's largest error


def _terms(op: Op, xs: tuple[Tensor, ...], y: Tensor) -> Tensor:
    """The sum of the absolute values of what an operation adds up, a batch norm's mean among it."""
    if isinstance(op, Standardise):
        (x,) = xs
        mean = op.grouped(x, x.shape[1:]).abs().mean(-2, keepdim=True) * op.middle
        return (x.abs() + _spread(mean, op, y)) * _spread(op.inverse(x), op, y)
    if isinstance(op, MatMul):
        left, right = op.read([x.abs() for x in xs])
        return op.views[2].written(left @ right, op.shapes[2])
    if not isinstance(op, LinearOp | Affine):
        return y.abs()
    held = {k: v.abs() for k, v in vars(op).items() if isinstance(v, Tensor)}
    if op.origin is not None and op.origin.centred:  # with these signs the terms of a batch norm all add
        *layer, mean, variance, weight, bias = (None if s is None else s.abs() for s in op.origin.sources)
        held = op.origin.function(*layer, None if mean is None else -mean, variance, weight, bias)
    op = replace(op, **held, origin=None)
    if isinstance(op, Affine):
        return op.forward(xs[0].abs())
    return op.forward(*(x.abs() for x in xs))


def _keeps_all(op: Op) -> bool:
    return isinstance(op, PassThrough) and not isinstance(op, Selection)


def _spread(values: Tensor, op: Standardise, y: Tensor) -> Tensor:
    """What a group has in common, at each of its units."""
    return values.expand_as(op.grouped(y, y.shape[1:])).reshape(y.shape)


def _channels(values: Tensor, y: Tensor) -> Tensor:
    return values.view((1, -1) + (1,) * (y.ndim - 2))
