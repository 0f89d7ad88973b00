"""A study in parts at the command line: shards, their merge, and one line for what is wrong."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from conetheory.cli import main
from conetheory.results.comparison import Comparison
from tests.cli.commands import complaint

FACTORY = """
import torch
from torch import nn

def tiny():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(256, 3))
"""


@pytest.fixture
def request_(tmp_path):
    """`csc` of a tiny network on four pictures."""
    (tmp_path / "tiny.py").write_text(FACTORY)
    pixels = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), dtype=np.uint8)
    for number, each in enumerate(pixels):
        Image.fromarray(each).save(tmp_path / f"{number}.png")
    pictures = [part for number in range(4) for part in ("--images", f"{number}.png")]
    network = ["csc", "tiny.py:tiny", "--input-shape", "3,8,8", "--start", "logits"]
    return [*network, *pictures, "--vectors", "3", "--method", "gradient"]


def test_shards_and_their_merge(request_, capsys):
    parts = [*request_, "--out", "parts", "--block", "2", "--memory", "4GB"]
    assert main([*parts, "--shard", "2/2"]) == 0
    assert "run shard 1/2" in complaint_of(capsys, "merge", "parts")
    for _ in range(2):
        assert main([*parts, "--shard", "1/2"]) == 0
    assert "shard 1/2: 1 of 2 units, 1 of them there already" in capsys.readouterr().err
    assert main(["merge", "parts", "--json"]) == 0
    layers = json.loads(capsys.readouterr().out)["layers"]
    assert {one["layer"] for one in layers} >= {"input"}
    found = Comparison.load("parts/comparison.nc").dataset
    assert (found.attrs["images"], found.attrs["network"]) == (4, "tiny")
    assert found.equals(Comparison.load("parts/gradient.nc").dataset)


def complaint_of(capsys, *arguments: str) -> str:
    capsys.readouterr()
    return complaint(capsys, *arguments)


def test_what_is_no_shard_or_no_folder_of_them(request_, capsys, tmp_path):
    assert "--shard takes NUMBER/OF, such as 3/64, not '3'" in complaint(capsys, *request_, "--shard", "3")
    assert "a shard of 3 must be at most 3, not 4" in complaint(capsys, *request_, "--shard", "4/3")
    assert "holds no units: run the shards first" in complaint(capsys, "merge", str(tmp_path))
    assert "--memory takes a size such as 4GB, not '4'" in complaint(capsys, *request_, "--memory", "4")
    both = ["--workers", "2", "--scheduler", "tcp://nowhere:1"]
    assert "give one of --workers, --scheduler" in complaint(capsys, *request_, *both)
