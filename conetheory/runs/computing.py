"""Units computed one after the other, and kept as each is done."""

from __future__ import annotations

import time
from collections.abc import Sequence

from conetheory.runs.division import Unit
from conetheory.runs.progress import note, shown
from conetheory.runs.units import UnitFolder, Work


def compute(work: Work, todo: Sequence[Unit], units: UnitFolder | dict[str, bytes], shard: str = "") -> None:
    """Compute those units that are not there yet.

    Parameters
    ----------
    work
        the study.
    todo
        the units that are wanted.
    units
        where they are kept.
    shard
        whose units they are; none where they are all.

    Raises
    ------
    InputError
        for units of another study in the folder, and where one can't be written.
    """
    left = list(todo)
    if isinstance(units, UnitFolder):
        units.refuse_another(work.study)
        left = [unit for unit in todo if not units.has(unit.name, work.key(unit))]
    said = f"shard {shard}: " if shard else ""
    note(f"{said}{len(todo)} of {len(work.units)} units, {len(todo) - len(left)} of them there already")
    for number, unit in enumerate(left, 1):
        began = time.perf_counter()
        with shown() as progress:
            content = work.computed(unit, progress, shard)
        _keep(units, unit, content)
        images = f"images {unit.first + 1} to {unit.stop}"
        took = time.perf_counter() - began
        note(f"{unit.method}: {images} in {took:.1f} s, unit {number} of {len(left)}")


def _keep(units: UnitFolder | dict[str, bytes], unit: Unit, content: bytes) -> None:
    if isinstance(units, UnitFolder):
        units.put(unit.name, content)
    else:
        units[unit.name] = content
