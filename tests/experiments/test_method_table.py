"""The table of all methods runs, is taken up again, and says what was left out."""

from __future__ import annotations

import json

import numpy as np
import pytest

from experiments.method_table import main, markdown


@pytest.mark.slow
def test_a_row_for_every_method(tmp_path):
    chosen = ["lrp-alpha1beta0", "guided-backprop", "occlusion", "pattern-net"]
    settings = {"method": chosen, "keep": tmp_path / "kept", "out": tmp_path, "few": 2, "smoke": True}
    found = main("cifar10_cnn", positions=4, **settings)
    assert json.loads((tmp_path / "methods-cifar10_cnn.json").read_text())["methods"].keys() == set(chosen)
    rows = found["methods"]
    assert rows["lrp-alpha1beta0"]["theory"] == "local_spectrum"
    assert rows["guided-backprop"]["theory"] == "mean_field"
    depth, one = found["provenance"]["layers_with_weights"], rows["lrp-alpha1beta0"]
    assert one["a layer"] == pytest.approx(np.log10(one["random"] / one["measured"]) / depth)
    assert rows["occlusion"]["verdict"] == "depends on the decision"
    assert "patterns" in rows["pattern-net"]["left out"]
    again = main("cifar10_cnn", positions=4, **settings)
    assert markdown(again["methods"]) == (tmp_path / "methods-cifar10_cnn.md").read_text()
    assert "nan" not in markdown(rows)
