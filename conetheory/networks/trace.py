"""From any `nn.Module` to a `Graph` through `torch.fx`: one operation per call, batch norms folded."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, fx, nn
from torchvision.models.feature_extraction import NodePathTracer

from conetheory.errors import InputError, UnsupportedLayerError, one_line
from conetheory.networks.convert import Call, RefusedError, convert, identity, shape
from conetheory.networks.graph import INPUT, Graph, Node
from conetheory.networks.ops import Affine, Conv2d, Linear, PassThrough, Shape

BATCH = 2  # of the example input: with 1, a reshape that mixes images would go unnoticed
# a wrong operation changes the outputs by their own size, rounding by some 1e3 eps of it
CHECK_TOLERANCE = 1e5


def trace(model: nn.Module, input_shape: Shape = (3, 224, 224)) -> Graph:
    """Trace a feed-forward classification network.

    `input_shape` is `(channels, height, width)`, or `(features,)`. The graph computes what `model.eval()`
    computes, which is checked on one example; it shares the parameters with the model, whose mode is left
    as it was. A batch norm is folded into a convolution or linear layer that feeds nothing else.

    Raises `UnsupportedLayerError`, naming the layer and its operation, where a layer has no rule and where
    `torch.fx` can't follow the model, and `InputError` where the model can't take such an input.
    """
    input_shape = _checked_shape(input_shape)
    name = type(model).__name__
    with _evaluating(model), torch.no_grad():
        tracer = NodePathTracer()
        try:
            traced = fx.GraphModule(model, tracer.trace(model, concrete_args=_defaults(model)))
        except Exception as error:  # the model's own code runs here and may raise anything
            raise UnsupportedLayerError(f"{name} can't be traced with torch.fx: {one_line(error)}") from error
        _refuse_second_input(traced)
        names = _names(traced, tracer.node_to_qualname)
        example = _example(model, input_shape)
        recorder = _Recorder(traced, names, f"{name} can't take an input of shape {input_shape}")
        recorder.run(example.clone(), enable_io_processing=False)
        graph = _build(traced, names, input_shape)
        _check(graph, model, example)
    return graph


class _Recorder(fx.Interpreter):
    """Runs the traced calls and notes in `meta` what each gave.

    `shape` for a tensor that depends on the image, `value` for anything else (sizes, parameters), and
    `changed`, the live tensors that the call overwrote in place.
    """

    def __init__(self, traced: fx.GraphModule, names: dict[fx.Node, str], failure: str) -> None:
        super().__init__(traced)
        self.names, self.failure = names, failure
        self.extra_traceback = False  # it would be appended to the messages

    def run_node(self, item: fx.Node) -> Any:
        versions = {n: v._version for n, v in self.env.items() if isinstance(v, Tensor)}
        try:
            result = super().run_node(item)
        except Exception as error:  # any call of the model may fail in its own way
            raise InputError(f"{self.failure}: layer {self.names[item]!r}: {one_line(error)}") from error
        item.meta["changed"] = [n for n, version in versions.items() if self.env[n]._version != version]
        depends = item.op == "placeholder" or any("shape" in n.meta for n in item.all_input_nodes)
        if isinstance(result, Tensor) and depends:
            item.meta["shape"] = tuple(result.shape)
            item.meta["same"] = [n for n in item.meta["changed"] if _same_place(self.env[n], result)]
        elif item.op != "output":
            item.meta["value"] = result
        return result


def _same_place(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors, known to share storage, are the same part of it."""
    return a.shape == b.shape and a.stride() == b.stride() and a.storage_offset() == b.storage_offset()


def _build(traced: fx.GraphModule, names: dict[fx.Node, str], input_shape: Shape) -> Graph:
    nodes: dict[str, Node] = {}
    tensor: dict[fx.Node, str] = {}  # where the tensor of a traced call is to be found now
    live = _live(traced)
    for item in traced.graph.nodes:
        if item.op == "placeholder":
            tensor.setdefault(item, INPUT)
        if item.op in ("placeholder", "output") or item not in live:
            continue
        if "shape" not in item.meta:
            _refuse_side_effects(item, names[item])
            continue
        nodes[names[item]] = _node(item, traced, names[item], tensor)
        tensor |= dict.fromkeys([item, *item.meta["same"]], names[item])
        _refuse_stale(item, names[item])
    (output,) = next(item for item in traced.graph.nodes if item.op == "output").args
    if not isinstance(output, fx.Node) or "shape" not in output.meta:
        raise UnsupportedLayerError("the network's output is not one tensor of logits")
    if tensor[output] == INPUT:
        raise UnsupportedLayerError("the network gives its input back unchanged")
    return Graph(_fold(nodes), input_shape, tensor[output])


def _node(item: fx.Node, traced: fx.GraphModule, name: str, tensor: dict[fx.Node, str]) -> Node:
    target = traced.get_submodule(str(item.target)) if item.op == "call_module" else item.target
    args, kwargs = fx.node.map_arg((item.args, item.kwargs), lambda n: n.meta.get("value", n))
    call = Call(target, args, kwargs, shape(item))
    try:
        op, inputs = convert(call)
    except RefusedError as reason:
        raise UnsupportedLayerError(f"layer {name!r}: no relevance rule for {reason}") from reason
    if item.meta["shape"][:1] != (BATCH,):
        raise UnsupportedLayerError(f"layer {name!r}: the operation {call.kind!r} changes the batch axis")
    return Node(name, op, tuple(tensor[i] for i in inputs), call.shape)


