"""A network as a list of operations in the order they run."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from conetheory.errors import InputError
from conetheory.networks.attention import MatMul, Softmax
from conetheory.networks.crossings import crossings
from conetheory.networks.offset import Offset
from conetheory.networks.ops import Affine, Op, PassThrough, Shape
from conetheory.schema import INPUT


@dataclass(frozen=True, eq=False)
class Node:
    """The tensor `name = op(*inputs)` of shape `shape` (without the batch axis)."""

    name: str
    op: Op
    inputs: tuple[str, ...]
    shape: Shape


@dataclass(frozen=True, eq=False)
class Graph:
    """A network as a list of operations.

    The output is `(classes,)`, the logits, or a feature map: then the network is a trunk, whose layers can be
    measured and predicted from, and which has no classes to explain.

    Attributes
    ----------
    nodes
        `{tensor's name: Node}` in topological order.
    input_shape
        of one image.
    output
        the name of the last tensor.
    aliases
        other names of layers (module paths, the paper's names): `{name: tensor's name}`.
    after_activation
        whether a layer is the tensor behind its activation.
    """

    nodes: Mapping[str, Node]
    input_shape: Shape
    output: str
    aliases: Mapping[str, str] = field(default_factory=dict)
    after_activation: bool = True

    def __repr__(self) -> str:
        return f"Graph: {self.described}"

    @property
    def described(self) -> str:
        """The input, the output and how many layers there are between, in one line."""
        outputs = self.shape(self.output)
        end = f"{outputs[0]} classes" if len(outputs) == 1 else f"a map of {_sides(outputs)}"
        below, *_, top = (self.label(name) for name in self.layers)
        return f"{below} {_sides(self.input_shape)}, {end}, {len(self.layers) - 1} layers up to {top}"

    def shape(self, name: str) -> Shape:
        return self.input_shape if name == INPUT else self.nodes[name].shape

    @property
    def classes(self) -> int:
        """How many outputs there are to choose from; `InputError` where the output is a feature map."""
        shape = self.shape(self.output)
        if len(shape) != 1:
            raise InputError(
                f"the network's output is a feature map of shape {shape}, which has no classes or logits: "
                f"start from a layer, such as {self.label(self.layers[-1])!r}, or add a head"
            )
        return shape[0]

    @cached_property
    def consumers(self) -> dict[str, list[Node]]:
        users: dict[str, list[Node]] = {INPUT: [], **{name: [] for name in self.nodes}}
        for node in self.nodes.values():
            for name in node.inputs:
                users[name].append(node)
        return users

    def resolve(self, name: str) -> str:
        """The tensor that a layer name, module path, paper's name, `input` or `logits` stands for.

        Parameters
        ----------
        name
            any of these.

        Returns
        -------
        str
            the tensor's name.

        Raises
        ------
        InputError
            where there is none.
        """
        if name == INPUT or name in self.nodes:
            return name
        if name in ("logits", "output"):
            return self.output
        if name in self.aliases:
            return self.aliases[name]
        inside = [node for node in self.nodes if node.startswith(name + ".")]
        if inside:
            return inside[-1]
        known = ", ".join([*self.layers, *self.aliases][:40])
        raise InputError(f"no layer {name!r} in this network; its layers are {known}")

    def label(self, name: str) -> str:
        """The paper's name of a tensor where it has one, else its own."""
        return next((alias for alias, target in self.aliases.items() if target == name), name)

    @cached_property
    def layers(self) -> tuple[str, ...]:
        """The tensors worth a row in a table, input first: one for each operation that is no pass-through.

        Of an operation and the activations right behind it, the last counts where `after_activation`,
        else the first. Reshapes and dropout never do, nor does what becomes the weights of attention.
        """
        return (
            INPUT,
            *(
                self.after(node.name) if self.after_activation else node.name
                for node in self.nodes.values()
                if not isinstance(node.op, PassThrough) and node.name not in self.weights
            ),
        )

    @cached_property
    def weights(self) -> frozenset[str]:
        """The tensors inside attention from scores to weights: numbers of pairs of tokens, no channels."""
        return frozenset(
            name
            for node in self.nodes.values()
            if isinstance(node.op, MatMul)
            for name in self._scored(node.inputs[node.op.gate])
        )

    def _scored(self, name: str) -> list[str]:
        """From weights down to the scores that a softmax made them of; none of what is no weight."""
        found, soft = [], False
        while name != INPUT:
            op = self.nodes[name].op
            found.append(name)
            soft = soft or isinstance(op, Softmax)
            if isinstance(op, MatMul) or not isinstance(op, PassThrough | Softmax | Affine | Offset):
                break
            name = self.nodes[name].inputs[0]
        return found if soft and isinstance(self.nodes[found[-1]].op, MatMul) else []

    def after(self, name: str) -> str:
        """The tensor behind the folded batch norms and activations that follow `name` without a branch."""
        while len(users := self.consumers[name]) == 1 and self._continues(users[0].op):
            name = users[0].name
        return name

    @staticmethod
    def _continues(op: Op) -> bool:
        return isinstance(op, PassThrough) and op.kind in ("activation", "folded")

    def crossings(self, layers: Sequence[str]) -> dict[str, tuple[str, str]]:
        """For each of some layers the one above it, and in words what relevance crosses between the two.

        Above is the nearest of the layers that all relevance from the output crosses on its way to this one;
        layers that have none are left out.
        """
        return crossings(self, layers)  # pyright: ignore[reportArgumentType] (it misreads cached properties)

    @cached_property
    def cuts(self) -> tuple[str, ...]:
        """The tensors that every path from input to output crosses, `INPUT` first and the output last."""
        position_of = {name: i for i, name in enumerate([INPUT, *self.nodes])}
        last_use = {
            name: max((position_of[user.name] for user in users), default=len(position_of))
            for name, users in self.consumers.items()
        }
        cuts, open_until = [], 0
        for name, position in position_of.items():
            if open_until <= position:
                cuts.append(name)
            open_until = max(open_until, last_use[name])
            if name == self.output:
                break
        return tuple(cuts)

    def between(self, top: str, bottom: str) -> list[Node]:
        """The nodes that relevance crosses on the way from one tensor down to another.

        Parameters
        ----------
        top, bottom
            names of tensors.

        Returns
        -------
        list of Node
            in the order in which relevance crosses them.

        Raises
        ------
        InputError
            where no path leads from `top` down to `bottom`.
        """
        below = {bottom}
        for node in self.nodes.values():
            if below.intersection(node.inputs):
                below.add(node.name)
        if top not in below:
            raise InputError(f"layer {bottom!r} is not below {top!r}")
        above, crossed = {top}, []
        for node in reversed(list(self.nodes.values())):
            if node.name in above and node.name in below and node.name != bottom:
                above.update(node.inputs)
                crossed.append(node)
        return crossed

    def multiplications(self, top: str, bottom: str) -> int:
        """Of one vector from one tensor down to another, roughly: the taps of every unit that it crosses.

        Parameters
        ----------
        top, bottom
            names of tensors.

        Returns
        -------
        int
            multiplications.
        """
        weights = ((node, getattr(node.op, "weight", None)) for node in self.between(top, bottom))
        return sum(
            math.prod(node.shape) * (1 if weight is None else math.prod(weight.shape[1:]))
            for node, weight in weights
        )

    def run(self, images: Tensor) -> Iterator[tuple[Node, tuple[Tensor, ...], Tensor]]:
        """Run the network: each node with its inputs and output. A tensor is freed after its last use."""
        left = {name: len(users) for name, users in self.consumers.items()}
        tensors = {INPUT: images}
        for node in self.nodes.values():
            xs = tuple(tensors[name] for name in node.inputs)
            y = node.op.forward(*xs)
            tensors[node.name] = y
            yield node, xs, y
            for name in node.inputs:
                left[name] -= 1
                if left[name] == 0:
                    tensors.pop(name, None)

    @torch.inference_mode()
    def forward(self, images: Tensor) -> Tensor:
        """The logits `(N, classes)`, or the feature map in which a trunk ends."""
        return next(y for node, _, y in self.run(images) if node.name == self.output)

    def to(self, **kwargs: Any) -> Graph:
        """The same network with its parameters on another device or in another dtype."""
        return replace(self, nodes={k: replace(n, op=n.op.to(**kwargs)) for k, n in self.nodes.items()})


def _sides(shape: Shape) -> str:
    """`3 x 224 x 224`."""
    return " x ".join(map(str, shape))
