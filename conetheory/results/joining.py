"""Results of several methods on the same network as one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import reduce
from graphlib import CycleError, TopologicalSorter
from typing import Any, TypeVar

import numpy as np
import xarray as xr

from conetheory.errors import InputError
from conetheory.results.dataset import Result

Kind = TypeVar("Kind", bound=Result)
FIRST_FEW = ("rank", "top")  # dimensions without names whose entries are the first so many


def join_methods(results: Sequence[Kind]) -> Kind:
    """Results of one kind along `method`: all that any of them has, absent or NaN where one has it not.

    Layers go from the output down, whichever each result has; images and the like come in the order of their
    first appearance. Attributes are those in which all agree, and the time of the newest.

    Parameters
    ----------
    results
        of one kind and network.

    Returns
    -------
    Result
        of the same kind.

    Raises
    ------
    InputError
        where there is none, where maps differ in size, and where the order of layers is not known.
    """
    if not results:
        raise InputError("no results to join: none of the methods gave one")
    names = [str(method) for result in results for method in result.dataset["method"].values]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InputError(f"{twice[0]} is in two of the results to join")
    datasets = _aligned([result.dataset for result in results])
    coordinates = {str(name) for data in datasets for name in data.coords.keys() - data.dims}
    datasets = [data.reset_coords() for data in datasets]
    names = dict.fromkeys(name for data in datasets for name in data.data_vars)
    own = {name for name in names if any(name in data and "method" in data[name].dims for data in datasets)}
    options: dict[str, Any] = {"data_vars": "all", "coords": "minimal", "compat": "override", "join": "exact"}
    parts = [data[[name for name in data.data_vars if name in own]] for data in datasets]
    joined = xr.concat(parts, "method", combine_attrs="drop", **options)
    for name in names.keys() - own:
        found = [data[name] for data in datasets if name in data]
        joined[name] = reduce(xr.DataArray.combine_first, found)
    whole = _described(joined[list(names)], datasets).set_coords(coordinates)
    return type(results[0])(whole.assign_attrs(_agreed([result.dataset.attrs for result in results])))


def join_images(datasets: Sequence[xr.Dataset]) -> xr.Dataset:
    """Datasets of the same method and other images as one, in their order.

    Parameters
    ----------
    datasets
        with the same variables; what has no dimension `image` is the same in all of them.

    Returns
    -------
    Dataset
        of all images, with the attributes in which all agree and the time of the newest.
    """
    options: dict[str, Any] = {"data_vars": "minimal", "coords": "minimal", "compat": "override"}
    joined = xr.concat(datasets, "image", join="override", combine_attrs="drop", **options)
    return _described(joined, datasets).assign_attrs(_agreed([data.attrs for data in datasets]))


def _described(joined: xr.Dataset, datasets: Sequence[xr.Dataset]) -> xr.Dataset:
    """With what is said of each variable by the first that has it: not all are declared here."""
    for name, values in joined.data_vars.items():
        values.attrs = dict(next(data[name].attrs for data in datasets if name in data))
    return joined


def _aligned(datasets: Sequence[xr.Dataset]) -> list[xr.Dataset]:
    """The datasets with the same entries along every dimension but `method`."""
    dims = dict.fromkeys(str(dim) for data in datasets for dim in data.dims if dim != "method")
    bare = [dim for dim in dims if not any(dim in data.indexes for data in datasets)]
    sizes = {dim: sorted({data.sizes[dim] for data in datasets if dim in data.dims}) for dim in bare}
    for dim in bare:
        if dim not in FIRST_FEW and len(sizes[dim]) > 1:
            raise InputError(
                f"results of different sizes along {dim!r} ({', '.join(map(str, sizes[dim]))}) are no "
                "results of one network at one image size: keep them in folders of their own"
            )
    datasets = [
        data.assign_coords({d: range(data.sizes[d]) for d in bare if d in data.dims}) for data in datasets
    ]
    entries = {dim: _union(data.indexes[dim] for data in datasets if dim in data.dims) for dim in dims}
    if "layer" in dims:
        entries["layer"] = _layers([data for data in datasets if "layer" in data.dims])
    found = [data.reindex({dim: entries[dim] for dim in dims if dim in data.dims}) for data in datasets]
    return [data.drop_vars(bare, errors="ignore") for data in found]


def _layers(datasets: Sequence[xr.Dataset]) -> list[str]:
    """All layers from the output down: in the order of each dataset, by `depth` where none has both."""
    depth: dict[str, int] = {}
    sorter: TopologicalSorter[str] = TopologicalSorter()
    for data in datasets:
        names = [str(name) for name in data["layer"].values]
        if "depth" in data.coords:
            depth |= data["depth"].to_series().dropna().to_dict()
        for number, name in enumerate(names):
            sorter.add(name, *names[max(number - 1, 0) : number])
    try:
        sorter.prepare()
    except CycleError as error:
        raise InputError("the results have their layers in different orders: other networks?") from error
    order, ready = [], []
    while sorter.is_active():
        ready += sorter.get_ready()
        if len(ready) > 1 and not set(ready) <= depth.keys():
            raise InputError(
                f"which of layers {' and '.join(ready)} is the deeper one is not known: run again"
            )
        order.append(min(ready, key=lambda name: depth.get(name, 0)))
        ready.remove(order[-1])
        sorter.done(order[-1])
    return order


def _union(lists: Iterable[Iterable[Any]]) -> list[Any]:
    return list(dict.fromkeys(entry for one in lists for entry in one))


def _agreed(attributes: Sequence[dict[str, Any]]) -> dict[str, Any]:
    first, *others = attributes
    agreed = {k: v for k, v in first.items() if all(_same(other.get(k), v) for other in others)}
    created = [str(one["created"]) for one in attributes if "created" in one]
    return agreed | ({"created": max(created)} if created else {})


def _same(a: Any, b: Any) -> bool:
    return bool(np.array_equal(a, b))
