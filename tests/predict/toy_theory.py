"""A theory in one file: relevance keeps as many directions as its origins differ in."""

from __future__ import annotations

import numpy as np

from conetheory.chain.local import singular_values
from conetheory.chain.supply import LOCATIONS
from conetheory.predict import Theory, register
from conetheory.theory.gaussian_law import mixture_deficit_quantile


@register
class Origins(Theory):
    """The law of Gaussian starts for the columns of the start's locations, as if nothing else were left."""

    name, label = "toy", "toy theory"
    needs = (LOCATIONS,)

    def observe(self, chain, supply, progress):
        of_first = {layer: blocks[0].matrices for layer, blocks in supply[LOCATIONS].items()}
        self.spectra = {layer: singular_values(D).numpy() for layer, D in of_first.items()}

    def median(self, layer):
        live = self.spectra[layer][self.spectra[layer][:, 0] > 0]
        return float(mixture_deficit_quantile(live).value) if len(live) else np.nan
