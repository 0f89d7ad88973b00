"""The sampled spectrum: a few more vectors, their covariance at every location, and the exact law."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from conetheory.chain.cost import Cost, swept
from conetheory.chain.layers import below
from conetheory.chain.local import positions_of_images, singular_values
from conetheory.chain.relevance import RelevanceChain
from conetheory.chain.supply import Supply
from conetheory.errors import InputError
from conetheory.measure.by_image import ByImage
from conetheory.measure.meter import draw, drawn_name
from conetheory.predict.registry import register
from conetheory.predict.spectra import SpectralTheory
from conetheory.predict.states import POSITIONS, flat, picked
from conetheory.progress import Progress
from conetheory.rules.registry import Method
from conetheory.theory import sampledspectrum as theory
from conetheory.theory.records import NotApplicable

DRAWS = 24
JACKKNIFED = 64  # locations a layer and image that tell the spread over draws


@register
class SampledSpectrum(SpectralTheory):
    """The median deficit from the sample covariance of k independent Gaussian starts, at each location.

    The vectors come from a stream of their own: whatever the seed of a measurement, they are not those that
    it drew. The cheapest prediction there is, for any linear chain; it explains nothing, and every other
    theory is to be compared with it. What k vectors make of a spectrum is corrected to first order, tails of
    higher rank than k too (`theory.sampledspectrum`). Its band holds the locations that were sampled and the
    spread over draws of the k vectors (jackknife), which of one image is 0.1 decade and more.
    """

    name = "sampled-spectrum"
    label = "sampled spectrum"
    sampled = POSITIONS
    only_down = True

    @classmethod
    def applies(cls, method: Method) -> NotApplicable | None:
        """Why it says nothing about a method: that has no matrix."""
        if not method.backpropagated:
            return NotApplicable(f"{method.name} is not backpropagated layer by layer")
        if not method.linear:
            return NotApplicable(f"{method.name} is not linear in the relevance: it has no spectrum")
        return None

    def __init__(self, start: str, *, draws: int = DRAWS, **options: Any) -> None:
        if draws < 3:
            raise InputError(f"a sampled spectrum needs at least 3 vectors, not {draws}")
        super().__init__(start, **options)
        self.draws = draws
        self._draws = ByImage()

    def cost(self, chain: RelevanceChain) -> Cost:
        """Vectors that it sends down."""
        return swept(chain, self.start, self.draws) + self.law(chain)

    @torch.inference_mode()
    def observe(self, chain: RelevanceChain, supply: Supply, progress: Progress) -> None:
        """Send the vectors down every image of a chain."""
        wanted, done = below(chain, self.start, self.layers), 0
        name = f"sampled spectrum of {drawn_name(chain.graph, self.start)}"
        numbers = range(self.first_image, self.first_image + len(chain))
        units = int(np.prod(chain.shape(self.start)))

        def starts(shape: Sequence[int]) -> torch.Tensor:
            return draw(tuple(shape), numbers, self.draws, start=name, seed=self.seed)

        for layer, parts in chain.sweep({self.start: starts}):
            if layer not in wanted:
                continue
            places = positions_of_images(chain, layer, self.positions, 1, self.seed, self.first_image)
            total = flat(parts[self.start]).shape[-1]
            for number, image in zip(numbers, picked(flat(parts[self.start]), places), strict=True):
                rows = image.permute(2, 0, 1).contiguous().to(torch.float64)  # locations, vectors, channels
                gram = rows @ rows.mT
                exact = chain.dtype == torch.float64
                values = (singular_values(rows.mT) if exact else _values(gram)).cpu().numpy()
                rank = min(rows.shape[2], units)  # what P has at most: values beyond it are rounding
                corrected = theory.corrected_spectrum_estimate(
                    values[:, :rank], self.draws, max(1, rank - 1), 0.0 if exact else theory.ROUNDING
                )
                self.spectra.add(layer, corrected, total)
                some = gram[:: -(-len(rows) // JACKKNIFED)].cpu().numpy()
                self._draws.add(layer, number, theory.jackknife_log_error(some))
            done += 1
            progress(self.label, done, len(wanted))

    def record(self) -> dict[str, Any]:
        return {**super().record(), "draws": self._draws.record()}

    def take(self, record: Mapping[str, Any]) -> None:
        super().take(record)
        self._draws.take(record["draws"])

    def band(self, layer: str) -> tuple[float, float]:
        """95%, from locations and draws."""
        if layer not in self._draws:
            return np.nan, np.nan
        draws = np.array([float(draw) for draw in self._draws.each(layer)])
        return self.spectra.band(layer, float(np.sqrt(np.sum(draws**2)) / len(draws)))


def _values(gram: torch.Tensor) -> torch.Tensor:
    """Singular values of float32 matrices, descending, from their Gram matrices in float64: all at once."""
    return torch.linalg.eigvalsh(gram).flip(-1).clamp(min=0).sqrt()
