"""CSC of any zennit composite on any module, for zennit 0.5 and 1: zennit's rules, our meter.

    from zennit.composites import EpsilonPlus
    measure_csc(ZennitChain(model, images, EpsilonPlus()), "logits", vectors=10)

zennit sends relevance down by autograd with hooks, so a vector injected at any module's output gives the
relevance at the outputs of all modules below. Those are the layers; functions such as `torch.flatten` or
`+` have no name.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from conetheory.adapters import modules
from conetheory.adapters.vjp import VjpChain, stacked
from conetheory.chain.watch import peak


class ZennitChain(VjpChain):
    """The relevance that a zennit composite sends down a module at preprocessed images `(N, C, H, W)`.

    The module is used as it is, in evaluation mode and without in-place activations while relevance is sent;
    it keeps no hooks.

    Parameters
    ----------
    model
        the module, in evaluation mode.
    images
        `(N, C, H, W)`, preprocessed.
    composite
        anything with zennit's `context(model)`; None is the plain gradient.
    name
        of the method, for tables and figures.
    """

    def __init__(
        self, model: nn.Module, images: Tensor, composite: Any = None, *, name: str | None = None
    ) -> None:
        self.model, self.images, self.composite = model, images, composite
        kind = "gradient" if composite is None else type(composite).__name__
        with self._forward() as tensors:
            shapes, peaks = modules.shapes(tensors), {name: peak(y) for name, y in tensors.items()}
        given = {"network": model, "dtype": images.dtype, "device": images.device}
        super().__init__({}, shapes, len(images), name=name or f"zennit {kind}", **given)
        self.peaks = peaks

    @contextmanager
    def _forward(self) -> Iterator[dict[str, Tensor]]:
        """The tensors of a forward pass, while the composite's hooks are in place."""
        hooks = nullcontext() if self.composite is None else self.composite.context(self.model)
        with torch.inference_mode(False), torch.enable_grad(), modules.undisturbed(self.model), hooks:
            yield modules.run(self.model, self.images)

    def pull(self, start: str, vectors: Tensor) -> dict[str, Tensor]:
        """Relevance of the layers below a start: one forward pass for all vectors.

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
        below = self.graph.below(start)
        with self._forward() as tensors:
            return stacked([modules.pulled(tensors, start, v, below) for v in vectors.unbind(1)])
