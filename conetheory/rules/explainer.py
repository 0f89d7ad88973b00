"""Methods that are not backpropagated layer by layer: whole maps of a function of the logits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from torch import Tensor

from conetheory.rules.traits import Traits

if TYPE_CHECKING:
    from conetheory.networks.graph import Graph


class Explainer(Traits):
    """What a library (or our own code) explains from outside: `<v, logits>` for output weights v.

    A class is the one-hot v. Where `is_linear`, the map is linear in v, and CSC from the logits to the
    input can be measured as it is for backpropagated methods.
    """

    def bind(self, graph: Graph) -> Self:
        """The explainer for this network; raises `InputError` where there is no map of it."""
        return self

    def maps(self, graph: Graph, images: Tensor, outputs: Tensor) -> Tensor:
        """Maps for output weights.

        Parameters
        ----------
        graph
            of the network.
        images
            `(images, C, H, W)`.
        outputs
            `(images, vectors, classes)`.

        Returns
        -------
        Tensor
            `(images, vectors, C, H, W)`, or `(images, vectors, 1, H, W)` of one value for each location.
        """
        raise NotImplementedError
