"""The experiment on the paper code's choices runs, and says what moved."""

from __future__ import annotations

import json

import pytest

from experiments.paper_choices import main


@pytest.mark.slow
def test_it_says_what_moved(tmp_path):
    found = main("cifar10_cnn", limit=1, method=["lrp-alpha2beta1", "gradient"], vectors=3, out=tmp_path)
    assert json.loads((tmp_path / "choices-cifar10_cnn.json").read_text()) == found
    moved = found["lrp-alpha2beta1"]
    assert moved["clip-adds"]["largest"] == pytest.approx(0, abs=1e-12)  # there are no sums in this network
    assert abs(moved["signed-bias"]["largest"]) > 0
    assert "signed-bias" not in found["gradient"]
