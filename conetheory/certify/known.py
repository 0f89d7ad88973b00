"""What of a computed matrix is known: which entries are zero, and which numbers float64 can vouch for.

Dead is what no path reaches (`RelevanceChain.pattern`), never what is 0.0: a number may have underflowed or
cancelled. Relative rounding errors hold for numbers that lie far above what underflow may have cost
(`RelevanceChain.loss`): 2^60 times, so that 2^-50 more of relative error, in the norm of a whole column,
covers it. What lies lower, or left the range of float64 upwards, is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor

from conetheory.chain.columns import LiveRows
from conetheory.chain.local import LocalBlock, local_matrices
from conetheory.chain.relevance import RelevanceChain

TINY = 2.0**-1022  # the least normal number: what an operation may lose to underflow
MARGIN = 2.0**60
EXTRA = 2.0**-50  # relative error that underflow may add where numbers lie that far above it


@dataclass(frozen=True, eq=False)
class Known:
    """For matrices (..., m, n): what may be said of them; `matrices` has zeros where a number is not finite.

    columns: which structure keeps alive, (..., n). live: whether there is one. Then whether relative errors
    hold for all entries, for all columns in their norm, and for the matrix in its norm.
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
    low, high = P.min(initial=0.0), P.max(initial=0.0)  # NaN passes through
    if low >= 0 and high < np.inf:
        size, sound = P, np.ones(P.shape[:-2], bool)
    else:
        finite = np.isfinite(P)
        P = np.where(finite, P, 0.0)
        size, sound = np.abs(P), np.all(finite, (-2, -1))
    least = np.atleast_2d(TINY * MARGIN * np.asarray(lost))
    entries, columns = size >= least, np.any(support, -2)
    if not support.all():
        sound &= ~np.any((size > 0) & ~support, (-2, -1))
        entries |= ~support
    above = size.max(-2, initial=0.0) >= np.sqrt(m) * least.max(-2, initial=0.0)
    total = size.max((-2, -1), initial=0.0) >= np.sqrt(m * n) * least.max((-2, -1), initial=0.0)
    return Known(
        P,
        columns,
        np.any(columns, -1),
        sound & np.all(entries, (-2, -1)),
        sound & np.all(above | ~columns, -1),
        sound & total,
    )


# ---------------------------------------------------------------- by columns, sent down


def losses(
    chain: RelevanceChain, start: str, columns: Mapping[str, Sequence[LiveRows | LocalBlock]]
) -> dict[str, list[np.ndarray]]:
    """What underflow may have cost the entries of columns: (positions, channels, 1) each."""
    lost = swept(chain, "loss", start)
    return {
        layer: [
            t[:, b.positions].T[..., None].numpy() for t, b in zip(lost[layer], columns[layer], strict=True)
        ]
        for layer in columns
    }


# ---------------------------------------------------------------- by rows, sent up


def row_support(
    chain: RelevanceChain, bottom: str, positions: int | np.ndarray, top: str, P: np.ndarray
) -> np.ndarray:
    """The structural support of `local_matrices(chain, bottom, positions, top)`, which are P."""
    pattern, support = chain.pattern(), P != 0
    where = np.broadcast_to(positions, len(chain))
    rows = swept(chain, "pattern", top)[bottom]
    rows = np.stack([r[:, p].cpu().numpy() for r, p in zip(rows, where, strict=True)]) > 0
    if not (~support & rows[..., None]).any():
        return support
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

    def make() -> np.ndarray:
        zeros = torch.zeros((len(chain), 1, *chain.shape(bottom)), dtype=chain.dtype, device=chain.device)
        return chain.loss().up(zeros, bottom, top).flatten(2).cpu().numpy()

    return _kept(chain, ("up", bottom, top), make)


def matrix_loss(chain: RelevanceChain, top: str, bottom: str) -> float:
    """What underflow may have cost a column of the whole matrix in the sum of absolute errors.

    It is made of columns sent down, or of rows sent up where there are fewer of them (`as_matrix`).
    """
    columns, rows = (float(np.prod(chain.shape(name))) for name in (top, bottom))
    lost = swept(chain, "loss", top)[bottom].flatten(1).sum(1)
    if rows < columns:
        lost = torch.maximum(lost, rows * torch.from_numpy(row_loss(chain, bottom, top)).amax((1, 2)))
    return TINY * float(lost.amax())


# ---------------------------------------------------------------- one vector for a whole chain, kept with it

_KEPT: WeakKeyDictionary[RelevanceChain, dict[tuple, Any]] = WeakKeyDictionary()


def _kept(chain: RelevanceChain, key: tuple, make: Callable[[], Any]) -> Any:
    held = _KEPT.setdefault(chain, {})
    if key not in held:
        held[key] = make()
    return held[key]


def swept(chain: RelevanceChain, kind: str, start: str) -> dict[str, Tensor]:
    """What starts of ones reach, or what underflow costs, at every layer: (images, channels, locations)."""
    first = torch.ones if kind == "pattern" else torch.zeros

    def make() -> dict[str, Tensor]:
        vector = first((len(chain), 1, *chain.shape(start)), dtype=chain.dtype, device=chain.device)
        swept = getattr(chain, kind)().sweep({start: vector})
        return {k: p[start].reshape(len(chain), chain.shape(k)[0], -1).cpu() for k, p in swept}

    return _kept(chain, (kind, start), make)
