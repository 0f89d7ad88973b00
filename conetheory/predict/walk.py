"""The curve from the weights alone: the random walk that a chain is where activations are flat.

With equal activations a rule's matrices are those of its weights (`networks.flat`): location weights walk
down, a layer's kernel a step, and what two starts differ by is where their walks come from. The second
moments of that chain (`theory.secondmoment`) are a prediction without an image and without an activation;
what each layer's step adds is in `theory.walk`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from conetheory.chain.relevance import RelevanceChain
from conetheory.chain.supply import Supply
from conetheory.networks.flat import FlatGraph, drawn_values, flat_graph
from conetheory.predict.registry import register
from conetheory.predict.second_moment import SecondMoment
from conetheory.progress import Progress
from conetheory.rules.base import Rule
from conetheory.rules.reference import DeepLift
from conetheory.rules.registry import Method
from conetheory.theory.records import NotApplicable


@register
class Walk(SecondMoment):
    """The median deficit of flat activations, for Gaussian starts: the same for every image.

    Every unit hands on one, the winner of a max pool is any of its inputs by chance (drawn once, by `seed`),
    biases are left out. That activations are flat is the error of this theory, beside the second moments'
    closures: G comes from where an image is active, so that layers of few active units and the image with its
    three channels are missed by most.

    levels: what operations with weights hand on instead, one number for each channel: `flat.channel_means` of
    images of one's own, by the operation's name.
    """

    name = "walk"
    label = "walk of the weights"
    by_default = False
    of_weights = True

    def __init__(self, start: str, *, levels: Mapping[str, Tensor] | None = None, **options: Any) -> None:
        super().__init__(start, **options)
        self.levels = dict(levels or {})

    @classmethod
    def applies(cls, method: Method) -> NotApplicable | None:
        """Why it says nothing about a method: as second moments, or that compares with a reference input."""
        reason = super().applies(method)
        if reason is None and (
            isinstance(method.rule, DeepLift) or type(method.layerwise).inputs is not Rule.inputs
        ):
            return NotApplicable(f"{method.name} compares activations with others: flat ones do not differ")
        return reason

    def observe(self, chain: RelevanceChain, supply: Supply, progress: Progress) -> None:
        """Of the first chain its weights, of the others nothing."""
        if not self.spectra.layers:
            self.first_image = 0
            flat = flat_chain(chain, self.flat(chain))
            super().observe(flat, self.supply(flat, progress), progress)  # what is known of images is not its

    def flat(self, chain: RelevanceChain) -> FlatGraph:
        """The network with the activations of this theory."""
        return flat_graph(chain.graph, drawn_values(chain.graph, self.seed, self.levels, self.shares(chain)))

    def shares(self, chain: RelevanceChain) -> Mapping[str, Tensor]:
        """For some operations with weights, the share of active units by channel; the others are active."""
        return {}


def flat_chain(chain: RelevanceChain, graph: FlatGraph) -> RelevanceChain:
    """The chain of the same method on a flat network."""
    blank = torch.zeros((1, *graph.input_shape), dtype=chain.dtype, device=chain.device)
    return RelevanceChain(graph, blank, chain.method)
