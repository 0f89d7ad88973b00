"""Results: an `xarray.Dataset` with named dimensions and its provenance, saved as netCDF.

What its variables are is said by `schema`, and by their own attributes in every file. A part that was not
computed is absent or NaN. Layers have a `label` for figures and a `depth`, their place in the network from
the output down; methods have a `family` and a `rule`, what the name stands for with its parameters, empty for
methods that are not ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import h5py
import xarray as xr

from conetheory import schema
from conetheory.errors import InputError, one_line


@dataclass(frozen=True)
class Result:
    """A dataset of one kind."""

    dataset: xr.Dataset
    kind: ClassVar[str] = "result"

    def __post_init__(self) -> None:
        object.__setattr__(self, "dataset", schema.annotated(self.dataset))

    def of(self, *methods: str) -> Self:
        """The part of these methods, by name. Raises `InputError`."""
        known = [str(m) for m in self.dataset["method"].values]
        if unknown := [m for m in methods if m not in known]:
            raise InputError(f"no method {unknown[0]!r} in this result; it has {', '.join(known)}")
        return type(self)(self.dataset.sel({"method": list(methods)}))

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


class Maps(Result):
    kind = "maps"
