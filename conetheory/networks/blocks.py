"""Blocks that `torch.fx` sees as one call, taken apart: attention modules, and functions wrapped for it.

Such a call is run once more on the tensors that it gets, under a tracer that sees ATen's operations, and
what it finds is put in the call's place. The names of its parts are those of ATen, below the module's path.
Blocks that differ in their parameters alone are taken apart once.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.fx.experimental.proxy_tensor import make_fx
from torch.fx.node import map_arg

PLAIN = (bool, int, float, str, tuple, type(None))
OWN = ("torch", "_operator", "operator", "builtins", "math", "_VariableFunctions", "conetheory")


def taken_apart(traced: fx.GraphModule, scopes: Mapping[str, str], images: Tensor) -> dict[str, str]:
    """Put the insides of blocks in their place; the module's path of each new call, by its name in the graph.

    A block that can't be traced stays as it is, and is refused by name later.
    """
    depend: set[fx.Node] = set()
    for item in traced.graph.nodes:
        if item.op == "placeholder" or depend.intersection(item.all_input_nodes):
            depend.add(item)
    blocks = {item for item in depend if _is_block(item, traced)}
    if not blocks:
        return {}
    opener = _Opener(traced, blocks)
    try:
        opener.run(images, enable_io_processing=False)
    except Exception:  # the model's own code; what is wrong with it is said where its calls are recorded
        return {}
    found: dict[str, str] = {}
    now: dict[fx.Node, fx.Node] = {}  # what stands in the place of calls that are gone
    for item, inside in opener.insides.items():
        path = str(item.target) if item.op == "call_module" else scopes.get(item.name, "")
        inside = replace(inside, given=[now.get(n, n) for n in inside.given])
        found |= dict.fromkeys(_spliced(traced, item, inside, now), path)
    traced.recompile()
    return found


def _is_block(item: fx.Node, traced: fx.GraphModule) -> bool:
    if item.op == "call_module":
        module = traced.get_submodule(str(item.target))
        return any(True for _ in module.children()) and type(module).__module__.startswith("torch.nn")
    if item.op != "call_function" or isinstance(item.target, torch._ops.OpOverload):
        return False
    home = getattr(item.target, "__module__", None) or "torch"
    return home.split(".")[0] not in OWN and getattr(item.target, "__name__", "") != "stochastic_depth"


@dataclass(frozen=True, eq=False)
class _Inside:
    """Calls, the tensors that they are given, and whose parameters stand in the place of those in them."""

    calls: fx.GraphModule
    given: list[fx.Node]
    own: Mapping[int, Tensor]


class _Opener(fx.Interpreter):
    """Runs the traced calls, and each block under a tracer of its own."""

    def __init__(self, traced: fx.GraphModule, blocks: set[fx.Node]) -> None:
        super().__init__(traced)
        self.blocks, self.extra_traceback = blocks, False
        self.insides: dict[fx.Node, _Inside] = {}
        self.known: dict[Hashable, tuple[fx.GraphModule, dict[str, Tensor]]] = {}

    def run_node(self, item: fx.Node) -> Any:
        if item in self.blocks:
            self.insides[item] = self._inside(item)
        return super().run_node(item)

    def _inside(self, item: fx.Node) -> _Inside:
        given = [n for n in item.all_input_nodes if isinstance(self.env[n], Tensor)]
        target = self.fetch_attr(str(item.target)) if item.op == "call_module" else item.target
        parameters, key = _parameters(target), self._key(item, target, given)
        if key not in self.known:
            with _slow_path():
                calls = make_fx(self._called(item, target, given), pre_dispatch=True)(
                    *(self.env[n] for n in given)
                )
            if not {id(t) for t in _held(calls)} <= {id(p) for p in parameters.values()}:
                return _Inside(calls, given, {})  # a constant may be another in a block that looks the same
            self.known[key] = calls, parameters
        calls, theirs = self.known[key]
        return _Inside(calls, given, {id(theirs[name]): parameter for name, parameter in parameters.items()})

    def _key(self, item: fx.Node, target: Any, given: list[fx.Node]) -> Hashable:
        """What blocks have in common that differ in their parameters and in what they are given alone."""
        values = {n: f"#{given.index(n)}" if n in given else repr(self.env[n]) for n in item.all_input_nodes}
        arguments = map_arg((item.args, dict(item.kwargs)), values.__getitem__)
        shapes = tuple((tuple(self.env[n].shape), self.env[n].dtype) for n in given)
        return (_configured(target), repr(arguments), shapes)

    def _called(self, item: fx.Node, target: Any, given: list[fx.Node]) -> Any:
        known = {n: self.env[n] for n in item.all_input_nodes}

        def call(*tensors: Tensor) -> Any:
            now = known | dict(zip(given, tensors, strict=True))
            args, kwargs = map_arg((item.args, dict(item.kwargs)), now.__getitem__)
            return target(*args, **kwargs)

        return call


def _parameters(target: Any) -> dict[str, Tensor]:
    """Of a module, its buffers among them, each under all of its names."""
    if not isinstance(target, nn.Module):
        return {}
    return dict(target.named_parameters(remove_duplicate=False)) | dict(
        target.named_buffers(remove_duplicate=False)
    )


def _held(calls: fx.GraphModule) -> Iterator[Tensor]:
    return (_attribute(calls, str(n.target)) for n in calls.graph.nodes if n.op == "get_attr")


def _configured(target: Any) -> Hashable:
    """All that a block is beside its parameters' values."""
    if not isinstance(target, nn.Module):
        return target
    sizes = tuple((name, tuple(p.shape), p.dtype) for name, p in _parameters(target).items())
    return sizes, tuple((name, type(m), _attributes(m)) for name, m in target.named_modules())


