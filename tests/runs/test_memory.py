"""Memory: blocks are chosen that fit, halved where it is short, and no result depends on them."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from conetheory import room
from conetheory.cli.values import bytes_of
from conetheory.errors import InputError
from conetheory.runs import heap, memory
from conetheory.runs.division import Parts
from conetheory.runs.stages import Measure, Predict
from tests.runs.parts import MEASURED, QUICK, same, toy_study
from tests.runs.peak import measured

SHORT = {
    "numpy": MemoryError("Unable to allocate 7 EiB"),
    "cpu": RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory"),
    "other cpu": RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes."),
    "cuda": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB"),
}


@pytest.mark.parametrize("error", SHORT.values(), ids=[*SHORT])
def test_what_says_that_memory_is_short(error):
    assert room.is_out_of_memory(error)
    assert not room.is_out_of_memory(RuntimeError("shapes cannot be multiplied"))
    told, sizes = [], []

    def work() -> int:
        sizes.append(room.block(10))
        if len(sizes) < 3:
            raise error
        return sizes[-1]

    assert room.within(work, told.append) == 2
    assert (told, sizes) == ([1, 2], [10, 5, 2])
    assert room.block(10) == 10


def test_where_nothing_fits_the_error_stays():
    def work() -> None:
        raise MemoryError("all of it")

    with pytest.raises(MemoryError, match="all of it"):
        room.within(work, lambda times: None)

    def wrong() -> None:
        raise RuntimeError("of another kind")

    with pytest.raises(RuntimeError, match="another kind"):
        room.within(wrong, lambda times: pytest.fail("it is not done again"))


def short_at(monkeypatch, stage: type, least: int) -> None:
    """A stage for whose second image memory is short in blocks of more than so many."""
    add = stage.add

    def short(self, case) -> None:
        add(self, case)
        if case.number == 1 and room.block(16) > least:
            raise MemoryError("too little")

    monkeypatch.setattr(stage, "add", short)


@pytest.mark.parametrize("stage", [Measure, pytest.param(Predict, marks=pytest.mark.slow)])
def test_a_study_goes_on_in_smaller_blocks(stage, monkeypatch, capsys):
    """What the stage had seen before is not counted twice; the result says how small blocks became."""
    settings = MEASURED if stage is Measure else replace(QUICK, certify=0)
    study = toy_study(settings, images=2)
    study = replace(study, methods={"lrp-alpha1beta0": {}})
    whole = study.run().dataset
    short_at(monkeypatch, stage, 4)
    found = study.run().dataset
    same(found, whole)
    assert found.attrs["blocks_halved"] == 2
    assert "blocks_halved" not in whole.attrs
    lines = [line for line in capsys.readouterr().err.splitlines() if "not enough memory" in line]
    assert len(lines) == 2  # the next theory begins with blocks that fitted
    assert "again in blocks of 1/2 of their size" in lines[0]
    parts = replace(study, parts=Parts(1)).run().dataset
    same(parts, whole)
    assert parts.attrs["blocks_halved"] == 2


def test_blocks_are_chosen_that_fit():
    """By the plan's bytes; what was not asked for and never fits is left out, what was is refused."""
    study = toy_study(replace(MEASURED, certify=None, memory=1e12), images=1)
    graph = study.network.graph

    def planned():
        return plan([("measure", 1e9), ("certify", float(room.block(1 << 33)))])

    def fitting(size: float, certify="planned"):
        return memory.fitting(replace(study.settings, memory=size, certify=certify), graph, planned)

    assert fitting(2e10)[1] == 0
    found, times = fitting(4e9)
    assert found.stages == ("measure", "certify")
    assert times == 2  # 8.6 GB in quarters
    assert fitting(1.51e9)[0].stages == ("measure", "certify")
    least = memory.PROCESS + memory.WEIGHT * memory.weights(graph)
    tiny = plan([("measure", 1e6), ("certify", 1e9)])
    settings = replace(study.settings, memory=least + 1e7, certify="planned")
    assert memory.fitting(settings, graph, lambda: tiny)[0].stages == ("measure",)
    with pytest.raises(InputError, match=r"certify takes 1\.5 GB in the smallest blocks"):
        memory.fitting(replace(settings, certify=1), graph, lambda: tiny)
    with pytest.raises(InputError, match="measure takes"):
        fitting(1e9)


def plan(stages):
    from conetheory.results.plan import Plan, Step

    return Plan(tuple(Step(name, 1.0, bytes, True) for name, bytes in stages))


def test_units_have_as_many_images_as_fit():
    study = replace(toy_study(MEASURED), parts=Parts())
    assert memory.images(study.settings, study.network.graph, 64) == 64
    few = replace(study.settings, memory=2e6)
    assert 1 < memory.images(few, study.network.graph, 64) < 64
    assert memory.images(replace(few, memory=1.0), study.network.graph, 64) == 1
    assert replace(study, settings=few).work.study["memory"] == 2e6


@pytest.mark.exhaustive
@pytest.mark.skipif(sys.platform != "linux", reason="peaks are read as Linux tells them")
def test_many_images_take_the_memory_of_twenty():
    """All that theories and certificates keep of them would be seen, were it held."""
    few, many = measured(20), measured(150)
    assert many["kept_bytes"] - few["kept_bytes"] > 0.1 * few["peak_bytes"]
    assert many["peak_bytes"] <= 1.1 * few["peak_bytes"]


def test_sizes():
    assert [bytes_of(text) for text in ("4GB", "512 MB", "1.5gib", "7B")] == [4e9, 5.12e8, 1.5 * 2**30, 7]
    for text in ("4", "GB", "-1GB", "0GB", "4 XB", ""):
        with pytest.raises(InputError, match="--memory takes a size"):
            bytes_of(text)


def test_free_memory_goes_back_where_much_of_it_has_come_together(monkeypatch):
    """Of what is resident before each call half is free where it is tried; the least is remembered."""
    now, trimmed = [0], []

    def trim(left: int) -> int:
        trimmed.append(now[0])
        now[0] //= 2
        return 1

    monkeypatch.setattr(heap, "resident", lambda: now[0])
    monkeypatch.setattr(heap, "_trim", lambda: trim)
    found, least = heap.Heap(), []
    for now[0] in (
        3 * heap.KEPT,
        4 * heap.KEPT,
        5 * heap.KEPT,
        3 * heap.KEPT,
        2 * heap.KEPT,
        3 * heap.KEPT + 1,
    ):
        found.hand_back()
        least.append(found.least / heap.KEPT)
    assert trimmed == [5 * heap.KEPT, 3 * heap.KEPT + 1]
    assert least == [3, 3, 2.5, 2.5, 2, (3 * heap.KEPT + 1) // 2 / heap.KEPT]


@pytest.mark.skipif(not heap.PAGES.is_file(), reason="the system does not say what is resident")
def test_what_is_resident_is_what_the_system_says():
    (line,) = (x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith("VmRSS"))
    assert heap.resident() == pytest.approx(1024 * int(line.split()[1]), rel=0.1)
    trim = heap._trim()
    assert trim is None or trim(0) in (0, 1)


def test_where_the_system_does_not_say_nothing_is_handed_back(monkeypatch, tmp_path):
    monkeypatch.setattr(heap, "PAGES", tmp_path / "absent")
    monkeypatch.setattr(heap, "_trim", lambda: pytest.fail("it is not asked"))
    found = heap.Heap()
    found.hand_back()
    assert found.least == 0
