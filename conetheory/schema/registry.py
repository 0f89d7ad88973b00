"""What is known of a variable: as it is declared, or as a file says it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import xarray as xr

from conetheory.schema.declared import (
    BEFORE,
    CERTIFIED,
    CLASSES,
    CRITICAL,
    MAPS,
    MEASURED_VARIABLES,
    NOT_PREDICTED,
    ORIGIN,
    PLAN,
    REASONS,
    SANITY,
)
from conetheory.schema.kinds import DEFICIT, DIMS, FORMULA, VERSION, Theory, Variable
from conetheory.schema.rates import RATES

_PARTS = {"measured": MEASURED_VARIABLES, "certified": CERTIFIED}
_DECLARED: dict[str, Variable] = {
    v.name: v
    for v in (
        *(replace(v, part=part) for part, group in _PARTS.items() for v in group),
        *(*REASONS, NOT_PREDICTED, *ORIGIN, *PLAN, *CRITICAL, *CLASSES, *SANITY, *MAPS, *RATES),
        *(v for theory in BEFORE for v in theory.variables),
    )
}


def declare(variables: Sequence[Variable]) -> None:
    """Add what a theory, or another room, writes into results."""
    _DECLARED.update({v.name: v for v in variables})


def withdraw(variables: Sequence[Variable]) -> None:
    """Take back what was declared."""
    for v in variables:
        _DECLARED.pop(v.name, None)


def variable(name: str, attributes: Mapping[str, Any] | None = None) -> Variable | None:
    """What is known of a variable.

    Parameters
    ----------
    name
        in the dataset.
    attributes
        those in a file.

    Returns
    -------
    Variable or None
        as declared, else by its attributes; None where nothing is known.
    """
    said = attributes or {}
    if "side" in said and name not in _DECLARED:
        texts = {k: str(said[k]) for k in ("label", "side", "part", "theorem") if k in said}
        place = {"theory": str(said["theory"]), "rank": int(said["rank"])} if "theory" in said else {}
        unit = DEFICIT if said["units"] == FORMULA else str(said["units"])  # as files once had it
        return Variable(name, meaning=str(said["long_name"]), unit=unit, **texts, **place)
    return _DECLARED.get(name)


def declared_as(name: str) -> Variable:
    """What is declared of a variable. Raises `KeyError` for one that is not."""
    return _DECLARED[name]


def annotated(data: xr.Dataset) -> xr.Dataset:
    """The dataset with what is declared of its variables in their attributes; others keep their own."""
    found = data.copy()
    for name in map(str, found.data_vars):
        if name in _DECLARED:
            found[name].attrs = found[name].attrs | _DECLARED[name].attributes
    return found.assign_attrs(schema=VERSION)


def known(data: xr.Dataset) -> dict[str, Variable]:
    """The variables of a dataset of which anything is known."""
    found = {str(name): variable(str(name), values.attrs) for name, values in data.data_vars.items()}
    return {name: said for name, said in found.items() if said is not None}


def theories(data: xr.Dataset) -> list[Theory]:
    """The theories that a dataset holds predictions of, the first in rank first."""
    said = [Theory(v.theory, v.label, v.rank) for v in known(data).values() if v.theory]
    found = {theory.name: theory for theory in said if theory.predicted in data}
    return sorted(found.values(), key=lambda theory: (theory.rank, theory.name))


def numbers(data: xr.Dataset) -> dict[str, Variable]:
    """The variables that are numbers along method, start and layer, or some of them."""
    return {
        name: said
        for name, said in known(data).items()
        if set(data[name].dims) <= set(DIMS) and data[name].dtype.kind == "f"
    }
