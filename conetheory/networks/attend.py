"""Products of matrices and softmax, found in a model's calls; attention that is one call is taken apart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Protocol

import torch
from torch import Tensor, fx

from conetheory.networks import layout as axes
from conetheory.networks.attention import MatMul, Softmax, View
from conetheory.networks.calls import Call, RefusedError, Value, plain_kind
from conetheory.networks.index import Batch, Index
from conetheory.networks.moves import Held, Layout, moves
from conetheory.networks.multiply import Gate
from conetheory.networks.offset import Offset
from conetheory.networks.ops import Affine, Op, Shape

CARRY = frozenset(
    ["add", "iadd", "sub", "mul", "imul", "div", "truediv", "masked_fill", "dropout", "float", "to"]
)


class Building(Protocol):
    """What is asked of a `build.Builder`."""

    names: Mapping[fx.Node, str]
    gate: Gate
    held: dict[fx.Node, Any]

    def target(self, item: fx.Node) -> Any: ...

    def inputs(self, item: fx.Node) -> list[fx.Node]: ...

    def call(self, item: fx.Node, values: Mapping[Any, Any]) -> Call: ...

    def take(self, held: Held, batch: Batch, layout: Layout) -> Value: ...

    def constant(self, value: Any, held: Held) -> Tensor: ...

    def made(self, name: str | fx.Node, op: Op, inputs: list[str], shape: Shape) -> str: ...


def product_of_matrices(build: Building, item: fx.Node) -> Held:
    """`left @ right` of two branches; the weights of attention, or what the caller says, are the gate."""
    sources = build.inputs(item)
    if len(sources) != 2 or len(item.args) < 2 or tuple(item.args[:2]) != tuple(sources):
        raise RefusedError("'matmul' with a constant, or of a tensor with itself")
    left, right = (build.held[n] for n in sources)
    return _product(build, item, left, right, _gate(build, item, left, right))


def attention(build: Building, item: fx.Node) -> Held:
    """`softmax(scale q k^T + mask) v`, operation by operation."""
    call = build.call(item, {})
    q, k, v = (_of_image(build, item, i, name) for i, name in enumerate(("query", "key", "value")))
    mask, causal, scale = call.get(3, "attn_mask"), call.get(5, "is_causal", False), call.kwargs.get("scale")
    if call.kwargs.get("enable_gqa", False):
        raise RefusedError("attention whose queries share keys")
    name, size = build.names[item], q.model_shape[-1]
    keys = replace(k, index=_transposed(k.places), steps=None if k.steps is None else (*k.steps, _turned))
    scores = _product(build, f"{name}.scores", q, keys, 0)
    like = scores.like
    factor = torch.full((scores.shape[0],), size**-0.5 if scale is None else scale, dtype=torch.float64).to(
        like
    )
    scaled = Affine(factor, torch.zeros_like(factor), fixed=True)
    scores = replace(scores, name=build.made(f"{name}.scaled", scaled, [scores.name], scores.shape))
    if causal:
        mask = torch.ones(scores.model_shape[-2:], dtype=torch.bool).tril()
    if mask is not None:
        shift = build.constant(_as_offset(mask, like), scores)
        scores = replace(
            scores, name=build.made(f"{name}.masked", Offset(bias=shift), [scores.name], scores.shape)
        )
    weights = _softmax(build, f"{name}.weights", scores, -1)
    return _product(build, item, weights, v, 0)


def _of_image(build: Building, item: fx.Node, position: int, name: str) -> Held:
    given = item.args[position] if position < len(item.args) else item.kwargs.get(name)
    held = build.held.get(given) if isinstance(given, fx.Node) else None
    if not isinstance(held, Held):
        raise RefusedError("attention with a query, key or value that does not depend on the image")
    return held


def softmax(build: Building, item: fx.Node) -> Held:
    """Over one axis of the model's, whichever it is here."""
    (source,) = build.inputs(item)
    axis = getattr(build.target(item), "dim", None)
    if item.op != "call_module":
        axis = item.args[1] if len(item.args) > 1 else item.kwargs.get("dim")
    if not isinstance(axis, int):
        raise RefusedError("'softmax' over an axis that is not said")
    return _softmax(build, item, build.held[source], axis)


