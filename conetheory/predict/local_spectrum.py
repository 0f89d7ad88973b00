"""The local spectrum: the exact law of |cos| for Gaussian starts, from the singular values of P_p."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from conetheory.chain.layers import below
from conetheory.chain.local import (
    LocalBlock,
    checked_positions,
    is_enumerable,
    local_columns,
    local_rows,
    singular_values,
)
from conetheory.chain.relevance import RelevanceChain
from conetheory.theory.gaussian_law import gaussian_deficit_cdf, mixture_deficit_quantile

SPECTRA = 512  # locations per layer and image whose spectra enter the mixture


class LocalSpectrum:
    """The median of `1 - |cos|` from the singular values of P_p, for Gaussian starts and any linear rule.

    The law of |cos| at a location depends on the singular values of P_p alone (theorem `gaussian-law`);
    the prediction is the median of the mixture over locations and images. positions: locations per layer
    and image (None: up to 512, fewer where channels are many, or 16 where rows take adjoint passes).
    """

    name = "local_spectrum"

    def __init__(
        self, start: str, *, layers: Sequence[str] | None = None, positions: int | None = None, seed: int = 0
    ) -> None:
        self.start, self.layers, self.seed = start, layers, seed
        self.positions = checked_positions(positions)
        self.images = 0
        self.spectra: dict[str, list[np.ndarray]] = {}
        self.sampled: dict[str, tuple[int, int]] = {}
        self._medians: dict[str, float] = {}

    def add(self, chain: RelevanceChain, on_step: Callable[[int, int], None] | None = None) -> None:
        """Spectra of every image of a chain."""
        layers = below(chain, self.start, self.layers)
        options = {"positions": self.positions, "seed": self.seed, "first_image": self.images}
        if is_enumerable(chain, self.start) and not self._rows_are_fewer(chain, layers):
            self.add_blocks(local_columns(chain, self.start, layers, **options, on_block=on_step))
            return
        for done, layer in enumerate(layers, 1):
            self._keep(layer, local_rows(chain, self.start, layer, **options))
            if on_step is not None:
                on_step(done, len(layers))
        self.images += len(chain)

    def _rows_are_fewer(self, chain: RelevanceChain, layers: Sequence[str]) -> bool:
        """Whether the rows of some positions, by adjoint passes, are fewer than the start units."""
        if self.positions is None:
            return False
        rows = sum(self.positions * chain.shape(layer)[0] for layer in layers)
        return rows < np.prod(chain.shape(self.start))

    def add_blocks(self, blocks: dict[str, list[LocalBlock]]) -> None:
        """The same from local matrices of all layers that were made already, one block for each image."""
        for layer, images in blocks.items():
            self._keep(layer, images)
        self.images += max((len(images) for images in blocks.values()), default=0)

    def _keep(self, layer: str, images: Sequence[LocalBlock]) -> None:
        for number, whole in enumerate(images, self.images):
            block = whole.thinned(self.positions or SPECTRA, [self.seed, number])
            self.spectra.setdefault(layer, []).append(singular_values(block.matrices).cpu().numpy())
            sampled, total = self.sampled.get(layer, (0, 0))
            self.sampled[layer] = sampled + len(block.positions), total + block.total
        self._medians.pop(layer, None)

    def median(self, layer: str) -> float:
        """The predicted median deficit at a layer, NaN where every sampled location is dead."""
        if layer not in self._medians:
            spectra = self._live(layer)
            found = float(mixture_deficit_quantile(spectra).value) if len(spectra) else float("nan")
            self._medians[layer] = found
        return self._medians[layer]

    def band(self, layer: str, sigmas: float = 1.96) -> tuple[float, float]:
        """A 95% band for the median, from the spread over the sampled locations.

        The law of the mixture at its median m is a mean over locations; its standard error, divided by
        the slope of the law in log m, is that of log m. Of no width where every location was used.
        """
        spectra = self._live(layer)
        middle = self.median(layer)
        if len(spectra) < 2 or not middle > 0:
            return middle, middle
        levels = middle * np.exp(np.array([-0.1, 0.0, 0.1]))
        law = np.asarray(gaussian_deficit_cdf(spectra, np.minimum(levels, 1.0)).value)
        slope = (law[:, 2] - law[:, 0]).mean() / np.log(levels[2] / levels[0])
        sampled, total = self.sampled[layer]
        error = law[:, 1].std(ddof=1) / np.sqrt(len(spectra)) * np.sqrt(1 - sampled / total)
        width = float(sigmas * error / slope) if slope > 0 else float("nan")
        return middle * np.exp(-width), min(1.0, middle * np.exp(width))

    def _live(self, layer: str) -> np.ndarray:
        spectra = np.concatenate(self.spectra[layer])
        return spectra[spectra[:, 0] > 0]
