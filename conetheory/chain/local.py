"""The local matrices `P_p`: the rows of the chain at one location, (channels x start units).

Everything that theory says about CSC is about them. Where the start layer has few units, one-hot
columns sent down give P_p for every location and layer in one sweep (`columns`); elsewhere adjoint passes
give the rows of chosen locations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from conetheory import room
from conetheory.chain.relevance import RelevanceChain
from conetheory.counts import checked_seed, checked_whole
from conetheory.errors import InputError
from conetheory.networks.graph import Graph

ENUMERABLE = 1024  # start units up to which all columns are sent down
ROW_POSITIONS = 16  # locations whose rows are made by adjoint passes, a layer and image
ROW_NUMBERS = 2**25  # numbers in the widest covector of one batch of adjoint passes
MANY = 256  # rows from which on half of a symmetric product is spared
LAYER_NUMBERS = 2**24  # numbers that the local matrices of one layer and image may take


@dataclass(frozen=True, eq=False)
class LocalBlock:
    """P_p of one image at one layer: `(positions, channels, units)` for the flat `positions` of `total`."""

    layer: str
    positions: np.ndarray
    total: int
    matrices: Tensor

    def thinned(self, limit: int, seed: int | Sequence[int] = 0) -> LocalBlock:
        """The same with at most `limit` positions, drawn from strata of those that there are."""
        if len(self.positions) <= limit:
            return self
        kept = _stratified(len(self.positions), limit, seed)
        return replace(self, positions=self.positions[kept], matrices=self.matrices[kept])


def is_enumerable(chain: RelevanceChain, start: str, limit: int = ENUMERABLE) -> bool:
    return int(np.prod(chain.shape(start))) <= limit


def checked_positions(positions: int | None) -> int | None:
    """A number of locations, or None for what is affordable; `InputError` where it is none."""
    return None if positions is None else checked_whole(positions, "positions", 1)


def sample_positions(
    chain: RelevanceChain, layer: str, limit: int | None, units: int, seed: int | Sequence[int]
) -> np.ndarray:
    """Flat locations of a layer: all, or `limit` of them drawn one from each of `limit` equal strata.

    Without a limit as many as fit in `LAYER_NUMBERS`, and at least 16. Images should have seeds of their
    own: pools make a location's law depend on its row's and column's parity, which then averages out.
    """
    total, count = locations_of(chain, layer), sampled(chain.shape(layer), limit, units)
    return np.arange(total) if total == count else _stratified(total, count, seed)


def sampled(shape: Sequence[int], limit: int | None, units: int) -> int:
    """How many locations of a layer of this shape `sample_positions` gives."""
    channels, *space = shape
    most = max(16, LAYER_NUMBERS // (channels * units)) if limit is None else limit
    return min(most, int(np.prod(space, dtype=int)))


def positions_of_images(
    chain: RelevanceChain, layer: str, limit: int | None, units: int, seed: int, first_image: int
) -> np.ndarray:
    """`sample_positions` of every image of a chain, `(images, positions)`, by the images' numbers."""
    limit, seed = checked_positions(limit), checked_seed(seed)
    numbers = range(first_image, first_image + len(chain))
    return np.stack([sample_positions(chain, layer, limit, units, [seed, number]) for number in numbers])


def _stratified(total: int, limit: int, seed: int | Sequence[int]) -> np.ndarray:
    edges = np.linspace(0, total, limit + 1)
    rng = np.random.default_rng([*np.atleast_1d(seed), total])
    return np.minimum((edges[:-1] + rng.random(limit) * np.diff(edges)).astype(int), total - 1)


def local_rows(
    chain: RelevanceChain,
    start: str,
    layer: str,
    *,
    positions: int | None = None,
    seed: int = 0,
    first_image: int = 0,
) -> list[LocalBlock]:
    """P_p of sampled locations by adjoint passes, one block for each image of the chain.

    The rows are as long as the start layer, so each is kept as the factor L of `P_p = L Q` with
    orthonormal Q: a (channels, at most channels) matrix with the same singular values.
    """
    chosen = positions_of_images(
        chain, layer, ROW_POSITIONS if positions is None else positions, 1, seed, first_image
    )
    rows = (local_matrices(chain, layer, places, start) for places in chosen.T)
    factors = torch.stack([torch.linalg.qr(P.mT, mode="r").R.mT for P in rows], 1)
    total = locations_of(chain, layer)
    return [LocalBlock(layer, places, total, L) for places, L in zip(chosen, factors.unbind(), strict=True)]


