"""Between captum and us, both ways: CSC of captum's LRP rules, and our methods with captum's signature.

measure_csc(CaptumChain(model, images, rules={"features.0": GammaRule}), "logits", vectors=10)
Attribution(network, "lrp-zplus").attribute(images, target=3)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, overload

import torch
from torch import Tensor, nn

from conetheory.adapters import modules
from conetheory.adapters.vjp import VjpChain, stacked
from conetheory.chain.watch import peak
from conetheory.errors import InputError, UnsupportedLayerError
from conetheory.networks.edge import Model, as_network
from conetheory.networks.graph import INPUT
from conetheory.rules.explainers import forward
from conetheory.rules.parameters import takes_parameters
from conetheory.rules.registry import Method, as_method
from conetheory.saliency.explain import explain


class CaptumChain(VjpChain):
    """The relevance that captum's LRP sends down a module at preprocessed images `(N, C, H, W)`.

    captum starts from an output alone, so a start layer h with vector v gets the output `<v, h> - c + 1`, c
    the value of `<v, h>`: its gradient at h is v, and the factor by which captum multiplies the result is 1.
    Layers are the outputs of the modules that captum has rules for. captum changes the module's weights while
    it runs and puts them back, so a module serves one call at a time.

    Parameters
    ----------
    model
        the module, in evaluation mode.
    images
        `(N, C, H, W)`, preprocessed.
    rules
        `{module name: makes a captum rule}`; the others get captum's defaults (epsilon).
    name
        of the method, for tables and figures.

    Raises
    ------
    UnsupportedLayerError
        for modules that captum has no rule for.
    """

    def __init__(
        self,
        model: nn.Module,
        images: Tensor,
        rules: Mapping[str, Callable[[], Any]] | None = None,
        *,
        name: str = "captum LRP",
    ) -> None:
        self.model, self.images, self.rules = model, images, dict(rules or {})
        ruled = _ruled_modules(model, self.rules)
        with self._undisturbed():
            tensors = modules.run(model, images)
        shapes = modules.shapes(tensors)
        last = next(reversed(shapes))
        kept = {layer: shape for layer, shape in shapes.items() if layer in (INPUT, last, *ruled)}
        given = {"network": model, "dtype": images.dtype, "device": images.device}
        super().__init__({}, kept, len(images), name=name, **given)
        self.peaks = {layer: peak(tensors[layer]) for layer in kept}

    @contextmanager
    def _undisturbed(self) -> Iterator[None]:
        with torch.inference_mode(False), torch.enable_grad(), modules.undisturbed(self.model):
            yield

    def pull(self, start: str, vectors: Tensor) -> dict[str, Tensor]:
        """Relevance of the layers below a start: one call of captum for each vector.

        Parameters
        ----------
        start
            a module's path.
        vectors
            `(images, vectors, *shape of the start)`.

        Returns
        -------
        dict
            `{layer: (images, vectors, *shape)}`.
        """
        with self._undisturbed():
            tensors = modules.run(self.model, self.images)
            reached = modules.pulled(tensors, start, torch.ones_like(tensors[start]), self.graph.below(start))
            return stacked([self._relevance(start, v, list(reached)) for v in vectors.unbind(1)])

    def _relevance(self, start: str, v: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
        rules = forward.captum("attr._utils.lrp_rules")
        wrapped = _FromStart(self.model, start)
        wrapped.entry.rule = rules.IdentityRule()  # its relevance is that of the image
        for name, make in self.rules.items():  # captum takes the rules off after each call
            self.model.get_submodule(name).rule = make()
        read = [wrapped.entry if layer == INPUT else self.model.get_submodule(layer) for layer in layers]
        lrp = forward.captum("attr").LayerLRP(wrapped, read)
        found = lrp.attribute(self.images.clone().requires_grad_(), target=0, additional_forward_args=(v,))
        return dict(zip(layers, found, strict=True))


class _FromStart(nn.Module):
    """`<v, h> - c + 1` of the output h of a module, or of the whole network (see `CaptumChain`)."""

    def __init__(self, model: nn.Module, start: str) -> None:
        super().__init__()
        self.entry, self.model, self.start = _Copy(), model, start

    def forward(self, images: Tensor, v: Tensor) -> Tensor:
        found: list[Tensor] = []
        place = self.model if self.start == modules.LOGITS else self.model.get_submodule(self.start)

        def keep(module: nn.Module, args: Any, y: Tensor) -> None:
            found.append(y)

        handle = place.register_forward_hook(keep)
        try:
            self.model(self.entry(images))
        finally:
            handle.remove()
        value = (found[-1] * v).flatten(1).sum(1, keepdim=True)
        return value - value.detach() + 1


class _Copy(nn.Module):
    """The identity with a tensor of its own, as captum's hooks on input and output must not be one."""

    def forward(self, x: Tensor) -> Tensor:
        return x.clone()


