"""What the adapters need of a `torch.nn.Module`: the outputs of its submodules, as they are before anything
overwrites them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor, nn

from conetheory.errors import InputError
from conetheory.networks.graph import INPUT
from conetheory.networks.ops import Shape
from conetheory.networks.weights import fingerprint

LOGITS = "logits"


@dataclass(frozen=True)
class Origin:
    """What results say of a module that is not traced: its class's name and the sha256 of its weights."""

    module: nn.Module

    @property
    def name(self) -> str:
        return type(self.module).__name__

    @cached_property
    def provenance(self) -> dict[str, str]:
        return {"weights": "as given", "weights_sha256": fingerprint(self.module)}


@contextmanager
def undisturbed(model: nn.Module) -> Iterator[nn.Module]:
    """The model in evaluation mode and without in-place modules, afterwards as it was.

    An in-place ReLU overwrites the output of the layer before it, whose relevance would then be read
    behind the ReLU. zennit's merging of batch norms hides parameters behind attributes of their names, and
    leaves some behind: a bias where there was none, and in 1.0.0 the merged weights themselves.

    Raises `InputError` for a module that refuses `eval()`, as exported programs do: their submodules are not
    those of the program either.
    """
    modes = {module: module.training for module in model.modules()}
    stored: list[tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = [
        (vars(module), held, dict(held))
        for module in model.modules()
        for held in (module._parameters, module._buffers)
    ]
    inplace = [module for module in model.modules() if getattr(module, "inplace", False)]
    try:
        model.eval()
    except NotImplementedError as error:  # as modules of torch.export do
        raise InputError(
            f"{type(model).__name__} refuses eval(), so that its mode can't be set: give the module that was "
            "exported"
        ) from error
    for module in inplace:
        module.inplace = False  # pyright: ignore[reportArgumentType] (a module takes any attribute)
    try:
        yield model
    finally:
        for attributes, held, before in stored:
            held.clear()
            held.update(before)
            for name in before:
                attributes.pop(name, None)
        for module in inplace:
            module.inplace = True  # pyright: ignore[reportArgumentType]
        for module, training in modes.items():
            module.training = training


@contextmanager
def captured(model: nn.Module) -> Iterator[dict[str, Tensor]]:
    """The tensors that the submodules give in a forward pass, by module name, in the order they come.

    A tensor goes by the name of the first module that gives it; of a module that runs twice the last output
    counts. The hooks have to be registered after those of zennit's composites: zennit 1 fails otherwise.
    Raises `InputError` where a tensor was overwritten in place later on.
    """
    outputs: dict[str, Tensor] = {}
    versions: dict[str, int] = {}

    def keep(name: str, module: nn.Module, args: object, y: object) -> None:
        if isinstance(y, Tensor) and not any(y is known for known in outputs.values()):
            outputs.pop(name, None)
            outputs[name], versions[name] = y, y._version

    hooked = [(name, module) for name, module in model.named_modules() if name]
    handles = [module.register_forward_hook(partial(keep, name)) for name, module in hooked]
    try:
        yield outputs
    finally:
        for handle in handles:
            handle.remove()
    for name, y in outputs.items():
        if y._version != versions[name]:
            raise InputError(f"the output of {name!r} is overwritten in place: its relevance can't be read")


def run(model: nn.Module, images: Tensor) -> dict[str, Tensor]:
    """One forward pass with its history: `{layer: tensor}` from the images up to the output.

    The output goes by the name of the module that gives it, else it is `logits`.
    """
    x = images.detach().clone().requires_grad_()
    with captured(model) as outputs:
        y = model(x)
    last = next(reversed(outputs.values()), x)
    return {INPUT: x, **outputs} if last is y else {INPUT: x, **outputs, LOGITS: y}


def shapes(tensors: Mapping[str, Tensor]) -> dict[str, Shape]:
    """Without the batch axis."""
    return {name: tuple(y.shape[1:]) for name, y in tensors.items()}


def pulled(tensors: Mapping[str, Tensor], start: str, v: Tensor, names: Sequence[str]) -> dict[str, Tensor]:
    """What autograd sends down from one of the tensors for the vector v, at those of `names` it reaches."""
    wanted = [tensors[name] for name in names]
    found = torch.autograd.grad(tensors[start], wanted, v, retain_graph=True, allow_unused=True)
    return {name: r for name, r in zip(names, found, strict=True) if r is not None}
