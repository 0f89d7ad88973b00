"""The talk's methods on the networks of the paper: what was measured, side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
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
SHORT = {  # of theories, in the order of a cell
    "local_spectrum": "exact",
    "sampled_spectrum": "sampled",
    "second_moment": "moments",
    "origin": "origin",
    "mean_field": "mean field",
}
PREDICTED = {
    "CIFAR-10 network": "cifar10_cnn-trained",
    "ResNet-50 v2": "resnet50_v2-trained",
    "VGG-16": "vgg16-trained",
    "HED's convolutions": "vgg16-trunk",
}
SIDES = {"CIFAR-10 network": "cifar10_cnn", "ResNet-50 v2": "resnet50_v2", "VGG-16": "vgg16"}
MAPS = {
    "cifar10_cnn": "CIFAR-10 network",
    "squeezenet1_1": "SqueezeNet 1.1",
    "resnet50_v2": "ResNet-50 v2",
    "vgg16": "VGG-16",
}


def deficits() -> str:
    """Median deficit at the input: of the channels at a location, and in brackets of the whole map."""
    titles, files, starts = zip(*CURVES, strict=True)
    pairs = zip(files, starts, strict=True)
    of = [{m: (row, start) for m, row in read(name)["methods"].items()} for name, start in pairs]
    return _by_method(titles, of, _pair)


def _pair(found: tuple[dict[str, Any], str | None]) -> str:
    row, start = found
    if "left out" in row:
        return "–"
    if start is None:
        local, whole = row["measured"], row["whole map"]
    else:
        local, whole = (row[f"{of}_deficit_at_the_input"][start] for of in ("median", "whole_map"))
    return f"{deficit(local)} ({deficit(whole)})"


def predictions() -> str:
    """Median distance of prediction and measurement, in decades, of whatever theory says something."""
    of = [read(f"paper-csc-{case}.json")["methods"] for case in PREDICTED.values()]
    return _by_method(tuple(PREDICTED), of, _errors)


def _errors(row: dict[str, Any]) -> str:
    errors = row.get("median_abs_error_decades") or {}
    said = {short: errors.get(theory) for theory, short in SHORT.items()}
    return ", ".join(f"{short} {value:.2f}" for short, value in said.items() if value is not None) or "–"


def random_weights() -> str:
    """From the highest start layer, at a location: the weights as trained, and random ones."""
    cases = [(title, kind) for title in SIDES for kind in ("trained", "random")]
    of = [read(f"paper-csc-{SIDES[title]}-{kind}.json")["methods"] for title, kind in cases]
    return _by_method(tuple(f"{title}, {kind}" for title, kind in cases), of, _highest)


def _by_method(titles: tuple[str, ...], of: Sequence[Mapping[str, Any]], cell: Callable[[Any], str]) -> str:
    """A row for each method that any column has, a dash where one has it not."""
    rows = []
    for method in METHODS:
        if any(method in found for found in of):
            rows.append((method, *(cell(found[method]) if method in found else "–" for found in of)))
    return table(("method", *titles), rows)


def _highest(row: dict[str, Any]) -> str:
    return "–" if "left out" in row else deficit(next(iter(row["median_deficit_at_the_input"].values())))


def two_classes() -> str:
    """Of pictures of two classes: relevance on a class's own half, and the SSIM of the two maps."""
    names = _having("two-classes-{}.json")
    of = [{row["method"]: row for row in read(f"two-classes-{name}.json")["methods"]} for name in names]
    return _by_method(tuple(MAPS[name] for name in names), of, _own_half)


def _own_half(row: dict[str, Any]) -> str:
    if "left out" in row:
        return "–"
    return " / ".join(number(_median(row[name]), ".2f") for name in ("own_half", "ssim"))


def _median(values: list[float]) -> float | None:
    """Of those that are numbers."""
    live = [value for value in values if value == value]
    return float(np.median(live)) if live else None


def _having(pattern: str) -> list[str]:
    """The networks that have such a result."""
    return [name for name in MAPS if (RESULTS / pattern.format(name)).is_file()]


@cache
def _maps(name: str) -> xr.Dataset:
    return xr.load_dataset(RESULTS / name)


def _by_network(kind: str, cell: Callable[[xr.Dataset], str]) -> str:
    """A row for each method of the talk, a column for each network that has such a result."""
    names = _having(f"{kind}-{{}}.nc")
    of = [_maps(f"{kind}-{name}.nc") for name in names]
    each = [{m: data.sel({"method": m}) for m in data["method"].values.tolist()} for data in of]
    return _by_method(tuple(MAPS[name] for name in names), each, cell)


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