def local_matrices(chain: RelevanceChain, layer: str, positions: int | np.ndarray, start: str) -> Tensor:
    """P_p at one flat location of each image, `(images, channels, units of start)`, by adjoint passes.

    positions: one for all images, or one for each. The passes come in batches that fit in memory.
    """
    channels, *space = chain.shape(layer)
    size = locations_of(chain, layer)
    where = np.broadcast_to(positions, len(chain))
    if where.min() < 0 or where.max() >= size:
        raise InputError(f"locations of {layer!r} are 0 to {size - 1}")
    step = max(1, room.block(ROW_NUMBERS) // (widest(chain, start, layer) * len(chain)))
    parts = []
    for channel in torch.arange(channels, device=chain.device).split(step):
        hot = torch.zeros((len(chain), len(channel), channels, size), dtype=chain.dtype, device=chain.device)
        for image, place in zip(hot, where, strict=True):
            image[torch.arange(len(channel)), channel, int(place)] = 1
        parts.append(chain.up(hot.unflatten(-1, space) if space else hot[..., 0], layer, start).flatten(2))
    return torch.cat(parts, 1)


def singular_values(P: Tensor) -> Tensor:
    """Singular values `(..., min(m, n))` in descending order, in float64.

    By the smaller Gram matrix, whose eigenvalues are good to 1e-16 of the largest: enough for float32
    chains. A float64 matrix whose tail falls under 1e-10 of its head (both squared) is decomposed itself.
    Units that are dead at a location have zero rows, which are left out first: with ReLUs most of them.
    """
    flat = P.flatten(0, -3) if P.ndim > 2 else P.unsqueeze(0)
    found = flat.new_zeros((len(flat), min(P.shape[-2:])), dtype=torch.float64)
    for matrix, row in zip(flat, found, strict=True):
        values = _singular_values(_live(matrix), exact=P.dtype == torch.float64)
        row[: len(values)] = values
    return found.view(*P.shape[:-2], -1)


def leading_squares(P: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The squares of the `count` largest singular values, `(..., count)`, and the sum of the others'.

    By Lanczos's method, where a decomposition takes several times as long: of large matrices.
    """
    from scipy.sparse.linalg import eigsh  # here: its import takes half a second

    flat = P.flatten(0, -3) if P.ndim > 2 else P.unsqueeze(0)
    squares = flat.new_zeros((len(flat), count), dtype=torch.float64)
    total = flat.new_zeros(len(flat), dtype=torch.float64)
    for number, matrix in enumerate(flat):
        gram = _smaller_gram(_live(matrix)).cpu().numpy()
        total[number] = gram.trace()
        if len(gram) > count:
            found = np.asarray(eigsh(gram, count, v0=gram.sum(0), return_eigenvectors=False))
        else:
            found = np.linalg.eigvalsh(gram)
        squares[number, : len(found)] = torch.from_numpy(found[::-1].clip(min=0))
    rest = (total - squares.sum(1)).clamp(min=0)
    return squares.view(*P.shape[:-2], count), rest.view(P.shape[:-2])


def _live(matrix: Tensor) -> Tensor:
    """Without zero rows and columns."""
    live = matrix != 0
    rows, columns = live.any(1), live.any(0)
    matrix = matrix[rows]
    return matrix if columns.all() else matrix[:, columns]


def gram(P: Tensor) -> Tensor:
    """`P P^T` in float64; of many rows its blocks below the diagonal are copied, not made again."""
    P = P.to(torch.float64)
    if len(P) < MANY:
        return P @ P.mT
    upper, lower = P.chunk(2)
    corner = lower @ upper.mT
    return torch.cat([torch.cat([gram(upper), corner.mT], 1), torch.cat([corner, gram(lower)], 1)])


def _smaller_gram(P: Tensor) -> Tensor:
    return gram(P if len(P) <= P.shape[1] else P.mT)


def _singular_values(P: Tensor, *, exact: bool) -> Tensor:
    if P.numel() == 0:
        return P.new_zeros(0, dtype=torch.float64)
    square = torch.linalg.eigvalsh(_smaller_gram(P)).flip(-1).clamp(min=0)
    fine = exact and bool(square[1:].sum() < 1e-10 * square[0])
    return torch.linalg.svdvals(P.to(torch.float64)) if fine else square.sqrt()


def widest(chain: RelevanceChain, start: str, stop: str) -> int:
    """Numbers in the largest tensor on the way; of another library's chain, of all that lies below."""
    graph: Any = chain.graph
    if not isinstance(graph, Graph):
        return max(int(np.prod(chain.shape(name))) for name in (start, *graph.below(start)))
    crossed = chain.graph.between(chain.graph.resolve(start), chain.graph.resolve(stop))
    names = {name for node in crossed for name in (node.name, *node.inputs)}
    return max(int(np.prod(chain.graph.shape(name))) for name in names)


def locations_of(chain: RelevanceChain, layer: str) -> int:
    return int(np.prod(chain.shape(layer)[1:], dtype=int))
