"""`conetheory explain`: saliency maps of any methods, as arrays and as figures."""

from __future__ import annotations

import json as json_format
import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from conetheory.cli import console
from conetheory.cli.options import ImageSeriesOptions, Model
from conetheory.cli.values import distinct

if TYPE_CHECKING:
    from conetheory.results.dataset import Maps

ORIGIN = "Draw as well where relevance at this layer comes from, at the location where it has the most."
TARGET = "predicted, runner-up, a class's number or its name (repeatable). (default: predicted and runner-up)"


def run_explain(
    model: Model,
    /,
    *,
    target: Annotated[tuple[str, ...], Parameter(metavar="CLASS", help=TARGET)] = (),
    origin: Annotated[str | None, Parameter(metavar="LAYER", help=ORIGIN)] = None,
    options: ImageSeriesOptions = ImageSeriesOptions(),
) -> None:
    """Saliency maps: what each method says of an image's predicted or any other class."""
    from conetheory.cli.division import run_divided
    from conetheory.cli.request import image_series, request
    from conetheory.results.dataset import Maps
    from conetheory.runs.kinds import MapSettings
    from conetheory.saliency.pictures import PREDICTED, RUNNER_UP, class_index, usual_targets

    asked = request("explain", model, options, stream=True)
    given = target or usual_targets(asked.network)
    targets = distinct(given, lambda t: t if t in (PREDICTED, RUNNER_UP) else class_index(asked.network, t))
    settings = MapSettings(tuple(targets), origin, asked.device, asked.dtype)
    maps = run_divided(image_series("maps", model, asked, settings, options), options.division)
    if maps is not None:
        present_maps(Maps(maps.dataset), asked.folder, options.output.json)


def present_maps(maps: Maps, folder: Path, json: bool) -> None:
    """The figures, and what is said of them."""
    _note_empty(maps)
    paths = _draw(folder, maps)
    if json:
        print(json_format.dumps(_summary(maps, paths), indent=2))
    else:
        written = ", ".join(map(str, [folder / "maps.nc", *paths]))
        console.say(console.out(), f"Written: {written}")


def _note_empty(maps: Maps) -> None:
    """Say which maps are zero everywhere, as those of a black image are."""
    from conetheory.runs.progress import note

    space = [dim for dim in maps.dataset["map"].dims if dim not in ("method", "image", "target")]
    empty = (maps.dataset["map"] == 0).all(space).stack(of=("method", "image", "target"))
    for method, image, target in empty["of"].values[empty.values]:
        note(f"{method}: no relevance of {target} reaches the pixels of {image}: the map is zero")


def _draw(folder: Path, maps: Maps) -> list[Path]:
    from conetheory.plotting.maps import maps_figure
    from conetheory.plotting.origins import drawn_methods, origins_figure
    from conetheory.runs.progress import note

    if "picture" not in maps.dataset:
        note("the inputs are no pictures: no figures are drawn of their maps")
        return []
    paths, drawn = [], Counter()
    origins = bool(drawn_methods(maps.dataset))
    for image in maps.dataset["image"].values:
        stem = re.sub(r"[^\w.()-]+", "-", str(image)).rpartition(".")[0] or str(image)
        drawn[stem] += 1
        number = f"~{drawn[stem]}" if drawn[stem] > 1 else ""
        paths.append(folder / f"maps-{stem}{number}.png")
        maps_figure(maps.dataset, str(image)).savefig(paths[-1], dpi=150)
        if origins:
            paths.append(folder / f"origins-{stem}{number}.png")
            origins_figure(maps.dataset, str(image)).savefig(paths[-1], dpi=150)
    return paths


def _summary(maps: Maps, paths: list[Path]) -> dict[str, Any]:
    data = maps.dataset
    explained = {
        str(image): {str(t): str(row.sel({"target": t}).item()) for t in data["target"].values}
        for image, row in ((i, data["class_name"].sel({"image": i})) for i in data["image"].values)
    }
    return {
        "methods": data["method"].values.tolist(),
        "explained": explained,
        "figures": list(map(str, paths)),
    }
