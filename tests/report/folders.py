"""Folders of made-up results of every kind, for methods that remember, half forget and forget."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from conetheory.schema import SIDES

METHODS = ("gradient", "lrp-alpha1beta0", "guided-backprop")
LAYERS = ("fc6", "fc5", "pool2", "conv4", "conv3", "pool1", "conv1", "input")
STARTS = ("logits", "conv4")
BASELINE = np.array([0.8, 0.97, 0.94, 0.94, 0.93, 0.9, 0.85, 0.5])
RATE = {"gradient": 0.95, "lrp-alpha1beta0": 0.12, "guided-backprop": 0.25}
MOVES = {"gradient": 0.8, "lrp-alpha1beta0": 0.05, "guided-backprop": 1e-4}
SHA = "71da48e7e14e45c1040c74ceed65401858eeb5514d2b982c2759e1f809646ef8"


def attributes(kind: str, network: str = "toy_cnn") -> dict[str, Any]:
    return {
        "kind": kind,
        "network": network,
        "network_weights_sha256": SHA,
        "conetheory": "0.1.0",
        "seed": 3,
        "created": "2026-01-02T03:04:05+00:00",
    }


def comparison(methods: tuple[str, ...] = METHODS, network: str = "toy_cnn") -> xr.Dataset:
    """Deficits fall from the baseline by `RATE` with every layer below the start; z+ is certified."""
    shape = (len(methods), len(STARTS), len(LAYERS))
    deficit = np.full(shape, np.nan)
    for i, method in enumerate(methods):
        for j, first in enumerate((0, 3)):
            depth = np.arange(len(LAYERS) - first)
            deficit[i, j, first:] = BASELINE[first:] * RATE[method] ** depth
    dims = ("method", "start", "layer")
    nonnegative = np.array([m == "lrp-alpha1beta0" for m in methods])[:, None, None]
    moves = np.array([MOVES[m] for m in methods])[:, None, None]
    data = xr.Dataset(
        {
            "measured_deficit_median": (dims, deficit),
            "measured_flattened_deficit_median": (dims, np.maximum(deficit, moves / 2)),
            "measured_band": ((*dims, "side"), np.stack([deficit / 1.3, deficit * 1.3], -1)),
            "predicted_local_spectrum": (dims, np.where(BASELINE < 0.97, deficit * 1.1, np.nan)),
            "certified_deficit_upper": (dims, np.where(nonnegative, np.minimum(deficit * 4, 1), np.nan)),
            "certified_deficit_upper_median": (
                dims,
                np.where(nonnegative, np.minimum(deficit * 2, 1), np.nan),
            ),
            "baseline_deficit": ("layer", BASELINE),
        },
        coords={
            "method": list(methods),
            "start": list(STARTS),
            "layer": list(LAYERS),
            "label": ("layer", list(LAYERS)),
            "side": list(SIDES),
        },
    )
    return data.assign_attrs(attributes("comparison", network), images=4, vectors=10)


def sanity() -> xr.Dataset:
    """Similarity falls at once for the gradient, and with the lower layers only for the other two."""
    layers, modes, measures = LAYERS[:-1], ("cascading", "independent"), ("ssim", "spearman")
    depth = np.arange(len(layers)) / (len(layers) - 1)
    falls = {
        "gradient": 0.25 - 0.2 * depth,
        "lrp-alpha1beta0": 0.97 - 0.6 * depth**3,
        "guided-backprop": 0.93 - 0.4 * depth**2,
    }
    one = np.stack([falls[m] for m in METHODS])
    median = np.stack([one, np.sqrt(one)], 1)[..., None] * np.array([1.0, 0.9])
    dims = ("method", "mode", "layer", "measure")
    logit = np.array([0.3, 0.96, 0.99])[:, None, None] * np.ones((1, 2, 3))
    return xr.Dataset(
        {
            "similarity_median": (dims, median),
            "similarity_band": ((*dims, "side"), np.stack([median - 0.04, median + 0.03], -1)),
            "random_logit": (("method", "measure", "image"), logit),
            "rank_one_bound": (("method", "layer", "measure"), median[:, 0] * 0.8),
        },
        coords={
            "method": list(METHODS),
            "mode": list(modes),
            "layer": list(layers),
            "measure": list(measures),
            "side": list(SIDES),
            "image": ["one", "two", "three"],
        },
        attrs=attributes("sanity"),
    )


def classes() -> xr.Dataset:
    share = np.array([[MOVES[m]] * 3 for m in METHODS]) * np.array([0.8, 1.0, 1.3])
    dims = ("method", "image")
    y, x = np.mgrid[-1:1:16j, -1:1:16j]
    waves = np.stack([np.cos(2 * x + 1) * np.cos(2 * y), np.sin(3 * x), np.sin(3 * y)])
    return xr.Dataset(
        {
            "class_distance_median": (dims, share / 2),
            "class_distance_worst": (dims, np.where(np.arange(3) == 0, share * 0.9, np.nan)),
            "predicted_class_distance": (dims, share * 0.6),
            "movable_share": (dims, share),
            "effective_rank": (dims, 1 + np.array([[6.0], [1.3], [0.01]]) * np.ones((1, 3))),
            "directions": (
                (*dims, "rank", "y", "x"),
                np.broadcast_to(waves, (3, 3, 3, 16, 16)).astype(np.float32),
            ),
        },
        coords={"method": list(METHODS), "image": ["one", "two", "three"]},
        attrs=attributes("classes"),
    )


def maps() -> xr.Dataset:
    y, x = np.mgrid[-1:1:32j, -1:1:32j]
    blob = np.exp(-4 * (x**2 + y**2))
    stripes = np.stack([np.sin(9 * x), np.sin(9 * y)])
    values = np.stack(
        [blob * stripes, np.stack([blob, blob * (1 + 0.3 * x)]), np.stack([blob, blob]) * np.sign(x)]
    )
    picture = np.stack([x * 0.5 + 0.5, blob, y * 0.5 + 0.5], -1)
    return xr.Dataset(
        {
            "map": (("method", "image", "target", "y", "x"), np.repeat(values[:, None], 2, 1)),
            "picture": (("image", "y", "x", "rgb"), np.stack([picture, picture[::-1]])),
        },
        coords={"method": list(METHODS), "image": ["one", "two"], "target": ["cat", "dog"]},
        attrs=attributes("maps"),
    )


def write(folder: Path, *kinds: str) -> Path:
    """A folder with these kinds of results, all of them by default."""
    for kind in kinds or ("comparison", "sanity", "classes", "maps"):
        folder.mkdir(parents=True, exist_ok=True)
        globals()[kind]().to_netcdf(folder / f"{kind}.nc", engine="h5netcdf")
    return folder
