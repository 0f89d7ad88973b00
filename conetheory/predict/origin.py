"""The curve from where relevance comes from: six vectors, no random one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from conetheory.chain.layers import below
from conetheory.chain.local import positions_of_images
from conetheory.chain.reach import space
from conetheory.chain.relevance import RelevanceChain
from conetheory.chain.supply import Supply
from conetheory.predict.registry import register
from conetheory.predict.spectra import SpectralTheory
from conetheory.predict.states import POSITIONS, applies_to_relevance, first_state, flat, picked
from conetheory.progress import Progress
from conetheory.rules.registry import Method
from conetheory.theory import origin as theory
from conetheory.theory.records import NotApplicable

NARROW = 2.25  # pixel^2: an origin is narrower than three pixels, twice its standard deviation


@register
class OriginLaw(SpectralTheory):
    """The median deficit from the origins of relevance alone: `[c G] B [c G]^T` (`theory.origin`).

    Six images of the column sums c and of c times the coordinates give mean origin, G and Sigma at every
    location of every layer; B is the covariance of the value and the gradient of the location field, smoothed
    by a Gaussian of these moments on the grid of the cut (so that a border cuts it). Cut: the start, with
    white starts, or below a dense start the first map whose K its columns give. What the start's own channels
    still show (T) is not in it, so it is a floor where they do: near the start, and in residual blocks.

    `narrow` and `repaired` are the shares of locations whose origin is narrower than three pixels, and whose
    Sigma had an eigenvalue below 0.05 pixel^2, which was raised to that.
    """

    name = "origin"
    label = "origin"
    by_default = False
    sampled = POSITIONS

    @classmethod
    def applies(cls, method: Method) -> NotApplicable | None:
        """Why it says nothing about a method: that keeps neither the cone nor the sum, or has no chain."""
        reason = applies_to_relevance(method)
        if reason is None and not (method.nonnegative or method.sum_preserving):
            return NotApplicable(
                f"{method.name} keeps neither the cone nor the sum: origins are no densities"
            )
        return reason

    def __init__(self, start: str, **options: Any) -> None:
        super().__init__(start, **options)
        self._shares: dict[str, list[tuple[float, float]]] = {}

    def passes(self, chain: RelevanceChain) -> int:
        """Six vectors down, one covector up; the columns of a dense start over the short top not counted."""
        return 7

    @torch.inference_mode()
    def observe(self, chain: RelevanceChain, supply: Supply, progress: Progress) -> None:
        """The moments of every image of a chain."""
        cut, state = first_state(chain, self.start)
        grid = centred_grid(space(chain.shape(cut))).to(chain.device)
        Ks = [_thin(K) for K in state.K]
        wanted = [n for n in below(chain, cut) if n in set(below(chain, self.start, self.layers))]
        for done, (layer, parts) in enumerate(self._images(chain, cut, state.c, grid, wanted), 1):
            places = positions_of_images(chain, layer, self.positions, 1, self.seed, self.first_image)
            total = parts.shape[-1]
            for six, K in zip(picked(parts, places), Ks, strict=True):
                self._record(layer, theory.moments(*six), K, grid, total)
            progress(self.label, done, len(wanted))

    @staticmethod
    def _images(chain: RelevanceChain, cut: str, c: Tensor, grid: Tensor, wanted: Sequence[str]):
        """The six images at each wanted layer, `(images, 6, channels, locations)`."""
        x, y = grid.T.to(c.dtype)
        fields = torch.stack([torch.ones_like(x), x, y, x * x, x * y, y * y])
        vectors = (c[:, None] * fields[None, :, None]).reshape(len(c), 6, *chain.shape(cut))
        for layer, parts in chain.sweep({cut: vectors}):
            if layer in wanted:
                yield layer, flat(parts[cut])

    def _record(self, layer: str, origin: theory.Origin, K: Tensor, grid: Tensor, total: int) -> None:
        Sigma, repaired = theory.positive_part(origin.Sigma)
        L = theory.smoothing(origin.mean, Sigma, grid)
        values = theory.origin_spectrum(origin, theory.field_covariance(L, K))
        live = origin.c.square().sum(1) > 0
        self.spectra.add(layer, (values * live[:, None]).cpu().numpy(), total)
        narrow = torch.linalg.eigvalsh(Sigma)[:, 0] < NARROW
        shares = [float(mask[live].double().mean()) if live.any() else np.nan for mask in (narrow, repaired)]
        self._shares.setdefault(layer, []).append(tuple(shares))

    def narrow(self, layer: str) -> float:
        """The share of live locations whose origin is narrower than three pixels."""
        return float(np.mean([share for share, _ in self._shares[layer]]))

    def repaired(self, layer: str) -> float:
        """The share of live locations whose Sigma was raised to 0.05 pixel^2."""
        return float(np.mean([share for _, share in self._shares[layer]]))


def centred_grid(size: tuple[int, int]) -> Tensor:
    """(x, y) of the flat locations of a map, from its middle: (locations, 2), float64."""
    height, width = size
    y, x = torch.meshgrid(
        torch.arange(height, dtype=torch.float64) - (height - 1) / 2,
        torch.arange(width, dtype=torch.float64) - (width - 1) / 2,
        indexing="ij",
    )
    return torch.stack([x.flatten(), y.flatten()], 1)


def _thin(K: Tensor) -> Tensor:
    """The diagonal of K where there is nothing else."""
    diagonal = K.diagonal()
    return diagonal if torch.equal(K, torch.diag(diagonal)) else K
