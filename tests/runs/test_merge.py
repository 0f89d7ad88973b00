"""One clear line for what can't be joined; nothing is lost, and nothing is counted twice."""

from __future__ import annotations

import errno
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from conetheory.errors import InputError
from conetheory.predict.registry import find
from conetheory.predict.theory import Theory
from conetheory.results.comparison import Comparison
from conetheory.runs.division import Parts, Shard
from conetheory.runs.merging import merge
from conetheory.runs.packing import DamagedError, checked, header_of, packed, unpacked
from tests.runs.parts import MEASURED, QUICK, joined, same, shards, toy_study


@pytest.fixture(scope="module")
def study():
    return toy_study(MEASURED, images=4)


@pytest.fixture(scope="module")
def made(study, tmp_path_factory):
    return shards(study, tmp_path_factory.mktemp("made"))


@pytest.fixture
def out(made, tmp_path):
    """A folder with all units: two blocks of two methods."""
    return Path(shutil.copytree(made, tmp_path / "out"))


def refused(out: Path, *words: str) -> None:
    with pytest.raises(InputError) as caught:
        merge(out)
    line = str(caught.value)
    assert "\n" not in line
    for word in words:
        assert word in line
    assert not (out / "comparison.nc").exists()


def unit(out: Path, method: str = "guided-backprop", block: int = 1) -> Path:
    return out / "units" / f"{method}-{block:05}.unit"


def test_no_units(tmp_path):
    refused(tmp_path, "holds no units", "--shard 1/N")


def test_a_missing_shard_is_named(out):
    unit(out).unlink()
    unit(out, "lrp-alpha1beta0", 0).unlink()
    refused(out, "2 of 4 units are missing", "run shard 1/7, shard 4/7")


@pytest.mark.parametrize("place", [0, 30, 100, 3000, -1])
def test_a_damaged_file_is_named_with_its_shard(out, place):
    """Whichever byte it is."""
    content = bytearray(unit(out).read_bytes())
    content[place] ^= 1
    unit(out).write_bytes(content)
    refused(out, "guided-backprop-00001 is damaged: run shard 4/7 again")


def test_a_damaged_file_is_made_again_by_its_shard(study, out):
    before = unit(out).read_bytes()
    unit(out).write_bytes(before[:-1])
    refused(out, "is damaged")
    shards(study, out, (4,))
    assert unpacked(unit(out).read_bytes())[0] == unpacked(before)[0]
    whole = joined(out)
    unit(out).write_bytes(before)
    same(whole, joined(out))


def test_units_of_other_studies_are_refused(study, out, tmp_path):
    """By the shard that would write among them, and by the merge where they were put there."""
    others = {
        ("seed 1, not 0", "seed 0, not 1"): replace(study, settings=replace(study.settings, seed=1)),
        ("the weights' sha256 ", "the weights' sha256 "): toy_study(MEASURED, images=4, seed=1),
        ("images 3, not 4", "images 4, not 3"): toy_study(MEASURED, images=3),
        ("command csc, not compare", "command compare, not csc"): replace(study, command="csc"),
        ("the images ", "the images "): replace(study, images=replace(study.images, names=tuple("wxyz"))),
    }
    for number, ((said, turned), other) in enumerate(others.items()):
        with pytest.raises(InputError, match=turned):
            shards(other, out, (1,))
        its = shards(other, tmp_path / str(number), (4,))
        kept = unit(out).read_bytes()
        unit(out).write_bytes(next((its / "units").iterdir()).read_bytes())
        refused(out, "is of another study", said, "run shard 4/7 again")
        unit(out).write_bytes(kept)
    with pytest.raises(InputError, match="images a unit 2, not 3"):
        shards(study, out, (1,), block=3)
    with pytest.raises(InputError, match="threads a unit 1, not 2"):
        replace(study, out=out, parts=Parts(2, 2)).run_shard(Shard(1, 7))


def test_other_pictures_under_the_same_names_are_refused(study, out, tmp_path):
    changed = replace(study.images, tensor=study.images.tensor + 1)
    its = shards(replace(study, images=changed), tmp_path / "changed", (4,))
    unit(out).write_bytes(unit(its).read_bytes())
    refused(out, "is of other images", "run shard 4/7 again")


def test_a_unit_under_another_name_is_refused(out):
    unit(out).write_bytes(unit(out, block=0).read_bytes())
    refused(out, "another unit than its name says")


def test_two_merges_at_once_both_give_the_whole(out):
    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(lambda _: merge(out), range(2))
    same(one.dataset, other.dataset)
    for method in ("lrp-alpha1beta0", "guided-backprop"):
        assert Comparison.load(out / f"{method}.nc").methods == (method,)
    assert not [*out.rglob("*.partial")]


def test_a_full_disk_is_one_line_and_loses_nothing(study, out, monkeypatch):
    unit(out).unlink()

    def full(file: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(InputError, match=r"00001\.unit can't be written: No space left on device"):
            shards(study, out, (4,))
    assert len([*(out / "units").iterdir()]) == 3
    shards(study, out, (4,))
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(InputError, match="can't be written: No space left on device"):
            merge(out)
    assert [*joined(out)["method"].values] == ["lrp-alpha1beta0", "guided-backprop"]


def test_a_method_that_cannot_be_run_is_left_out_as_in_one_process(tmp_path, capsys):
    """Where all were asked for: each of its units says why."""
    study = toy_study(MEASURED, images=1)
    lenient = replace(study, methods={"gradient": {}, "pattern-net": {}}, lenient=True)
    assert list(joined(shards(lenient, tmp_path))["method"].values) == ["gradient"]
    assert "pattern-net: left out: " in capsys.readouterr().err
    assert lenient.run().methods == ("gradient",)


def test_methods_that_are_added_later_are_joined(study, out):
    added = replace(study, methods={"gradient": {}})
    shards(added, out, (1,))
    refused(out, "1 of 6 units are missing", "run unit gradient-00001")
    shards(added, out, (2,))
    assert {*joined(out)["method"].values} == {"lrp-alpha1beta0", "guided-backprop", "gradient"}


def test_a_theory_that_keeps_nothing_can_not_be_divided(monkeypatch):
    monkeypatch.setattr(find("two-scale"), "record", Theory.record)
    with pytest.raises(InputError, match="theory two-scale has no `record`"):
        replace(toy_study(QUICK, images=2), parts=Parts(1)).run()


def test_what_is_packed_is_read_as_it_was(tmp_path):
    tree = {"a": [1, 0.1, None, "text", float("inf"), np.float64(2.5)], 7: {"b": np.arange(6).reshape(2, 3)}}
    tree |= {"none": np.empty((0, 3)), "single": np.array(1e-300), "flags": np.array([True, False])}
    content = packed({"name": "x"}, tree)
    assert checked(content) == {"name": "x"}
    header, found = unpacked(content)
    assert header == {"name": "x"}
    assert found["a"] == tree["a"]
    np.testing.assert_equal(
        [found[name] for name in ("none", "single", "flags")], [tree[n] for n in ("none", "single", "flags")]
    )
    np.testing.assert_equal(found[7]["b"], tree[7]["b"])
    (tmp_path / "one").write_bytes(content)
    assert header_of(tmp_path / "one") == header
    for wrong in (b"", b"conetheory unit 3\n", content[:-1], content + b" ", b"x" + content[1:]):
        with pytest.raises(DamagedError):
            unpacked(wrong)
    with pytest.raises(TypeError, match="object"):
        packed({}, np.array([{}]))
