"""How similar two saliency maps are: SSIM, rank correlations, HOG and cosine, and their medians over images.

Maps are `(images, height, width)`, one number for a pixel, compared in pairs; those of vectors, `(images,
features)`, by the measures that need no picture (`PLAIN`). What the paper (Sixt et al.
2020) chose is an option and is written down: 5 x 5 windows, maps clipped at percentiles, the sign of a map
disregarded. A map of one value alone has no shape to compare: its similarities are NaN, which medians leave
out. A map is never flattened before its SSIM or its HOG is taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata
from skimage.feature import hog
from skimage.metrics import structural_similarity

from conetheory.counts import checked_seed, checked_whole
from conetheory.errors import InputError

MEASURES = ("ssim", "spearman", "abs_spearman", "hog", "cosine")
PLAIN = ("spearman", "abs_spearman", "cosine")  # which don't ask where in a picture a value is
CELLS = (
    14  # HOG cells along the shorter side, at least 4 pixels each: 16 x 16 pixels at 224, as Adebayo et al.
)


@dataclass(frozen=True)
class Ssim:
    """How maps are brought to [0, 1] before their SSIM, and what SSIM takes for their range.

    percentile: values are clipped at this percentile and at 100 minus it; where these are equal (nearly all
    of a map is zero) at the largest and the smallest value. inverted: large values become 0, as in the
    paper's code. data_range: 1 is the true range; the paper's is 2, the default that scikit-image 0.16 had
    for floats. flip: the larger of the SSIM with y and with -y, so that a map's sign does not matter.
    window: the side of the window, uniform weights.
    """

    percentile: float = 99.5
    inverted: bool = False
    data_range: float = 1.0
    flip: bool = True
    window: int = 5

    def __post_init__(self) -> None:
        if not 50 < self.percentile <= 100:
            raise InputError(f"the percentile must be above 50 and at most 100, not {self.percentile:g}")
        if not self.data_range > 0 or self.window < 3 or self.window % 2 == 0:
            raise InputError("SSIM needs a positive data_range and an odd window of at least 3 pixels")


PAPER = Ssim(inverted=True, data_range=2.0)


def similarity(x: np.ndarray, y: np.ndarray, measure: str, ssim: Ssim | None = None) -> np.ndarray:
    """The similarity `(images,)` of maps x and y `(images, height, width)` by one of `MEASURES`, or of maps
    `(images, features)` by one of `PLAIN`.

    `ssim`: mean structural similarity (Wang et al. 2004). `spearman`, `abs_spearman`: the correlation of the
    ranks of the values and of the absolute values. `hog`: the correlation of histograms of oriented
    gradients (9 orientations). `cosine`: |cos| of the maps as vectors, the sign disregarded as in SSIM.
    NaN where a map is constant (for `cosine`, zero). Raises `InputError` for others.
    """
    x, y = _checked(x, y)
    if measure in MEASURES and measure not in PLAIN and x.ndim != 3:
        usable = ", ".join(PLAIN)
        raise InputError(f"{measure} compares pictures, not maps of shape {x.shape[1:]}: use {usable}")
    match measure:
        case "ssim":
            return _ssim(x, y, ssim or Ssim())
        case "spearman":
            return _correlation(_ranks(x), _ranks(y))
        case "abs_spearman":
            return _correlation(_ranks(np.abs(x)), _ranks(np.abs(y)))
        case "hog":
            return _correlation(_gradients(x), _gradients(y))
        case "cosine":
            return np.abs(_cosine(x.reshape(len(x), -1), y.reshape(len(y), -1)))
    raise InputError(f"unknown measure {measure!r}; known: {', '.join(MEASURES)}")


def similarities(
    x: np.ndarray, y: np.ndarray, measures: Sequence[str] = MEASURES, ssim: Ssim | None = None
) -> np.ndarray:
    """`similarity` by several measures, `(measures, images)`."""
    return np.stack([similarity(x, y, measure, ssim) for measure in measures])


def normalised(x: np.ndarray, ssim: Ssim) -> np.ndarray:
    """Maps clipped at their percentiles and scaled to [0, 1]; NaN where a map is constant."""
    low, high = np.percentile(x, [100 - ssim.percentile, ssim.percentile], axis=(1, 2))
    flat = low == high
    low, high = np.where(flat, x.min((1, 2)), low), np.where(flat, x.max((1, 2)), high)
    width = np.where(high > low, high - low, np.nan)[:, None, None]
    unit = np.clip((x - low[:, None, None]) / width, 0, 1)
    return 1 - unit if ssim.inverted else unit


def median_band(
    values: np.ndarray, *, level: float = 0.95, resamples: int = 2000, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Medians `(...)` over the images of `(..., images)`, and their bootstrap bands `(..., 2)`.

    Images are resampled with replacement; NaN are left out. The band of fewer than two images is NaN.
    """
    resamples, seed = checked_whole(resamples, "resamples", 1), checked_seed(seed)
    flat = np.asarray(values, dtype=float).reshape(-1, np.shape(values)[-1])
    medians, bands = np.full(len(flat), np.nan), np.full((len(flat), 2), np.nan)
    tail = (1 - level) / 2
    for row, one in enumerate(flat):
        live = one[~np.isnan(one)]
        if len(live) > 0:
            medians[row] = np.median(live)
        if len(live) > 1:
            drawn = np.random.default_rng([seed, len(live)]).integers(len(live), size=(resamples, len(live)))
            bands[row] = np.quantile(np.median(live[drawn], axis=1), [tail, 1 - tail])
    shape = np.shape(values)[:-1]
    return medians.reshape(shape), bands.reshape(*shape, 2)


def _checked(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if x.shape != y.shape or x.ndim < 2 or x.size == 0:
        raise InputError(f"maps are (images, height, width) and of one shape, not {x.shape} and {y.shape}")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise InputError("the maps hold NaN or infinite values")
    return x, y


def _ssim(x: np.ndarray, y: np.ndarray, ssim: Ssim) -> np.ndarray:
    if min(x.shape[1:]) < ssim.window:
        raise InputError(f"SSIM with windows of {ssim.window} needs larger maps than {x.shape[1:]}")
    options = {"win_size": ssim.window, "data_range": ssim.data_range}
    fixed = normalised(x, ssim)
    found = []
    for other in [y, -y] if ssim.flip else [y]:
        pairs = zip(fixed, normalised(other, ssim), strict=True)
        found.append([structural_similarity(a, b, **options) for a, b in pairs])
    return np.max(found, axis=0)


def _ranks(x: np.ndarray) -> np.ndarray:
    return rankdata(x.reshape(len(x), -1), axis=1)


def _gradients(x: np.ndarray) -> np.ndarray:
    side = min(x.shape[1:])
    cell = max(min(4, side // 3), round(side / CELLS))
    if cell < 1:
        raise InputError(f"HOG needs larger maps than {x.shape[1:]}")
    return np.stack([hog(one, orientations=9, pixels_per_cell=(cell, cell)) for one in x])


def _correlation(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return _cosine(a - a.mean(1, keepdims=True), b - b.mean(1, keepdims=True))


def _cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Cosines of the rows, NaN where one is zero."""
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return np.einsum("ij,ij->i", a, b) / np.where(norms > 0, norms, np.nan)
