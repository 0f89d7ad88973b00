"""A study in parts gives the same numbers as in one, whatever happened on the way."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from conetheory.errors import InputError
from conetheory.runs.division import Parts, Shard, divided
from conetheory.runs.merging import merge
from conetheory.runs.units import UnitFolder, threads
from tests.runs.parts import MEASURED, QUICK, joined, same, shards, toy_study

ROOT = Path(__file__).parents[2]
EVERY = ("local-spectrum", "two-scale", "mean-field", "second-moment", "location-columns", "origin")
EVERY += ("sampled-spectrum", "walk", "walk-active")


def in_one(study):
    with threads(1):
        return study.run().dataset


@pytest.fixture(scope="module")
def measured():
    return toy_study(MEASURED)


@pytest.fixture(scope="module")
def whole(measured):
    """What one process gives, of the measurement alone."""
    return in_one(measured)


def test_shards_in_any_order_give_what_one_process_gives(tmp_path):
    study = toy_study(QUICK, images=3)
    whole = in_one(study)
    assert {"measured_band", "predicted_mean_field", "certified_deficit_upper"} <= set(whole.data_vars)
    same(merge(shards(study, tmp_path / "up")).dataset, whole)
    same(joined(shards(study, tmp_path / "mixed", (5, 2, 7, 1, 6, 4, 3), None)), whole)


@pytest.mark.exhaustive
def test_whatever_is_found_does_not_depend_on_the_parts(tmp_path):
    """All theories, more starts, certificates of all images, thorough ones where nothing is measured."""
    every = replace(QUICK, starts=("logits", "3"), vectors=3, theories=EVERY, certify=None)
    for settings in (every, replace(every, measure=False, theories=("origin",))):
        study = toy_study(settings, images=3)
        whole = in_one(study)
        same(replace(study, parts=Parts(1)).run().dataset, whole)
        same(merge(shards(study, tmp_path / str(settings.measure), (3, 1, 2, 7, 6, 5, 4))).dataset, whole)


def test_more_images_than_are_kept_one_by_one(measured, monkeypatch):
    """Medians of whole maps come from histograms then, of any number of parts the same."""
    monkeypatch.setattr("conetheory.measure.meter.EXACT", 3)
    monkeypatch.setattr("conetheory.measure.meter.TOGETHER", 2)
    whole = in_one(measured)
    same(replace(measured, parts=Parts(2)).run().dataset, whole)


def test_units_that_are_there_are_not_computed_again(measured, whole, tmp_path):
    out = shards(measured, tmp_path, (1, 2, 3))
    times = {path: path.stat().st_mtime_ns for path in (out / "units").iterdir()}
    assert len(times) == 4
    shards(measured, out, (1, 2, 3, 4, 5, 6, 7))
    assert all(path.stat().st_mtime_ns == before for path, before in times.items())
    again = replace(measured, out=out, parts=Parts(2)).run().dataset  # finds every unit
    same(again, whole)
    assert all(path.stat().st_mtime_ns == before for path, before in times.items())


def test_what_a_killed_process_leaves_is_not_counted(measured, whole, tmp_path):
    out = shards(measured, tmp_path, (1, 2, 3, 4, 5, 6))
    (out / "units" / ".lrp-alpha1beta0-00000.unit.1-ab.partial").write_bytes(b"conetheory unit 3\nhalf")
    with pytest.raises(InputError, match=r"1 of 8 units are missing in .*units: run shard 7/7"):
        merge(out)
    same(merge(shards(measured, out, (7,))).dataset, whole)
    assert not [*out.rglob("*.partial")]


def killed(out: Path, after: float) -> int:
    """A process that computes the study, killed some time after its first unit was written; its exit code."""
    before = len(UnitFolder(out))
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.runs.parts", str(out)],
        cwd=ROOT,
        env=environment,
        stderr=subprocess.DEVNULL,
    )
    while process.poll() is None and len(UnitFolder(out)) == before:
        time.sleep(0.01)
    time.sleep(after)
    if process.poll() is None:
        process.send_signal(signal.SIGKILL)
    return process.wait()


@pytest.mark.exhaustive
def test_a_killed_shard_that_is_run_again_gives_the_same(tmp_path):
    assert killed(tmp_path, 0.0) == -signal.SIGKILL
    assert 0 < len(UnitFolder(tmp_path)) < 14
    same(merge(shards(toy_study(), tmp_path, block=1)).dataset, in_one(toy_study()))


@pytest.mark.exhaustive
def test_twenty_random_kills_give_the_same(tmp_path):
    rng, kills = random.Random(0), 0
    for folder in (tmp_path / str(number) for number in range(20)):
        while kills < 20 and killed(folder, rng.uniform(0, 0.5)) != 0:
            kills += 1
        if kills >= 20:
            break
    study = toy_study()
    same(merge(shards(study, folder, block=1)).dataset, in_one(study))


def test_units_and_shards():
    units = divided(["a", "b"], 7, 3)
    assert [(u.method, u.first, u.stop) for u in units[:4]] == [
        ("a", 0, 3),
        ("a", 3, 6),
        ("a", 6, 7),
        ("b", 0, 3),
    ]
    shares = [unit for number in range(1, 5) for unit in Shard(number, 4).share(units)]
    assert sorted(shares, key=lambda u: u.name) == units
    images = (1, 31, 32, 200, 512, 513, 50_000)
    assert [Parts().size(count) for count in images] == [1, 1, 2, 8, 8, 9, 64]
    assert (Parts().threads_of(1), Parts().threads_of(2), Parts(threads=3).threads_of(2)) == (0, 1, 3)
    assert Shard.parsed("3/64") == Shard(3, 64)
    for text in ("0/3", "4/3", "3", "a/b", "1/0", "-1/3", "1/2/3", ""):
        with pytest.raises(InputError):
            Shard.parsed(text)
    for wrong in ({"block": 0}, {"threads": 0}, {"block": True}):
        with pytest.raises(InputError, match="must be"):
            Parts(**wrong)
