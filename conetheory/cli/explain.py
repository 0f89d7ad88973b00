"""`conetheory explain`: saliency maps of any methods, as arrays and as figures."""

from __future__ import annotations

import json as json_format
import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from conetheory.cli import console
from conetheory.cli.options import Model, SeriesOptions
from conetheory.cli.values import distinct

if TYPE_CHECKING:
    from conetheory.progress import Progress
    from conetheory.results.dataset import Maps
    from conetheory.runs.series import Series

ORIGIN = "Draw as well where relevance at this layer comes from, at the location where it has the most."
TARGET = "predicted, runner-up, a class's number or its name (repeatable). (default: predicted and runner-up)"


def run_explain(
    model: Model,
    /,
    *,
    target: Annotated[tuple[str, ...], Parameter(metavar="CLASS", help=TARGET)] = (),
    origin: Annotated[str | None, Parameter(metavar="LAYER", help=ORIGIN)] = None,
    options: SeriesOptions = SeriesOptions(),
) -> None:
    """Saliency maps: what each method says of an image's predicted or any other class."""
    from conetheory.cli.request import request
    from conetheory.results.dataset import Maps
    from conetheory.runs.series import run_series
    from conetheory.saliency.maps import explain_maps
    from conetheory.saliency.pictures import PREDICTED, RUNNER_UP, class_index, usual_targets

    asked = request("explain", model, options)
    given = target or usual_targets(asked.network)
    targets = distinct(given, lambda t: t if t in (PREDICTED, RUNNER_UP) else class_index(asked.network, t))

    def compute(method: str, progress: Progress) -> Maps:
        placed = {"device": asked.device, "dtype": asked.dtype, "names": asked.names}
        placed |= {"parameters": asked.methods[method]}
        maps = explain_maps(asked.network, asked.images.tensor, method, targets, **placed)
        return maps if origin is None else _with_origins(maps, origin, asked, method, placed)

    settings = {"target": targets} | ({} if origin is None else {"origin": origin})
    maps = run_series(asked, Maps, settings, compute)
    _note_empty(maps)
    paths = _draw(asked, maps)
    if options.output.json:
        print(json_format.dumps(_summary(maps, paths), indent=2))
    else:
        written = ", ".join(map(str, [asked.folder / "maps.nc", *paths]))
        console.say(console.out(), f"Written: {written}")


def _with_origins(maps: Maps, layer: str, asked: Series, method: str, options: dict[str, Any]) -> Maps:
    """The maps with origins at a layer, as they are, with a note, where there are none."""
    import torch

    from conetheory.predict.origin_maps import origin_maps
    from conetheory.results.dataset import Maps
    from conetheory.runs.progress import note
    from conetheory.theory.records import NotApplicable

    data = maps.dataset
    classes = torch.as_tensor(data["class_index"].values)
    options = options | {"targets": list(data["target"].values)}
    found = origin_maps(asked.network, asked.images.tensor, method, classes, layer, **options)
    if isinstance(found, NotApplicable):
        note(f"no origins: {found.reason}")
        return maps
    return Maps(data.merge(found))


def _note_empty(maps: Maps) -> None:
    """Say which maps are zero everywhere, as those of a black image are."""
    from conetheory.runs.progress import note

    space = [dim for dim in maps.dataset["map"].dims if dim not in ("method", "image", "target")]
    empty = (maps.dataset["map"] == 0).all(space).stack(of=("method", "image", "target"))
    for method, image, target in empty["of"].values[empty.values]:
        note(f"{method}: no relevance of {target} reaches the pixels of {image}: the map is zero")


def _draw(asked: Series, maps: Maps) -> list[Path]:
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
        paths.append(asked.folder / f"maps-{stem}{number}.png")
        maps_figure(maps.dataset, str(image)).savefig(paths[-1], dpi=150)
        if origins:
            paths.append(asked.folder / f"origins-{stem}{number}.png")
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
