"""Units computed here or by others, and kept as each is done."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

from conetheory.runs.clients import computed_by
from conetheory.runs.division import Unit
from conetheory.runs.progress import note, shown
from conetheory.runs.units import UnitFolder, Work, threads


def compute(
    work: Work,
    todo: Sequence[Unit],
    units: UnitFolder | dict[str, bytes],
    shard: str = "",
    *,
    client: Any = None,
    log_json: bool = False,
) -> None:
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
    client
        who computes them (`clients.computed_by`); None: this process.
    log_json
        tell of each by a line of JSON.

    Raises
    ------
    InputError
        for units of another study in the folder, and where one can't be written.
    """
    left = list(todo)
    if isinstance(units, UnitFolder):
        units.refuse_another(work.study)
        # a key takes the hash of its images: of those alone that may be there
        left = [unit for unit in todo if unit.name not in units or not units.has(unit.name, work.key(unit))]
    said = f"shard {shard}: " if shard else ""
    note(f"{said}{len(todo)} of {len(work.units)} units, {len(todo) - len(left)} of them there already")
    began = time.perf_counter()
    found = _here(work, left, shard) if client is None else _there(client, work, left, shard)
    for number, (unit, content) in enumerate(found, 1):
        if isinstance(units, UnitFolder):
            units.put(unit.name, content)
        else:
            units[unit.name] = content
        _tell(unit, number, len(left), time.perf_counter() - began, log_json)


def _here(work: Work, units: Sequence[Unit], shard: str) -> Iterator[tuple[Unit, bytes]]:
    for unit in units:
        with shown() as progress:
            content = work.computed(unit, progress, shard)
        yield unit, content


def _there(client: Any, work: Work, units: Sequence[Unit], shard: str) -> Iterator[tuple[Unit, bytes]]:
    with threads(work.threads):  # where its workers are threads of this process
        yield from computed_by(client, work, units, shard)


def _tell(unit: Unit, number: int, of: int, seconds: float, log_json: bool) -> None:
    if log_json:
        images = [unit.first, unit.stop]
        line = {"unit": unit.name, "method": unit.method, "images": images, "done": number, "of": of}
        print(json.dumps(line | {"seconds": round(seconds, 3)}), file=sys.stderr, flush=True)
    else:
        images = f"images {unit.first + 1} to {unit.stop}"
        note(f"{unit.method}: {images}, unit {number} of {of}, {seconds:.1f} s so far")
