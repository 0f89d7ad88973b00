"""What of a computed matrix is known: which entries are zero, and which numbers float64 can vouch for.

Dead is what no path reaches (`RelevanceChain.pattern`), never what is 0.0: a number may have underflowed or
cancelled. Relative rounding errors hold for numbers that lie far above what underflow may have cost
(`RelevanceChain.loss`): 2^60 times, so that 2^-50 more of relative error, in the norm of a whole column, covers
it. What lies lower, or left the range of float64 upwards, is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from conetheory.chain.local import LocalBlock, local_columns, local_matrices
from conetheory.chain.relevance import RelevanceChain

TINY = 2.0**-1022  # the least normal number: what an operation may lose to underflow
MARGIN = 2.0**60
EXTRA = 2.0**-50  # relative error that underflow may add where numbers lie that far above it
Supports = dict[str, list[np.ndarray]]


@dataclass(frozen=True, eq=False)
class Known:
    """For matrices (..., m, n): what may be said of them; `matrices` has zeros where a number is not finite.

    columns: which structure keeps alive, (..., n). live: whether there is one. Then whether relative errors hold
    for all entries, for all columns in their norm, and for the matrix in its norm.
    """

    matrices: np.ndarray
    columns: np.ndarray
    live: np.ndarray
    by_entry: np.ndarray
    by_column: np.ndarray
    by_norm: np.ndarray


def known(P: np.ndarray, support: np.ndarray, lost: np.ndarray) -> Known:
    """P and its structural support: (..., m, n). lost: what underflow may have cost, broadcast to P."""
    m, n = P.shape[-2:]
    finite = np.isfinite(P)
    size = np.abs(np.where(finite, P, 0.0))
    least = np.broadcast_to(TINY * MARGIN * lost, P.shape)
    sound = finite.all((-2, -1)) & ~((size > 0) & ~support).any((-2, -1))
    columns = support.any(-2)
    above = size.max(-2, initial=0.0) >= np.sqrt(m) * least.max(-2, initial=0.0)
    total = size.max((-2, -1), initial=0.0) >= np.sqrt(m * n) * least.max((-2, -1), initial=0.0)
    return Known(
        np.where(finite, P, 0.0),
        columns,
        columns.any(-1),
        sound & ((size >= least) | ~support).all((-2, -1)),
        sound & (above | ~columns).all(-1),
        sound & total,
    )


# ---------------------------------------------------------------- by columns, sent down


def supports(
    chain: RelevanceChain, start: str, blocks: Mapping[str, Sequence[LocalBlock]], **sampling: int | None
) -> Supports:
    """The structural supports of `local_columns` with the same sampling: (positions, channels, units) each.

    Columns of ones and zeros are only sent where the numbers leave a doubt: a zero in a row that some start
    reaches.
    """
    pattern, found, doubtful = chain.pattern(), {}, []
    ones = torch.ones((len(chain), 1, *chain.shape(start)), dtype=chain.dtype, device=chain.device)
    for layer, parts in pattern.sweep({start: ones}):
        if layer not in blocks:
            continue
        reached = parts[start][:, 0].flatten(2) if parts[start].ndim > 3 else parts[start][:, 0].unsqueeze(-1)
        found[layer] = [block.matrices.cpu().numpy() != 0 for block in blocks[layer]]
        rows = [r[:, b.positions].T.cpu().numpy() > 0 for r, b in zip(reached, blocks[layer], strict=True)]
        if any((~s & r[..., None]).any() for s, r in zip(found[layer], rows, strict=True)):
            doubtful.append(layer)
    exact = local_columns(pattern, start, doubtful, **sampling) if doubtful else {}
    return found | {k: [block.matrices.cpu().numpy() > 0 for block in held] for k, held in exact.items()}


def losses(chain: RelevanceChain, start: str, blocks: Mapping[str, Sequence[LocalBlock]]) -> Supports:
    """What underflow may have cost the entries of `local_columns`: (positions, channels, 1) each."""
    zeros = torch.zeros((len(chain), 1, *chain.shape(start)), dtype=chain.dtype, device=chain.device)
    found = {}
    for layer, parts in chain.loss().sweep({start: zeros}):
        if layer in blocks:
            lost = parts[start][:, 0].reshape(len(chain), chain.shape(layer)[0], -1).cpu().numpy()
            found[layer] = [t[:, b.positions].T[..., None] for t, b in zip(lost, blocks[layer], strict=True)]
    return found


# ---------------------------------------------------------------- by rows, sent up


def row_support(
    chain: RelevanceChain, bottom: str, positions: int | np.ndarray, top: str, P: np.ndarray
) -> np.ndarray:
    """The structural support of `local_matrices(chain, bottom, positions, top)`, which are P."""
    pattern, support = chain.pattern(), P != 0
    where = np.broadcast_to(positions, len(chain))
    ones = torch.ones((len(chain), 1, *chain.shape(top)), dtype=chain.dtype, device=chain.device)
    rows = pattern.down(ones, top, bottom).reshape(len(chain), chain.shape(bottom)[0], -1)
    rows = np.stack([r[:, p].cpu().numpy() for r, p in zip(rows, where, strict=True)]) > 0
    hot = torch.zeros((len(chain), *rows.shape[1:], int(np.prod(chain.shape(bottom)[1:], dtype=int))))
    for image, place in zip(hot, where, strict=True):
        image[:, int(place)] = 1
    hot = hot.view(len(chain), 1, *chain.shape(bottom)).to(dtype=chain.dtype, device=chain.device)
    columns = pattern.up(hot, bottom, top).flatten(1).cpu().numpy() > 0
    if (~support & rows[..., None] & columns[:, None]).any():
        return local_matrices(pattern, bottom, positions, top).cpu().numpy() > 0
    return support


def row_loss(chain: RelevanceChain, bottom: str, top: str) -> np.ndarray:
    """What underflow may have cost the entries of rows at `bottom`: (images, 1, units of top)."""
    zeros = torch.zeros((len(chain), 1, *chain.shape(bottom)), dtype=chain.dtype, device=chain.device)
    return chain.loss().up(zeros, bottom, top).flatten(2).cpu().numpy()


def matrix_loss(chain: RelevanceChain, top: str, bottom: str) -> float:
    """What underflow may have cost a column of the whole matrix in the sum of absolute errors, either way."""
    zeros = torch.zeros((len(chain), 1, *chain.shape(top)), dtype=chain.dtype, device=chain.device)
    down = chain.loss().down(zeros, top, bottom).flatten(1).sum(1)
    up = torch.from_numpy(row_loss(chain, bottom, top)).amax((1, 2)) * float(np.prod(chain.shape(bottom)))
    return TINY * float(torch.stack([down.cpu(), up]).amax())
