"""Distances of the maps of classes, and how predictions follow them over methods."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from conetheory.counts import checked_seed, checked_whole
from conetheory.results.dataset import Result


class Classes(Result):
    kind = "classes"
    rows_along = ("method", "image")


@dataclass(frozen=True)
class Tracking:
    """The rank correlation of predicted and measured class distance over methods, and a 95% interval."""

    correlation: float
    lower: float
    upper: float
    methods: int


def tracking(classes: Classes, *, resamples: int = 2000, seed: int = 0) -> Tracking:
    """Spearman's correlation over the methods that have a prediction, of medians over the images.

    What is predicted is the distance of two classes at random, so that is what it is compared with.

    The interval is that of a bootstrap over the methods (of resamples with fewer than three different ones
    there is no correlation; they are drawn again).
    """
    medians = classes.dataset[["predicted_class_distance", "class_distance_sampled"]].median("image")
    x, y = (medians[name].values for name in medians)
    live = np.isfinite(x) & np.isfinite(y)
    x, y, count = x[live], y[live], int(live.sum())
    if count < 3:
        return Tracking(float("nan"), float("nan"), float("nan"), count)
    rng, found = np.random.default_rng(checked_seed(seed)), []
    resamples = checked_whole(resamples, "resamples", 1)
    while len(found) < resamples:
        drawn = rng.integers(count, size=count)
        if len(np.unique(drawn)) > 2:
            found.append(_rank_correlation(x[drawn], y[drawn]))
    lower, upper = np.nanquantile(found, [0.025, 0.975])
    return Tracking(_rank_correlation(x, y), float(lower), float(upper), count)


def _rank_correlation(x: np.ndarray, y: np.ndarray) -> float:
    from scipy.stats import rankdata  # here: its import takes a second

    return float(np.corrcoef(rankdata(x), rankdata(y))[0, 1])
