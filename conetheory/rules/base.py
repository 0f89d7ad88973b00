"""A rule turns one operation, at given activations, into the map that it applies to relevance.

Relevance is `(images, vectors, *shape)`; what a map keeps of the activations is `(images, 1, *shape)`,
so that one forward pass and one set of denominators serve every vector of an image.

A new method is one subclass of `Rule` that says what differs: `linear` (convolutions, dense layers,
pools, sums), and if need be `activation`, `max_pool`, `affine`, `product`, `standardise`, `matmul`,
`softmax`, `aligned`. Methods that send down something else than relevance itself say so by `entrance` and
`exit`; those that need to know where an operation stands in the network, by `bind`; those that compare with a
reference input, by `inputs`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Self

from torch import Tensor

from conetheory.networks.attention import MatMul, Softmax
from conetheory.networks.bcos import Aligned
from conetheory.networks.coupling import Product, Standardise
from conetheory.networks.graph import Graph, Node
from conetheory.networks.ops import Affine, Concat, LinearOp, MaxPool2d, PassThrough
from conetheory.networks.selection import Selection
from conetheory.rules.bilinear import Branch
from conetheory.rules.couplings import Moved, OneBranch
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
        """The rule for one image of a batch: one that depends on the others keeps what it had of them.

        Parameters
        ----------
        images
            the batch.
        image
            its number in it.

        Returns
        -------
        Rule
            this one, where images don't depend on each other.
        """
        return self

    def entrance(self, name: str, y: Tensor) -> LocalMap | None:
        """From relevance at a start layer to what is sent down from it.

        Parameters
        ----------
        name
            of the tensor.
        y
            its value.

        Returns
        -------
        LocalMap or None
            None: the relevance itself.
        """
        return None

    def exit(self, name: str, y: Tensor) -> LocalMap | None:
        """From what has arrived at a tensor to the relevance there.

        Parameters
        ----------
        name
            of the tensor.
        y
            its value.

        Returns
        -------
        LocalMap or None
            None: the relevance itself.
        """
        return None

    def local(self, node: Node, xs: Sequence[Tensor], y: Tensor) -> LocalMap:
        """The map of an operation at its activations.

        Parameters
        ----------
        node
            the operation.
        xs
            its inputs, whose first axis is that of `inputs`.
        y
            its output.

        Returns
        -------
        LocalMap
            from relevance at `y` to that at each of `xs`.

        Raises
        ------
        NotImplementedError
            for an operation that no method here speaks of.
        """
        match node.op:
            case LinearOp():
                return self.linear(node.op, xs, y)
            case MaxPool2d():
                return self.max_pool(node.op, xs[0], y)
            case Concat():
                return Split(tuple(x.shape[1] for x in xs))
            case Affine():
                return self.affine(node.op, xs[0], y)
            case Product():
                return self.product(node.op, xs, y)
            case Standardise():
                return self.standardise(node.op, xs[0], y)
            case MatMul():
                return self.matmul(node.op, xs, y)
            case Aligned():
                return self.aligned(node.op, xs, y)
            case Softmax():
                return self.softmax(node.op, xs[0], y)
            case Selection():
                return Moved(node.op, tuple(xs[0].shape[1:]))
            case PassThrough(kind="activation"):
                return self.activation(node.op, xs[0], y)
            case PassThrough():
                return Same(tuple(xs[0].shape[1:]), tuple(y.shape[1:]))
        raise NotImplementedError(type(node.op).__name__)

    def linear(self, op: LinearOp, xs: Sequence[Tensor], y: Tensor) -> LocalMap:
        """A convolution, a dense layer, a mean or a sum.

        Parameters
        ----------
        op
            its weights and shapes.
        xs, y
            its inputs and output, the first axis that of `inputs`.

        Returns
        -------
        LocalMap
            M.
        """
        raise NotImplementedError

    def max_pool(self, op: MaxPool2d, x: Tensor, y: Tensor) -> LocalMap:
        """To the winner of each window.

        Parameters
        ----------
        op
            its windows.
        x, y
            its input and output, the first axis that of `inputs`.

        Returns
        -------
        LocalMap
            M.
        """
        return WinnerTakesAll.of(op, x)

    def activation(self, op: PassThrough, x: Tensor, y: Tensor) -> LocalMap:
        """Relevance as it is.

        Parameters
        ----------
        op
            the activation.
        x, y
            its input and output, the first axis that of `inputs`.

        Returns
        -------
        LocalMap
            M.
        """
        return Same(tuple(x.shape[1:]), tuple(y.shape[1:]))

    def affine(self, op: Affine, x: Tensor, y: Tensor) -> LocalMap:
        """A batch norm that could not be folded: relevance as it is.

        zennit's composites pass it on too. A positive factor would not change LRP, whose rules see products
        of activations and the weights above alone; a shift would take a share. The code of Sixt et al. and
        captum do otherwise: `rules.repro`, `norms-as-convolutions`.

        Parameters
        ----------
        op
            its factor and offset for each channel.
        x, y
            its input and output, the first axis that of `inputs`.

        Returns
        -------
        LocalMap
            M.
        """
        return Same(tuple(x.shape[1:]), tuple(y.shape[1:]))

    def product(self, op: Product, xs: Sequence[Tensor], y: Tensor) -> LocalMap:
        """A branch times its gate: all relevance to the branch, as it is; none to the gate.

        Parameters
        ----------
        op
            which input is the gate.
        xs, y
            its inputs and output, the first axis that of `inputs`.

        Returns
        -------
        LocalMap
            M.
        """
        return OneBranch(1 - op.gate, tuple(tuple(x.shape[1:]) for x in xs))

    def standardise(self, op: Standardise, x: Tensor, y: Tensor) -> LocalMap:
        """Mean and deviation are taken as constants: relevance as it is, as at a batch norm.

        Parameters
        ----------
        op
            which units have them in common.
        x, y
            its input and output, the first axis that of `inputs`.

        Returns
        -------
        LocalMap
            M.
        """
        return Same(tuple(x.shape[1:]), tuple(y.shape[1:]))

    def matmul(self, op: MatMul, xs: Sequence[Tensor], y: Tensor) -> LocalMap:
        """A product of matrices, of which one is the gate (attention's weights): that one is a constant, and
        the product the linear map that it makes; nothing to the gate.

        Parameters
        ----------
        op
            which input is the gate.
        xs, y
            its inputs and output, the first axis that of `inputs`.

        Returns
        -------
        LocalMap
            M.
        """
        branch = 1 - op.gate
        inner = self.linear(op.held(xs), [xs[branch]], y)
        return Branch(inner, branch, tuple(tuple(x.shape[1:]) for x in xs))

    def aligned(self, op: Aligned, xs: Sequence[Tensor], y: Tensor) -> LocalMap:
        """The cosine of a B-cos unit is a constant: relevance to the linear unit as it is.

        Parameters
        ----------
        op
            its power and windows.
        xs, y
            the linear unit's output and input, and its own output, the first axis that of `inputs`.

        Returns
        -------
        LocalMap
            M.
        """
        return OneBranch(0, tuple(tuple(x.shape[1:]) for x in xs))

    def softmax(self, op: Softmax, x: Tensor, y: Tensor) -> LocalMap:
        """Relevance as it is, as at any activation.

        Parameters
        ----------
        op
            over which axis.
        x, y
            its input and output, the first axis that of `inputs`.

        Returns
        -------
        LocalMap
            M.
        """
        return Same(tuple(x.shape[1:]), tuple(y.shape[1:]))
