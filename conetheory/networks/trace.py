"""From any `nn.Module` to a `Graph` through `torch.fx`: one operation per call, batch norms folded."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from numbers import Integral
from typing import Any, cast, get_args

import torch
from torch import Tensor, fx, nn

from conetheory.errors import InputError, UnsupportedLayerError, one_line
from conetheory.networks.blocks import taken_apart
from conetheory.networks.build import Builder, free
from conetheory.networks.calls import RefusedError, kind
from conetheory.networks.convert import identity, reshape
from conetheory.networks.exported import exported
from conetheory.networks.graph import INPUT, Graph, Node
from conetheory.networks.hidden import refuse_hidden
from conetheory.networks.index import BATCH
from conetheory.networks.moves import Held
from conetheory.networks.multiply import Gate
from conetheory.networks.ops import Affine, Conv2d, Derived, Linear, PassThrough, Shape
from conetheory.networks.promote import lowered, promoted
from conetheory.networks.record import Recorder
from conetheory.networks.verify import examples, verify

WRAP = "give a module that ends below it (a trunk), or that does the same by operations with rules"
PLAIN = "give a module around those of its modules that are to be explained, called one after the other"
ONE = "give a module around it whose forward takes the image and fills in the other"
COUNTED = re.compile(r"_\d+$")  # torch.fx counts calls of one name over the whole network


def trace(model: nn.Module, input_shape: Shape = (3, 224, 224), *, gate: Gate = "smaller") -> Graph:
    """Trace a feed-forward network.

    A classifier that ends in `(N, C, 1, 1)` has the logits `(N, C)`, and one that ends in `(N,)` one output,
    `(N, 1)`; a feature map `(N, C, H, W)` is the end of a trunk, which has no classes (see `Graph`). The
    graph computes what `model.eval()` computes, which is checked on three inputs, output by output, in
    float64 whatever the dtype of the model (a model that only runs in its own dtype is checked in that). It
    shares the parameters with the model, which is left as it was, mode and all. A batch norm is folded into a
    convolution or linear layer that feeds nothing else; parameters that are computed from others, such as
    folded ones and those of weight norms, are computed in float64 and rounded once.

    A trace is the operations of the forward pass: `torch.no_grad()` and `detach()` inside a forward leave
    none, and relevance (the gradient too) passes them. Forward hooks, and a `forward` that was put in the
    place of a class's own, would be dropped: they are refused.

    Parameters
    ----------
    model
        left as it was, mode and all.
    input_shape
        `(channels, height, width)`, or `(features,)`.
    gate
        of a product of two branches, the one that rules of relevance take as a constant: `smaller`, the one
        of fewer elements, as in squeeze-and-excitation; `left` or `right` where both have one shape, which
        are refused otherwise. Of a product of matrices it is what a softmax gave, the weights of attention;
        where neither is, `left` or `right`.

    Returns
    -------
    Graph
        what `model.eval()` computes.

    Raises
    ------
    UnsupportedLayerError
        naming the layer and its operation, where a layer has no rule, and where `torch.fx` can't follow
        the model or would drop a part of it.
    InputError
        where the model can't take such an input, and for an unknown gate.
    """
    if gate not in get_args(Gate):
        raise InputError(f"the gate of a product is {', '.join(get_args(Gate))}, not {gate!r}")
    input_shape = _checked_shape(input_shape)
    with _evaluating(model), torch.no_grad():
        refuse_hidden(model)
        try:
            return _traced(model, input_shape, torch.float64, gate)
        except (InputError, RuntimeError):
            if _dtype(model) == torch.float64:
                raise
        return _traced(model, input_shape, None, gate)  # tensors that no module holds don't follow its dtype


def _traced(model: nn.Module, input_shape: Shape, dtype: torch.dtype | None, gate: Gate) -> Graph:
    """The graph as it is found and checked with the model's tensors in a dtype (None: their own)."""
    name, own = type(model).__name__, _dtype(model)
    with promoted(model, dtype) as originals:
        batch = examples(input_shape, dtype or own, _device(model))
        traced, names = _calls(model, batch[:BATCH])
        failure = f"{name} can't take an input of shape {input_shape}"
        Recorder(traced, names, failure).run(batch[:BATCH].clone(), enable_io_processing=False)
        with torch.device("cpu"):  # places are counted there, whatever the caller's default device is
            graph = _build(traced, names, input_shape, gate)
        verify(graph, model, batch)
        return lowered(graph, originals, own)


