"""The gradient family: against autograd, zennit and captum; RectGrad against its formula in a plain loop."""

from __future__ import annotations

import warnings
from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torchvision import models

from conetheory.chain.relevance import RelevanceChain
from conetheory.errors import InputError
from conetheory.networks import trace
from conetheory.rules.rectifiers import Thresholded
from conetheory.saliency.explain import explain
from tests.networks.toys import random_images, seeded
from tests.toys import TOYS, Toy, conv, graph, images

RECTIFIED = ("guided-backprop", "deconvnet", "rectgrad")
METHODS = ("gradient", "input-x-gradient", *RECTIFIED)
SMOOTH = (nn.Tanh, nn.Sigmoid, nn.ELU, nn.GELU, nn.SiLU, nn.LeakyReLU, nn.Softplus, nn.Hardswish, nn.ReLU6)
SMOOTH = (*SMOOTH, nn.Hardsigmoid, nn.PReLU, nn.Mish, nn.CELU, nn.SELU)


def autograd(net, x: Tensor, r: Tensor) -> Tensor:
    """d<r, logits>/dx for each of the vectors."""
    x = x.clone().requires_grad_()
    *_, y = (out for node, _, out in net.run(x) if node.name == net.output)
    return torch.stack([torch.autograd.grad(y, x, v, retain_graph=True)[0] for v in r.unbind(1)], 1)


def vectors(net, count: int = 3, images: int = 2) -> Tensor:
    return random_images(images, count, *net.shape(net.output), seed=5)


def assert_close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-13 * float(expected.abs().max()))


@pytest.mark.parametrize("toy", TOYS)
def test_the_gradient_is_autograds(toy):
    net, x = graph(toy), images()
    expected = autograd(net, x, vectors(net))
    assert_close(RelevanceChain(net, x, "gradient").down(vectors(net), "logits"), expected)
    found = RelevanceChain(net, x, "input-x-gradient").down(vectors(net), "logits")
    assert_close(found, expected * x.unsqueeze(1))


@pytest.mark.parametrize("activation", SMOOTH)
def test_the_gradient_through_other_activations(activation):
    net = trace(seeded(lambda: smooth(activation)), (2, 6, 7))
    found = RelevanceChain(net, images(), "gradient").down(vectors(net), "logits")
    assert_close(found, autograd(net, images(), vectors(net)))


def smooth(activation: type[nn.Module]) -> nn.Module:
    return nn.Sequential(conv(2), activation(), conv(), activation(), nn.Flatten(), nn.Linear(126, 4))


@pytest.mark.parametrize("method", ["gradient", "input-x-gradient"])
@pytest.mark.parametrize("toy", ["small vgg", "nested branches", "dense block", "max pool overlapping"])
def test_linearity_and_the_adjoint(toy, method):
    net = graph(toy)
    chain = RelevanceChain(net, images(), method)
    r, s, h = vectors(net), 2 * vectors(net).flip(1), random_images(2, 3, *net.input_shape, seed=7)
    down = chain.down(r, "logits")
    assert_close(chain.down(r - 3 * s, "logits"), down - 3 * chain.down(s, "logits"))
    inner, outer = (down * h).flatten(2).sum(2), (r * chain.up(h, "input", "logits")).flatten(2).sum(2)
    torch.testing.assert_close(inner, outer, rtol=1e-11, atol=1e-12)


def test_input_times_gradient_of_a_linear_network_is_the_output():
    """Without biases: sum_i x_i df/dx_i = f, by Euler's theorem for ReLU networks too."""
    bare = lambda: nn.Sequential(  # noqa: E731
        nn.Conv2d(2, 4, 3, bias=False), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(16, 3, bias=False)
    )
    net = trace(seeded(bare), (2, 6, 7))
    chain = RelevanceChain(net, images(), "input-x-gradient")
    every = torch.eye(3, dtype=torch.float64).expand(2, 3, 3)
    assert_close(chain.down(every, "logits").flatten(2).sum(2), chain.logits)


# ---------------------------------------------------------------- zennit and captum


