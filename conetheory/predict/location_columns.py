"""Location columns: what can be told apart by location alone, one column a location of the cut."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from conetheory import room
from conetheory.chain.cost import Cost, decomposed, swept
from conetheory.chain.layers import below
from conetheory.chain.local import positions_of_images, singular_values
from conetheory.chain.reach import space
from conetheory.chain.relevance import RelevanceChain
from conetheory.chain.supply import Supply
from conetheory.networks.graph import Graph
from conetheory.predict.registry import register
from conetheory.predict.spectra import SpectralTheory
from conetheory.predict.state_below import state_below
from conetheory.predict.states import (
    State,
    applies_to_relevance,
    cost_of_first_state,
    first_state,
    flat,
    picked,
)
from conetheory.progress import Progress
from conetheory.rules.registry import Method
from conetheory.theory.records import NotApplicable

COLUMNS = 1024  # locations of a cut up to which a column is sent down for each
POSITIONS = 64  # locations a layer and image whose spectra enter the mixture
NUMBERS = 2**25  # numbers of the widest tensor of one block of columns


@register
class LocationColumns(SpectralTheory):
    """The median deficit from `D K D^T`, D_q the image of c at one location q of the cut (`theory.origin`).

    A of theorem `origin-overlap`: exact where the channels of the start have collapsed (T = 0), a floor
    above.
    Cut and K as in `OriginLaw`: white starts, or what the columns of a dense start give. No prediction from
    cuts of more than 1,024 locations. Of another library's chain the cut is looked for (`state_below`).
    """

    name = "location-columns"
    label = "location columns"
    sampled = POSITIONS
    only_down = True
    resolved = 1e-13  # squares of float32's rounding, and what a covariance in float64 leaves

    @classmethod
    def applies(cls, method: Method) -> NotApplicable | None:
        return applies_to_relevance(method)

    def cost(self, chain: RelevanceChain) -> Cost:
        """A vector for each location of the cut, in blocks; none where there are too many."""
        cut, top = cost_of_first_state(chain, self.start)
        locations = int(np.prod(space(chain.shape(cut))))
        if locations > COLUMNS:
            return top
        sent = swept(chain, self.start, locations, cut, block=room.block(NUMBERS))
        return top + sent + self.law(chain, lambda channels: decomposed(channels, locations))

    @torch.inference_mode()
    def observe(self, chain: RelevanceChain, supply: Supply, progress: Progress) -> None:
        """Send the columns of every image of a chain down, in blocks."""
        known = isinstance(chain.graph, Graph)
        found = first_state(chain, self.start, supply) if known else state_below(chain, self.start)
        if found is None:
            return
        cut, state = found
        if state.c.shape[-1] <= COLUMNS:
            wanted = [n for n in below(chain, cut) if n in set(below(chain, self.start, self.layers))]
            self._send(chain, cut, state, wanted, progress)

    def _send(
        self, chain: RelevanceChain, cut: str, state: State, wanted: Sequence[str], progress: Progress
    ) -> None:
        size = state.c.shape[-1]
        places = {
            name: positions_of_images(chain, name, self.positions, 1, self.seed, self.first_image)
            for name in wanted
        }
        widest = max(int(np.prod(chain.shape(name))) for name in (cut, *wanted))
        step = max(1, room.block(NUMBERS) // (widest * len(chain)))
        kept: dict[str, list[Tensor]] = {name: [] for name in wanted}
        for block in torch.arange(size, device=chain.device).split(step):
            hot = torch.zeros((len(block), size), dtype=chain.dtype, device=chain.device)
            hot.scatter_(1, block[:, None], 1.0)
            vectors = state.c[:, None] * hot[None, :, None]
            for layer, parts in chain.sweep({cut: vectors.reshape(*vectors.shape[:2], *chain.shape(cut))}):
                if layer in kept:
                    kept[layer].append(picked(flat(parts[cut]), places[layer]))
            progress(self.label, int(block[-1]) + 1, size)
        roots = [_root(K) for K in state.K]
        for layer in wanted:
            self._record(layer, torch.cat(kept.pop(layer), 1), roots, int(np.prod(space(chain.shape(layer)))))

    def _record(self, layer: str, D: Tensor, roots: Sequence[Tensor], total: int) -> None:
        for image, root in zip(D, roots, strict=True):
            rows = image.permute(2, 1, 0).to(torch.float64)  # locations, channels, columns
            P = rows * root if root.ndim == 1 else rows @ root
            self.spectra.add(layer, singular_values(P.to(D.dtype)).cpu().numpy(), total)


def _root(K: Tensor) -> Tensor:
    """F with `K = F F^T`; where K is diagonal, its roots."""
    if K.ndim == 1:
        return K.sqrt()
    values, vectors = torch.linalg.eigh(K)
    return vectors * values.clamp(min=0).sqrt()
