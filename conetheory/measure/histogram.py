"""Quantiles of any number of deficits in constant memory: histograms on a logarithmic scale.

Bins are 1/64 decade of the odds `d / (1 - d)` wide, so that an interpolated quantile is off by less than that
(0.016 decade of the deficit, and of the cosine where that is small) for any distribution, and by far less for
a smooth one. Deficits below the range count as zero, cosines below 1e-4 too.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

LOWEST, HIGHEST = -36, 4  # decades of the odds
PER_DECADE = 64
BINS = (HIGHEST - LOWEST) * PER_DECADE + 2  # the first and the last hold what lies outside the range


def pair_histograms(deficits: Tensor, onto: Tensor | None = None) -> Tensor:
    """`(..., locations, pairs)` deficits, NaN for a dead vector, to float64 counts `(..., pairs, BINS)`.

    onto: earlier counts of the same shape, which they are added to in place.
    """
    *groups, _, pairs = deficits.shape
    rows = math.prod(groups) * pairs
    index = _bins(deficits)
    index += torch.arange(0, rows * BINS, BINS, device=index.device).view(*groups, 1, pairs)
    live = (~torch.isnan(deficits)).to(torch.float64).flatten()
    counts = live.new_zeros((*groups, pairs, BINS)) if onto is None else onto
    # not by bincount, which asks a GPU for the largest index and so waits for it
    counts.view(-1).index_add_(0, index.flatten(), live)
    return counts


def _bins(deficits: Tensor) -> Tensor:
    odds = torch.log10(deficits / (1 - deficits))
    index = ((odds - LOWEST) * PER_DECADE).floor_().add_(1).clamp_(0, BINS - 1)
    return torch.where(deficits > 0, index, torch.zeros_like(index)).to(torch.int64)


def weighted(deficits: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Histograms `(rows, BINS)` of deficits `(n,)`, NaN for dead ones, counted by `weights` (rows, n)."""
    live = ~np.isnan(deficits)
    index = _bins(torch.from_numpy(deficits[live])).numpy()
    rows = [np.bincount(index, row, BINS) for row in weights[:, live]]
    return np.stack(rows).astype(np.int64)


def quantile(counts: np.ndarray, q: float | np.ndarray) -> np.ndarray:
    """The q-quantile of each histogram in `counts` (..., BINS): log-linear inside a bin, NaN where empty."""
    counts = np.asarray(counts, dtype=float)
    q = np.atleast_1d(q)
    total = counts.sum(-1)
    cumulative = counts.cumsum(-1)
    at = np.full((*counts.shape[:-1], len(q)), np.nan)
    for where in np.ndindex(*counts.shape[:-1]):
        if total[where] == 0:
            continue
        rank = np.maximum(q * total[where], 1e-300)  # the 0-quantile lies in a bin that is filled
        hit = np.minimum(np.searchsorted(cumulative[where], rank), BINS - 1)
        below = cumulative[where][hit] - counts[where][hit]
        inside = (rank - below) / np.maximum(counts[where][hit], 1e-300)
        found = LOWEST + (hit - 1 + inside) / PER_DECADE
        at[where] = np.where(hit == 0, LOWEST, np.where(hit == BINS - 1, HIGHEST, found))
    return deficit(at)


def position(deficits: np.ndarray) -> np.ndarray:
    """Where deficits lie on the histograms' scale: log10 of the odds, kept inside the range."""
    with np.errstate(divide="ignore"):
        return np.clip(np.log10(deficits) - np.log10(1 - np.asarray(deficits)), LOWEST, HIGHEST)


def deficit(positions: np.ndarray) -> np.ndarray:
    """The inverse of `position`; 0 and 1 from the ends of the range on."""
    odds = 10.0 ** np.asarray(positions, dtype=float)
    return np.where(positions <= LOWEST, 0.0, np.where(positions >= HIGHEST, 1.0, odds / (1 + odds)))
