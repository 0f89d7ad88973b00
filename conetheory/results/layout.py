"""How results are laid out: by method, start layer and layer, with where they come from."""

from __future__ import annotations

import datetime
import platform
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from importlib.metadata import version
from typing import Any, Protocol

import numpy as np
import xarray as xr

from conetheory.schema import ABOVE, CROSSING, DIMS, INPUT, UNNAMED
from conetheory.version import __version__


class Layers(Protocol):
    """What knows a network's layers: a `networks.Graph`, or an adapter's `Layers`."""

    @property
    def nodes(self) -> Iterable[str]:
        """All tensors but the input, from the input up."""
        ...

    def resolve(self, name: str) -> str: ...

    def label(self, name: str) -> str: ...


class Named(Protocol):
    """What results say of a network: a `networks.Network`, or an adapter's `Origin`."""

    @property
    def name(self) -> str: ...

    @property
    def provenance(self) -> Mapping[str, str]:
        """Where its weights are from, with their sha256 where that is known."""
        ...


def layer_order(graph: Layers, starts: Iterable[str], layers: Sequence[str]) -> list[str]:
    """The tensors among `layers`, from the highest start down to the input."""
    position = {name: i for i, name in enumerate([INPUT, *graph.nodes])}
    top = max(position[graph.resolve(s)] for s in starts)
    wanted = {graph.resolve(name) for name in layers}
    return sorted((n for n in wanted if position[n] <= top), key=lambda n: -position[n])


def frame(
    graph: Layers,
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
    coords: dict[str, Any] = {
        **method_axis(method),
        "start": list(starts),
        "layer": order,
        "label": ("layer", [graph.label(name) for name in order]),
        "depth": ("layer", [places.index(name) for name in order]),
        **_crossings(graph, order),
    }
    found: dict[str, Any] = {}  # all are put into the dataset at once: it aligns what it has with what comes
    for name, entries in values.items():
        dim, coordinates = (extra or {}).get(name, (None, ()))
        shape = (1, len(starts), len(order)) + ((len(coordinates),) if dim else ())
        data = np.full(shape, np.nan)
        for (start, layer), value in entries.items():
            data[0, starts.index(start), order.index(layer)] = value
        found[name] = ((*DIMS, dim) if dim else DIMS, data)
        if dim:
            coords[dim] = list(coordinates)
    return xr.Dataset(found, coords)


def _crossings(graph: Layers, order: Sequence[str]) -> dict[str, Any]:
    """Of each layer the one above it and what lies between (`Graph.crossings`), where the network knows."""
    known = getattr(graph, "crossings", None)
    if known is None:
        return {}
    found = known(order)
    texts = [found.get(name, ("", "")) for name in order]
    return {name: ("layer", [text[i] for text in texts]) for i, name in enumerate((ABOVE, CROSSING))}


def method_axis(method: Any) -> dict[str, Any]:
    """The coordinates along `method` of a result of one method: its name, its rule and its family.

    Of a method that is not ours the name is known alone.
    """
    said = {"rule": getattr(method, "described", ""), "family": getattr(method, "family", "external")}
    return {"method": [method.name], **{name: ("method", [text]) for name, text in said.items()}}


@lru_cache
def _torch_version() -> str:
    """Of its distribution, whose file takes as long to read as an image of a small network to measure."""
    return version("torch")


def provenance(network: Named | None = None, **settings: Any) -> dict[str, Any]:
    """Where a result comes from: versions, weights, settings."""
    given = {
        k: v if isinstance(v, int | float | str) else str(v) for k, v in settings.items() if v is not None
    }
    name, known = (UNNAMED, {}) if network is None else (network.name, network.provenance)
    weights = {f"network_{k}": str(v) for k, v in known.items()}
    return {
        "conetheory": __version__,
        "network": name,
        "torch": _torch_version(),
        "numpy": np.__version__,
        "machine": platform.machine(),
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        **weights,
        **given,
    }
