"""The chain of any registered method: of one that is not backpropagated, its two ends."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from conetheory.chain.checks import Placement, Start, checked_images, checked_vectors
from conetheory.chain.protocol import said
from conetheory.chain.relevance import RelevanceChain
from conetheory.chain.watch import Watchable, peak
from conetheory.errors import InputError
from conetheory.networks.edge import Model, as_network, shape_of
from conetheory.networks.graph import INPUT
from conetheory.networks.ops import Shape
from conetheory.rules.explainer import Explainer
from conetheory.rules.parameters import takes_parameters
from conetheory.rules.registry import Method, as_method


class ExplainerChain(Watchable):
    """An `Explainer` in the place of a `RelevanceChain`: from the logits to the input, nothing between.

    Parameters
    ----------
    network
        a module, a `Graph` or a `Network` that ends in logits.
    images
        `(N, C, H, W)`, preprocessed.
    method
        of an `Explainer`.
    dtype, device
        those of the images where None.
    """

    def __init__(
        self,
        network: Model,
        images: Tensor,
        method: Method,
        *,
        dtype: torch.dtype | None = None,
        device: str | torch.device | None = None,
    ) -> None:
        self.network, self.method = as_network(network, shape_of(images)), method
        graph = self.network.graph
        images = checked_images(images, graph.input_shape)
        self.dtype, self.device = dtype or images.dtype, torch.device(device or images.device)
        self.graph = graph.to(dtype=self.dtype, device=self.device)
        self.images = images.to(dtype=self.dtype, device=self.device)
        if not isinstance(method.rule, Explainer):
            raise InputError(f"{method.name} is backpropagated: its chain is a RelevanceChain")
        self.explainer = method.rule.bind(self.graph)
        self.peaks: dict[str, Tensor] = {}  # the largest activation of each image
        with torch.inference_mode():
            for node, _, y in self.graph.run(self.images):
                self.peaks[node.name] = peak(y)
                if node.name == self.graph.output:
                    self.logits = y

    def __repr__(self) -> str:
        return said(self)

    def __len__(self) -> int:
        return len(self.images)

    @property
    def layers(self) -> tuple[str, ...]:
        return self.graph.layers

    def shape(self, layer: str) -> Shape:
        return self.graph.shape(self.graph.resolve(layer))

    def sweep(
        self, starts: Mapping[str, Start], stop: str = INPUT
    ) -> Iterator[tuple[str, dict[str, Tensor]]]:
        """The start vectors at the logits, then the maps at the input.

        A map of one value for each location has one channel there, whatever the input has.

        Parameters
        ----------
        starts
            `{"logits": vectors}`, as `RelevanceChain.sweep` takes them.
        stop
            the logits or the input.

        Returns
        -------
        Iterator
            of the layer, and `{start: (images, vectors, *shape)}`.
        """
        return self._seen(starts, stop)

    def _sweep(self, starts: Mapping[str, Start], stop: str) -> Iterator[tuple[str, dict[str, Tensor]]]:
        ends = [self.graph.resolve(name) for name in (stop, *starts)]
        if ends != [INPUT, self.graph.output]:
            reason = "is not backpropagated: it only goes from logits to input; start at the logits"
            raise InputError(f"{self.method.name} {reason}")
        ((start, vectors),) = starts.items()
        vectors = checked_vectors(vectors, start, len(self), self.shape(start))
        vectors = vectors.to(dtype=self.dtype, device=self.device)
        yield self.graph.output, {start: vectors}
        yield INPUT, {start: self.explainer.maps(self.graph, self.images, vectors)}

    def down(self, r: Tensor, start: str = "logits", stop: str = INPUT) -> Tensor:
        """The maps for output weights.

        Parameters
        ----------
        r
            `(images, vectors, classes)`.
        start, stop
            the logits and the input: there is nothing between.

        Returns
        -------
        Tensor
            `(images, vectors, *shape of the input)`, one channel where a map has one value for each
            location.
        """
        *_, (_, parts) = self.sweep({start: r}, stop)
        return parts[start]

    def double(self) -> ExplainerChain:
        """The same chain in float64."""
        if self.dtype == torch.float64:
            return self
        placed = Placement(dtype=torch.float64, device=self.device)
        return ExplainerChain(self.network, self.images, self.method, **placed)


@takes_parameters
def open_chain(
    network: Model,
    images: Tensor,
    method: str | Method = "lrp-alpha1beta0",
    *,
    parameters: Mapping[str, Any] | None = None,
    dtype: torch.dtype | None = None,
    device: str | torch.device | None = None,
) -> RelevanceChain | ExplainerChain:
    """The chain of any registered method, as `RelevanceChain` takes them.

    Parameters
    ----------
    network
        a module, a `Graph` or a `Network`.
    images
        `(N, C, H, W)`, preprocessed.
    method
        a registered method's name, or a `Method`.
    parameters
        of its rule.
    dtype, device
        those of the images where None.

    Returns
    -------
    RelevanceChain or ExplainerChain
        the second for methods that are not backpropagated layer by layer.
    """
    method = as_method(method, parameters)
    kind = ExplainerChain if isinstance(method.rule, Explainer) else RelevanceChain
    return kind(network, images, method, dtype=dtype, device=device)
