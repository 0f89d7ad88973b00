"""A model in float64 for a while, and which of an operation's parameters are the model's own.

What is computed from parameters (a folded batch norm, the weight of a weight norm, `weight.abs()` in a
forward) is only as exact as the parameters were when it was computed. So a model is traced and checked with
its parameters promoted, in place, since not every model can be copied; afterwards they are as before.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from conetheory.networks.graph import Graph
from conetheory.networks.ops import Derived, Op

Originals = Mapping[int, Tensor]


@contextmanager
def promoted(model: nn.Module, dtype: torch.dtype | None = torch.float64) -> Iterator[Originals]:
    """The parameters, buffers and other tensors of all modules in `dtype` (None: as they are).

    Yields the tensors that the model had, by the `id` of those in their place. Whatever a forward pass sets
    in between, a counter or a cache, is undone.
    """
    holders: list[dict[str, Any]] = [h for m in model.modules() for h in (m._parameters, m._buffers, vars(m))]
    before = [{k: v for k, v in held.items() if isinstance(v, Tensor)} for held in holders]
    wide: dict[int, Tensor] = {}  # a tensor that several modules share stays one
    for held, tensors in zip(holders, before, strict=True):
        for key, tensor in tensors.items():
            held[key] = wide.setdefault(id(tensor), _promoted(tensor, dtype))
    originals = {id(wide[id(t)]): t for tensors in before for t in tensors.values()}
    try:
        yield originals
    finally:
        for held, tensors in zip(holders, before, strict=True):
            for key in [k for k, v in held.items() if isinstance(v, Tensor) and k not in tensors]:
                del held[key]
            held.update(tensors)


def _promoted(tensor: Tensor, dtype: torch.dtype | None) -> Tensor:
    if dtype is None or not tensor.is_floating_point() or tensor.dtype == dtype:
        return tensor
    wide = tensor.detach().to(dtype)
    return nn.Parameter(wide, requires_grad=False) if isinstance(tensor, nn.Parameter) else wide


def lowered(graph: Graph, originals: Originals, dtype: torch.dtype) -> Graph:
    """A graph traced while `promoted`, with the model's own parameters where it uses them as they are.

    The others are rounded to `dtype` and keep where they come from (`ops.Derived`).
    """
    nodes = {name: replace(n, op=_lowered(n.op, originals, dtype)) for name, n in graph.nodes.items()}
    return replace(graph, nodes=nodes)


def _lowered(op: Op, originals: Originals, dtype: torch.dtype) -> Op:
    held = {k: v for k, v in vars(op).items() if isinstance(v, Tensor)}
    if not held:
        return op
    if op.origin is not None:
        origin = op.origin
    elif all(id(v) in originals for v in held.values()):
        return replace(op, **{k: originals[id(v)].detach() for k, v in held.items()})
    else:
        origin = Derived(_Named(tuple(held)), tuple(held.values()), held)
    made = {k: v.detach().to(dtype) for k, v in held.items()}
    kept = tuple(None if s is None else originals.get(id(s), s).detach() for s in origin.sources)
    return replace(op, **made, origin=replace(origin, sources=kept, made=made))


class _Named:
    """Tensors by their names: what is derived is already there, in float64."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = names

    def __call__(self, *tensors: Tensor) -> dict[str, Tensor]:
        return dict(zip(self.names, tensors, strict=True))
