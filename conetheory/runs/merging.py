"""Units joined to the comparison that one process makes of the same study, value for value.

Whatever order they were made in, and wherever: counts are whole numbers, sums are taken image by image
without rounding between, and what is kept of single images is joined in the order of their numbers.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch

from conetheory.errors import InputError
from conetheory.results.comparison import Comparison
from conetheory.results.dataset import Result
from conetheory.results.joining import join_methods
from conetheory.results.plan import Plan, Step
from conetheory.runs import store
from conetheory.runs.division import Shard, Unit, divided
from conetheory.runs.found import by_plan, compared
from conetheory.runs.kinds import KINDS, JoinedImages
from conetheory.runs.outline import Outline
from conetheory.runs.packing import DamagedError, checked, unpacked
from conetheory.runs.progress import note
from conetheory.runs.settings import Settings
from conetheory.runs.stages import stage
from conetheory.runs.units import LEFT_OUT, UnitFolder, difference

PARTS = "parts"  # folder of the files of single methods, where they lie beside the file of all
NAMED = 5  # of what is missing, by name


def merge(out: Path) -> Result:
    """The result of the units in a folder, all of them; each method's is written there too.

    Parameters
    ----------
    out
        the folder that the shards were given.

    Returns
    -------
    Result
        of the whole study: a `Comparison`, or of the kind that its command gives.

    Raises
    ------
    InputError
        in one line, where units are missing, damaged or of another study.
    """
    units = UnitFolder(out)
    names = list(units)
    if not names:
        raise InputError(f"{out} holds no units: run the shards first, with --shard 1/N --out {out}")
    found = joined_study(units, str(units.path), out)
    units.tidy()
    return found


def joined_study(units: Mapping[str, bytes], where: str, out: Path | None = None) -> Result:
    """The result of all units of a study, wherever they are kept.

    Parameters
    ----------
    units
        their bytes by name, read one at a time.
    where
        what errors call it.
    out
        a folder for the results of single methods.

    Returns
    -------
    Result
        of the whole study.

    Raises
    ------
    InputError
        as `merge`.
    """
    first = _reference(units, where)
    study, methods = first["study"], _methods(units, first["methods"])
    whole = divided(methods, study["images"], study["block"])
    if methods != first["methods"]:
        first["shard"] = ""  # shards of other lists of methods: which unit is whose is not known
    _refuse_missing(units, whole, first["shard"], where)
    done: list[Result] = []
    first["seen"] = {}
    for method in methods:
        mine = [unit for unit in whole if unit.method == method]
        found, parameters = _joined_method(units, mine, whole, first, where)
        if isinstance(found, str):
            note(f"{method}: left out: {found}")
        else:
            done.append(store.marked(found, {**study, "parameters": parameters}))
    if out is not None:  # when nothing more can be refused
        for found in done:
            found.save(_path(out, study["command"], found.methods[0]))
    origin = {name: study[name] for name in ("command", "network", "weights_sha256")}
    return store.marked(join_methods(done), origin)


def _path(out: Path, command: str, method: str) -> Path:
    """Of a method's file, where the command has it when it is not divided."""
    return out / PARTS / f"{command}-{method}.nc" if command in KINDS else out / f"{method}.nc"


def _joined_method(
    units: Mapping[str, bytes], mine: list[Unit], whole: list[Unit], first: Mapping[str, Any], where: str
) -> tuple[Result | str, Any]:
    """A method's result, or why it was left out; and its parameters."""
    joined: Joined | JoinedImages | None = None
    parameters: Any = None
    for unit in mine:
        header, record = _read(units, unit, whole, first, where)
        if joined is None:
            parameters = header["unit"]["parameters"]
        elif header["unit"]["parameters"] != parameters:
            raise InputError(f"{where}/{unit.name} is of {unit.method} with other parameters: run it again")
        if LEFT_OUT in record:
            return record[LEFT_OUT], parameters
        if joined is None:
            command = first["study"]["command"]
            joined = JoinedImages(command) if command in KINDS else Joined(first["study"], record)
        joined.take(record, f"{where}/{unit.name}")
    assert joined is not None
    return joined.result(), parameters


def _reference(units: Mapping[str, bytes], where: str) -> dict[str, Any]:
    """The header of a unit of the study that most of them are of."""
    found: dict[str, list[dict[str, Any]]] = {}
    for name in units:
        header = units.header(name) if isinstance(units, UnitFolder) else checked(units[name])
        if header is not None:
            found.setdefault(json.dumps(header["study"], sort_keys=True), []).append(header)
    if not found:
        raise InputError(f"all units in {where} are damaged: run the shards again")
    return dict(max(found.values(), key=len)[0])


