"""`conetheory explain`: saliency maps of any methods, as arrays and as figures."""

from __future__ import annotations

import json as json_format
import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from conetheory.cli.options import OPTIONS, distinct

if TYPE_CHECKING:
    from conetheory.progress import Progress
    from conetheory.results.dataset import Maps
    from conetheory.runs.series import Series

Model, Weights, Images, Limit = (OPTIONS[n][0] for n in ("model", "weights", "images", "limit"))
Method, Parameter, Device, Dtype = (OPTIONS[n][0] for n in ("method", "set", "device", "dtype"))
Out, Resume, Json = (OPTIONS[n][0] for n in ("out", "resume", "json"))
TARGET = "predicted, a class's number or its name (repeatable)."


def run_explain(
    model: Model,
    weights: Weights = None,
    images: Images = None,
    limit: Limit = None,
    method: Method = ["lrp-alpha1beta0"],  # noqa: B006 (typer copies it)
    target: Annotated[list[str], typer.Option(metavar="CLASS", help=TARGET)] = ["predicted"],  # noqa: B006
    set: Parameter = None,
    device: Device = "auto",
    dtype: Dtype = "float32",
    out: Out = None,
    resume: Resume = False,
    json: Json = False,
) -> None:
    """Saliency maps: what each method says of an image's predicted or any other class."""
    given = locals()
    from conetheory.cli.request import request
    from conetheory.results.dataset import Maps
    from conetheory.runs.series import run_series
    from conetheory.saliency.maps import explain_maps
    from conetheory.saliency.pictures import PREDICTED, class_index

    asked = request("explain", given)
    target = distinct(target, lambda t: t if t == PREDICTED else class_index(asked.network, t))

    def compute(method: str, progress: Progress) -> Maps:
        placed = {"device": asked.device, "dtype": asked.dtype, "names": asked.names}
        return explain_maps(
            asked.network, asked.images.tensor, method, target, **placed, **asked.methods[method]
        )

    maps = run_series(asked, Maps, {"target": target}, compute)
    _note_empty(maps)
    paths = _draw(asked, maps)
    if json:
        typer.echo(json_format.dumps(_summary(maps, paths), indent=2))
    else:
        typer.echo(f"Written: {', '.join(map(str, [asked.out / 'maps.nc', *paths]))}")


def _note_empty(maps: Maps) -> None:
    """Say which maps are zero everywhere, as those of a black image are."""
    from conetheory.runs.progress import note

    space = [dim for dim in maps.dataset["map"].dims if dim not in ("method", "image", "target")]
    empty = (maps.dataset["map"] == 0).all(space).stack(of=("method", "image", "target"))
    for method, image, target in empty["of"].values[empty.values]:
        note(f"{method}: no relevance of {target} reaches the pixels of {image}: the map is zero")


def _draw(asked: Series, maps: Maps) -> list[Path]:
    from conetheory.plotting.maps import maps_figure
    from conetheory.runs.progress import note

    if "picture" not in maps.dataset:
        note("the inputs are no pictures: no figures are drawn of their maps")
        return []
    paths, drawn = [], Counter()
    for image in maps.dataset["image"].values:
        stem = re.sub(r"[^\w.()-]+", "-", str(image)).rpartition(".")[0] or str(image)
        drawn[stem] += 1
        number = f"~{drawn[stem]}" if drawn[stem] > 1 else ""
        paths.append(asked.out / f"maps-{stem}{number}.png")
        maps_figure(maps.dataset, str(image)).savefig(paths[-1], dpi=150)
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
