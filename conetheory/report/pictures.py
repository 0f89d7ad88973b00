"""Maps, images and directions as PNG in data URIs: the page has no file beside it."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from conetheory.plotting.maps import rgb, scaled
from conetheory.plotting.origins import density_panel, drawn_methods, field_panel
from conetheory.report.findings import Findings
from conetheory.schema import CUT

ENLARGED = 128  # pixels that a picture's longer side has at least


def map_uri(values: np.ndarray) -> str:
    """Blue under zero, white at zero, red above."""
    from matplotlib import colormaps

    return _png(colormaps["RdBu_r"](scaled(values) / 2 + 0.5)[..., :3])


def picture_uri(values: np.ndarray) -> str:
    return _png(rgb(values))


def _png(pixels: np.ndarray) -> str:
    from PIL import Image

    # enlarged by whole pixels, so that a browser's or a printer's smoothing adds nothing
    factor = max(1, ENLARGED // max(pixels.shape[:2]))
    whole = np.round(pixels * 255).astype(np.uint8).repeat(factor, 0).repeat(factor, 1)
    buffer = io.BytesIO()
    Image.fromarray(whole).save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def gallery(findings: Findings) -> Iterator[dict[str, Any]]:
    """For each image of the maps: its name, its picture, and a row of maps for each target that it has."""
    data = findings.maps
    if data is None or not drawable(data["map"]):
        return
    for image in data["image"].values:
        one = data.sel(image=image)
        methods = [str(m) for m in data["method"].values]
        rows = [(str(t), _row(one.sel(target=t), methods)) for t in one["target"].values]
        yield {
            "name": str(image),
            "picture": picture_uri(one["picture"].values) if "picture" in one else None,
            "methods": methods,
            "rows": [(target, row) for target, row in rows if any(uri for _, uri in row)],
            "said": {str(t): _named(one.sel(target=t), str(t)) for t in one["target"].values},
        }


def _named(one: xr.Dataset, target: str) -> str:
    """The class that a target is on this image, where that is not its name, and its probability."""
    name = str(one["class_name"].item()) if "class_name" in one.coords else target
    share = float(one["probability"]) if "probability" in one else math.nan
    return " ".join(
        [*([name] if name != target else []), *([f"{share:.0%}"] if math.isfinite(share) else [])]
    )


def drawable(values: xr.DataArray) -> bool:
    """Whether they are pictures: the maps of vectors have features, and no height and width."""
    return {"y", "x"} <= set(values.dims)


def origins(findings: Findings) -> Iterator[dict[str, Any]]:
    """For each image and method whose origins are known: the densities over the picture, and for each target
    the field of location weights and the map.
    """
    data = findings.maps
    if data is None:
        return
    for method in drawn_methods(data):
        for image in data["image"].values:
            one = data.sel({"method": method, "image": image})
            if "picture" not in one or not one["origin_density"].notnull().any():
                continue
            each = [(str(t), one.sel(target=t)) for t in one["target"].values]
            yield {
                "method": method,
                "image": str(image),
                "layer": str(one["origin_layer"].item()),
                "cut": str(one[CUT].item()),
                "channels": [int(c) for c in one["origin_channel"].values if np.isfinite(c)],
                "density": _panel_uri(density_panel, one),
                "targets": [
                    (t, _panel_uri(field_panel, of), map_uri(of["map"].values))
                    for t, of in each
                    if of["location_field"].notnull().all()
                ],
            }


def _panel_uri(draw: Callable[[Axes, xr.Dataset], None], one: xr.Dataset) -> str:
    """One panel without words or paper, so that it stands on any page."""
    figure = Figure(figsize=(2.4, 2.4))
    draw(figure.add_axes((0, 0, 1, 1)), one)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130, transparent=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def _row(one: xr.Dataset, methods: Sequence[str]) -> list[tuple[str, str | None]]:
    maps = [one["map"].sel({"method": method}).values for method in methods]
    uris = [map_uri(values) if np.isfinite(values).any() else None for values in maps]
    return list(zip(methods, uris, strict=True))


def directions(findings: Findings, most: int = 3) -> Iterator[tuple[str, str, list[str], float | None]]:
    """(method, image, pictures of the directions in which the class moves the map, movable share)."""
    data = findings.classes
    if data is None or "directions" not in data or not drawable(data["directions"]):
        return
    image = data["image"].values[0]
    for method in data["method"].values:
        one = data.sel({"method": method, "image": image})
        found = [map_uri(v) for v in one["directions"].values[:most] if np.isfinite(v).any()]
        share = float(one["movable_share"]) if "movable_share" in one else math.nan
        if found:
            yield str(method), str(image), found, share if math.isfinite(share) else None