def _calls(model: nn.Module, images: Tensor) -> tuple[fx.GraphModule, dict[fx.Node, str]]:
    """The model's calls with their names: by symbolic tracing, blocks taken apart, or else by export."""
    tracer = fx.Tracer()
    try:
        traced = fx.GraphModule(model, tracer.trace(model, concrete_args=_defaults(model)))
    except Exception as error:  # the model's own code runs here and may raise anything
        if (found := exported(model, images.clone())) is None:
            reason = f"{type(model).__name__} can't be traced with torch.fx: {one_line(error)}"
            raise UnsupportedLayerError(f"{reason}; {PLAIN}") from error
        return found[0], _named(*found)
    _refuse_second_input(traced)
    scopes = {name: path for name, (path, _) in tracer.node_name_to_scope.items()}
    scopes |= taken_apart(traced, scopes, images.clone())
    return traced, _names(traced, scopes)


def _named(traced: fx.GraphModule, wanted: dict[str, str]) -> dict[fx.Node, str]:
    """The names that calls should have, each used once, none of them that of the input."""
    names: dict[fx.Node, str] = {}
    for item in traced.graph.nodes:
        names[item] = (
            item.name if item.op != "call_function" else free(wanted[item.name], {INPUT, *names.values()})
        )
    return names


def _build(traced: fx.GraphModule, names: dict[fx.Node, str], input_shape: Shape, gate: Gate) -> Graph:
    build, live = Builder(traced, names, gate), _live(traced)
    for item in traced.graph.nodes:
        if item.op == "placeholder" and "like" in item.meta:
            build.held.setdefault(item, Held(INPUT, input_shape, item.meta["like"]))
        if item.op in ("placeholder", "output") or item not in live:
            continue
        if "shape" not in item.meta and "parts" not in item.meta:
            _refuse_side_effects(item, names[item], traced)
            continue
        try:
            build.add(item)
        except RefusedError as reason:
            raise UnsupportedLayerError(
                f"layer {names[item]!r}: no relevance rule for {reason}; {WRAP}"
            ) from reason
        build.held |= dict.fromkeys(item.meta.get("same", ()), build.held[item])
        _refuse_stale(item, names[item])
    (output,) = next(item for item in traced.graph.nodes if item.op == "output").args
    if not isinstance(output, fx.Node) or "shape" not in output.meta:
        what = next((f"a {t.__name__}" for t in (tuple, list, dict) if isinstance(output, t)), "a constant")
        raise UnsupportedLayerError(
            f"the network's output is {what}, not one tensor of logits; give a module that returns that"
        )
    try:
        last = build.plain(output)
    except RefusedError as reason:
        raise UnsupportedLayerError(f"the network's output: {reason}") from reason
    if last == INPUT:
        raise UnsupportedLayerError("the network gives its input back unchanged")
    return _ending_in_logits(Graph(_fold(build.nodes), input_shape, last))


def _ending_in_logits(graph: Graph) -> Graph:
    """`(C, 1, 1)`, in which fully convolutional classifiers end, as `(C,)`."""
    channels, *space = graph.shape(graph.output)
    if math.prod((channels, *space)) == 0:
        raise UnsupportedLayerError(f"the network's output, of shape {(channels, *space)}, holds no numbers")
    if not space or math.prod(space) > 1:
        return graph
    name = free("flatten", graph.nodes)
    node = Node(name, reshape((channels,)), (graph.output,), (channels,))
    return replace(graph, nodes={**graph.nodes, name: node}, output=name)


def _live(traced: fx.GraphModule) -> set[fx.Node]:
    """The calls that the output depends on, also through tensors overwritten in place."""
    live: set[fx.Node] = set()
    for item in reversed(traced.graph.nodes):
        if item.op == "output" or item in live or live.intersection(item.meta["changed"]):
            live.update([item, *item.all_input_nodes])
    return live


