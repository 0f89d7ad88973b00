"""A rule turns one operation, at given activations, into the map that it applies to relevance.

Relevance is `(images, vectors, *shape)`; what a map keeps of the activations is `(images, 1, *shape)`,
so that one forward pass and one set of denominators serve every vector of an image.

A new method is one subclass of `Rule` that says what differs: `linear` (convolutions, dense layers,
pools, sums), and if need be `activation`, `max_pool`, `affine`. Methods that send down something else
than relevance itself say so by `entrance` and `exit`; those that need to know where an operation stands
in the network, by `bind`; those that compare with a reference input, by `inputs`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Self

from torch import Tensor

from conetheory.networks.graph import Graph, Node
from conetheory.networks.ops import Affine, Concat, LinearOp, MaxPool2d, PassThrough
from conetheory.rules.maps import LocalMap, Same, Split, WinnerTakesAll
from conetheory.rules.traits import Traits


class Rule(Traits):
    """What a method does at each operation; as it stands, relevance passes through all but linear ones.

    roundings: how many an entry of its matrix may have beside those of the sums over fans.
    """

    roundings: ClassVar[int] = 8  # two pools, bias, stabiliser, distance to a bound twice, two groups, W^2

    def at(self, node: Node) -> Rule:
        """The rule that `node` gets: this one, but for composites."""
        return self

    def bind(self, graph: Graph) -> Self:
        """The rule for this network: where a rule depends on the place of an operation, it is told here."""
        return self

    def inputs(self, images: Tensor) -> Tensor:
        """The batch that the forward pass runs on: the images, and what else the rule wants to see."""
        return images

    def only(self, images: Tensor, image: int) -> Self:
        """The rule for one image of a batch: one that depends on the others keeps what it had of them."""
        return self

    def entrance(self, name: str, y: Tensor) -> LocalMap | None:
        """From relevance at a start layer to what is sent down from it (None: the relevance itself)."""
        return None

    def exit(self, name: str, y: Tensor) -> LocalMap | None:
        """From what has arrived at a tensor to the relevance there (None: the relevance itself)."""
        return None

    def local(self, node: Node, xs: Sequence[Tensor], y: Tensor) -> LocalMap:
        """The map of `node` at inputs `xs` and output `y`, whose first axis is that of `inputs`."""
        match node.op:
            case LinearOp():
                return self.linear(node.op, xs, y)
            case MaxPool2d():
                return self.max_pool(node.op, xs[0], y)
            case Concat():
                return Split(tuple(x.shape[1] for x in xs))
            case Affine():
                return self.affine(node.op, xs[0], y)
            case PassThrough(kind="activation"):
                return self.activation(node.op, xs[0], y)
            case PassThrough():
                return Same(tuple(xs[0].shape[1:]), tuple(y.shape[1:]))
        raise NotImplementedError(type(node.op).__name__)

    def linear(self, op: LinearOp, xs: Sequence[Tensor], y: Tensor) -> LocalMap:
        """A convolution, a dense layer, a mean or a sum."""
        raise NotImplementedError

    def max_pool(self, op: MaxPool2d, x: Tensor, y: Tensor) -> LocalMap:
        return WinnerTakesAll.of(op, x)

    def activation(self, op: PassThrough, x: Tensor, y: Tensor) -> LocalMap:
        return Same(tuple(x.shape[1:]), tuple(y.shape[1:]))

    def affine(self, op: Affine, x: Tensor, y: Tensor) -> LocalMap:
        """A batch norm that could not be folded."""
        return Same(tuple(x.shape[1:]), tuple(y.shape[1:]))
