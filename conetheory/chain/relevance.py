"""A network, a rule and a batch of images, as a linear map between the relevances of any two layers.

`r_l = M_l r_{l+1}` with `M_l` of shape (inputs, outputs); the chain from a start layer s down to l is
`C_l = M_l M_{l+1} ... M_{s-1}`. Branches are summed where they meet. Relevance has the shape
`(images, vectors, *shape of the layer)`; the activations of one forward pass and the denominators made
from them serve all vectors.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from conetheory.chain.checks import Start, checked_device, checked_dtype, checked_images, checked_vectors
from conetheory.chain.derived import Derived
from conetheory.chain.matrices import Matrices
from conetheory.chain.protocol import said
from conetheory.chain.watch import Watchable, peak
from conetheory.errors import InputError
from conetheory.networks.edge import Model, as_network, shape_of
from conetheory.networks.graph import INPUT, Node
from conetheory.networks.ops import Shape
from conetheory.networks.unrolled import unrolled
from conetheory.rules.base import Rule
from conetheory.rules.maps import LocalMap
from conetheory.rules.parameters import takes_parameters
from conetheory.rules.registry import Method, as_method
from conetheory.rules.smallness import COUNTS


class RelevanceChain(Watchable, Matrices):
    """The relevance map of `method` on `network` at `images`.

    Parameters
    ----------
    network
        a `Network` (from `networks.load`), a `Graph`, or a module, which is traced at the shape of the
        images; `chain.network` is the `Network`.
    images
        `(N, C, H, W)`, preprocessed, or one image without the first axis.
    method
        a `Method`, or its name.
    parameters
        of its rule.
    dtype, device
        those of the images where None.

    Raises
    ------
    InputError
        for images that the network does not take, parameters that the rule has not, an absent device.
    """

    @takes_parameters
    def __init__(
        self,
        network: Model,
        images: Tensor,
        method: str | Method = "lrp-alpha1beta0",
        *,
        parameters: Mapping[str, Any] | None = None,
        dtype: torch.dtype | None = None,
        device: str | torch.device | None = None,
    ) -> None:
        self.network = as_network(network, shape_of(images))
        graph = self.network.graph
        images = checked_images(images, graph.input_shape)
        self.method = as_method(method, parameters)
        self.dtype = checked_dtype(dtype or images.dtype)
        self.device = checked_device(device or images.device)
        self.graph = graph.to(dtype=self.dtype, device=self.device)
        self.images = _laid_out(images.to(dtype=self.dtype, device=self.device))
        self._maps: dict[str, LocalMap] = {}
        self._entrances: dict[str, LocalMap] = {}
        self._exits: dict[str, LocalMap] = {}
        self._kind: str | None = None  # of derived maps
        self.peaks: dict[str, Tensor] = {}  # the largest activation of each image
        with torch.inference_mode():
            self._run(self.method.layerwise.bind(self.graph))

    def _run(self, rule: Rule) -> None:
        """One forward pass: what the rule keeps of each operation and of each tensor."""
        batch = rule.inputs(self.images)
        self._keep_ends(rule, INPUT, batch)
        for node, xs, y in self.graph.run(batch):
            self._maps[node.name] = rule.local(node, xs, y)
            self._keep_ends(rule, node.name, y)
            self.peaks[node.name] = peak(y[: len(self.images)])
            if node.name == self.graph.output:
                self.logits = y[: len(self.images)]

    def _keep_ends(self, rule: Rule, name: str, y: Tensor) -> None:
        for kept, found in ((self._entrances, rule.entrance(name, y)), (self._exits, rule.exit(name, y))):
            if found is not None:
                kept[name] = found

    def __repr__(self) -> str:
        return said(self)

    def __len__(self) -> int:
        """The number of images."""
        return len(self.images)

    @property
    def carries_state(self) -> bool:
        """Whether what goes from layer to layer is more than relevance, which is made of it at each layer."""
        return bool(self._entrances or self._exits)

    @property
    def layers(self) -> tuple[str, ...]:
        return self.graph.layers

    def shape(self, layer: str) -> Shape:
        return self.graph.shape(self.graph.resolve(layer))

    def sweep(
        self, starts: Mapping[str, Start], stop: str = INPUT
    ) -> Iterator[tuple[str, dict[str, Tensor]]]:
        """Send vectors down from several start layers in one pass.

        Every tensor between the highest start and `stop` is yielded once, when its relevance is complete;
        nothing is kept afterwards.

        Parameters
        ----------
        starts
            `{layer: vectors}`, vectors `(images, vectors, *shape)` or a function that makes them from the
            layer's shape when the sweep gets there.
        stop
            the last tensor.

        Returns
        -------
        Iterator
            of (tensor's name, `{start: relevance (images, vectors, *shape)}`).
        """
        return self._seen(starts, stop)

    @torch.inference_mode()
    def _sweep(self, starts: Mapping[str, Start], stop: str) -> Iterator[tuple[str, dict[str, Tensor]]]:
        stop = self.graph.resolve(stop)
        waiting = {self.graph.resolve(name): (name, start) for name, start in starts.items()}
        if len(waiting) < len(starts):
            raise InputError(f"two of the start layers {', '.join(starts)} are the same layer")
        crossed = {n.name: n for top in waiting if top != stop for n in self.graph.between(top, stop)}
        order = [name for name in reversed(list(self.graph.nodes)) if name in crossed] + [stop]
        joined: list[tuple[str, int]] = []
        pending: dict[str, Tensor] = {}
        for name in order:
            r = pending.pop(name, None)
            if name in waiting:
                label, start = waiting[name]
                vectors = self._entered(start, name)
                r = _join(r, vectors, sum(count for _, count in joined))
                joined.append((label, vectors.shape[1]))
            if r is None:
                continue
            leave = self._exits.get(name)
            yield name, _parts(r if leave is None else leave.down(r)[0], joined)
            if name != stop:
                self._descend(crossed[name], r, crossed, stop, pending)

    def _descend(
        self, node: Node, r: Tensor, crossed: Mapping[str, Node], stop: str, pending: dict[str, Tensor]
    ) -> None:
        for source, part in zip(node.inputs, self._maps[node.name].down(r), strict=True):
            if source == stop or source in crossed:
                held = pending.get(source)
                pending[source] = part if held is None else _add(held, part)

    def _vectors(self, start: Start, name: str) -> Tensor:
        vectors = checked_vectors(start, name, len(self), self.graph.shape(name))
        vectors = vectors.to(dtype=self.dtype, device=self.device)
        return _laid_out(vectors.flatten(0, 1)).unflatten(0, vectors.shape[:2])

    def _entered(self, start: Start, name: str) -> Tensor:
        """What is sent down from a start layer for the given vectors."""
        vectors, enter = self._vectors(start, name), self._entrances.get(name)
        return vectors if enter is None else enter.down(vectors)[0]

    def hands_on(self, layer: str) -> bool:
        """Whether what a sweep yields at a layer is what it sends on: a sweep may be taken up there."""
        return layer not in self._entrances and layer not in self._exits

    def down(self, r: Tensor, start: str, stop: str = INPUT) -> Tensor:
        """`C r`: relevance at one layer to relevance at another below it.

        Parameters
        ----------
        r
            `(images, vectors, *shape of start)`.
        start, stop
            names of layers.

        Returns
        -------
        Tensor
            `(images, vectors, *shape of stop)`.
        """
        *_, (_, parts) = self.sweep({start: r}, stop)
        return parts[start]

    @torch.inference_mode()
    def up(self, h: Tensor, stop: str, start: str) -> Tensor:
        """`C^T h`: covectors at one layer to covectors at another above it.

        Parameters
        ----------
        h
            `(images, vectors, *shape of stop)`.
        stop, start
            names of layers, `start` above `stop`.

        Returns
        -------
        Tensor
            `(images, vectors, *shape of start)`.

        Raises
        ------
        InputError
            where the method is not linear in the relevance.
        """
        if not self.method.linear:
            raise InputError(f"{self.method.name} is not linear in the relevance: it has no adjoint")
        stop, start = self.graph.resolve(stop), self.graph.resolve(start)
        h, leave, enter = self._vectors(h, stop), self._exits.get(stop), self._entrances.get(start)
        held = {stop: h if leave is None else leave.up([h])}
        for node in reversed(self.graph.between(start, stop)):
            hs = [held.get(name) for name in node.inputs]
            held[node.name] = self._maps[node.name].up(hs)
            if self._watch is not None:
                self._watch.see(self, stop, node.name, held[node.name])
        return held[start] if enter is None else enter.up([held[start]])

    def crossed(self, start: str, stop: str = INPUT) -> Iterator[tuple[Node, LocalMap]]:
        """The nodes that relevance crosses on its way, from the top down, with their maps.

        Parameters
        ----------
        start, stop
            names of layers, `stop` below `start`.

        Yields
        ------
        tuple
            a `Node` and its `LocalMap`.
        """
        for node in self.graph.between(self.graph.resolve(start), self.graph.resolve(stop)):
            yield node, self._maps[node.name]

    def pattern(self) -> RelevanceChain:
        """The chain of ones and zeros: an entry is one where a path leads, whatever its numbers are.

        Its `sweep`, `columns`, `rows`, ... say which relevances are zero by structure: inactive units,
        weights of zero or of the wrong sign, locations out of reach. Of a nonnegative method's chain these
        are all zeros there are in exact arithmetic; a signed one may cancel to more. A zero in floating
        point that has a one here has underflowed or cancelled. Its dtype is float32, whatever the chain's.
        Raises InputError where the method's maps don't tell.
        """
        return self._derived("pattern")

    def loss(self) -> RelevanceChain:
        """What underflow costs at most between two layers, in units of 2^-1022: `down` and `up` of zeros.

        The absolute error of an entry of `down` or `up`, beside its relative one, whatever the start of ones
        and zeros; inf where an activation or a denominator itself left the range of the dtype, float64.
        Raises InputError as `pattern`.
        """
        return self._derived("loss")

    def _derived(self, kind: str) -> RelevanceChain:
        found = self.watched(None)
        found._kind = kind
        found.dtype = COUNTS if kind == "pattern" else self.dtype
        for name in ("_maps", "_entrances", "_exits"):
            setattr(found, name, Derived(getattr(self, name), kind, self.method.name))
        return found

    def double(self, device: str | torch.device | None = None) -> RelevanceChain:
        """The same chain in float64, on another device where one is given."""
        device = self.device if device is None else torch.device(device)
        if (self.dtype, self.device) == (torch.float64, device):
            return self
        return RelevanceChain(self.network, self.images, self.method, dtype=torch.float64, device=device)

    def only(self, image: int) -> RelevanceChain:
        """The chain of one of the images.

        Parameters
        ----------
        image
            its number.

        Returns
        -------
        RelevanceChain
            of the same method, dtype and device.

        Raises
        ------
        InputError
            where there is no such image.
        """
        if not 0 <= image < len(self):
            raise InputError(f"the chain has images 0 to {len(self) - 1}, not {image}")
        if len(self) == 1:
            return self
        method = replace(self.method, rule=self.method.layerwise.only(self.images, image))
        of = {"dtype": self.images.dtype, "device": self.device}  # a pattern's own is another
        one = RelevanceChain(self.network, self.images[image], method, **of)
        return one if self._kind is None else one._derived(self._kind)


def _laid_out(x: Tensor) -> Tensor:
    """As convolutions want it: channels last, but where windows are unrolled."""
    last = x.ndim == 4 and not unrolled(x)
    return x.contiguous(memory_format=torch.channels_last) if last else x.contiguous()


def _parts(r: Tensor, joined: Sequence[tuple[str, int]]) -> dict[str, Tensor]:
    """The vectors of each start in `r`, which lacks those that joined after it was made."""
    parts, first = {}, 0
    for start, count in joined:
        if first < r.shape[1]:
            parts[start] = r[:, first : first + count]
        first += count
    return parts


def _join(r: Tensor | None, vectors: Tensor, before: int) -> Tensor:
    """Append new vectors behind the `before` that joined earlier, of which `r` may lack the last ones."""
    if before == 0:
        return vectors
    held = 0 if r is None else r.shape[1]
    blank = vectors.new_zeros((len(vectors), before - held, *vectors.shape[2:]))
    return torch.cat([blank, vectors] if r is None else [r, blank, vectors], 1)


def _add(a: Tensor, b: Tensor) -> Tensor:
    """The sum of two relevances, of which one may lack the vectors that joined last."""
    if a.shape[1] < b.shape[1]:
        a, b = b, a
    if a.shape[1] == b.shape[1]:
        return a + b
    total = a.clone()
    total[:, : b.shape[1]] += b
    return total
