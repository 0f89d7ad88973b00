"""The talk's methods on the networks of the paper: what was measured, side by side."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import xarray as xr

from docs.made.markdown import table
from docs.made.results import RESULTS, deficit, number, read

# columns of deficits: a title, the file, and of files that have several the start layer
CURVES = (
    ("CIFAR-10 network", "methods-cifar10_cnn.json", None),
    ("SqueezeNet 1.1", "methods-squeezenet1_1.json", None),
    ("ResNet-50 v2", "paper-csc-resnet50_v2-trained.json", "dense"),
    ("VGG-16", "paper-csc-vgg16-trained.json", "fc3"),
    ("HED's convolutions, from conv4_3", "paper-csc-vgg16-trunk.json", "conv4_3"),
)
METHODS = (  # of the talk, and near ones
    *("lrp-alpha1beta0", "deep-taylor", "excitation-bp", "guided-backprop", "deconvnet", "rectgrad"),
    *("pattern-attribution", "pattern-net", "lrp-preset-a", "lrp-preset-b", "lrp-alpha2beta1"),
    *(
        "lrp-alpha5beta4",
        "lrp-0",
        "deeplift-rescale",
        "deeplift-revealcancel",
        "deeplift-ablation",
        "gradient",
    ),
)
MAPS = {"cifar10_cnn": "CIFAR-10 network", "squeezenet1_1": "SqueezeNet 1.1", "resnet50_v2": "ResNet-50 v2"}


def deficits() -> str:
    """Median deficit at the input: of the channels at a location, and in brackets of the whole map."""
    titles, files, starts = zip(*CURVES, strict=True)
    of = [read(name)["methods"] for name in files]
    rows = []
    for method in METHODS:
        cells = [_pair(found.get(method), start) for found, start in zip(of, starts, strict=True)]
        rows.append((method, *cells))
    return table(("method", *titles), rows)


def _pair(row: dict[str, Any] | None, start: str | None) -> str:
    if not row or "left out" in row:
        return "–"
    if start is None:
        local, whole = row["measured"], row["whole map"]
    else:
        local, whole = (row[f"{of}_deficit_at_the_input"][start] for of in ("median", "whole_map"))
    return f"{deficit(local)} ({deficit(whole)})"


@cache
def _maps(name: str) -> xr.Dataset:
    return xr.load_dataset(RESULTS / name)


def _by_network(kind: str, cell: Callable[[xr.Dataset], str]) -> str:
    """A row for each method of the talk, a column for each network that has such a result."""
    of = [_maps(f"{kind}-{name}.nc") for name in MAPS]
    rows = []
    for method in METHODS:
        each = [data.sel({"method": method}) if method in data["method"] else None for data in of]
        if any(one is not None for one in each):
            rows.append((method, *("–" if one is None else cell(one) for one in each)))
    return table(("method", *MAPS.values()), rows)


def randomised() -> str:
    """SSIM with the map of the untouched network: the last layer random, all layers random, another logit."""

    def cell(one: xr.Dataset) -> str:
        curve = one["similarity_median"].sel(mode="cascading", measure="ssim").values
        logit = float(one["random_logit_median"].sel(measure="ssim"))
        return " / ".join(number(float(value), ".2f") for value in (curve[0], curve[-1], logit))

    return _by_network("sanity", cell)


def classes() -> str:
    """Distances of maps of two classes: of the ten most likely, of classes at random, predicted for these."""

    def cell(one: xr.Dataset) -> str:
        names = ("class_distance_median", "class_distance_sampled", "predicted_class_distance")
        values = (float(one[name].median("image")) for name in names)
        return " / ".join(deficit(value if value == value else None) for value in values)

    return _by_network("classes", cell)
