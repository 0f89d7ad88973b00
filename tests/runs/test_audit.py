"""One call from Python: what the command gives, and what is taken up again after an interruption."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import conetheory as ct
from conetheory.certify.certifier import CscCertifier
from conetheory.errors import InputError
from conetheory.predict.theory import Theory
from conetheory.results.comparison import Comparison
from conetheory.runs import method, store
from tests.networks.toys import random_images, seeded

OPTIONS = {"vectors": 3, "bootstrap": 10, "positions": 4}


class Body(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3, padding=1)
        self.norm = nn.BatchNorm2d(6)
        self.more = nn.Conv2d(6, 6, 3, padding=1)
        self.head = nn.Linear(6, 4)

    def forward(self, x):
        y = torch.relu(self.norm(self.conv(x)))
        y = y + torch.relu(self.more(y))
        return self.head(torch.nn.functional.adaptive_avg_pool2d(y, 1).flatten(1))


def model() -> nn.Module:
    return seeded(Body).eval()


def pictures(count: int = 2) -> torch.Tensor:
    return random_images(count, 3, 8, 8, seed=5).abs()


@pytest.mark.slow
def test_a_module_of_ones_own_gets_verdicts_numbers_a_figure_and_a_page(tmp_path):
    found = ct.audit(model(), pictures(), ["lrp-zplus", "gradient"], **OPTIONS)
    assert list(found.verdict) == ["lrp-alpha1beta0", "gradient"]
    assert "lrp-alpha1beta0" in str(found.verdict)
    assert found.verdict["gradient"].text in str(found)
    assert [one.method for one in found.explanation] == ["lrp-alpha1beta0", "gradient"]
    assert all(one.text in str(found) for one in found.explanation)
    table = found.to_dataframe()
    assert {"method", "layer", "measured_deficit_median", "predicted_local_spectrum"} <= set(table)
    assert found.summary["violations"] == 0
    assert found.summary["bounds_checked"] > 0
    found.plot(tmp_path / "csc.png")
    for suffix in ("html", "md", "pdf"):
        assert found.report(tmp_path / f"page.{suffix}").stat().st_size > 1000
    assert "<table>" in found._repr_html_()
    with pytest.raises(InputError, match="unknown format 'docx'"):
        found.report(tmp_path / "page.docx")


def test_a_method_is_found_by_any_of_its_names():
    found = ct.audit(model(), pictures(1), ["z+"], vectors=2, bootstrap=0, theories=(), certify=0)
    for name in ("lrp-alpha1beta0", "lrp-zplus", "z+"):
        assert found.verdict[name].method == "lrp-alpha1beta0"
        assert found.of(name).comparison.methods == ("lrp-alpha1beta0",)
    assert {"gradient", "no-such"}.isdisjoint(found.verdict)
    with pytest.raises(InputError, match="no method 'gradient' in this result; it has lrp-alpha1beta0"):
        found.of("gradient")


def test_a_module_in_training_is_explained_in_evaluation_and_stays_in_training():
    trained = seeded(Body).train()
    options = {"vectors": 2, "bootstrap": 0, "theories": (), "certify": 0}
    tables = [ct.audit(one, pictures(1), "gradient", **options).to_dataframe() for one in (trained, model())]
    assert trained.training
    np.testing.assert_array_equal(*(table["measured_deficit_median"] for table in tables))


@pytest.mark.slow
def test_the_command_and_the_call_give_the_same(tmp_path, monkeypatch):
    from conetheory.cli import main

    monkeypatch.chdir(tmp_path)
    small = [
        "--limit",
        "1",
        "--vectors",
        "3",
        "--positions",
        "3",
        "--start",
        "conv2",
        "--theory",
        "local-spectrum",
    ]
    assert main(["compare", "cifar10_cnn", *small]) == 0
    written = Comparison.load(tmp_path / "out" / "compare-cifar10_cnn" / "comparison.nc")
    options = {"limit": 1, "vectors": 3, "positions": 3, "start": "conv2", "theories": ("local-spectrum",)}
    called = ct.audit("cifar10_cnn", None, "lrp-alpha1beta0", **options)
    assert set(written.dataset.data_vars) == set(called.comparison.dataset.data_vars)
    for name, values in written.dataset.data_vars.items():
        np.testing.assert_array_equal(called.comparison.dataset[name].values, values.values, err_msg=name)


@pytest.mark.parametrize("stage", [pytest.param("predict", marks=pytest.mark.exhaustive), "certify"])
@pytest.mark.slow
def test_what_is_done_is_saved_as_it_is_done_and_not_done_again(tmp_path, monkeypatch, stage):
    """Interrupted in a stage and resumed: the same result, and no stage twice."""
    network = ct.networks.load(model(), input_shape=(3, 8, 8))
    whole = ct.audit(network, pictures(), "lrp-zplus", **OPTIONS).comparison.dataset

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    kind = {"predict": Theory, "certify": CscCertifier}[stage]
    monkeypatch.setattr(kind, "add", interrupted)
    monkeypatch.setattr(method, "SAVED", 0.0)
    with pytest.raises(KeyboardInterrupt):
        ct.audit(network, pictures(), "lrp-zplus", out=tmp_path, **OPTIONS)
    monkeypatch.undo()
    (path,) = tmp_path.glob("lrp-*.nc")
    kept = Comparison.load(path)
    stages = whole["stage"].values.tolist()
    assert store.left_of(kept) == tuple(stages[{"predict": 1, "certify": stages.index("certify")}[stage] :])
    assert ("predicted_second_moment" in kept.dataset) == (stage == "certify")
    measured = []
    monkeypatch.setattr("conetheory.runs.stages.Measure.add", lambda self, case: measured.append(case.number))
    again = ct.audit(network, pictures(), "lrp-zplus", out=tmp_path, resume=True, **OPTIONS).comparison
    assert measured == []
    assert store.left_of(again) == ()
    assert set(again.dataset.data_vars) == set(whole.data_vars)
    for name, values in whole.data_vars.items():
        np.testing.assert_array_equal(again.dataset[name].values, values.values, err_msg=name)


def test_settings_are_checked_before_anything_runs():
    with pytest.raises(InputError, match="unknown theory 'spectral'"):
        ct.audit(model(), pictures(), "gradient", theories=("spectral",))
    with pytest.raises(TypeError, match="no argument 'starts'"):
        ct.audit(model(), pictures(), "gradient", starts=("logits",))
    with pytest.raises(InputError, match="unknown method"):
        ct.audit(model(), pictures(), "gradients?")


def test_public_names_are_seen():
    assert {"audit", "Study", "compare", "networks", "RelevanceChain"} <= set(dir(ct))
