"""The band around a median over pairs: a bootstrap of the vectors, with its bias for few of them undone.

Pairs of n vectors are not independent, so the vectors of each image are resampled, n of n, and a resample
counts the pair (i, j) c_i c_j times; a vector paired with itself would have deficit 0 and is left out. What
is a mean over vectors to first order, `sum_i w_i h_i`, has weights w_i = 1/n, in a resample
`w_i ~ c_i (n - c_i)`. For independent h_i of unit variance it scatters by 1/n over measurements and by
`E sum_i (w_i - 1/n)^2` over resamples, which is less: to first order in c - 1 by the factor

    v_n = (n - 2)^2 / (n (n - 1)),        0.71 for n = 10; 0.76 exactly.

The bootstrap's quantiles are therefore taken 1 / sqrt(v_n) further from the median, and further by the ratio
of Student's to the normal quantile with images (n - 1) degrees of freedom: the expanded percentile interval
of Hesterberg 2015, for pairs. What is not a mean over vectors to first order scatters more in resamples:
there the band is too wide.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy.special import ndtri, stdtrit

from conetheory.measure import histogram

RESAMPLES = 50_000  # for v_n, which is then known to 0.5%


def _resampled(vectors: int, resamples: int, rng: np.random.Generator) -> np.ndarray:
    """How often each vector is drawn, c: `(resamples, vectors)`."""
    return rng.multinomial(vectors, np.full(vectors, 1 / vectors), resamples)


def pair_weights(vectors: int, replicates: int, rng: np.random.Generator) -> np.ndarray:
    """How often each pair i < j counts: `(1 + replicates, pairs)`, once in row 0, c_i c_j in a resample."""
    first, second = np.triu_indices(vectors, 1)
    counts = _resampled(vectors, replicates, rng)
    return np.vstack([np.ones((1, len(first))), counts[:, first] * counts[:, second]]).astype(float)


@lru_cache
def scatter(vectors: int) -> float:
    """v_n: the variance of a mean over resamples that hold a pair, as a fraction of its variance."""
    counts = _resampled(vectors, RESAMPLES, np.random.default_rng(0))
    weights = counts * (vectors - counts)
    weights = weights[weights.any(1)]
    deviations = weights / weights.sum(1, keepdims=True) - 1 / vectors
    return float(vectors * np.square(deviations).sum(1).mean())


def expansion(vectors: int, images: int, level: float = 0.95) -> float:
    """By which factor the bootstrap's quantiles are too close to the median; NaN for one pair."""
    if vectors < 3:
        return float("nan")
    upper = (1 + level) / 2
    student = stdtrit(images * (vectors - 1), upper) / ndtri(upper)
    return float(student / np.sqrt(scatter(vectors)))


def pair_band(counts: np.ndarray, vectors: int, images: int, level: float = 0.95) -> tuple[float, float]:
    """The band of the median deficit, expanded in log10 of the odds, the histograms' own scale.

    counts: `(1 + replicates, BINS)`, the measurement's histogram first. NaN without replicates, without
    deficits, or for fewer than three vectors.
    """
    if vectors < 3 or not counts[1:].any():
        return float("nan"), float("nan")
    return _expanded(histogram.quantile(counts, 0.5)[:, 0], vectors, images, level)


def whole_map_band(
    deficits: np.ndarray, weights: np.ndarray, vectors: int, images: int, level: float = 0.95
) -> tuple[float, float]:
    """`pair_band` of few deficits `(n,)`, counted as often as `weights` (1 + replicates, n) say.

    NaN as there, and where nothing is alive.
    """
    live = ~np.isnan(deficits)
    if vectors < 3 or len(weights) < 2 or not live.any():
        return float("nan"), float("nan")
    order = np.argsort(deficits[live])
    cumulative = weights[:, live][:, order].cumsum(1)
    medians = deficits[live][order][(cumulative < cumulative[:, -1:] / 2).sum(1)]
    return _expanded(np.where(cumulative[:, -1] > 0, medians, np.nan), vectors, images, level)


def _expanded(medians: np.ndarray, vectors: int, images: int, level: float) -> tuple[float, float]:
    """The band from the measured median and those of the replicates behind it."""
    centre, *others = histogram.position(medians)
    ends = np.nanquantile(others, [(1 - level) / 2, (1 + level) / 2])
    low, high = histogram.deficit(centre + expansion(vectors, images, level) * (ends - centre))
    return float(low), float(high)
