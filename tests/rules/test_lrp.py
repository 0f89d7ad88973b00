"""LRP-0, epsilon, gamma, w-square, flat, z-box, Excitation BP: formulas, zennit, captum, numbers by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from conetheory.chain.relevance import RelevanceChain
from conetheory.errors import InputError
from conetheory.networks import trace
from conetheory.networks.bcos import Aligned
from conetheory.networks.coupling import Product, Standardise
from conetheory.networks.ops import Affine
from conetheory.networks.preprocess import Preprocess
from conetheory.rules.alphabeta import AlphaBeta
from conetheory.rules.base import Rule
from conetheory.rules.composite import Composite
from conetheory.rules.domains import Flat, WSquare, ZBox, pixel_box
from conetheory.rules.excitation import ExcitationBackprop
from conetheory.rules.lrp import Epsilon, Gamma
from conetheory.rules.registry import Method, get_method
from tests.networks.toys import random_images, seeded
from tests.rules.oracles import (
    TOYS,
    assert_textbook,
    largest_difference,
    linear_steps,
    stabilised,
    total,
    weights,
    zennit_relevance,
)
from tests.rules.textbook import activations, ours
from tests.strategies import SIZES
from tests.toys import TOYS as ALL_TOYS
from tests.toys import graph, images

toys, pytestmark = pytest.mark.parametrize("toy", TOYS), pytest.mark.covering


# ---------------------------------------------------------------- the textbook


@toys
@pytest.mark.parametrize(("bias", "eps"), [("signed", 0.0), ("none", 0.0), ("signed", 1e-2)])
def test_epsilon(toy, bias, eps):
    def contributions(W, b, x):
        c = W * x
        return c, stabilised(total(c) + (b if bias == "signed" else 0), eps)

    assert_textbook(Epsilon(eps, bias), toy, contributions)


@toys
@pytest.mark.parametrize(("bias", "eps"), [("gamma", 0.0), ("signed", 0.0), ("none", 0.0), ("gamma", 1e-2)])
def test_gamma_raises_contributions_of_the_outputs_sign(toy, bias, eps):
    def contributions(W, b, x):
        c = W * x
        z = total(c) + (0 if bias == "none" else b)
        raised = c * np.where(c * z > 0, 1.5, 1)
        own = {"none": 0, "signed": b, "gamma": b * np.where(b * z > 0, 1.5, 1)}[bias]
        return np.where(z != 0, raised, 0), stabilised(total(raised) + own, eps)

    assert_textbook(Gamma(0.5, bias=bias, stabiliser=eps), toy, contributions)


@toys
@pytest.mark.parametrize("bias", ["gamma", "signed", "none"])
def test_simple_gamma_is_its_formula(toy, bias):
    def contributions(W, b, x):
        c = x * (W + 0.5 * np.maximum(W, 0))
        own = {"none": 0, "signed": b, "gamma": b + 0.5 * np.maximum(b, 0)}[bias]
        return c, stabilised(total(c) + own, 1e-2)

    assert_textbook(Gamma(0.5, form="simple", bias=bias, stabiliser=1e-2), toy, contributions)


@toys
@pytest.mark.parametrize("bias", ["none", "squared"])
def test_w_square(toy, bias):
    def contributions(W, b, x):
        return W**2, total(W**2) + (b**2 if bias == "squared" else 0)

    assert_textbook(WSquare(bias), toy, contributions)


@toys
def test_flat(toy):
    assert_textbook(Flat(), toy, lambda W, b, x: (W != 0, total(W != 0)))


@toys
@pytest.mark.parametrize("rule", [WSquare, Flat])
def test_a_stabiliser_damps_uniform_rules(toy, rule):
    """By `z / (z + eps)`, z the sum of squares or the fan-in, where an operation has weights of its own."""
    for node, xs, y in linear_steps(toy):
        if node.op.weight is None:
            continue
        W, _ = weights(toy, node.name)
        z = total(W**2 if rule is WSquare else W != 0).T
        expected = ours(rule(), node, xs, y) * z / (z + 1e-2)
        np.testing.assert_allclose(ours(rule(stabiliser=1e-2), node, xs, y), expected, rtol=1e-12)


@toys
@pytest.mark.parametrize("eps", [0.0, 1e-2])
def test_z_box_of_each_tensor(toy, eps):
    """The published formula, in which large terms cancel, with the bounds of every image and input."""
    for node, xs, y in linear_steps(toy):
        sizes = [x[0].numel() for x in xs]
        for image in range(len(y)):
            one = [x[image : image + 1] for x in xs]
            low = np.concatenate([np.full(n, float(x.min())) for n, x in zip(sizes, one, strict=True)])
            high = np.concatenate([np.full(n, float(x.max())) for n, x in zip(sizes, one, strict=True)])
            x = torch.cat([x.flatten() for x in one]).numpy()
            W, _ = weights(toy, node.name)
            c = x * W - low * np.maximum(W, 0) - high * np.minimum(W, 0)
            empty = total(np.abs(c)) <= 1e-14 * total(np.abs(x * W))  # all inputs on the bound that counts
            expected = (c / np.where(empty, np.inf, total(c) + eps)).T
            found = ours(ZBox(stabiliser=eps), node, one, y[image : image + 1])[0]
            np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)


@toys
def test_z_box_of_given_bounds(toy):
    def contributions(W, b, x):
        c = x * W + 50 * np.maximum(W, 0) - 60 * np.minimum(W, 0)
        return c, total(c)

    assert_textbook(ZBox(-50.0, 60.0), toy, contributions)


@toys
def test_excitation_backprop(toy):
    def contributions(W, b, x):
        c = np.maximum(W, 0) * np.maximum(x, 0)
        return c, total(c)

    assert_textbook(ExcitationBackprop(), toy, contributions)


@toys
def test_excitation_backprop_is_z_plus_where_negative_inputs_excite(toy):
    for step in activations(toy):
        np.testing.assert_array_equal(ours(ExcitationBackprop("excite"), *step), ours(AlphaBeta(), *step))


@pytest.mark.parametrize("toy", ALL_TOYS)
def test_lrp_0_from_the_logits_is_gradient_times_input(toy):
    """Ancona et al. 2018, proposition 1: with the biases in z, on networks that are piecewise linear."""
    network = graph(toy)
    if any(isinstance(node.op, Affine | Aligned | Product | Standardise) for node in network.nodes.values()):
        return  # relevance passes these unchanged, the gradient does not
    chain = RelevanceChain(network, images(), "lrp-0")
    v = torch.randn(2, 3, *chain.shape("logits"), generator=torch.Generator().manual_seed(0)).double()
    gradient = RelevanceChain(network, images(), "gradient").down(v, "logits")
    found = chain.down(v * chain.logits.unsqueeze(1), "logits")
    torch.testing.assert_close(found, gradient * images().unsqueeze(1), rtol=1e-9, atol=1e-11)


@given(st.data())
def test_large_gamma_is_z_plus(data):
    """On nonnegative inputs and positive outputs, without bias."""
    inputs, outputs = data.draw(SIZES), data.draw(SIZES)
    numbers = st.integers(-9, 9).map(float)
    layer = nn.Linear(inputs, outputs, bias=False).double()
    weights = data.draw(st.lists(numbers, min_size=inputs * outputs, max_size=inputs * outputs))
    layer.weight.data = torch.tensor(weights).double().view(outputs, inputs)
    x = torch.tensor([data.draw(st.lists(numbers.map(abs), min_size=inputs, max_size=inputs))]).double()
    network = trace(layer, (inputs,))
    gamma = RelevanceChain(network, x, "lrp-gamma", parameters={"gamma": 1e9})
    z_plus = RelevanceChain(network, x, "lrp-zplus")
    for output in range(outputs):
        if gamma.logits[0, output] > 0:
            found, expected = (c.columns("logits", [output]) for c in (gamma, z_plus))
            torch.testing.assert_close(found, expected, rtol=0, atol=1e-7)


# ---------------------------------------------------------------- conservation and the cone

BIAS_FREE = {"bias": "none"}
CONSERVING = {"lrp-0": BIAS_FREE, "lrp-gamma": BIAS_FREE}
CONSERVING |= {name: {} for name in ("w-square", "flat", "z-box", "excitation-bp")}


@toys
@pytest.mark.parametrize("name", CONSERVING)
def test_columns_sum_to_one_where_anything_contributes(toy, name):
    method = get_method(name, **CONSERVING[name])
    assert method.sum_preserving
    for node, xs, y in activations(toy):
        M = ours(method.rule, node, xs, y)
        filled = (M != 0).any(1)
        assert filled.any()
        np.testing.assert_allclose(M.sum(1)[filled], 1, rtol=0, atol=1e-9)
        if method.nonnegative:
            assert M.min() >= 0


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("lrp-0", {}),
        ("lrp-epsilon", {"bias": "none"}),
        ("lrp-gamma", {}),
        ("lrp-gamma", {"bias": "none", "stabiliser": 1e-6}),
        ("w-square", {"bias": "squared"}),
        ("flat", {"stabiliser": 1e-6}),
        ("z-box", {"stabiliser": 1e-6}),
        ("excitation-bp", {"stabiliser": 1e-6}),
    ],
)
def test_what_absorbs_relevance_says_so(name, parameters):
    assert not get_method(name, **parameters).sum_preserving


# ---------------------------------------------------------------- by hand


def one_unit(name: str, b: float, R: float = 3.0, **options) -> list[float]:
    """W = (2, -1, 1), x = (1, 1, 1)."""
    layer = nn.Linear(3, 1).double()
    layer.weight.data = torch.tensor([[2.0, -1.0, 1.0]], dtype=torch.float64)
    layer.bias.data.fill_(b)
    chain = RelevanceChain(
        trace(layer, (3,)), torch.ones(1, 3, dtype=torch.float64), name, parameters=options
    )
    return chain.down(torch.tensor([[[R]]]), "logits")[0, 0].tolist()


@pytest.mark.parametrize(
    ("name", "b", "options", "expected"),
    [
        ("lrp-gamma", 1, {}, [1.875, -0.75, 0.9375]),  # zennit
        ("lrp-gamma", 1, {"form": "simple"}, [1.875, -0.75, 0.9375]),
        ("lrp-gamma", 1, {"bias": "signed"}, [2, -0.8, 1]),  # captum
        ("lrp-gamma", 1, {"bias": "none"}, [30 / 11, -12 / 11, 15 / 11]),
        ("lrp-gamma", -2, {}, [0, 0, 0]),  # z = 0 belongs to neither branch
        ("lrp-gamma", -3, {}, [-3, 1.875, -1.5]),  # z = -1: over 2 - 1.25 + 1 - 3.75 = -2
        ("w-square", 1, {}, [2, 0.5, 0.5]),  # innvestigate
        ("w-square", 1, {"bias": "squared"}, [12 / 7, 3 / 7, 3 / 7]),  # zennit
        ("flat", 1, {}, [1, 1, 1]),
        ("lrp-0", 1, {}, [2, -1, 1]),
        ("lrp-0", -2, {}, [0, 0, 0]),  # z = 0
        ("lrp-0", -2, {"bias": "none"}, [3, -1.5, 1.5]),
        ("lrp-epsilon", -2, {"epsilon": 0.5}, [12, -6, 6]),  # sign(0) = 1
        ("lrp-epsilon", -3, {"epsilon": 0.5}, [-4, 2, -2]),
        ("z-box", 1, {"low": 0.0, "high": 2.0}, [1.5, 0.75, 0.75]),
        ("z-box", 1, {"low": (0.0, 0.5, 1.0), "high": (3.0, 1.5, 2.0)}, [2.4, 0.6, 0]),
        ("excitation-bp", 1, {}, [2, 0, 1]),
    ],
)
def test_one_unit(name, b, options, expected):
    assert one_unit(name, b, **options) == pytest.approx(expected, rel=1e-14, abs=1e-15)


def test_captums_residual_connection():
    """captum issue 546: a linear layer filled with 5, y = W x + x."""

    class Skip(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(2, 2, bias=False)
            nn.init.constant_(self.fc.weight, 5.0)

        def forward(self, x):
            return self.fc(x) + x

    chain = RelevanceChain(trace(Skip().double(), (2,)), torch.tensor([[2.0, 3.0]]).double(), "lrp-0")
    R = torch.tensor([[[0.0, float(chain.logits[0, 1])]]])
    assert chain.down(R, "logits")[0, 0].tolist() == pytest.approx([10, 18], rel=1e-14)


# ---------------------------------------------------------------- zennit and captum

EPS = 1e-6


def method_of(rule: Rule) -> Method:
    """A rule that is registered under no name, or under another one."""
    return Method("under test", rule, get_method("lrp-0").entry)


@pytest.mark.parametrize("rule", ["epsilon", "gamma", "z plus", "w square", "flat", "alpha beta"])
def test_zennit(rule):
    """One rule for every convolution and dense layer of a small VGG, with zennit's biases and stabilisers."""
    pytest.importorskip("zennit", reason="zennit is not installed")
    from zennit import rules
    from zennit.composites import LayerMapComposite, layer_map_base
    from zennit.types import Linear

    from tests.adapters.models import network

    model, _, x = network("small vgg")
    own, theirs = {
        "epsilon": (Epsilon(EPS), rules.Epsilon(EPS)),
        "gamma": (Gamma(0.3, stabiliser=EPS), rules.Gamma(0.3, EPS)),
        "z plus": (ExcitationBackprop("excite", EPS), rules.ZPlus(EPS, zero_params="bias")),
        "w square": (WSquare("squared", EPS), rules.WSquare(EPS)),
        "flat": (Flat(EPS), rules.Flat(EPS)),
        "alpha beta": (AlphaBeta(2.0, 1.0, "bach", EPS), rules.AlphaBeta(2, 1, EPS)),
    }[rule]
    composite = LayerMapComposite([*layer_map_base(EPS), (Linear, theirs)])
    chain = RelevanceChain(trace(model, x.shape[1:]), x, method_of(own))
    v = random_images(2, 1, *chain.shape("logits"), seed=3)
    theirs = zennit_relevance(model, x, composite, v[:, 0])
    assert largest_difference(chain.down(v, "logits")[:, 0], theirs) < 1e-9