def _refuse_side_effects(item: fx.Node, name: str, traced: fx.GraphModule) -> None:
    """Several tensors at once, or a change that gives no tensor, such as `x[0] = y`."""
    parts = item.meta["value"] if isinstance(item.meta["value"], tuple | list) else ()
    several = any(isinstance(part, Tensor) for part in parts) and any(
        "shape" in n.meta for n in item.all_input_nodes
    )
    if several or any("shape" in n.meta for n in item.meta["changed"]):
        target = traced.get_submodule(str(item.target)) if item.op == "call_module" else item.target
        raise UnsupportedLayerError(
            f"layer {name!r}: no relevance rule for the operation {kind(target)!r}; {WRAP}"
        )


def _refuse_stale(item: fx.Node, name: str) -> None:
    """A tensor that shares memory with the one overwritten here, and that is read again later."""
    for other in set(item.meta["changed"]) - set(item.meta.get("same", ())):
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
            and node.op.origin is not None  # a batch norm: other factors stay operations of their own
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
    origin = cast(Derived, norm.origin)
    function = partial(_folded, origin.function)
    sources = (op.weight, op.bias, *origin.sources)
    made = function(*sources)
    return replace(op, **made, origin=Derived(function, sources, made, True))


def _folded(
    norm: Callable[..., dict[str, Tensor]], weight: Tensor, bias: Tensor | None, *sources: Tensor | None
) -> dict[str, Tensor]:
    """Weight and bias of `scale (W x + b) + shift`."""
    scale, shift = norm(*sources).values()
    bias = shift if bias is None else bias * scale + shift
    return {"weight": weight * scale.view((-1,) + (1,) * (weight.ndim - 1)), "bias": bias}


def _checked_shape(shape: Any) -> Shape:
    sizes = tuple(shape) if isinstance(shape, tuple | list | torch.Size) else (shape,)
    if not sizes or not all(
        isinstance(n, Integral) and not isinstance(n, bool) and int(n) > 0 for n in sizes
    ):
        raise InputError(f"an input shape is (channels, height, width), not {shape!r}")
    return tuple(map(int, sizes))


def _dtype(model: nn.Module) -> torch.dtype:
    found = (p.dtype for p in model.parameters() if p.is_floating_point())
    return next(found, torch.get_default_dtype())


def _device(model: nn.Module) -> torch.device:
    return next(model.parameters(), torch.zeros(())).device


def _names(traced: fx.GraphModule, scopes: dict[str, str]) -> dict[fx.Node, str]:
    """A name for each call, each used once, none of them that of the input.

    The first call of a module is named after the module's path, whatever else would like that name. Any
    other call is named after what it calls, below the path of the module that makes it: `scopes`, by the
    names of `torch.fx`. Names that are taken are counted: `relu`, `relu_1`.
    """
    names: dict[fx.Node, str] = {}
    uncalled = {str(item.target) for item in traced.graph.nodes if item.op == "call_module"} - {INPUT}
    taken = {INPUT, *uncalled}
    for item in traced.graph.nodes:
        if item.op == "placeholder":
            names[item] = item.name
        elif item.op == "call_module" and item.target in uncalled:
            names[item] = str(item.target)
            uncalled.remove(names[item])
        else:
            path = str(item.target) if item.op == "call_module" else COUNTED.sub("", item.name)
            inside = scopes.get(item.name) if item.op != "call_module" else None
            names[item] = free(f"{inside}.{path}" if inside else path, taken)
            taken.add(names[item])
    return names


def _defaults(model: nn.Module) -> dict[str, Any]:
    """The arguments of `forward` after the first that have defaults; tracing takes these as they are."""
    rest = list(inspect.signature(model.forward).parameters.values())[1:]
    return {p.name: p.default for p in rest if p.default is not inspect.Parameter.empty}


def _refuse_second_input(traced: fx.GraphModule) -> None:
    _, *rest = [item for item in traced.graph.nodes if item.op == "placeholder"] or [None]
    for item in rest:
        optional = bool(item.args) or str(item.target).startswith("*")
        if not optional:
            raise UnsupportedLayerError(
                f"the network takes a second input, {item.name!r}; only one is supported: {ONE}"
            )


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode inside, afterwards the modes that the modules had."""
    modes = {module: module.training for module in model.modules()}
    try:
        model.eval()
    except NotImplementedError as error:  # what torch.export makes has one mode
        raise UnsupportedLayerError(
            f"{type(model).__name__} can't be set to evaluation, as exported programs can't; "
            "give the module that it was exported from"
        ) from error
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training
