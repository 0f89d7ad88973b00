"""The experiment on critical gammas, in its smoke setting: figure, numbers, the border of random layers."""

from __future__ import annotations

import json

import pytest

from conetheory.theory import randomlayers
from experiments import critical_gamma


@pytest.mark.slow
def test_figure_and_numbers_are_written(tmp_path):
    pytest.importorskip("skimage", reason="scikit-image is not installed")
    made = critical_gamma.main(out=tmp_path, smoke=True)
    assert json.loads((tmp_path / "critical_gamma.json").read_text()) == made
    assert (tmp_path / "critical_gamma.pdf").stat().st_size > 5000
    conv1 = made["layers"][0]
    assert (conv1["layer"], conv1["channels"]) == ("conv1", 32)
    assert conv1["random"] == randomlayers.critical_gamma(32)
    assert 0.25 < conv1["lower"] < conv1["upper"]