def _methods(units: Mapping[str, bytes], known: Sequence[str]) -> list[str]:
    """Those of the study, and those that units are of beside."""
    return list(dict.fromkeys([*known, *(name.rpartition("-")[0] for name in units)]))


def _read(
    units: Mapping[str, bytes], unit: Unit, whole: list[Unit], first: Mapping[str, Any], where: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    """A unit, if it is one of the study. Raises `InputError`."""
    again = _Again(unit, whole, first["shard"])
    try:
        header, record = unpacked(units[unit.name])
    except (DamagedError, KeyError) as error:
        raise InputError(f"{where}/{unit.name} is damaged: {again}") from error
    if said := difference(header["study"], first["study"]):
        raise InputError(f"{where}/{unit.name} is of another study: {said}; remove it, and {again}")
    block = {name: header["unit"][name] for name in ("method", "block", "first", "stop")}
    if block != vars(unit):
        raise InputError(f"{where}/{unit.name} holds another unit than its name says: {again}")
    images = header["unit"]["images_sha256"]
    if first["seen"].setdefault(unit.block, images) != images:
        raise InputError(
            f"{where}/{unit.name} is of other images than the same block of methods before: {again}"
        )
    return header, record


def _refuse_missing(units: Mapping[str, bytes], whole: list[Unit], shard: str, where: str) -> None:
    lacking = [unit for unit in whole if unit.name not in units]
    if not lacking:
        return
    shards = list(dict.fromkeys(_of_shard(unit, whole, shard) for unit in lacking))
    names = [*shards[:NAMED], *([f"{len(shards) - NAMED} more"] if len(shards) > NAMED else [])]
    count = f"{len(lacking)} of {len(whole)} units are missing"
    raise InputError(f"{count} in {where}: run {', '.join(names)}")


@dataclass(frozen=True)
class _Again:
    """What to do about a unit, which takes long to say of many."""

    unit: Unit
    whole: list[Unit]
    shard: str

    def __str__(self) -> str:
        return f"run {_of_shard(self.unit, self.whole, self.shard)} again"


def _of_shard(unit: Unit, whole: list[Unit], shard: str) -> str:
    """The shard that a unit belongs to, where the units were shared out; else the unit."""
    if not shard:
        return f"unit {unit.name}"
    of = Shard.parsed(shard).of
    return f"shard {whole.index(unit) % of + 1}/{of}"


class Joined:
    """The stages of a method, as they would be had they seen every image themselves.

    Parameters
    ----------
    study
        what its units agree on (`units.Work.study`).
    record
        of any of its units (`method.record_of`).
    """

    def __init__(self, study: Mapping[str, Any], record: Mapping[str, Any]) -> None:
        self._steps, self.unpredicted = record["plan"], record["unpredicted"]
        self.plan = Plan(tuple(Step(**step) for step in self._steps))
        self.settings = by_plan(settings_of(study), self.plan)
        self.outline = Outline(record["outline"])
        self.stages = [stage(name, self.settings) for name in self.plan.stages]
        self.halved = 0

    def take(self, record: Mapping[str, Any], name: str) -> None:
        """Add a unit, in the order of their images; name: of the unit, for errors."""
        if record["plan"] != self._steps:
            raise InputError(f"{name} was made by another plan than the units before: run it again")
        self.outline.take(record["outline"])
        self.halved = max(self.halved, record["halved"])
        for one in self.stages:
            if (found := record["stages"][one.name]) is not None:
                one.take(found, self.outline)

    def result(self) -> Comparison:
        """What the stages found, laid over each other."""
        results: Iterable[Any] = [one.result() for one in self.stages]
        there = [result for result in results if result is not None]
        return compared(there, self.plan, self.unpredicted, self.settings.repro, self.halved)


def settings_of(study: Mapping[str, Any]) -> Settings:
    """The settings that a study's units agree on."""
    known = {each.name for each in fields(Settings)} - {"device", "dtype", "parameters"}
    plain = {name: value for name, value in study.items() if name in known}
    lists = {name: tuple(value) for name, value in plain.items() if isinstance(value, list)}
    placed = {"dtype": getattr(torch, str(study["dtype"]).rpartition(".")[2]), "device": study["device"]}
    given: dict[str, Any] = plain | lists | placed
    return Settings(**given)
