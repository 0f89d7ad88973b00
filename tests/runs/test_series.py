"""Maps, classes and randomisation in parts: the same as in one process."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from conetheory.cli import main
from conetheory.errors import InputError
from conetheory.results.dataset import Result
from conetheory.runs.division import Parts, Shard
from conetheory.runs.kinds import KINDS, MapSettings, RandomisedSettings, dataset_of, plain
from conetheory.runs.merging import merge
from conetheory.runs.series import ImageSeries
from conetheory.runs.units import UnitFolder, threads
from conetheory.saliency.classes import ClassSettings
from tests.runs.parts import same, toy_study

SETTINGS = {
    "maps": MapSettings(("predicted", "1")),
    "classes": ClassSettings(top=2, sampled=3, whole=1, probes=2),
    "sanity": RandomisedSettings(layers=("0",), measures=("cosine", "spearman"), target="label", smooth=2),
}


def series(kind: str, out, parts: Parts | None = None) -> ImageSeries:
    """Five images, in blocks of four: one whole and one that isn't."""
    study = toy_study(images=5)
    images = replace(study.images, labels=(0, 1, 2, 0, 1))
    methods = {"gradient": {}, "lrp-alpha1beta0": {}}
    settings = SETTINGS[kind]
    return ImageSeries(study.network, images, methods, out, settings=settings, command=kind, parts=parts)


@pytest.mark.parametrize(
    "kind", [k if k == "maps" else pytest.param(k, marks=pytest.mark.slow) for k in KINDS]
)
def test_a_series_in_parts_is_the_series(kind, tmp_path):
    with threads(1):
        whole = series(kind, tmp_path / "whole").run().dataset
    parts = series(kind, tmp_path / "parts", Parts(3))
    assert [(unit.first, unit.stop) for unit in parts.work.units[:2]] == [(0, 4), (4, 5)]
    parts.run_shard(Shard(2, 2))
    with pytest.raises(InputError, match="2 of 4 units are missing"):
        merge(tmp_path / "parts")
    parts.run_shard(Shard(1, 2))
    joined = merge(tmp_path / "parts")
    assert type(joined) is KINDS[kind].result
    same(joined.dataset, whole)
    assert Result.load(tmp_path / "parts" / "parts" / f"{kind}-gradient.nc").methods == ("gradient",)
    with ThreadPoolExecutor(1) as pool:
        same(series(kind, tmp_path / "pool", Parts()).run(pool).dataset, whole)


def test_other_settings_are_another_study(tmp_path):
    series("maps", tmp_path, Parts(8)).run_shard(Shard(1, 4))
    other = replace(series("maps", tmp_path, Parts(8)), settings=MapSettings(("2",)))
    with pytest.raises(InputError, match=r'is of another study: target \["predicted", "1"\], not \["2"\]'):
        other.run_shard(Shard(2, 4))


def test_a_dataset_comes_back_as_it_was(tmp_path):
    data = series("maps", tmp_path).run().dataset
    again = dataset_of(plain(data))
    assert again.identical(data)
    assert again["map"].dtype == data["map"].dtype == np.float32


@pytest.mark.slow
def test_shards_of_a_series_at_the_command_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    asked = ["classes", "cifar10_cnn", "--limit", "2", "--top", "2", "--whole", "0", "--method", "gradient"]
    assert main([*asked, "--out", "out", "--shard", "1/1"]) == 0
    assert "conetheory merge out" in capsys.readouterr().err
    assert main(["merge", "out", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["method"] == "gradient"
    assert (tmp_path / "out" / "classes.nc").is_file()
    assert len(UnitFolder(tmp_path / "out")) == 1
