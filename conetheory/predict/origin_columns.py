"""Location columns in place of Gaussians, near the cut, where origins are narrow and few vectors are needed.

Locations of the cut that no location below hears together share a vector, so that all columns of the layers
near the cut are those of a few vectors that go a short way down.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor

from conetheory import room
from conetheory.chain.layers import state_cuts
from conetheory.chain.local import singular_values
from conetheory.chain.reach import Reach, colours, heard, periods, reaches, space
from conetheory.chain.relevance import RelevanceChain
from conetheory.networks.graph import INPUT
from conetheory.predict.origin_cut import Cut
from conetheory.predict.states import flat, picked
from conetheory.theory import secondmoment

SWEEPS = 2.0  # what the columns may cost, in vectors sent down from the cut to the input
NUMBERS = 2**25  # numbers of the widest tensor of one block of vectors


@dataclass(frozen=True, eq=False)
class NearColumns:
    """The layers from a cut down to `bottom` whose columns are affordable, and what their locations hear."""

    cut: Cut
    bottom: str
    reach: Mapping[str, Reach]
    period: tuple[int, int]

    @classmethod
    def of(cls, chain: RelevanceChain, cut: Cut, sweeps: float | None = None) -> Self | None:
        """Down to the lowest cut that `sweeps` vectors (`SWEEPS`) to the input pay for; None for none."""
        sweeps = SWEEPS if sweeps is None else sweeps
        graph, found = chain.graph, None
        whole = max(1, graph.multiplications(cut.name, INPUT))
        for bottom in state_cuts(chain, cut.name)[1:]:
            reach = reaches(graph, cut.name, bottom)
            period = periods(list(reach.values()))
            cost = np.prod(period) * graph.multiplications(cut.name, bottom) / whole
            if cost > sweeps:
                return found
            found = cls(cut, bottom, reach, period)
        return found

    def spectra(self, chain: RelevanceChain, places: Mapping[str, np.ndarray]) -> dict[str, list[Tensor]]:
        """Singular values of `D K D^T` for each image at its places of some layers: (places, r), descending.

        places: {layer: (images, places)}, flat locations.
        """
        kept: dict[str, list[Tensor]] = {name: [] for name in places}
        width = space(chain.shape(self.cut.name))[1]
        for vectors in self._vectors(chain):
            for layer, parts in chain.sweep({self.cut.name: vectors}, self.bottom):
                if layer in kept:
                    kept[layer].append(picked(flat(parts[self.cut.name]), places[layer]))
        return {
            layer: [
                self._values(D, K, self._heard(layer, width, where))
                for D, K, where in zip(torch.cat(parts, 1), self.cut.K, places[layer], strict=True)
            ]
            for layer, parts in kept.items()
        }

    def _vectors(self, chain: RelevanceChain) -> Iterator[Tensor]:
        """c on the locations of one residue after the other, some at a time."""
        c, shape = self.cut.c, chain.shape(self.cut.name)
        masks = torch.as_tensor(colours(shape, self.period), dtype=c.dtype, device=c.device).flatten(1)
        widest = max(int(np.prod(chain.shape(name))) for name in self.reach)
        for part in masks.split(max(1, room.block(NUMBERS) // (widest * len(c)))):
            yield (c[:, None] * part[None, :, None]).reshape(len(c), len(part), *shape)

    def _heard(self, layer: str, width: int, where: np.ndarray) -> np.ndarray:
        return heard(self.reach[layer], self.period, width)[:, where]

    @staticmethod
    def _values(D: Tensor, K: Tensor, index: np.ndarray) -> Tensor:
        """D: (residues, channels, places); index: the location of the cut that each hears."""
        at = torch.as_tensor(index, device=D.device)
        rows = D.permute(2, 1, 0).to(torch.float64)  # places, channels, residues
        if K.ndim == 1:
            P = rows * K[at].sqrt().T[:, None, :]
        else:
            near = secondmoment.neighbours(K, at).permute(2, 0, 1)
            values, vectors = torch.linalg.eigh((near + near.mT) / 2)
            P = rows @ (vectors * values.clamp(min=0).sqrt()[:, None, :])
        return secondmoment.shortened(singular_values(P).square()).sqrt()
