"""CSC of any function that sends relevance down: `vjp(v) -> {layer: relevance}`.

    shapes = {"input": (3, 32, 32), "conv1": (16, 32, 32), "logits": (10,)}
    chain = VjpChain({"logits": vjp}, shapes, images=2)
    measure_csc(chain, "logits", vectors=10)

The measurement is the one of our own chains: the same random vectors for the same seeds and names of start
layers, the same statistics, the same kind of result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from conetheory.adapters.modules import Origin
from conetheory.chain.checks import Start, checked_vectors
from conetheory.chain.protocol import said
from conetheory.chain.units import Units
from conetheory.chain.watch import Watchable
from conetheory.counts import checked_seed
from conetheory.errors import InputError
from conetheory.networks.edge import Model, as_network
from conetheory.networks.graph import INPUT
from conetheory.networks.ops import Shape
from conetheory.results.layout import Named

Vjp = Callable[[Tensor], Mapping[str, Tensor]]


@dataclass(frozen=True)
class Layers:
    """The layers of a network that is no `Graph`: `{name: shape}` from the input up, the output last."""

    shapes: Mapping[str, Shape]

    def __post_init__(self) -> None:
        if next(iter(self.shapes), None) != INPUT or len(self.shapes) < 2:
            raise InputError(f"the layers are given from {INPUT!r} up to the output")

    @property
    def nodes(self) -> tuple[str, ...]:
        """All but the input."""
        return tuple(self.shapes)[1:]

    @property
    def output(self) -> str:
        return self.nodes[-1]

    def resolve(self, name: str) -> str:
        if name in self.shapes:
            return name
        if name in ("logits", "output"):
            return self.output
        if inside := [known for known in self.shapes if known.startswith(name + ".")]:
            return inside[-1]
        raise InputError(f"no layer {name!r}; the layers are {', '.join(self.shapes)}")

    def shape(self, name: str) -> Shape:
        return tuple(self.shapes[name])

    def below(self, name: str) -> tuple[str, ...]:
        """The layers that come before one, which need not all feed it."""
        names = list(self.shapes)
        return tuple(names[: names.index(self.resolve(name))])

    def label(self, name: str) -> str:
        return name


@dataclass(frozen=True)
class External:
    """A method that is not ours: its name, for tables and figures, and whether its map is linear.

    It is only sent down, and nothing else is known of it: theories that need adjoints or signs don't apply.
    """

    name: str
    linear: bool = True
    backpropagated: ClassVar[bool] = True
    only_down: ClassVar[bool] = True


class VjpChain(Watchable, Units):
    """What `CscMeter` measures, made of one function for each start layer.

    Parameters
    ----------
    vjps
        `{start layer: vjp}`; v is `(images, *shape of the start)`, one vector for each image, and the
        function gives the relevance `(images, *shape)` of the layers below, of those it knows.
    shapes
        of all layers, from the input up (see `Layers`).
    images
        how many.
    name
        of the method, for tables and figures.
    network
        the module or `Network` behind the functions, which results then name, so that they are told from
        those of others.
    dtype, device
        those that v is handed over in.
    linear
        whether the functions are linear in v, as theory then assumes (see `additivity_error`).
    """

    def __init__(
        self,
        vjps: Mapping[str, Vjp],
        shapes: Mapping[str, Shape],
        images: int,
        *,
        name: str = "vjp",
        network: Model | None = None,
        dtype: torch.dtype = torch.float32,
        device: str | torch.device = "cpu",
        linear: bool = True,
    ) -> None:
        self.graph, self.images_count = Layers(shapes), images
        self.method = External(name, linear)
        self.vjps = {self.graph.resolve(start): vjp for start, vjp in vjps.items()}
        self.network = _named(network)
        self.dtype, self.device = dtype, torch.device(device)

    def __repr__(self) -> str:
        return said(self)

    def __len__(self) -> int:
        return self.images_count

    @property
    def layers(self) -> tuple[str, ...]:
        return tuple(self.graph.shapes)

    def shape(self, layer: str) -> Shape:
        return self.graph.shape(self.graph.resolve(layer))

    def sweep(
        self, starts: Mapping[str, Start], stop: str = INPUT
    ) -> Iterator[tuple[str, dict[str, Tensor]]]:
        """Relevance from each start layer down to `stop`, start after start.

        Parameters
        ----------
        starts
            `{layer: vectors}`, as `RelevanceChain.sweep` takes them.
        stop
            the last layer.

        Returns
        -------
        iterator
            of the layer, and `{start: (images, vectors, *shape)}`.
        """
        return self._seen(starts, stop)

    def additivity_error(self, start: str = "logits", seed: int = 0) -> float:
        """How far the chain is from additive at one pair of random vectors: 0 is what linear ones have.

        Parameters
        ----------
        start
            where the vectors start.
        seed
            of their draw.

        Returns
        -------
        float
            The largest |f(v + w) - f(v) - f(w)| over the layers below the start, over the largest |f(v + w)|
            there: rounding, some 1e-6 in float32, for a linear map. An observation, and no proof.
        """
        name = self.graph.resolve(start)
        generator = torch.Generator().manual_seed(checked_seed(seed))
        drawn = torch.randn(2, len(self), 1, *self.graph.shape(name), generator=generator)
        v, w = drawn.to(dtype=self.dtype, device=self.device)
        given = torch.cat([v, w, v + w], 1)
        errors = [0.0]
        for layer, parts in self.sweep({start: given}):
            r = parts[start]
            size = float(r[:, 2].abs().max())
            if layer != name and size > 0:
                errors.append(float((r[:, 2] - r[:, 0] - r[:, 1]).abs().max()) / size)
        return max(errors)

    def _sweep(self, starts: Mapping[str, Start], stop: str) -> Iterator[tuple[str, dict[str, Tensor]]]:
        names = {start: self.graph.resolve(start) for start in starts}
        order = list(self.graph.shapes)
        last = order.index(self.graph.resolve(stop))
        for start, vectors in starts.items():
            name = names[start]
            vectors = checked_vectors(vectors, start, len(self), self.graph.shape(name))
            vectors = vectors.to(dtype=self.dtype, device=self.device)
            found = {**self.pull(name, vectors), name: vectors}
            for layer in reversed(order[last : order.index(name) + 1]):
                if layer in found:
                    yield layer, {start: self._checked(layer, found.pop(layer), vectors.shape[1])}

    def pull(self, start: str, vectors: Tensor) -> dict[str, Tensor]:
        """Relevance of the layers below a start, by one call of its function for each vector.

        Parameters
        ----------
        start
            one of the names in `vjps`.
        vectors
            `(images, vectors, *shape of the start)`.

        Returns
        -------
        dict
            `{layer: (images, vectors, *shape)}`, of the layers that the function knows.

        Raises
        ------
        InputError
            where there is no function for this start.
        """
        if start not in self.vjps:
            raise InputError(f"no vjp was given for {start!r}; there are those of {', '.join(self.vjps)}")
        return stacked([self.vjps[start](v) for v in vectors.unbind(1)])

    def down(self, r: Tensor, start: str, stop: str = INPUT) -> Tensor:
        """Relevance at one layer to relevance at another.

        Parameters
        ----------
        r
            `(images, vectors, *shape of start)`.
        start, stop
            names of layers, `stop` below `start`.

        Returns
        -------
        Tensor
            `(images, vectors, *shape of stop)`.
        """
        *_, (_, parts) = self.sweep({start: r}, stop)
        return parts[start]

    def _checked(self, layer: str, r: Tensor, vectors: int) -> Tensor:
        expected = (len(self), vectors, *self.graph.shape(layer))
        if tuple(r.shape) != expected:
            raise InputError(f"{self.method.name} gives {tuple(r.shape)} at {layer!r}, not {expected}")
        return r


def _named(network: Model | None) -> Named | None:
    if network is None or isinstance(network, Origin):
        return network  # pyright: ignore[reportReturnType] (cached property)
    if isinstance(network, nn.Module):
        return Origin(network)  # pyright: ignore[reportReturnType] (cached property)
    return as_network(network)


def stacked(found: list[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """`{layer: (images, vectors, *shape)}` of one dictionary for each vector."""
    return {layer: torch.stack([one[layer].detach() for one in found], 1) for layer in found[0]}