def _softmax(build: Building, name: str | fx.Node, held: Held, axis: int) -> Held:
    batch = held.batch
    sizes = axes.sizes_of(held, batch)
    at = _axis_in_front(batch, axis % len(held.model_shape))
    layout = axes.divided(sizes, axes.own_channels(held, batch))
    value = build.take(held, batch, layout)
    order = [i for i in range(len(sizes)) if i != at] + [at]
    view = View(layout.view.sizes, tuple(layout.view.order[i] for i in order))
    made = build.made(name, Softmax(view), [value.name], layout.shape)
    return axes.held_by(layout, batch, made, held.like, weights=True)


def _axis_in_front(batch: Batch, axis: int) -> int:
    """The number that an axis of the model's has where images are in front, and left out."""
    if axis == batch.axis:
        raise RefusedError("'softmax' across images")
    return axis - 1 + batch.beside if axis > batch.axis else axis


def _product(build: Building, name: str | fx.Node, left: Held, right: Held, gate: int) -> Held:
    helds, batch = (left, right), left.batch
    other = right.batch
    ranks = [len(h.model_shape) for h in helds]
    if batch != other or ranks[0] != ranks[1]:
        raise RefusedError(f"'matmul' of tensors of shapes {left.model_shape} and {right.model_shape}")
    if batch.axis >= ranks[0] - 2:
        raise RefusedError("'matmul' across images")
    sizes = [axes.sizes_of(h, batch) for h in helds]
    if sizes[0][:-2] != sizes[1][:-2]:
        raise RefusedError(f"'matmul' of tensors of shapes {left.model_shape} and {right.model_shape}")
    owns = [axes.own_channels(h, batch) for h in helds]
    layouts = [axes.divided(s, own) for s, own in zip(sizes, owns, strict=True)]
    values = [build.take(h, batch, at) for h, at in zip(helds, layouts, strict=True)]
    shared = [a or b for a, b in zip(owns[0][:-2], owns[1][:-2], strict=True)]
    out = axes.divided((*sizes[0][:-1], sizes[1][-1]), [*shared, owns[0][-2], owns[1][-1]])
    views = (layouts[0].view, layouts[1].view, out.view)
    shapes: tuple[Shape, Shape, Shape] = (layouts[0].shape, layouts[1].shape, out.shape)
    made = build.made(name, MatMul(gate, views, shapes), [v.name for v in values], out.shape)
    return axes.held_by(out, batch, made, left.like)


def _gate(build: Building, item: fx.Node, left: Held, right: Held) -> int:
    """The weights of attention; of scores the first, to which nothing comes down through constant weights."""
    if left.weights != right.weights:
        return 0 if left.weights else 1
    if build.gate != "smaller":
        return 0 if build.gate == "left" else 1
    if _becomes_weights(build, item):
        return 0
    raise RefusedError(
        f"{plain_kind(build.target(item))!r} of two branches, neither of them the weights of attention:"
        " trace(model, shape, gate='left') or 'right' says which is the gate"
    )


def _becomes_weights(build: Building, item: fx.Node) -> bool:
    """Whether all that is made of a product goes into a softmax, scaled, masked or moved."""
    for user in item.users:
        kind = plain_kind(build.target(user))
        if kind in ("softmax", "_softmax", "Softmax"):
            continue
        if not (moves(build.target(user)) or kind in CARRY) or not _becomes_weights(build, user):
            return False
    return bool(item.users)


def _as_offset(mask: Any, like: Tensor) -> Tensor:
    if mask.dtype == torch.bool:
        return torch.zeros(mask.shape, dtype=like.dtype).masked_fill(~mask, -torch.inf)
    return mask


def _transposed(index: Index) -> Index:
    return index.once("transposed", lambda: Index(index.t.mT, index.shape))


def _turned(x: Tensor) -> Tensor:
    return x.mT