def _live(traced: fx.GraphModule) -> set[fx.Node]:
    """The calls that the output depends on, also through tensors overwritten in place."""
    live: set[fx.Node] = set()
    for item in reversed(traced.graph.nodes):
        if item.op == "output" or item in live or live.intersection(item.meta["changed"]):
            live.update([item, *item.all_input_nodes])
    return live


def _refuse_side_effects(item: fx.Node, name: str) -> None:
    """Several tensors at once, or a change that gives no tensor, such as `x[0] = y`."""
    parts = item.meta["value"] if isinstance(item.meta["value"], tuple | list) else ()
    if item.meta["changed"] or any(isinstance(part, Tensor) for part in parts):
        kind = getattr(item.target, "__name__", str(item.target))
        raise UnsupportedLayerError(f"layer {name!r}: no relevance rule for the operation {kind!r}")


def _refuse_stale(item: fx.Node, name: str) -> None:
    """A tensor that shares memory with the one overwritten here, and that is read again later."""
    for other in set(item.meta["changed"]) - set(item.meta["same"]):
        if any(user > item for user in other.users):
            raise UnsupportedLayerError(
                f"layer {name!r}: it overwrites in place a part of {other.name!r}, which is used again later"
            )


def _fold(nodes: dict[str, Node]) -> dict[str, Node]:
    """Fold each batch norm into the convolution or linear layer that feeds it alone."""
    uses = [name for node in nodes.values() for name in node.inputs]
    folded: dict[str, Node] = {}
    for node in nodes.values():
        source = folded.get(node.inputs[0])
        if (
            source is not None
            and isinstance(node.op, Affine)
            and isinstance(source.op, Conv2d | Linear)
            and uses.count(source.name) == 1
        ):
            folded[source.name] = replace(source, op=_scaled(source.op, node.op))
            folded[node.name] = replace(node, op=PassThrough(identity, "folded"))
        else:
            folded[node.name] = node
    return folded


def _scaled(op: Conv2d | Linear, norm: Affine) -> Conv2d | Linear:
    """`norm` after `op`, as one operation."""
    weight = op.weight * norm.scale.view((-1,) + (1,) * (op.weight.ndim - 1))
    bias = norm.shift if op.bias is None else op.bias * norm.scale + norm.shift
    return replace(op, weight=weight, bias=bias)


def _check(graph: Graph, model: nn.Module, example: Tensor) -> None:
    """Compare the graph's outputs with the model's own: fx sees no hooks, nor that `x += y` changes `x`."""
    if example.is_meta:
        return
    expected = model(example.clone())
    if not torch.isfinite(expected).all():
        return  # nothing to compare, and an overflow is no fault of the trace
    error = (graph.forward(example) - expected).abs().max()
    if not error <= CHECK_TOLERANCE * torch.finfo(expected.dtype).eps * expected.abs().max():
        raise UnsupportedLayerError(
            f"the operations that torch.fx finds in {type(model).__name__} don't give its outputs"
        )


def _checked_shape(shape: Any) -> Shape:
    sizes = tuple(shape) if isinstance(shape, tuple | list | torch.Size) else (shape,)
    if not sizes or not all(isinstance(n, int) and n > 0 for n in sizes):
        raise InputError(f"an input shape is (channels, height, width), not {shape!r}")
    return sizes


def _example(model: nn.Module, input_shape: Shape) -> Tensor:
    parameter = next(model.parameters(), torch.zeros(()))
    if parameter.is_meta:
        return torch.zeros((BATCH, *input_shape), dtype=parameter.dtype, device="meta")
    values = torch.randn((BATCH, *input_shape), generator=torch.Generator().manual_seed(0))
    return values.to(parameter.device, parameter.dtype)


def _names(traced: fx.GraphModule, found: dict[fx.Node, str]) -> dict[fx.Node, str]:
    """A name for each call, each used once, none of them that of the input."""
    names: dict[fx.Node, str] = {}
    taken = {INPUT}
    for item in traced.graph.nodes:
        base = name = found.get(item, item.name)
        count = 0
        while name in taken and item.op != "placeholder":
            name = f"{base}_{(count := count + 1)}"
        names[item] = name
        taken.add(name)
    return names


def _defaults(model: nn.Module) -> dict[str, Any]:
    """The arguments of `forward` after the first that have defaults; tracing takes these as they are."""
    _, *rest = inspect.signature(model.forward).parameters.values() or [None]
    return {p.name: p.default for p in rest if p.default is not inspect.Parameter.empty}


def _refuse_second_input(traced: fx.GraphModule) -> None:
    _, *rest = [item for item in traced.graph.nodes if item.op == "placeholder"] or [None]
    for item in rest:
        optional = bool(item.args) or str(item.target).startswith("*")
        if not optional:
            raise UnsupportedLayerError(
                f"the network takes a second input, {item.name!r}; only one is supported"
            )


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode inside, afterwards the modes that the modules had."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training
