"""The main job: what its results must not depend on, and that a sweep never waits for its device."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from conetheory import networks
from conetheory.chain.relevance import RelevanceChain
from conetheory.errors import InputError
from conetheory.measure.meter import CscMeter, draw
from conetheory.networks import ops, trace
from conetheory.runs.method import run
from conetheory.runs.settings import Settings
from tests.networks.toys import random_images, seeded

METHODS = ("lrp-alpha1beta0", "lrp-alpha2beta1", "gradient", "guided-backprop", "deeplift-rescale")


def body() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 8, 3, padding=1)),
        *(nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, 5)),
    )


@pytest.fixture(scope="module")
def network():
    return networks.load(seeded(body), input_shape=(3, 12, 12))


def pictures(count: int) -> torch.Tensor:
    return random_images(count, 3, 12, 12, seed=3)


class Counting(TorchDispatchMode):
    """Counts how often a number is read from a tensor, for which a GPU would be waited for."""

    reads = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.reads += func is torch.ops.aten._local_scalar_dense.default
        return func(*args, **(kwargs or {}))


@pytest.mark.covering
@pytest.mark.parametrize(
    "method", [*METHODS[:2], *(pytest.param(method, marks=pytest.mark.exhaustive) for method in METHODS[2:])]
)
@pytest.mark.parametrize("batch", [2, 5])
@pytest.mark.slow
def test_results_do_not_depend_on_the_batch(network, method, batch):
    """Measured on 5 images, predicted and certified on 1; float64, so that only the order of sums differs."""
    settings = Settings(
        starts=("logits", "3"), predict=1, theories=("local-spectrum",), bootstrap=20, dtype=torch.float64
    )
    one = run(network, pictures(5), method, settings).dataset
    many = run(network, pictures(5), method, replace(settings, batch=batch)).dataset
    assert set(one.data_vars) == set(many.data_vars)
    for name, values in one.data_vars.items():
        if values.dtype.kind == "f":
            np.testing.assert_allclose(many[name], values, rtol=1e-6, err_msg=name)


@pytest.mark.slow
def test_images_share_chains_where_nothing_but_the_measurement_sees_them(network, monkeypatch):
    sizes = []
    add = CscMeter.add
    monkeypatch.setattr(
        CscMeter, "add", lambda self, chain, **k: (sizes.append(len(chain)), add(self, chain, **k))
    )
    settings = Settings(predict=2, certify=0, theories=("local-spectrum",), batch=3)
    run(network, pictures(7), "lrp-alpha1beta0", settings)
    assert sizes == [3, 3, 1]
    sizes.clear()
    run(network, pictures(7), "lrp-alpha1beta0", replace(settings, theories=(), certify=1))
    assert sizes == [3, 3, 1]
    sizes.clear()
    run(network, pictures(3), "occlusion", replace(settings, vectors=2))
    assert sizes == [1, 1, 1]


def test_a_batch_holds_an_image():
    with pytest.raises(InputError, match="nothing is asked for"):
        Settings(measure=False, theories=(), certify=0)
    with pytest.raises(InputError, match="batch must be at least 1, not 0"):
        Settings(batch=0)


@pytest.mark.parametrize("method", METHODS)
def test_a_sweep_reads_one_number(network, method):
    """At its end, whether anything has left the range of the dtype."""
    chain = RelevanceChain(network, pictures(2).float(), method)
    meter = CscMeter(["logits", "3"], bootstrap=10)
    with Counting() as counting:
        assert float(torch.ones(())) == 1
        assert counting.reads == 1  # it does count
        meter.add(chain)
        assert counting.reads == 2
    assert meter.result().dataset["measured_deficit_median"].notnull().any()


def test_drawn_vectors_do_not_depend_on_the_threads():
    drawn = draw((4, 3), range(6), 2, start="a", seed=1)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        assert torch.equal(drawn, draw((4, 3), range(6), 2, start="a", seed=1))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(drawn[4:], draw((4, 3), [4, 5], 2, start="a", seed=1))


def test_convolutions_are_float32_on_a_gpu_too(monkeypatch):
    """cuDNN's TensorFloat-32 is off while they run, whatever it is outside."""
    cudnn, seen = torch.backends.cudnn, []
    found = trace(nn.Sequential(nn.Conv2d(2, 3, 3), nn.Conv2d(3, 4, 2, stride=2)).eval(), (2, 7, 7))
    read = (
        (lambda: cudnn.conv.fp32_precision == "tf32") if hasattr(cudnn, "conv") else lambda: cudnn.allow_tf32
    )
    for name in ("conv2d", "conv_transpose2d"):
        real = getattr(ops.F, name)
        monkeypatch.setattr(ops.F, name, lambda *args, real=real: (seen.append(read()), real(*args))[1])
    before = cudnn.allow_tf32
    for outside in (True, False):
        cudnn.allow_tf32 = outside
        chain = RelevanceChain(found, torch.rand(1, 2, 7, 7))
        chain.down(torch.ones(1, 1, 4, 2, 2), "logits")
        assert cudnn.allow_tf32 is outside
    cudnn.allow_tf32 = before
    assert len(seen) >= 8
    assert not any(seen)
