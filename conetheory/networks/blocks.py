"""Blocks that `torch.fx` sees as one call, taken apart: attention modules, and functions wrapped for it.

Such a call is run once more on the tensors that it gets, under a tracer that sees ATen's operations, and
what it finds is put in the call's place. The names of its parts are those of ATen, below the module's path.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.fx.experimental.proxy_tensor import make_fx
from torch.fx.node import map_arg

OWN = ("torch", "_operator", "operator", "builtins", "math", "_VariableFunctions")


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
    for item, (inside, given) in opener.insides.items():
        path = str(item.target) if item.op == "call_module" else scopes.get(item.name, "")
        given = [now.get(n, n) for n in given]
        found |= dict.fromkeys(_spliced(traced, item, inside, given, now), path)
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


class _Opener(fx.Interpreter):
    """Runs the traced calls, and each block under a tracer of its own."""

    def __init__(self, traced: fx.GraphModule, blocks: set[fx.Node]) -> None:
        super().__init__(traced)
        self.blocks, self.extra_traceback = blocks, False
        self.insides: dict[fx.Node, tuple[fx.GraphModule, list[fx.Node]]] = {}

    def run_node(self, item: fx.Node) -> Any:
        if item in self.blocks:
            given = [n for n in item.all_input_nodes if isinstance(self.env[n], Tensor)]
            target = self.fetch_attr(str(item.target)) if item.op == "call_module" else item.target
            with _slow_path():
                inside = make_fx(self._called(item, target, given), pre_dispatch=True)(
                    *(self.env[n] for n in given)
                )
            self.insides[item] = inside, given
        return super().run_node(item)

    def _called(self, item: fx.Node, target: Any, given: list[fx.Node]) -> Any:
        known = {n: self.env[n] for n in item.all_input_nodes}

        def call(*tensors: Tensor) -> Any:
            now = known | dict(zip(given, tensors, strict=True))
            args, kwargs = map_arg((item.args, dict(item.kwargs)), now.__getitem__)
            return target(*args, **kwargs)

        return call


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
    traced: fx.GraphModule,
    item: fx.Node,
    inside: fx.GraphModule,
    given: list[fx.Node],
    now: dict[fx.Node, fx.Node],
) -> list[str]:
    """Copy the inside before the block, hand its results to the block's users; names of the new calls."""
    copied: dict[fx.Node, fx.Node] = {}
    places = iter(given)
    with traced.graph.inserting_before(item):
        for node in inside.graph.nodes:
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


def _kept(traced: fx.GraphModule, inside: fx.GraphModule, target: str) -> str:
    """A tensor of the inside as one of the whole."""
    value = inside
    for part in target.split("."):
        value = getattr(value, part)
    for name, known in vars(traced).items():
        if known is value:
            return name
    name = f"_of_block_{sum(key.startswith('_of_block_') for key in dir(traced))}"
    if isinstance(value, nn.Parameter):
        traced.register_parameter(name, value)
    else:
        setattr(traced, name, value)
    return name