def vgg() -> nn.Module:
    layers: list[nn.Module] = []
    for into, out in ((3, 8), (8, 8), (8, 12)):
        layers += [nn.Conv2d(into, out, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(48, 16), nn.ReLU(), nn.Dropout(), nn.Linear(16, 6))


class Branches(nn.Module):
    """A concatenation and a residual sum; one module for each ReLU, for the hooks of captum and zennit."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.a, self.b = (
            nn.Conv2d(3, 6, 3, 2, 1),
            nn.Conv2d(6, 4, 3, padding=1),
            nn.Conv2d(6, 4, 1),
        )
        self.relus = nn.ModuleList([nn.ReLU() for _ in range(4)])
        self.c, self.head = nn.Conv2d(8, 8, 3, padding=1), nn.Linear(8, 6)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relus[0](self.stem(x))
        y = torch.cat([self.relus[1](self.a(x)), self.relus[2](self.b(x))], 1)
        return self.head(self.relus[3](self.c(y) + y).mean((2, 3)))


def squeezenet() -> nn.Module:
    """torchvision's, with no ReLU in place: captum's hooks on modules refuse those."""
    model = models.squeezenet1_1(weights=None)
    for module in model.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False
    return model


NETWORKS = {"small vgg": (vgg, 16), "branches": (Branches, 16), "squeezenet1_1": (squeezenet, 64)}


@cache
def network(name: str) -> tuple[nn.Module, Tensor]:
    build, side = NETWORKS[name]
    model = seeded(build)
    generator = torch.Generator().manual_seed(5)
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.bias.data.normal_(0, 0.1, generator=generator)
    return model, random_images(2, 3, side, side)


def by_captum(model: nn.Module, x: Tensor, method: str, target: int) -> Tensor:
    attr = pytest.importorskip("captum.attr", reason="captum is not installed")
    kind = {"guided-backprop": attr.GuidedBackprop, "deconvnet": attr.Deconvolution}[method]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Setting backward hooks on ReLU activations")
        return kind(model).attribute(x.clone().requires_grad_(), target=target).detach()


def by_zennit(model: nn.Module, x: Tensor, method: str, target: int) -> Tensor:
    composites = pytest.importorskip("zennit.composites", reason="zennit is not installed")
    kind = {"guided-backprop": composites.GuidedBackprop, "deconvnet": composites.DeconvNet}[method]
    x = x.clone().requires_grad_()
    with kind().context(model) as modified:
        (found,) = torch.autograd.grad(modified(x)[:, target].sum(), x)
    return found


@pytest.mark.covering
@pytest.mark.parametrize("oracle", [by_captum, by_zennit])
@pytest.mark.parametrize("method", ["guided-backprop", "deconvnet"])
@pytest.mark.parametrize("name", NETWORKS)
def test_guided_backprop_and_deconvnet_of_other_libraries(name, method, oracle):
    model, x = network(name)
    targets = torch.tensor([[1, 4]] * 2)
    found = explain(trace(model, x.shape[1:]), x, method, targets)
    for k, target in enumerate((1, 4)):
        expected = oracle(model, x, method, target)
        assert expected.abs().max() > 0
        assert_close(found[:, k], expected)


# ---------------------------------------------------------------- RectGrad


def rectgrad_loop(model: nn.Sequential, x: Tensor, v: Tensor, percentile: float) -> Tensor:
    """Kim et al. 2019: R_l = 1(a R_(l+1) > tau) R_(l+1) at an active ReLU, unit by unit."""
    tensors = [x.unsqueeze(0)]
    for module in model:
        tensors.append(module(tensors[-1]).detach())
    R = v.unsqueeze(0)
    for module, inside, out in zip(reversed(model), tensors[-2::-1], tensors[:0:-1], strict=True):
        if isinstance(module, nn.ReLU):
            tau = np.percentile(
                [float(a * r) for a, r in zip(out.flatten(), R.flatten(), strict=True)], percentile
            )
            kept = [
                float(r) if float(a * r) > tau and float(a) > 0 else 0.0
                for a, r in zip(out.flatten(), R.flatten(), strict=True)
            ]
            R = torch.tensor(kept, dtype=torch.float64).view_as(R)
        else:
            inside = inside.clone().requires_grad_()
            (R,) = torch.autograd.grad(module(inside), inside, R.reshape(out.shape))
    return R[0]


@pytest.mark.parametrize("percentile", [0.0, 10.0, 50.0, 80.0, 98.0])
def test_rectgrad_is_the_formula(percentile):
    model, net = seeded(TOYS["small vgg"]), graph("small vgg")
    r = vectors(net)
    found = RelevanceChain(net, images(), "rectgrad", parameters={"percentile": percentile}).down(r, "logits")
    expected = [
        [rectgrad_loop(model, x, v, percentile) for v in vs] for x, vs in zip(images(), r, strict=True)
    ]
    assert_close(found, torch.stack([torch.stack(row) for row in expected]))


@given(
    st.lists(st.sampled_from([-2.0, -0.7, -0.1, 0.0, 0.1, 0.3, 1.7]), min_size=1, max_size=30),
    st.floats(0, 99.99),
)
def test_the_threshold_is_numpys_percentile_and_strict(values, percentile):
    r = torch.tensor(values, dtype=torch.float64).view(1, 1, -1)
    one = torch.ones_like(r)
    (kept,) = Thresholded(one, one, percentile / 100).down(r)
    above = np.array(values) > np.percentile(values, percentile)
    assert kept.flatten().tolist() == np.where(above, values, 0.0).tolist()


def test_ties_at_the_threshold_are_dropped():
    r = torch.tensor([3.0, 3.0, 3.0, 1.0]).view(1, 1, -1)
    (kept,) = Thresholded(torch.ones(1, 1, 4), torch.ones(1, 1, 4), 0.5).down(r)
    assert not kept.any()


def test_rectgrad_gates_by_the_derivative():
    """tanh: r f'(x) where tanh(x) r is above the median. An inactive ReLU passes nothing, ever."""
    x = torch.tensor([[0.5, -1.0, 2.0]], dtype=torch.float64)
    identity = nn.Linear(3, 3).double()
    with torch.no_grad():
        identity.weight.copy_(torch.eye(3))
        identity.bias.zero_()
    r = torch.tensor([[[1.0, -3.0, 0.1]]], dtype=torch.float64)
    net = trace(Toy(lambda m, x: m.fc(x).tanh(), fc=identity), (3,))
    found = RelevanceChain(net, x, "rectgrad", parameters={"percentile": 50}).down(r, "logits")
    assert found.flatten().tolist() == pytest.approx([0, -3 * (1 - np.tanh(1.0) ** 2), 0])
    net = trace(Toy(lambda m, x: m.fc(x).relu(), fc=identity), (3,))
    r = torch.tensor([[[-1.0, 3.0, -0.1]]], dtype=torch.float64)  # a r = -1/2, 0, -1/5
    found = RelevanceChain(net, x, "rectgrad", parameters={"percentile": 0}).down(r, "logits")
    assert found.flatten().tolist() == [0, 0, -0.1]


@pytest.mark.parametrize("percentile", [-1, 100])
def test_percentiles_out_of_range_are_refused(percentile):
    with pytest.raises(InputError, match="percentile must be from 0 to below 100"):
        RelevanceChain(graph("small vgg"), images(), "rectgrad", parameters={"percentile": percentile})


# ---------------------------------------------------------------- rectified methods as maps


@pytest.mark.parametrize("activation", [nn.Tanh, nn.GELU])
def test_rectified_methods_at_other_activations(activation):
    """Guided: max(r, 0) f'(x). Deconvnet: max(r, 0)."""
    net = trace(Toy(lambda m, x: m.act(x), act=activation()), (4,))
    x, r = random_images(2, 4), random_images(2, 3, 4, seed=5)
    (slope,) = torch.autograd.grad(activation()(y := x.clone().requires_grad_()).sum(), y)
    guided = RelevanceChain(net, x, "guided-backprop").down(r, "logits")
    assert_close(guided, r.clamp(min=0) * slope.unsqueeze(1))
    assert torch.equal(RelevanceChain(net, x, "deconvnet").down(r, "logits"), r.clamp(min=0))


@pytest.mark.parametrize("method", RECTIFIED)
@pytest.mark.parametrize("toy", ["small vgg", "nested branches", "dense block", "module twice"])
def test_positively_homogeneous_and_not_linear(toy, method):
    net = graph(toy)
    chain = RelevanceChain(net, images(), method)
    r = vectors(net)
    down = chain.down(r, "logits")
    assert torch.equal(chain.down(2 * r, "logits"), 2 * down)
    assert torch.equal(r, vectors(net))
    assert not torch.allclose(chain.down(-r, "logits"), -down)
    for refused in (
        lambda: chain.up(random_images(2, 1, *net.input_shape), "input", "logits"),
        lambda: chain.as_matrix("logits"),
    ):
        with pytest.raises(InputError, match="not linear"):
            refused()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("toy", ["small vgg", "nested branches"])
def test_batches_and_shared_sweeps_do_not_change_results(toy, method):
    net, x = graph(toy), images(3)
    chain = RelevanceChain(net, x, method)
    lower = next(name for name in net.cuts if name != "input")
    starts = {"logits": vectors(net, 4, 3), lower: random_images(3, 2, *net.shape(lower), seed=8)}
    *_, (_, together) = chain.sweep(starts)
    for start, r in starts.items():
        assert_close(together[start], chain.down(r, start))
        one_by_one = [
            torch.cat(
                [
                    RelevanceChain(net, x[i : i + 1], method).down(r[i : i + 1, k : k + 1], start)
                    for k in range(r.shape[1])
                ],
                1,
            )
            for i in range(3)
        ]
        assert_close(together[start], torch.cat(one_by_one))