def _ruled_modules(model: nn.Module, rules: Mapping[str, Any]) -> list[str]:
    """The modules whose relevance captum gives."""
    captum = forward.captum("attr._core.lrp")
    found = dict(model.named_modules())
    if unknown := rules.keys() - found.keys():
        raise InputError(f"a rule is given for {sorted(unknown)[0]!r}, but there is no such module")
    leaves = {name: type(module) for name, module in found.items() if not list(module.children())}
    passed = [name for name, kind in leaves.items() if kind in captum.SUPPORTED_NON_LINEAR_LAYERS]
    ruled = [name for name, kind in leaves.items() if kind in captum.SUPPORTED_LAYERS_WITH_RULES]
    for name in leaves.keys() - {*passed, *ruled, *rules}:
        kind = leaves[name].__name__
        raise UnsupportedLayerError(f"captum has no rule for {name!r} ({kind}): give one in rules=")
    return [name for name in leaves if name not in passed or name in rules]


Target = int | Sequence[int] | Tensor | None


class Attribution:
    """A registered method with captum's signature, for code that calls `attribute(inputs, target)`.

    The relevance of class k starts from 1 at its output. A module is traced at each call, as it is then;
    `networks.load` does it once.

    Parameters
    ----------
    network
        a module, a `Graph` or a `Network`.
    method
        a registered method's name, or a `Method`.
    parameters
        those of the rule.
    """

    @takes_parameters
    def __init__(
        self,
        network: Model,
        method: str | Method = "lrp-alpha1beta0",
        *,
        parameters: Mapping[str, Any] | None = None,
    ) -> None:
        self.network = network if isinstance(network, nn.Module) else as_network(network)
        self.method = as_method(method, parameters)

    @overload
    def attribute(self, inputs: Tensor, target: Target = None) -> Tensor: ...

    @overload
    def attribute(self, inputs: tuple[Tensor, ...], target: Target = None) -> tuple[Tensor, ...]: ...

    def attribute(
        self, inputs: Tensor | tuple[Tensor, ...], target: Target = None
    ) -> Tensor | tuple[Tensor, ...]:
        """Maps of the shape of the images; a tuple for a tuple, as in captum.

        Parameters
        ----------
        inputs
            images `(N, C, H, W)`, or a tuple of such batches.
        target
            one class for all images or one for each; None is each image's predicted class. (captum takes
            None for networks of one output only.)

        Returns
        -------
        Tensor or tuple of Tensors
            relevance, of the shape of `inputs`.

        Raises
        ------
        InputError
            for images that the network does not take, and classes that it does not have.
        """
        if isinstance(inputs, tuple):
            return tuple(self.attribute(images, target) for images in inputs)
        if target is not None:
            target = torch.as_tensor(target, device=inputs.device)
            target = target if target.ndim == 0 else target.reshape(-1, 1).expand(len(inputs), 1)
        maps = explain(self.network, inputs, self.method, target)
        return maps[:, 0].expand(inputs.shape).contiguous()
