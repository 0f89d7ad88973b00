"""Quantus' calls: our metric beside its own, our methods as its explanation functions."""

from __future__ import annotations

import inspect
import math
from importlib.util import find_spec

import numpy as np
import pytest
import torch

from conetheory.adapters import CSC
from conetheory.adapters.quantus import explain
from conetheory.errors import InputError
from conetheory.measure.meter import local_deficits
from tests.toys import TOYS, chain, images, seeded

TOY = "small vgg"
CLASSES = 5  # that it has
# of every metric of Quantus 0.6, in this order
CALL = {
    "model": inspect.Parameter.empty,
    "x_batch": inspect.Parameter.empty,
    "y_batch": inspect.Parameter.empty,
    "a_batch": None,
    "s_batch": None,
    "channel_first": None,
    "explain_func": None,
    "explain_func_kwargs": None,
    "model_predict_kwargs": None,
    "softmax": False,
    "device": None,
    "batch_size": 64,
}


def batch(count=3):
    model = seeded(TOYS[TOY]).eval()
    return {"model": model, "x_batch": images(count).numpy(), "y_batch": np.array([4, 0, 2])[:count]}


def given(method, **more):
    return {"explain_func": explain, "explain_func_kwargs": {"method": method, **more}}


@pytest.mark.parametrize("method", ["lrp-zplus", "gradient"])
def test_the_score_is_csc_at_the_input_with_classes_as_starts(method):
    ours = chain(TOY, method, 3)
    swept = ours.down(torch.eye(CLASSES, dtype=torch.float64).expand(3, -1, -1), "logits")
    local, _ = local_deficits(swept)
    wanted = [np.nanmedian(one.numpy()) for one in local]
    np.testing.assert_allclose(CSC(CLASSES)(**batch(), **given(method)), wanted, rtol=1e-9)
    np.testing.assert_allclose(CSC(100)(**batch(), **given(method), batch_size=2), wanted, rtol=1e-9)


def test_the_asked_class_and_the_most_likely_are_explained():
    seen = []

    def watched(model, inputs, targets, **options):
        seen.append(targets)
        return explain(model, inputs, targets, **options)

    held = batch()
    CSC(2)(**held, explain_func=watched, explain_func_kwargs={"method": "gradient"})
    logits = held["model"](torch.from_numpy(held["x_batch"])).detach()
    assert seen[0].tolist() == held["y_batch"].tolist()
    for row, asked, second in zip(logits, seen[0], seen[1], strict=True):
        assert second == max((k for k in range(CLASSES) if k != asked), key=lambda k: row[k])


def test_maps_without_channels_are_compared_whole():
    """Summed over the channels by the function, or with one value a location by themselves."""

    def summed(model, inputs, targets, **options):
        return explain(model, inputs, targets, method="gradient").sum(1)

    held = batch(2)
    maps = [summed(held["model"], held["x_batch"], np.full(2, k)) for k in range(CLASSES)]
    _, whole = local_deficits(torch.from_numpy(np.stack(maps, 1))[:, :, None])
    found = CSC(CLASSES)(**held, explain_func=summed)
    np.testing.assert_allclose(found, np.median(whole.numpy(), 1), rtol=1e-9)
    assert explain(*held.values(), method="occlusion", window=2).shape == (2, 1, 6, 7)
    assert min(CSC(3)(**held, **given("occlusion", window=2))) > 0.01


def test_a_map_of_nothing_has_no_score():
    nothing = lambda model, inputs, targets: np.zeros_like(inputs)  # noqa: E731
    assert all(math.isnan(score) for score in CSC()(**batch(), explain_func=nothing))


def test_scores_are_kept_and_put_together_as_in_quantus():
    metric = CSC(3, return_aggregate=True, aggregate_func=np.max)
    (one,) = metric(**batch(), **given("gradient"))
    assert one == max(CSC(3)(**batch(), **given("gradient")))
    assert metric.evaluation_scores == [one]
    metric(**batch(), **given("gradient"))
    assert metric.all_evaluation_scores == [one, one]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "give it explain_func"),
        ({**given("gradient"), "channel_first": False}, "channels first"),
        ({**given("gradient"), "nothing": 1}, "takes no 'nothing'"),
        ({"explain_func": lambda model, inputs, targets: inputs[:, :, :2]}, "for images of shape"),
        (given("gradeint"), "did you mean"),
    ],
)
def test_what_it_does_not_take_is_said(options, words):
    with pytest.raises(InputError, match=words):
        CSC()(**batch(), **options)


def test_the_call_is_the_documented_one():
    found = inspect.signature(CSC.__call__).parameters
    assert {n: p.default for n, p in found.items() if n not in ("self", "kwargs")} == CALL


@pytest.mark.filterwarnings("ignore")  # of its own imports
@pytest.mark.skipif(find_spec("quantus") is None, reason="Quantus is not installed: pip install quantus")
def test_quantus_runs_it_beside_its_own():
    import quantus

    theirs = inspect.signature(quantus.RandomLogit.__call__).parameters
    assert {n: p.default for n, p in theirs.items() if n not in ("self", "kwargs")} == CALL
    held = batch()
    held["model"], held["x_batch"] = held["model"].float(), held["x_batch"].astype(np.float32)
    metrics = {"CSC": CSC(3), "logit": quantus.RandomLogit(num_classes=CLASSES, disable_warnings=True)}
    methods = {"lrp-zplus": explain, "gradient": explain}
    found = quantus.evaluate(metrics, methods, **held, explain_func_kwargs={}, agg_func=np.mean)
    for name in methods:
        direct = CSC(3)(**held, **given(name))
        np.testing.assert_allclose(found[name]["CSC"], np.mean(direct), rtol=1e-5)
        assert np.isfinite(found[name]["logit"])
    assert found["lrp-zplus"]["CSC"] < found["gradient"]["CSC"]
