"""From any `nn.Module` to a `Graph`, through `torch.fx`: one operation per traced call, batch norms folded."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.fx.passes.shape_prop import ShapeProp
from torch.nn import functional as F
from torchvision.models.feature_extraction import NodePathTracer

from conetheory.errors import UnsupportedLayerError
from conetheory.networks.graph import INPUT, Graph, Node
from conetheory.networks.ops import (
    Add,
    Affine,
    AvgPool2d,
    Concat,
    Conv2d,
    Linear,
    MaxPool2d,
    Op,
    PassThrough,
    Shape,
)

ACTIVATIONS = (nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Softplus, nn.Tanh, nn.Sigmoid, nn.Hardswish)
IDENTITIES = (nn.Dropout, nn.Dropout2d, nn.AlphaDropout, nn.Identity)


def trace(model: nn.Module, input_shape: Shape = (3, 224, 224)) -> Graph:
    """Trace a feed-forward classification network.

    `input_shape` is `(channels, height, width)`. The graph computes what `model.eval()` computes; a
    batch norm is folded into a convolution or linear layer that feeds nothing else. Raises
    `UnsupportedLayerError`, naming the layer and its operation, where a layer has no rule.
    """
    model = model.eval()
    parameter = next(model.parameters(), torch.zeros(()))
    tracer = NodePathTracer()
    try:
        traced = fx.GraphModule(model, tracer.trace(model))
        example = torch.zeros((1, *input_shape), dtype=parameter.dtype, device=parameter.device)
        with torch.no_grad():
            ShapeProp(traced).propagate(example)
    except Exception as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UnsupportedLayerError(
            f"{type(model).__name__} can't be traced with torch.fx for input {tuple(input_shape)}: {reason}"
        ) from error
    return _build(traced, tracer.node_to_qualname, tuple(input_shape))


def _build(traced: fx.GraphModule, names: dict[fx.Node, str], input_shape: Shape) -> Graph:
    nodes: dict[str, Node] = {}
    tensor: dict[fx.Node, str] = {}
    output = None
    for item in traced.graph.nodes:
        name = names.get(item, item.name)
        if item.op == "placeholder":
            if tensor:
                raise UnsupportedLayerError(f"the network takes a second input, {name!r}; only one is supported")
            tensor[item] = INPUT
        elif item.op == "output":
            output = item.args[0]
        elif _is_tensor(item):
            op, inputs = _convert(item, traced, name)
            sources = tuple(tensor[i] for i in inputs)
            shape = tuple(item.meta["tensor_meta"].shape[1:])
            nodes[name] = Node(name, op, sources, shape)
            tensor[item] = name
    if output not in tensor:
        raise UnsupportedLayerError("the network's output is not one tensor of logits")
    return Graph(_fold(nodes), input_shape, tensor[output])


def _is_tensor(item: fx.Node) -> bool:
    """Whether the node is a tensor computed from the input (sizes and stored parameters are not)."""
    return item.op != "get_attr" and hasattr(item.meta.get("tensor_meta"), "shape") and item.target != "size"


def _convert(item: fx.Node, traced: fx.GraphModule, name: str) -> tuple[Op, list[fx.Node]]:
    inputs = [i for i in item.all_input_nodes if _is_tensor(i) or i.op == "placeholder"]
    if item.op == "call_module":
        module = traced.get_submodule(str(item.target))
        op, kind = _from_module(module), type(module).__name__
    else:
        kind = getattr(item.target, "__name__", str(item.target))
        op = _from_call(item, kind)
    if isinstance(op, Add | Concat):
        operands = item.args[0] if isinstance(item.args[0], tuple | list) else item.args[:2]
        if not all(isinstance(x, fx.Node) and x in inputs for x in operands):
            op = None
        inputs = list(operands)
    if op is None:
        raise UnsupportedLayerError(f"layer {name!r}: no relevance rule for the operation {kind!r}")
    return op, inputs


def _from_module(module: nn.Module) -> Op | None:
    match module:
        case nn.Conv2d() if module.padding_mode == "zeros" and not isinstance(module.padding, str):
            return Conv2d(
                module.weight.detach(),
                None if module.bias is None else module.bias.detach(),
                module.stride,
                module.padding,
                module.dilation,
                module.groups,
            )
        case nn.Linear():
            return Linear(module.weight.detach(), None if module.bias is None else module.bias.detach())
        case nn.BatchNorm2d() | nn.BatchNorm1d() if module.running_var is not None:
            return _affine(module)
        case nn.MaxPool2d():
            return MaxPool2d(module.kernel_size, module.stride, module.padding, module.dilation, module.ceil_mode)
        case nn.AdaptiveMaxPool2d():
            return MaxPool2d(None, output_size=module.output_size)
        case nn.AvgPool2d() | nn.AdaptiveAvgPool2d():
            return AvgPool2d(function=module)
        case nn.Flatten() if module.start_dim == 1:
            return _reshape()
    if isinstance(module, IDENTITIES):
        return PassThrough(_identity)
    if isinstance(module, ACTIVATIONS):
        return PassThrough(_out_of_place(module), "activation")
    return None


def _from_call(item: fx.Node, kind: str) -> Op | None:
    args = dict(enumerate(item.args)) | dict(item.kwargs)
    if item.target in (operator.add, operator.iadd, torch.add) or kind in ("add", "add_"):
        return Add() if "alpha" not in item.kwargs else None
    if item.target in (torch.cat, torch.concat):
        return Concat() if args.get(1, args.get("dim", 0)) == 1 else None
    if kind in ("relu", "relu_"):
        return PassThrough(F.relu, "activation")
    if kind in ("dropout", "contiguous"):
        return PassThrough(_identity)
    if kind in ("flatten", "view", "reshape", "squeeze"):
        return _reshape() if item.meta["tensor_meta"].shape[1:].numel() == _numel(item.args[0]) else None
    if kind in ("max_pool2d", "_max_pool2d", "boolean_dispatch"):
        keys = ("kernel", "stride", "padding", "dilation", "ceil_mode")
        given = {k: args.get(i, args.get("kernel_size" if k == "kernel" else k)) for i, k in enumerate(keys, 1)}
        return MaxPool2d(**{k: v for k, v in given.items() if v is not None})
    if kind in ("avg_pool2d", "adaptive_avg_pool2d"):
        return AvgPool2d(function=partial(_call, item.target, item.args[1:], dict(item.kwargs)))
    if kind == "mean" and _dims(args.get(1, args.get("dim"))) == {2, 3}:
        keep = bool(args.get(2, args.get("keepdim", False)))
        return AvgPool2d(function=partial(torch.mean, dim=(2, 3), keepdim=keep))
    return None


def _affine(norm: nn.Module) -> Affine:
    scale = (norm.running_var + norm.eps).rsqrt()
    shift = -norm.running_mean * scale
    if norm.affine:
        scale, shift = scale * norm.weight, shift * norm.weight + norm.bias
    return Affine(scale.detach(), shift.detach())


def _fold(nodes: dict[str, Node]) -> dict[str, Node]:
    """Fold each batch norm into the convolution or linear layer that feeds it alone."""
    uses: dict[str, int] = {}
    for node in nodes.values():
        for name in node.inputs:
            uses[name] = uses.get(name, 0) + 1
    folded: dict[str, Node] = {}
    for node in nodes.values():
        source = folded.get(node.inputs[0])
        if isinstance(node.op, Affine) and source is not None and uses[source.name] == 1 and isinstance(source.op, Conv2d | Linear):
            scale, shift = node.op.scale, node.op.shift
            bias = shift if source.op.bias is None else source.op.bias * scale + shift
            weight = source.op.weight * scale.view((-1,) + (1,) * (source.op.weight.ndim - 1))
            folded[source.name] = replace(source, op=replace(source.op, weight=weight, bias=bias))
            folded[node.name] = replace(node, op=PassThrough(_identity, "folded"))
        else:
            folded[node.name] = node
    return folded


def _reshape() -> PassThrough:
    return PassThrough(partial(torch.flatten, start_dim=1), "reshape")


def _identity(x: Tensor) -> Tensor:
    return x


def _out_of_place(module: nn.Module) -> Callable[[Tensor], Tensor]:
    if getattr(module, "inplace", False):
        module = type(module)(**{k: getattr(module, k) for k in ("negative_slope", "alpha") if hasattr(module, k)})
    return module


def _call(function: Callable[..., Tensor], args: tuple, kwargs: dict, x: Tensor) -> Tensor:
    kwargs = {k: v for k, v in kwargs.items() if k != "input"}
    return function(x, *args, **kwargs)


def _numel(source: fx.Node) -> int:
    return source.meta["tensor_meta"].shape[1:].numel()


def _dims(dim: Any) -> set[int]:
    dims = dim if isinstance(dim, tuple | list) else (dim,)
    return {d % 4 for d in dims if isinstance(d, int)}
