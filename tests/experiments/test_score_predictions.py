"""The scoring experiment, in its smoke setting on the bundled network."""

from __future__ import annotations

import json

import numpy as np

from experiments.score_predictions import main


def test_scores_are_written(tmp_path):
    options = {"limit": 1, "seeds": 2, "two_scale_seeds": 1, "vectors": 4}
    result = main("cifar10_cnn", method=["lrp-alpha1beta0"], out=tmp_path, **options)
    saved = json.loads((tmp_path / "score-cifar10_cnn.json").read_text())
    assert saved["provenance"]["images"] == 1
    scores = saved["lrp-alpha1beta0"]
    assert scores == result["lrp-alpha1beta0"]
    assert list(scores["by_layer"]) == ["fc5", "pool2", "conv4", "conv3", "pool1", "conv2", "conv1", "input"]
    assert 0 <= scores["local_spectrum_inside_band"] <= 1
    for row in scores["by_layer"].values():
        error = np.log10(row["local_spectrum"] / row["measured"])
        assert row["local_spectrum_error_decades"] == error