class ForCaptum(nn.Module):
    """captum takes each module once and no `nn.Flatten`."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.relu_a, self.pool = nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)
        self.b, self.relu_b, self.mean = nn.Conv2d(4, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.relu_a(self.a(x)))
        return self.head(torch.flatten(self.mean(self.relu_b(self.b(x))), 1))


@pytest.mark.parametrize("rule", ["epsilon", "gamma"])
def test_captum(rule):
    """captum's gamma is the simple form, with the bias as it is."""
    pytest.importorskip("captum", reason="captum is not installed")
    from captum.attr import LRP
    from captum.attr._utils.lrp_rules import EpsilonRule, GammaRule

    model, x = seeded(ForCaptum), random_images(2, 2, 8, 9)
    for module in (model.a, model.b, model.head):
        module.rule = EpsilonRule(1e-9) if rule == "epsilon" else GammaRule(gamma=0.25)
    model.pool.rule = EpsilonRule(1e-16)  # captum stabilises max pools too; there is nothing to divide by
    theirs = LRP(model).attribute(x.clone().requires_grad_(), target=1)
    own = Epsilon(1e-9) if rule == "epsilon" else Gamma(0.25, "simple", "signed", 1e-9)
    method = method_of(Composite(own, own, pool=Epsilon(1e-9)))
    chain = RelevanceChain(trace(model, (2, 8, 9)), x, method)
    start = nn.functional.one_hot(torch.tensor([1, 1]), 4).unsqueeze(1) * chain.logits.unsqueeze(1)
    assert largest_difference(chain.down(start, "logits")[:, 0], theirs.detach()) < 1e-12


# ---------------------------------------------------------------- boxes and bad parameters


def test_the_box_of_a_preprocessing():
    box = pixel_box(Preprocess(mean=(0.5, 0.25, 0.0), std=(0.5, 0.25, -1.0)))
    assert box == {"low": (-1.0, -1.0, -1.0), "high": (1.0, 3.0, 0.0)}
    with pytest.raises(InputError, match="no mean and std"):
        pixel_box(lambda image: image)


def test_the_rounding_of_a_preprocessing_stays_in_its_box():
    """float32 pixels that were black and white in uint8, against bounds in Python's floats."""
    preprocess = Preprocess()
    box = pixel_box(preprocess)
    ends = torch.tensor([0.0, 1.0]).view(1, 1, 1, 2).expand(1, 3, 2, 2)
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (preprocess.mean, preprocess.std))
    conv = nn.Conv2d(3, 2, 1)
    chain = RelevanceChain(
        trace(nn.Sequential(conv, nn.Flatten()), (3, 2, 2)), (ends - mean) / std, "z-box", parameters=box
    )
    assert chain.columns("logits", range(8)).min() >= 0