def _attributes(module: nn.Module) -> Hashable:
    """What a module has on it beside what torch keeps: by value where that is plain, else by identity."""
    own = {k: v for k, v in vars(module).items() if not k.startswith("_") or k == "_qkv_same_embed_dim"}
    return tuple((k, repr(v) if isinstance(v, PLAIN) else id(v)) for k, v in sorted(own.items()))


@contextmanager
def _slow_path() -> Iterator[None]:
    """Attention by its parts, not by the one kernel that inference has."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def _spliced(
    traced: fx.GraphModule, item: fx.Node, inside: _Inside, now: dict[fx.Node, fx.Node]
) -> list[str]:
    """Copy the inside before the block, hand its results to the block's users; names of the new calls."""
    copied: dict[fx.Node, fx.Node] = {}
    places = iter(inside.given)
    with traced.graph.inserting_before(item):
        for node in inside.calls.graph.nodes:
            if node.op == "placeholder":
                copied[node] = next(places)
            elif node.op == "output":
                results = map_arg(node.args[0], copied.__getitem__)
            else:
                copied[node] = traced.graph.node_copy(node, copied.__getitem__)
                if node.op == "get_attr":
                    copied[node].target = _kept(traced, inside, str(node.target))
    if isinstance(results, fx.Node):
        item.replace_all_uses_with(results)
        now[item] = results
    else:
        for user in list(item.users):
            user.replace_all_uses_with(results[user.args[1]])
            now[user] = results[user.args[1]]
            traced.graph.erase_node(user)
    traced.graph.erase_node(item)
    return [node.name for node in copied.values() if node.op.startswith("call")]


def _kept(traced: fx.GraphModule, inside: _Inside, target: str) -> str:
    """A tensor of the inside as one of the whole."""
    value = _attribute(inside.calls, target)
    value = inside.own.get(id(value), value)
    for name, known in vars(traced).items():
        if known is value:
            return name
    name = f"_of_block_{sum(key.startswith('_of_block_') for key in dir(traced))}"
    if isinstance(value, nn.Parameter):
        traced.register_parameter(name, value)
    else:
        setattr(traced, name, value)
    return name


def _attribute(module: nn.Module, path: str) -> Any:
    return attrgetter(path)(module)
