"""Results: an `xarray.Dataset` with named dimensions and its provenance, saved as netCDF.

Dimensions: `method`, `start` (start layer), `layer` (from the start layers down to the input), `quantile`,
`side` (lower, upper). Deficits are `1 - |cos|`. A part that was not computed is absent or NaN. Layers have
a `label` for figures and a `depth`, their place in the network from the output down; methods have a `rule`,
what the name stands for with its parameters, empty for methods that are not ours.
"""

from __future__ import annotations

import datetime
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import h5py
import numpy as np
import torch
import xarray as xr

from conetheory.errors import InputError, one_line
from conetheory.networks.graph import INPUT, Graph
from conetheory.rules.described import described

SIDES = ("lower", "upper")


@dataclass(frozen=True)
class Result:
    """A dataset of one kind."""

    dataset: xr.Dataset
    kind: ClassVar[str] = "result"

    def save(self, path: str | Path) -> Path:
        """Write netCDF; the file appears whole or not at all."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(path.suffix + ".partial")
        self.dataset.assign_attrs(kind=self.kind).to_netcdf(partial, engine="h5netcdf")
        partial.replace(path)
        return path

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a file of this kind, `Result.load` one of any kind; `InputError` where it is none."""
        try:
            attributes(path)  # broken, they make h5netcdf leave an object that complains when it is freed
            data = xr.load_dataset(path, engine="h5netcdf")
        except Exception as error:  # broken files raise OSError, ValueError, KeyError, RuntimeError, ...
            raise InputError(f"{path} is no result of conetheory, or damaged: {one_line(error)}") from error
        kind = data.attrs.get("kind", "unknown")
        if cls.kind not in (Result.kind, kind):
            raise InputError(f"{path} is of kind {kind!r}, not {cls.kind!r}")
        return cls(data.drop_encoding())  # a name's length in this file would cut longer ones in the next

    def median(self, name: str, *, method: str | None = None, start: str | None = None) -> xr.DataArray:
        """One variable along the layers; the first method and start layer where none is named."""
        values = self.dataset[name]
        for dim, wanted in (("method", method), ("start", start)):
            values = values.isel({dim: 0}) if wanted is None else values.sel({dim: wanted})
        return values


class Measurement(Result):
    kind = "measurement"


class Prediction(Result):
    kind = "prediction"


class Certificate(Result):
    kind = "certificate"


def attributes(path: str | Path) -> dict[str, Any]:
    """The attributes of a file, without its data; whatever h5py raises where it is none."""
    with h5py.File(path) as file:
        return dict(file.attrs)


def layer_order(graph: Graph, starts: Iterable[str], layers: Sequence[str]) -> list[str]:
    """The tensors among `layers`, from the highest start down to the input."""
    position = {name: i for i, name in enumerate([INPUT, *graph.nodes])}
    top = max(position[graph.resolve(s)] for s in starts)
    wanted = {graph.resolve(name) for name in layers}
    return sorted((n for n in wanted if position[n] <= top), key=lambda n: -position[n])


def frame(
    graph: Graph,
    method: Any,
    starts: Sequence[str],
    layers: Sequence[str],
    values: Mapping[str, Mapping[tuple[str, str], Any]],
    extra: Mapping[str, tuple[str, Sequence[Any]]] | None = None,
) -> xr.Dataset:
    """A dataset (method, start, layer, ...) from `{variable: {(start, tensor): value}}`, NaN where absent.

    `extra` names the last dimension of variables that are not scalars: `{variable: (dim, coordinates)}`.
    """
    order, places = layer_order(graph, starts, layers), [*reversed([INPUT, *graph.nodes])]
    dataset = xr.Dataset(
        coords={
            **method_axis(method),
            "start": list(starts),
            "layer": order,
            "label": ("layer", [graph.label(name) for name in order]),
            "depth": ("layer", [places.index(name) for name in order]),
        }
    )
    for name, entries in values.items():
        dim, coordinates = (extra or {}).get(name, (None, ()))
        shape = (1, len(starts), len(order)) + ((len(coordinates),) if dim else ())
        data = np.full(shape, np.nan)
        for (start, layer), value in entries.items():
            data[0, starts.index(start), order.index(layer)] = value
        dims = ("method", "start", "layer") + ((dim,) if dim else ())
        dataset[name] = (dims, data)
        if dim:
            dataset = dataset.assign_coords({dim: list(coordinates)})
    return dataset


def method_axis(method: Any) -> dict[str, Any]:
    """The coordinates along `method` of a result of one method: its name and its rule."""
    rule = getattr(method, "rule", None)
    return {"method": [method.name], "rule": ("method", ["" if rule is None else described(rule)])}


def provenance(network: Any = None, **settings: Any) -> dict[str, Any]:
    """Where a result comes from: versions, weights, settings."""
    from conetheory import __version__

    given = {
        k: v if isinstance(v, int | float | str) else str(v) for k, v in settings.items() if v is not None
    }
    weights = {f"network_{k}": str(v) for k, v in getattr(network, "provenance", {}).items()}
    return {
        "conetheory": __version__,
        "network": getattr(network, "name", "unnamed"),
        "torch": str(torch.__version__),  # a subclass of str, which netCDF refuses
        "numpy": np.__version__,
        "machine": platform.machine(),
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        **weights,
        **given,
    }


class Sanity(Result):
    kind = "sanity"


class Maps(Result):
    kind = "maps"
