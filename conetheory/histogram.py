"""Quantiles of any number of deficits in constant memory: histograms on a logarithmic scale.

Bins are 1/64 decade wide, so that an interpolated quantile is off by less than that (0.016 decade) for any
distribution, and by far less for a smooth one. Deficits below the range count as zero.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

LOWEST = -36.0  # decades
PER_DECADE = 64
BINS = int(-LOWEST * PER_DECADE) + 1  # the first bin holds what lies below the range
EDGES = np.concatenate([[0.0], 10.0 ** (LOWEST + np.arange(BINS) / PER_DECADE)])


def pair_histograms(deficits: Tensor) -> Tensor:
    """`(..., pairs)` deficits, NaN where a vector is dead, to float64 counts `(pairs, BINS)`."""
    pairs = deficits.shape[-1]
    index = ((torch.log10(deficits) - LOWEST) * PER_DECADE).floor_().add_(1).clamp_(0, BINS - 1)
    index = torch.where(deficits > 0, index, torch.zeros_like(index)).to(torch.int64)
    index += torch.arange(pairs, device=index.device) * BINS
    weights = (~torch.isnan(deficits)).to(torch.float64).flatten()
    return torch.bincount(index.flatten(), weights, pairs * BINS).view(pairs, BINS)


def quantile(counts: np.ndarray, q: float | np.ndarray) -> np.ndarray:
    """The q-quantile of each histogram in `counts` (..., BINS): log-linear inside a bin, NaN where empty."""
    counts = np.asarray(counts, dtype=float)
    q = np.atleast_1d(q)
    total = counts.sum(-1)
    cumulative = counts.cumsum(-1)
    out = np.full((*counts.shape[:-1], len(q)), np.nan)
    for where in np.ndindex(*counts.shape[:-1]):
        if total[where] == 0:
            continue
        rank = np.maximum(q * total[where], 1e-300)  # the 0-quantile lies in a bin that is filled
        hit = np.minimum(np.searchsorted(cumulative[where], rank), BINS - 1)
        below = cumulative[where][hit] - counts[where][hit]
        inside = (rank - below) / np.maximum(counts[where][hit], 1e-300)
        value = 10.0 ** (LOWEST + (hit - 1 + inside) / PER_DECADE)
        out[where] = np.where(hit == 0, 0.0, np.minimum(value, 1.0))
    return out
