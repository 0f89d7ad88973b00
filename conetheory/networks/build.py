"""From recorded calls to operations: each call is told in which order it finds the axes of its tensors."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import replace
from functools import partial
from itertools import chain, count
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.fx.node import map_arg

from conetheory.networks import layout as axes
from conetheory.networks.attend import attention, product_of_matrices, softmax
from conetheory.networks.calls import Call, RefusedError, Value, plain_kind
from conetheory.networks.convert import POINTWISE_CALLS, POINTWISE_MODULES, convert, reshape
from conetheory.networks.graph import Node
from conetheory.networks.index import BATCH, Batch, Index
from conetheory.networks.moves import Held, Layout, move, moves
from conetheory.networks.multiply import OVER, TIMES, Gate
from conetheory.networks.norms import RMS
from conetheory.networks.offset import Offset
from conetheory.networks.ops import Op, Shape
from conetheory.networks.rows import ROWS
from conetheory.networks.selection import Composed, Gathered, Selection

PLUS = frozenset(["add", "iadd"])
MINUS = frozenset(["sub", "isub", "subtract"])
CATS = frozenset(["cat", "concat", "concatenate"])


class Builder:
    """The operations made so far, and where each traced tensor is to be found.

    names: of the traced calls; gate: of products of two branches.
    """

    def __init__(self, traced: fx.GraphModule, names: Mapping[fx.Node, str], gate: Gate) -> None:
        self.traced, self.names = traced, names
        self.gate: Gate = gate
        self.nodes: dict[str, Node] = {}
        self.held: dict[fx.Node, Any] = {}  # a `Held`, or several of what is split
        self._settled: dict[tuple[str, Shape, bytes], str] = {}

    def add(self, item: fx.Node) -> None:
        """Make the operations of a call. Raises `RefusedError`."""
        self.held[item] = self._held(item)

    def target(self, item: fx.Node) -> Any:
        return self.traced.get_submodule(str(item.target)) if item.op == "call_module" else item.target

    def inputs(self, item: fx.Node) -> list[fx.Node]:
        """The calls that depend on the image and that this one takes, in their order."""
        return [n for n in item.all_input_nodes if n in self.held]

    def operands(self, item: fx.Node) -> list[fx.Node]:
        """The same, each as often as it is given."""
        found: list[fx.Node] = []
        map_arg((item.args, dict(item.kwargs)), lambda n: found.append(n) if n in self.held else None)
        return found

    # ------------------------------------------------------------ kinds of calls

    def _held(self, item: fx.Node) -> Any:
        target, kind = self.target(item), plain_kind(self.target(item))
        first = item.args[0] if item.args else None
        if kind == "getitem" and isinstance(first, fx.Node) and isinstance(self.held.get(first), list):
            return self._eager(self.held[first][item.args[1]], item)
        if moves(target):
            return self._moved(item)
        if kind in ("matmul", "bmm"):
            return product_of_matrices(self, item)
        if kind == "scaled_dot_product_attention":
            return attention(self, item)
        if kind in ("softmax", "_softmax", "Softmax"):
            return softmax(self, item)
        if kind in PLUS | MINUS and len(self.operands(item)) == 1:
            return self._offset(item)
        if kind in PLUS:
            return self._paired(item)
        if kind in TIMES | OVER:
            return self._paired(item) if len(self.operands(item)) == 2 else self._scaled(item)
        if kind in CATS:
            return self._joined(item)
        return self._computed(item)

    def _moved(self, item: fx.Node) -> Any:
        source = item.args[0] if item.args else item.kwargs.get("input")
        held = self.held.get(source) if isinstance(source, fx.Node) else None
        if not isinstance(held, Held):
            raise RefusedError(f"the operation {plain_kind(self.target(item))!r} of these tensors")
        args, kwargs = map_arg((item.args[1:], dict(item.kwargs)), lambda n: n.meta.get("value", n))
        found = move(held, self.target(item), args, kwargs, self.names[item])
        return found if "parts" in item.meta else self._eager(found[0], item)

    def _eager(self, held: Held, item: fx.Node) -> Held:
        """A vector, or a map of the locations that it comes from, is made where the model makes it."""
        held = replace(held, label=self.names[item])
        batch = held.batch
        sizes = axes.sizes_of(held, batch)
        a_map = len(sizes) == 3 and held.places.places(batch) != "mixed"
        if not batch.first or not (len(sizes) == 1 or a_map):
            return held
        value = self.take(held, batch, axes.plain(sizes))
        return Held(value.name, value.shape, held.like, weights=held.weights)

    def _computed(self, item: fx.Node) -> Held:
        """A call of one tensor, or of several that are all taken as they are."""
        target, kind = self.target(item), plain_kind(self.target(item))
        sources = self.inputs(item)
        if len(sources) != 1:
            return self._converted(item, {n: self._layout(n, axes.plain) for n in sources})
        held = self._one(sources[0], kind)
        if kind in POINTWISE_CALLS or isinstance(target, POINTWISE_MODULES):
            return self._elementwise(item, sources[0], held)
        long = len(held.model_shape) - 1 + held.batch.beside > 1
        if long and (kind in ("linear", "Linear") or _norm_of_the_last(target, item)):
            return self._on_tokens(item, sources[0], held)
        if kind == "mean" and held.batch.first and long and _but_the_last(item, len(held.model_shape)):
            return self._on_tokens(item, sources[0], held)
        if kind in ROWS and len(held.model_shape) == 3:
            return self._converted(item, {sources[0]: self._layout(sources[0], axes.row)}, axes.row)
        return self._converted(item, {sources[0]: self._layout(sources[0], axes.plain)})

    def _converted(
        self, item: fx.Node, values: Mapping[fx.Node, Value], after: Any = axes.plain, last: bool = False
    ) -> Held:
        """What `convert` makes of a call, whose result has its images in front."""
        if tuple(item.meta["shape"][:1]) != (BATCH,):
            raise RefusedError(f"the operation {plain_kind(self.target(item))!r} that changes the batch axis")
        layout: Layout = after(tuple(item.meta["shape"][1:]))
        name = self.emit(item, values, layout.shape, last)
        return axes.held_by(layout, Batch(), name, item.meta["like"])

    def _elementwise(self, item: fx.Node, source: fx.Node, held: Held) -> Held:
        """On the graph's tensor, in whatever order it is."""
        value, held = self.near(held)
        return replace(held, name=self.emit(item, {source: value}, value.shape))

    def _on_tokens(self, item: fx.Node, source: fx.Node, held: Held) -> Held:
        """A dense layer, a norm or a mean that takes the vector on the model's last axis of each location."""
        batch = held.batch
        if batch.axis == len(held.model_shape) - 1:
            raise RefusedError(f"{plain_kind(self.target(item))!r} across images")
        sizes = axes.sizes_of(held, batch)
        layout = axes.tokens(sizes)
        own = sizes[-1] == held.shape[0] and len(held.shape) == 3
        if own and axes.arranged(held.places, batch, layout).same:
            layout = axes.tokens(sizes, held.shape[1:])
        value = self.take(held, batch, layout)
        out = axes.front_of(item.meta["shape"], batch)[1:]
        if len(out) < len(sizes):
            return self._converted(item, {source: value}, last=True)
        after = axes.tokens(out, layout.shape[1:])
        return axes.held_by(after, batch, self.emit(item, {source: value}, after.shape, True), held.like)

    def _offset(self, item: fx.Node) -> Held:
        """A tensor plus or minus a constant."""
        (source,) = self.inputs(item)
        call = self.call(item, {source: Value("", (), item.meta["like"])})
        left, right = call.get(0, "input"), call.get(1, "other")
        ours, constant = (left, right) if isinstance(left, Value) else (right, left)
        minus = call.kind.rstrip("_") in MINUS
        if call.kwargs.get("alpha", 1) != 1:
            raise RefusedError(f"{call.kind!r} with alpha")
        if minus and ours is right:
            raise RefusedError(f"the operation {call.kind!r} from a constant")
        if isinstance(constant, int | float) and constant == 0:
            return self._elementwise(item, source, self._one(source, call.kind))
        held = self._one(source, call.kind)
        if tuple(item.meta["shape"]) != held.model_shape:
            raise RefusedError(f"{call.kind!r} of a constant of a larger shape")
        value, held = self.near(held)
        shift = self.constant(constant, held)
        return replace(
            held, name=self.made(item, Offset(bias=-shift if minus else shift), [value.name], value.shape)
        )

    def _scaled(self, item: fx.Node) -> Held:
        """A tensor times a constant, or over one."""
        (source,) = self.inputs(item)
        held = self._one(source, plain_kind(self.target(item)))
        call = self.call(item, {source: source})
        constants = [a for a in (*call.args, *call.kwargs.values()) if a is not source]
        constant = next((c for c in constants if isinstance(c, Tensor) and c.numel() > 1), None)
        value, held = self.near(held)
        replaced: dict[Any, Any] = {source: value}
        if constant is not None and tuple(item.meta["shape"]) == held.model_shape:
            full = self.constant(constant, held)
            factor = full.flatten(1)[:, :1]
            if not bool((full.flatten(1) == factor).all()):
                raise RefusedError(
                    f"{plain_kind(self.target(item))!r} by a constant of shape {tuple(constant.shape)},"
                    " not one number or one a channel"
                )
            factor = factor.view(-1, *(1 for _ in value.shape[1:]))
            replaced |= {n: factor for n in item.all_input_nodes if n is not source}
        elif constant is not None:
            raise RefusedError(f"{plain_kind(self.target(item))!r} by a constant of a larger shape")
        return replace(held, name=self.emit(item, replaced, value.shape))

    def _paired(self, item: fx.Node) -> Held:
        """Two branches, the second in the order of the first; of different shapes both as they are."""
        kind = plain_kind(self.target(item))
        operands = self.operands(item)
        left, right = (self._one(n, kind) for n in operands)
        plain = left.index is None and right.index is None
        if plain or left.model_shape != right.model_shape:
            return self._converted(item, {n: self._layout(n, axes.plain) for n in self.inputs(item)})
        a, held = self.near(left)
        b = self.beside(right, held)
        values = dict(zip(operands, (a, b), strict=True))
        return replace(held, name=self.emit(item, values, a.shape), weights=False)

    def _joined(self, item: fx.Node) -> Held:
        """Tensors one behind the other, along channels, or one of them among constants."""
        call = self.call(item, {n: Value(n.name, (), item.meta["like"]) for n in self.inputs(item)})
        tensors, rank = call.get(0, "tensors"), len(item.meta["shape"])
        axis = call.get(1, "dim", call.kwargs.get("axis", 0)) % rank
        if any(not isinstance(t, Value) for t in tensors):
            return self._among_constants(item, tensors, axis)
        sources = self.inputs(item)
        if axis == rank - 1 and rank > 2 and any(self._one(n, "cat").index is not None for n in sources):
            helds = [self._one(n, "cat") for n in sources]
            batches = [h.batch for h in helds]
            layouts = [axes.tokens(axes.sizes_of(h, b)) for h, b in zip(helds, batches, strict=True)]
            values = [self.take(h, b, at) for h, b, at in zip(helds, batches, layouts, strict=True)]
            out = axes.tokens(axes.front_of(item.meta["shape"], batches[0])[1:])
            name = self.emit(item, dict(zip(sources, values, strict=True)), out.shape, True)
            return axes.held_by(out, batches[0], name, item.meta["like"])
        return self._converted(item, {n: self._layout(n, axes.plain) for n in sources})

    def _among_constants(self, item: fx.Node, tensors: Any, axis: int) -> Held:
        """`cat([constant, x])`: x among zeros, and the constants where those are."""
        sources = self.inputs(item)
        if len(sources) != 1 or sum(isinstance(t, Value) for t in tensors) != 1:
            raise RefusedError("'cat' of constants and several tensors")
        held = self._one(sources[0], "cat")
        like = item.meta["like"]
        zeros = [
            held.places.t if isinstance(t, Value) else torch.zeros(t.shape, dtype=torch.long) for t in tensors
        ]
        filled = [
            torch.zeros(held.model_shape).to(like) if isinstance(t, Value) else t.to(like) for t in tensors
        ]
        label = f"{self.names[item]}.among"
        wider = Held(held.name, held.shape, like, Index(torch.cat(zeros, axis), held.shape), None, label)
        value, wider = self.near(wider)
        shift = self.constant(torch.cat(filled, axis), wider)
        return replace(wider, name=self.made(item, Offset(bias=shift), [value.name], value.shape))

    # ------------------------------------------------------------ tensors in an order

    def _one(self, item: fx.Node, kind: str) -> Held:
        held = self.held[item]
        if not isinstance(held, Held):
            raise RefusedError(f"the operation {kind!r} of several tensors at once")
        return held

    def _layout(self, item: fx.Node, order: Any) -> Value:
        held = self._one(item, str(item))
        if held.index is None and order is axes.plain:
            return Value(held.name, held.shape, held.like)
        if not held.batch.first:
            raise RefusedError("what does not have its images in front")
        return self.take(held, held.batch, order(axes.sizes_of(held, held.batch)))

    def plain(self, item: fx.Node) -> str:
        """The name of a call's tensor in the model's own order."""
        return self._layout(item, axes.plain).name

    def near(self, held: Held) -> tuple[Value, Held]:
        """The graph's tensor itself, where the model's is all of it; else with its channels in front."""
        if held.whole and (held.index is None or len(held.model_shape) > 2):
            return Value(held.name, held.shape, held.like), held
        batch = held.batch
        layout = axes.divided(axes.sizes_of(held, batch), axes.own_channels(held, batch))
        value = self.take(held, batch, layout)
        return value, axes.held_by(layout, batch, value.name, held.like, held.weights)

    def beside(self, held: Held, other: Held) -> Value:
        """A tensor in the order that another of the model's shape has."""
        places, theirs = held.places, other.places

        def make() -> Index:
            wanted = torch.zeros_like(theirs.t).flatten()
            wanted[theirs.t.flatten() - 1] = places.t.flatten()
            return Index(wanted.view(BATCH, *other.shape), places.shape)

        return self._settle(held, places.once(("beside", theirs), make), None)

    def take(self, held: Held, batch: Batch, layout: Layout) -> Value:
        """A tensor of the graph in this layout, made where there is none."""
        wanted = axes.arranged(held.places, batch, layout)
        last = (partial(layout.view.written, shape=layout.shape),) if batch.first else None
        steps = None if held.steps is None or last is None else (*held.steps, *last)
        return self._settle(held, wanted, None if steps is None else Composed(steps))

    def _settle(self, held: Held, wanted: Index, function: Composed | None) -> Value:
        shape = tuple(wanted.t.shape[1:])
        if wanted.same and shape == held.shape:
            return Value(held.name, shape, held.like)
        key = (held.name, shape, wanted.digest)
        if key not in self._settled:
            op: Op = reshape(shape)
            if not wanted.same:
                op = Selection(function or Gathered(wanted.t[0]), places=wanted.places(Batch()))
            name = free(held.label or f"{held.name}.axes", {*self.nodes, *self.names.values()} - {held.label})
            self._settled[key] = self.made(name, op, [held.name], shape)
        return Value(self._settled[key], shape, held.like)

    def constant(self, value: Any, held: Held) -> Tensor:
        """What is broadcast to a tensor of the model's, in the order of the graph's, of one image."""
        value = value if isinstance(value, Tensor) else torch.tensor(value, dtype=torch.float64)
        value = value.to(held.like)
        full = torch.broadcast_to(value, held.model_shape)
        found = torch.zeros(full.numel(), dtype=full.dtype, device=full.device)
        found[held.places.t.flatten().to(full.device) - 1] = full.flatten()
        found = found.view(BATCH, *held.shape)
        if not found.is_meta and not torch.equal(found[0], found[1]):  # without numbers nothing differs
            raise RefusedError("a constant that differs between images")
        return found[0].clone()

    # ------------------------------------------------------------ operations

    def call(self, item: fx.Node, values: Mapping[Any, Any], shape: Shape = (), last: bool = False) -> Call:
        args, kwargs = map_arg(
            (item.args, dict(item.kwargs)), lambda n: values[n] if n in values else n.meta.get("value", n)
        )
        return Call(self.target(item), args, kwargs, shape, last)

    def emit(self, item: fx.Node, values: Mapping[Any, Any], shape: Shape, last: bool = False) -> str:
        """The operations that `convert` makes of a call, the last named after it; its name."""
        ops, inputs = convert(self.call(item, values, shape, last), self.gate)
        sources, name = [value.name for value in inputs], self.names[item]
        for op in ops[:-1]:
            inner = free(f"{name}.{type(op).__name__.lower()}", {*self.nodes, *self.names.values()})
            sources = [self.made(inner, op, sources, shape)]
        return self.made(name, ops[-1], sources, shape)

    def made(self, name: str | fx.Node, op: Op, inputs: list[str], shape: Shape) -> str:
        """One operation, its name given or that of a call."""
        name = self.names[name] if isinstance(name, fx.Node) else name
        name = free(name, self.nodes)
        self.nodes[name] = Node(name, op, tuple(inputs), shape)
        return name


def _norm_of_the_last(target: Any, item: fx.Node) -> bool:
    """Whether a layer norm is over the last axis alone."""
    if isinstance(target, (nn.LayerNorm, *RMS)):
        over: Any = target.normalized_shape
        return len(over) == 1
    over = item.args[1] if len(item.args) > 1 else item.kwargs.get("normalized_shape")
    return (
        plain_kind(target) in ("layer_norm", "rms_norm") and isinstance(over, tuple | list) and len(over) == 1
    )


def _but_the_last(item: fx.Node, rank: int) -> bool:
    """Whether a mean is over all axes but those of the images and of the channels behind."""
    over = item.args[1] if len(item.args) > 1 else item.kwargs.get("dim")
    over = over if isinstance(over, tuple | list) else (over,)
    known = [d for d in over if isinstance(d, int)]
    return len(known) == len(over) and {d % rank for d in known} == set(range(1, rank - 1))


def free(name: str, taken: Container[str]) -> str:
    """The name, or the first of `name_1`, `name_2`, ... that is not taken."""
    return next(n for n in chain([name], (f"{name}_{k}" for k in count(1))) if n not in taken)
