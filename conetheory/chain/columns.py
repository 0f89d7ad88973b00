"""Start vectors sent down together, and what arrives of them at chosen locations.

Of one-hot vectors that is P_p itself (`local_columns`); of one vector for each location, where relevance
comes from (`location_columns`), of which six moments are the first orders (`origin_moments`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from conetheory.chain.local import LocalBlock, locations_of, positions_of_images, widest
from conetheory.chain.relevance import RelevanceChain
from conetheory.networks.graph import INPUT
from conetheory.progress import Progress, silent

COLUMN_BLOCK = 2**25  # numbers in the widest relevance of one block of columns


def local_columns(
    chain: RelevanceChain,
    start: str,
    layers: Iterable[str],
    *,
    positions: int | None = None,
    seed: int = 0,
    first_image: int = 0,
    progress: Progress = silent,
) -> dict[str, list[LocalBlock]]:
    """P_p from all columns of the start layer: for each layer, one block for each image of the chain.

    positions: locations per layer and image (None: what fits, see `sample_positions`), drawn for each image
    by its number, which is `first_image` for the first of the chain.
    """
    units = int(np.prod(chain.shape(start)))
    places = {"positions": positions, "seed": seed, "first_image": first_image}
    return sent_down(
        chain, start, layers, lambda block: chain.one_hot(start, block), units, **places, progress=progress
    )


def location_columns(
    chain: RelevanceChain, start: str, layers: Iterable[str], **options: Any
) -> dict[str, list[LocalBlock]]:
    """`D_q = C (c0 1[q])`: one column for each location q of the start layer, as `local_columns` gives them.

    c0 are the column sums `h = C^T 1` of the chain to the input, for z+ the indicator of live units.
    """
    c0 = chain.up(chain.ones(INPUT), INPUT, start)
    channels = c0.shape[2]
    locations = c0[0, 0, 0].numel()

    def columns(block: Sequence[int]) -> Tensor:
        at = torch.zeros((len(block), locations), dtype=c0.dtype, device=c0.device)
        at[torch.arange(len(block)), list(block)] = 1
        return c0 * at.view(1, len(block), 1, *c0.shape[3:]).expand(-1, -1, channels, *c0.shape[3:])

    return sent_down(chain, start, layers, columns, locations, **options)


def origin_moments(
    chain: RelevanceChain, start: str, layers: Iterable[str], **options: Any
) -> dict[str, list[LocalBlock]]:
    """The six columns `c, X, Y, XX, XY, YY`: the images of c0 and of c0 times the start's coordinates (row y,
    column x, in the start's pixels) and their products, in this order, as `local_columns` gives them.
    """
    c0 = chain.up(chain.ones(INPUT), INPUT, start)
    height, width = c0.shape[3:] if c0.ndim == 5 else (1, 1)
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    factors = torch.stack([torch.ones_like(x), x, y, x * x, x * y, y * y]).to(c0)
    factors = factors.view(1, 6, 1, *c0.shape[3:]) if c0.ndim == 5 else factors.view(1, 6, 1)
    return sent_down(chain, start, layers, lambda block: (c0 * factors)[:, list(block)], 6, **options)


def sent_down(
    chain: RelevanceChain,
    start: str,
    layers: Iterable[str],
    columns: Callable[[range], Tensor],
    count: int,
    *,
    positions: int | None = None,
    seed: int = 0,
    first_image: int = 0,
    progress: Progress = silent,
) -> dict[str, list[LocalBlock]]:
    """The images at sampled locations of `count` start vectors, of which `columns(range)` makes some."""
    wanted = {chain.graph.resolve(name) for name in layers}
    chosen = {name: positions_of_images(chain, name, positions, count, seed, first_image) for name in wanted}
    store: dict[str, Tensor] = {}
    for block in _blocks(chain, start, count):
        left = set(wanted)
        for layer, parts in chain.sweep({start: columns(block)}):
            if layer in wanted:
                _keep(store, layer, parts[start], block, count, chosen[layer])
                left.discard(layer)
            if not left:
                break
        progress(f"columns from {start}", block.stop, count)
    return {
        layer: [
            LocalBlock(layer, places, locations_of(chain, layer), image.permute(2, 1, 0).contiguous())
            for places, image in zip(chosen[layer], store.pop(layer), strict=True)
        ]
        for layer in list(store)
    }


def _keep(
    store: dict[str, Tensor], layer: str, found: Tensor, block: range, count: int, chosen: np.ndarray
) -> None:
    """Copy the chosen locations of some columns to their places."""
    if layer not in store:
        store[layer] = found.new_empty((len(found), count, found.shape[2], len(chosen[0])))
    flat = found.flatten(3) if found.ndim > 3 else found.unsqueeze(-1)
    for kept, image, places in zip(store[layer], flat, chosen, strict=True):
        kept[block.start : block.stop] = image[..., torch.as_tensor(places, device=found.device)]


def _blocks(chain: RelevanceChain, start: str, units: int) -> Iterator[range]:
    step = max(1, COLUMN_BLOCK // (widest(chain, start, INPUT) * len(chain)))
    for first in range(0, units, step):
        yield range(first, min(units, first + step))
