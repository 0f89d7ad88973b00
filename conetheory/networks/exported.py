"""The second front end: `torch.export`, for models that symbolic tracing can't follow.

Tracing runs a model on stand-ins without values, so that a model which asks for sizes, or whose classes are
checked on the way, stops it; export runs it on tensors. What it gives are ATen's operations, whose names are
those of the modules that call them. Control flow that depends on the image's values stops both.
"""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout

import torch
from torch import Tensor, fx, nn

from conetheory.networks.calls import kind


def exported(model: nn.Module, images: Tensor) -> tuple[fx.GraphModule, dict[str, str]] | None:
    """The model's operations at these images, with its own parameters, and a name for each call.

    None where it can't be exported.
    """
    try:
        with _quietly():
            program = torch.export.export(model, (images,), strict=False)
            module = program.module()
    except (
        Exception
    ):  # the model's own code runs here and may raise anything; the first front end's error counts
        return None
    if not isinstance(module, fx.GraphModule):
        return None
    for item in list(module.graph.nodes):
        if item.op == "call_module" and "guards" in str(item.target):  # of sizes, which are these here
            module.graph.erase_node(item)
    if program.call_spec.out_spec is not None and program.call_spec.out_spec.num_children == 0:
        (output,) = (item for item in module.graph.nodes if item.op == "output")
        output.args = (output.args[0][0],)  # one tensor is a tuple of one there
    _hold(module, model)
    module.graph.lint()
    module.recompile()
    return module, dict(_names(module, model))


@contextmanager
def _quietly() -> Iterator[None]:
    """Without warnings of torch's own code, and what it says of a model that it can't export."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _hold(module: fx.GraphModule, model: nn.Module) -> None:
    """The model's own tensors in the place of copies."""
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        path, _, leaf = name.rpartition(".")
        try:
            owner = module.get_submodule(path)
        except AttributeError:
            continue
        for held in (owner._parameters, owner._buffers):
            if leaf in held:
                held[leaf] = tensor  # pyright: ignore[reportArgumentType] (of the same kind)


def _names(module: fx.GraphModule, model: nn.Module) -> Iterator[tuple[str, str]]:
    """For each call the path of the module that makes it; the last of a module of torch's has it alone."""
    calls = [item for item in module.graph.nodes if item.op == "call_function"]
    paths = [_path(item, model) for item in calls]
    last = {path: item for path, item in zip(paths, calls, strict=True)}
    modules = dict(model.named_modules())
    for path, item in zip(paths, calls, strict=True):
        own = path in modules and type(modules[path]).__module__.startswith("torch.nn") and last[path] is item
        name = kind(item.target).strip("_")
        yield item.name, path if own and path else f"{path}.{name}" if path else name


def _path(item: fx.Node, model: nn.Module) -> str:
    stack = list((item.meta.get("nn_module_stack") or {}).values())
    path = str(stack[-1][0]) if stack else ""
    return path if path in dict(model.named_modules()) else ""
