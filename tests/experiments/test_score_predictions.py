"""The scoring experiment, in its smoke setting on the bundled network and on a small trunk."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from conetheory import networks
from conetheory.chain.relevance import RelevanceChain
from conetheory.errors import InputError
from conetheory.measure.meter import CscMeter
from conetheory.predict.second_moment import SecondMoment
from experiments import score_units
from experiments.score_predictions import main, rounded
from experiments.score_units import code_of, model_of

TRUNK = """
from torch import nn

def trunk():
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU()
    )
"""
LINEAR = ["second-moment", "location-columns", "sampled-spectrum", "origin"]


def test_scores_are_written(tmp_path):
    options = {"limit": 1, "seeds": 2, "drawn_seeds": 1, "vectors": 4, "bootstrap": 20}
    result = main("cifar10_cnn", method=["lrp-alpha1beta0"], out=tmp_path, kept=tmp_path / "cache", **options)
    saved = json.loads((tmp_path / "score-cifar10_cnn.json").read_text())
    assert saved["provenance"]["images"] == 1
    scores = saved["lrp-alpha1beta0"]
    assert scores == result["lrp-alpha1beta0"]
    assert list(scores["by_layer"]) == ["fc5", "pool2", "conv4", "conv3", "pool1", "conv2", "conv1", "input"]
    assert 0 <= scores["local_spectrum_inside_band"] <= 1
    assert scores["two_scale_scored"] < 8  # the layers near the start have none
    for row in scores["by_layer"].values():
        error = np.log10(row["predicted_local_spectrum"] / row["measured"])
        assert row["local_spectrum_error_decades"] == pytest.approx(error, abs=2e-3)


@pytest.fixture
def trunk(tmp_path):
    path = tmp_path / "small.py"
    path.write_text(TRUNK)
    return f"{path}:trunk"


@pytest.mark.parametrize(
    "theories", [LINEAR[:2], pytest.param(LINEAR, marks=pytest.mark.exhaustive)], ids=len
)
@pytest.mark.slow
def test_a_trunk_from_a_file_is_scored_and_nothing_is_computed_twice(tmp_path, trunk, monkeypatch, theories):
    measured, predicted = [], []
    add, observe = CscMeter.add, SecondMoment.observe
    monkeypatch.setattr(CscMeter, "add", lambda self, x, **k: (measured.append(self.seed), add(self, x, **k)))
    monkeypatch.setattr(
        SecondMoment, "observe", lambda self, *a: (predicted.append(self.first_image), observe(self, *a))
    )
    weights = tmp_path / "weights.pth"
    torch.manual_seed(1)
    torch.save(model_of(trunk).state_dict(), weights)
    options = {"weights": str(weights), "size": 8, "start": "4", "seeds": 2, "vectors": 4, "theory": theories}
    options |= {"method": ["lrp-alpha2beta1"], "out": tmp_path, "kept": tmp_path / "cache"}
    result = main(trunk, limit=2, **options)["lrp-alpha2beta1"]
    assert list(result["by_layer"]) == ["2", "1", "input"]
    for name in (theory.replace("-", "_") for theory in theories):
        assert result[f"{name}_scored"] >= 2  # location columns may be of rank one
        assert all(row[f"predicted_{name}"] >= 0 for row in result["by_layer"].values())
    assert (measured, predicted) == ([0, 1, 0, 1], [0, 1])
    again = main(trunk, limit=2, **options)["lrp-alpha2beta1"]
    assert again == result
    assert (len(measured), len(predicted)) == (4, 2)
    monkeypatch.setattr(score_units, "code_of", lambda theory: "another")  # a theory was changed
    main(trunk, limit=3, **options)
    assert (len(measured), len(predicted)) == (6, 5)


@pytest.mark.exhaustive
def test_measurements_of_images_are_those_of_one_run(tmp_path):
    """Pooled image by image, as the meter pools them."""
    network = networks.load("cifar10_cnn")
    pictures = networks.load_images(None, network, 2)
    meter = CscMeter(["logits"], vectors=4, seed=1)
    for image in pictures.tensor:
        meter.add(RelevanceChain(network, image, "lrp-alpha1beta0"))
    options = {"limit": 2, "seeds": 2, "vectors": 4, "theory": ["sampled-spectrum"]}
    found = main("cifar10_cnn", method=["lrp-alpha1beta0"], out=tmp_path, kept=tmp_path / "cache", **options)
    units = sorted((tmp_path / "cache").glob("measured-*.npz"))
    assert len(units) == 4
    total = sum(np.load(path)["input"][0].astype(float).sum() for path in units)
    assert total == 2 * meter.statistics["logits", "input"].counts[0].sum()
    assert found["lrp-alpha1beta0"]["images_scored"] == 2


def test_the_code_of_a_theory_is_all_that_it_uses(monkeypatch):
    code = code_of(SecondMoment)
    assert code == code_of(SecondMoment)
    source = score_units.inspect.getsource

    def changed(module):
        return source(module) + (addition if module.__name__ == "conetheory.theory.secondmoment" else "")

    monkeypatch.setattr(score_units.inspect, "getsource", changed)
    addition = "# words alone"
    assert code == code_of(SecondMoment)
    addition = "MORE = 1"
    assert code != code_of(SecondMoment)


def test_trunks_that_are_not_there():
    assert model_of("vgg16") == "vgg16"
    with pytest.raises(InputError, match="no file"):
        model_of("nowhere.py:trunk")
    with pytest.raises(InputError, match="has no 'nothing'"):
        model_of("torch.nn:nothing")
    assert rounded({"a": [1], "b": float("nan"), "c": 0.123456}) == {"a": [1], "b": None, "c": 0.1235}
