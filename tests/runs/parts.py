"""A small study for the tests of shards, and a process that computes it, to be killed."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import xarray as xr
from torch import nn

from conetheory import networks
from conetheory.networks import Images
from conetheory.runs.division import Parts, Shard
from conetheory.runs.merging import joined_study
from conetheory.runs.settings import Settings
from conetheory.runs.study import Study
from conetheory.runs.units import UnitFolder
from tests.networks.toys import random_images, seeded

METHODS = ("lrp-alpha1beta0", "guided-backprop")
SHAPE = (3, 8, 8)
MEASURED = Settings(vectors=2, bootstrap=3, theories=(), certify=0)
# theories without spectra, which take longest
QUICK = replace(MEASURED, certify=1, positions=2, theories=("two-scale", "mean-field"))


def body() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 4, 3, padding=1)),
        *(nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, 3)),
    )


def toy_study(settings: Settings = QUICK, images: int = 7, seed: int = 0) -> Study:
    """Some images, of two methods; kept nowhere. seed: of the weights."""
    network = networks.load(seeded(body, seed).float(), input_shape=SHAPE, name="toy")
    pictures = Images(random_images(images, *SHAPE, seed=3).float(), tuple("abcdefghij"[:images]))
    return Study(network, pictures, {method: {} for method in METHODS}, settings=settings)


def shards(study: Study, out: Path, order=range(1, 8), block: int | None = 2) -> Path:
    """The folder of some of 7 shards that were run in an order."""
    parts = replace(study, out=out, parts=Parts(block))
    for number in order:
        parts.run_shard(Shard(number, 7))
    return out


def joined(out: Path) -> xr.Dataset:
    """What `merge` gives of a folder, which it leaves as it is: files take most of the time."""
    return joined_study(UnitFolder(out), str(out)).dataset


def same(one: xr.Dataset, other: xr.Dataset) -> None:
    """Every variable and coordinate, and what attributes say of the numbers."""
    xr.testing.assert_equal(one, other)
    assert one.equals(other)
    assert [*one.data_vars] == [*other.data_vars]
    for name in ("vectors", "seed", "bootstrap", "images", "network", "confidence"):
        assert one.attrs.get(name) == other.attrs.get(name), name


if __name__ == "__main__":  # OUT: all units, one image each
    shards(toy_study(), Path(sys.argv[1]), block=1)
