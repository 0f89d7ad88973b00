"""The local spectrum: the exact law of |cos| for Gaussian starts, from the singular values of P_p."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from conetheory import room
from conetheory.chain.columns import COLUMN_BLOCK
from conetheory.chain.cost import COPIES, Cost, decomposed, held, work
from conetheory.chain.layers import below
from conetheory.chain.local import (
    ROW_POSITIONS,
    LocalBlock,
    checked_positions,
    is_enumerable,
    sample_positions,
    singular_values,
)
from conetheory.chain.relevance import RelevanceChain
from conetheory.chain.supply import MATRICES, Supply
from conetheory.networks.graph import INPUT
from conetheory.predict.registry import register
from conetheory.predict.spectra import LAW, Spectra
from conetheory.predict.theory import Theory
from conetheory.progress import Progress
from conetheory.rules.registry import Method
from conetheory.theory.records import NotApplicable

SPECTRA = 512  # locations per layer and image whose spectra enter the mixture


@register
class LocalSpectrum(Theory):
    """The median of `1 - |cos|` from the singular values of P_p, for Gaussian starts and any linear rule.

    The law of |cos| at a location depends on the singular values of P_p alone (theorem `gaussian-law`); the
    prediction is the median of the mixture over locations and images. Of another library's chain it takes a
    column for each start unit, of which there may be 1,024.

    Parameters
    ----------
    start
        the layer where relevance starts.
    **options
        those of `Theory`; positions: locations per layer and image (None: up to 512, fewer where channels
        are many, or 16 where rows take adjoint passes).

    References
    ----------
    Theorem `gaussian-law`.
    """

    name, label = "local-spectrum", "local spectrum"
    needs = (MATRICES,)
    only_down = True

    def __init__(self, start: str, **options: Any) -> None:
        super().__init__(start, **options)
        checked_positions(self.positions)
        self.spectra = Spectra()

    @classmethod
    def applies(cls, method: Method) -> NotApplicable | None:
        if not method.linear:
            return NotApplicable(f"{method.name} is not linear in the relevance: it has no spectrum")
        return None

    def cost(self, chain: RelevanceChain) -> Cost:
        """Columns or rows, whichever are fewer, and the decomposition of what they give."""
        layers = below(chain, self.start, self.layers)
        units = int(np.prod(chain.shape(self.start)))
        rows = (self.positions or ROW_POSITIONS) * sum(chain.shape(layer)[0] for layer in layers)
        columns = is_enumerable(chain, self.start) and (self.positions is None or units <= rows)
        each = [(chain.shape(n)[0], self._locations(chain, n, units if columns else 1)) for n in layers]
        spent = sum(n * (LAW + decomposed(c, units)) for c, n in each)
        numbers = sum(n * c * (units if columns else c) for c, n in each)
        vectors = units if columns else rows
        sent = Cost(vectors + spent / work(chain.graph, self.start, INPUT))
        block = held(chain, 1, self.start)
        most = COPIES * max(room.block(COLUMN_BLOCK) * chain.dtype.itemsize, block)
        return replace(sent, bytes=numbers * chain.dtype.itemsize + min(most, block * vectors))

    def _locations(self, chain: RelevanceChain, layer: str, units: int) -> int:
        limit = ROW_POSITIONS if units == 1 and self.positions is None else self.positions
        return min(SPECTRA, len(sample_positions(chain, layer, limit, units, 0)))

    def observe(self, chain: RelevanceChain, supply: Supply, progress: Progress) -> None:
        """Spectra of every image of a chain."""
        for layer, images in supply[MATRICES].items():
            self._keep(layer, images, supply.first_image)

    def _keep(self, layer: str, images: Sequence[LocalBlock], first_image: int) -> None:
        """The spectra by the images' numbers, so that the order in which they are seen does not matter."""
        for number, whole in enumerate(images, first_image):
            block = whole.thinned(self.positions or SPECTRA, [self.seed, number])
            found = singular_values(block.matrices).cpu().numpy()
            self.spectra.add(layer, found, block.total, number)

    def record(self) -> dict[str, Any]:
        return {"spectra": self.spectra.record()}

    def take(self, record: Mapping[str, Any]) -> None:
        self.spectra.take(record["spectra"])

    def median(self, layer: str) -> float:
        """The predicted median deficit at a layer, NaN where every sampled location is dead."""
        return self.spectra.median(layer)

    def band(self, layer: str, sigmas: float = 1.96) -> tuple[float, float]:
        """A 95% band for the median, from the spread over the sampled locations.

        Of no width where every location was used.

        Parameters
        ----------
        layer
            its name.
        sigmas
            half its width, in standard errors.

        Returns
        -------
        tuple of float
            lower and upper end.
        """
        return self.spectra.band(layer, sigmas=sigmas)
