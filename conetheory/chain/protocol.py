"""What the other rooms ask of a chain, whoever made it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

import torch
from torch import Tensor

from conetheory.networks.ops import Shape
from conetheory.results.layout import Named


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
