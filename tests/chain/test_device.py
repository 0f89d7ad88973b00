"""What runs on a GPU keeps to it, seen without one: torch's fake tensors refuse to mix devices."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

import conetheory.chain.relevance
from conetheory import networks
from conetheory.chain.relevance import RelevanceChain
from conetheory.measure.meter import CscMeter
from conetheory.networks import Network
from conetheory.rules.registry import methods
from tests.networks.toys import seeded

NEED_PATTERNS = ("pattern-net", "pattern-attribution")
METHODS = [m.name for m in methods() if m.backpropagated and m.name not in NEED_PATTERNS]


class OnGpu(FakeTensorMode):
    """Fake tensors; what is read from one (is any below zero? outside the box?) is False."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is torch.ops.aten._local_scalar_dense.default:
            return False
        return super().__torch_dispatch__(func, types, args, kwargs or {})


@pytest.fixture
def gpu(monkeypatch):
    """A mode in which there is a GPU, with what autograd would want of a real one left out."""
    monkeypatch.setattr(torch.autograd, "grad", lambda out, x, *given: (torch.zeros_like(x),))
    monkeypatch.setattr(conetheory.chain.relevance, "checked_images", lambda images, shape: images)
    return OnGpu(allow_non_fake_inputs=True)


@pytest.fixture(scope="module")
def network():
    layers = (
        nn.Conv2d(3, 4, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 5, 3, stride=2),
        nn.ReLU(),
    )
    body = lambda: nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(20, 3))  # noqa: E731
    return networks.load(seeded(body).float(), input_shape=(3, 12, 12))


def test_devices_do_not_mix(gpu):
    with gpu, pytest.raises(RuntimeError, match=r"cuda|cpu"):
        torch.ones(2, device="cuda") + torch.ones(2)


def placed(network: Network, method: str) -> RelevanceChain:
    return RelevanceChain(network.to(device="cuda"), torch.empty((1, 3, 12, 12), device="cuda"), method)


@pytest.mark.parametrize("method", METHODS)
def test_relevance_is_sent_where_its_chain_is(gpu, network, method):
    with gpu:
        parts = list(placed(network, method).sweep({"logits": torch.empty((1, 2, 3), device="cuda")}))
    assert len(parts) > 5
    assert all(r["logits"].device.type == "cuda" for _, r in parts)


@pytest.mark.parametrize("method", ["lrp-alpha1beta0", "deeplift-rescale"])
def test_a_method_is_measured_where_its_chain_is(gpu, network, method):
    seen: list[Tensor] = []
    keep = lambda start, layer, image, deficits: seen.append(deficits)  # noqa: E731
    with gpu:
        CscMeter(["logits"], vectors=3, bootstrap=3, observe=keep).add(placed(network, method))
    assert seen
    assert all(deficits.device.type == "cuda" for deficits in seen)
