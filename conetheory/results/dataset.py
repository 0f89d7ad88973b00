"""Results: an `xarray.Dataset` with named dimensions and its provenance, saved as netCDF.

What its variables are is said by `schema`, and by their own attributes in every file. A part that was not
computed is absent or NaN. Layers have a `label` for figures and a `depth`, their place in the network from
the output down; methods have a `family` and a `rule`, what the name stands for with its parameters, empty for
methods that are not ours.
"""

from __future__ import annotations

import html
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import h5py
import pandas as pd
import xarray as xr

from conetheory import schema
from conetheory.errors import InputError, one_line
from conetheory.results.writing import whole

SHOWN = 24  # rows of a table in a notebook
LARGE = 2**13  # bytes of numbers that are packed in files, without loss
PACKED = {"zlib": True, "shuffle": True, "complevel": 4}


@dataclass(frozen=True, repr=False)
class Result:
    """A dataset of one kind."""

    dataset: xr.Dataset
    kind: ClassVar[str] = "result"
    rows_along: ClassVar[tuple[str, ...]] = schema.DIMS  # what a row of `to_dataframe` is for

    def __post_init__(self) -> None:
        object.__setattr__(self, "dataset", schema.annotated(self.dataset))

    def __repr__(self) -> str:
        found = [f"network {self.dataset.attrs.get('network', schema.UNNAMED)}"]
        for dim in ("method", "start"):
            if dim in self.dataset.indexes:
                found.append(f"{dim} {_few(self.dataset[dim].values)}")
        sizes = {dim: size for dim, size in self.dataset.sizes.items() if dim in ("layer", "image")}
        found += [f"{size} {dim}{'' if size == 1 else 's'}" for dim, size in sizes.items()]
        return f"{type(self).__name__}: {', '.join(found)}"

    def _repr_html_(self) -> str:
        """What a notebook shows: one line, and the numbers as a table."""
        table = self.to_dataframe().to_html(max_rows=SHOWN, border=0, index=False)
        return f"<p>{html.escape(repr(self))}</p>{table}"

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods that it is of."""
        return tuple(str(name) for name in self.dataset["method"].values)

    def to_dataframe(self) -> pd.DataFrame:
        """The numbers as a table: of a curve a row for each method, start and layer.

        Returns
        -------
        pandas.DataFrame
            A column for each dimension of a row, the layers' labels, and each variable that depends on no
            other dimension than these: no quantiles, no pixels. Units are those of the variables (`schema`).
        """
        kept = [dim for dim in self.rows_along if dim in self.dataset.dims]
        inside = [name for name, v in self.dataset.data_vars.items() if set(v.dims) <= set(kept) and v.dims]
        data = self.dataset[inside]
        kept = [dim for dim in kept if dim in data.dims]
        extra = set(data.coords) - set(kept) - set(schema.LABELS[:1])
        return data.drop_vars(extra).to_dataframe(dim_order=kept).reset_index()

    def of(self, *methods: str) -> Self:
        """The part of these methods, by name. Raises `InputError`."""
        known = [str(m) for m in self.dataset["method"].values]
        if unknown := [m for m in methods if m not in known]:
            raise InputError(f"no method {unknown[0]!r} in this result; it has {', '.join(known)}")
        return type(self)(self.dataset.sel({"method": list(methods)}))

    def save(self, path: str | Path) -> Path:
        """Write netCDF; the file appears whole or not at all. `InputError` where it can't be written."""
        path = Path(path)
        large = [n for n, v in self.dataset.variables.items() if v.dtype.kind in "fiu" and v.nbytes > LARGE]
        options = {"engine": "h5netcdf", "encoding": {name: PACKED for name in large}}
        with whole(path) as partial:
            self.dataset.assign_attrs(kind=self.kind).to_netcdf(partial, **options)
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
        """One variable along the layers.

        Parameters
        ----------
        name
            of the variable.
        method, start
            by name (None: the first).

        Returns
        -------
        DataArray
            (layer,) and what other dimensions it has.
        """
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


class Sanity(Result):
    kind = "sanity"
    rows_along = ("method", "mode", "layer", "measure")


class Maps(Result):
    kind = "maps"
    rows_along = ("image", "target")


def _few(names: Iterable[object]) -> str:
    """Names one after the other; of many the first, and how many more."""
    first, *more = map(str, names)
    return f"{first} and {len(more)} more" if len(more) > 2 else ", ".join([first, *more])
