"""What the other rooms ask of a chain, whoever made it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

import torch
from torch import Tensor

from conetheory.networks.ops import Shape
from conetheory.results.layout import Named
from conetheory.schema import UNNAMED


class Chain(Protocol):
    """What CSC is measured on: a `RelevanceChain`, an `ExplainerChain`, or an adapter's `VjpChain`.

    Its length is the number of images; `network`, where it is known, is what results say of it.

    Attributes
    ----------
    method
        has a name.
    graph
        names the layers and knows their shapes (`nodes`, `resolve`, `shape`, `label`, as `networks.Graph`
        or `adapters.vjp.Layers`).
    device
        where its relevance is.
    """

    method: Any
    graph: Any
    device: torch.device

    @property
    def network(self) -> Named | None: ...

    @property
    def layers(self) -> tuple[str, ...]: ...

    def __len__(self) -> int: ...

    def sweep(
        self, starts: Mapping[str, Callable[[Shape], Tensor]]
    ) -> Iterator[tuple[str, dict[str, Tensor]]]:
        """Yield (layer, {start: relevance `(images, vectors, *shape)`}), from the start layers down."""
        ...


def said(chain: Chain) -> str:
    """A chain in one line: `RelevanceChain of lrp-alpha1beta0 on cifar10_cnn, 4 images, float32, cpu`."""
    network = UNNAMED if chain.network is None else chain.network.name
    placed = ", ".join(str(getattr(chain, name)) for name in ("dtype", "device") if hasattr(chain, name))
    count = f"{len(chain)} image{'' if len(chain) == 1 else 's'}"
    kind = type(chain).__name__
    return f"{kind} of {chain.method.name} on {network}, {count}, {placed.replace('torch.', '')}"
