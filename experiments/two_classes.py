"""Pictures of two classes, made of the middle halves of two photographs side by side, and their two maps.

    python -m experiments.two_classes vgg16 --weights vgg16.safetensors --images imagenette/val --paper

The classes are those that the network predicts for either photograph by itself, so that no labels are needed.
A method that sees the class puts the relevance of a class on its own half (the grid pointing game of Böhle,
Fritz and Schiele, CVPR 2021, with two pictures); where the two maps are the same up to scale, the two shares
of relevance on the own half add up to 1 and their mean is 1/2, whatever the map. OUT/two-classes-MODEL.json
has, for each method and picture, the share on the own half and how alike the two maps are.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Unpack

import numpy as np
import torch
import typer
from torch import Tensor

from conetheory.chain.checks import Placement, device_of
from conetheory.errors import ConeTheoryError, InputError
from conetheory.networks import Network
from conetheory.results.layout import provenance
from conetheory.rules.registry import as_method
from conetheory.runs import store
from conetheory.saliency.pictures import predicted_classes, saliency
from conetheory.saliency.similarity import PAPER, similarities
from experiments.csc_case import MORE
from experiments.method_table import parameters
from experiments.paper_networks import (
    NETWORKS,
    Methods,
    Models,
    OfTheTalk,
    Patterns,
    Pictures,
    Size,
    Weights,
    backpropagated,
    opened,
    with_weights,
)

MEASURES = ("ssim", "cosine")
PHOTOGRAPHS = 4  # for each picture that is asked for, so that there are pairs enough


def side_by_side(left: Tensor, right: Tensor) -> Tensor:
    """The middle half of the columns of either picture `(..., H, W)`: `(..., H, W)`, W even."""
    width = left.shape[-1]
    if width % 2:
        raise InputError(f"pictures of {width} columns have no middle half")
    middle = slice(width // 4, width // 4 + width // 2)
    return torch.cat([left[..., middle], right[..., middle]], -1)


def pairs_of_classes(classes: Tensor, count: int) -> list[tuple[int, int]]:
    """Numbers of pictures with different classes `(images,)`: each picture once, at most `count` pairs.

    Raises `InputError` where there is none.
    """
    found, waiting = [], []
    for number, one in enumerate(classes.tolist()):
        partner = next((other for other in waiting if classes[other] != one), None)
        if partner is None:
            waiting.append(number)
        else:
            waiting.remove(partner)
            found.append((partner, number))
    if not found:
        raise InputError(f"no two of {len(classes)} pictures are of two classes to the network")
    return found[:count]


def own_share(maps: np.ndarray) -> np.ndarray:
    """The share of `|map|` on the own half, `(images,)`, the mean over both maps of each image.

    maps: `(images, 2, H, W)`, of the class of the left half and of that of the right. NaN where one is zero.
    """
    halves = np.stack(np.split(np.abs(maps), 2, axis=-1), 2).sum((-1, -2))  # images, class, half
    both = halves.sum(2)
    own = np.stack([halves[:, 0, 0], halves[:, 1, 1]], 1) / np.where(both > 0, both, np.nan)
    return own.mean(1)


def two_class_rows(
    network: Network,
    images: Tensor,
    methods: dict[str, dict[str, Any]],
    count: int,
    others: int | None = None,
    **placed: Unpack[Placement],
) -> list[dict[str, Any]]:
    """By method, with its parameters: the own half's share of relevance, and similarities of the two maps.

    others: pictures of methods that are not among `MORE` (None: all).
    """
    classes = predicted_classes(network, images, **placed)[:, 0]
    pairs = torch.tensor(pairs_of_classes(classes, count))
    pictures, rows = side_by_side(images[pairs[:, 0]], images[pairs[:, 1]]), []
    for name, chosen in methods.items():
        few = slice(None if name in MORE else others)
        rows.append(_row(network, pictures[few], classes[pairs][few], name, chosen, **placed))
    return rows


def _row(
    network: Network,
    pictures: Tensor,
    targets: Tensor,
    name: str,
    parameters: dict[str, Any],
    **placed: Unpack[Placement],
) -> dict[str, Any]:
    try:
        maps = saliency(network, pictures, as_method(name, parameters), targets, **placed)
    except ConeTheoryError as error:
        return {"method": name, "left out": str(error)}
    alike = similarities(maps[:, 0], maps[:, 1], MEASURES, PAPER)
    values = {"own_half": own_share(maps)} | dict(zip(MEASURES, alike, strict=True))
    return {"method": name} | {key: _rounded(each) for key, each in values.items()}


def _rounded(values: Sequence[float] | np.ndarray) -> list[float]:
    return [float(f"{value:.4g}") for value in values]


def main(
    model: Models = None,
    images: Pictures = None,
    weights: Weights = None,
    count: Annotated[int, typer.Option(help="pictures")] = 16,
    others: Annotated[int | None, typer.Option(help=f"of methods other than {', '.join(MORE)}")] = None,
    method: Methods = None,
    paper: OfTheTalk = False,
    patterns: Patterns = None,
    size: Size = None,
    device: str = "auto",
    out: Path = Path("out/two-classes"),
) -> dict[str, Any]:
    """Write OUT/two-classes-MODEL.json for each network."""
    found, names = {}, method or backpropagated(paper)
    store.folder(out)
    for each, file in with_weights(model or NETWORKS, weights):
        begun = time.perf_counter()
        network, photographs = opened(each, file, size, images, PHOTOGRAPHS * count)
        given = {name: parameters(name, patterns) for name in names}
        placed = {"device": device_of(device), "dtype": torch.float32}
        rows = two_class_rows(network, photographs.tensor, given, count, others, **placed)
        settings = {"count": count, "others": others, "photographs": len(photographs)}
        seconds = round(time.perf_counter() - begun, 1)
        made = {"provenance": provenance(network, **settings), "seconds": seconds, "methods": rows}
        (out / f"two-classes-{each}.json").write_text(json.dumps(made, indent=1) + "\n")
        found[each] = made
    return found


if __name__ == "__main__":
    typer.run(main)
