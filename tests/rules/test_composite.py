"""Composites: which operation gets which rule, Deep Taylor Decomposition by its formula, zennit's."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from conetheory.chain.relevance import RelevanceChain
from conetheory.errors import InputError
from conetheory.networks import trace
from conetheory.networks.graph import Graph
from conetheory.networks.ops import Conv2d, Linear, LinearOp
from conetheory.rules.alphabeta import AlphaBeta
from conetheory.rules.composite import Composite, lowest
from conetheory.rules.domains import Flat, WSquare, ZBox
from conetheory.rules.gradient import GuidedBackprop
from conetheory.rules.lrp import Epsilon, Gamma
from conetheory.rules.registry import get_method
from tests.networks.toys import random_images, seeded
from tests.rules.oracles import TOYS, largest_difference, weights, zennit_relevance
from tests.rules.textbook import activations, ours
from tests.toys import SHAPE, Toy, conv, graph, images

toys = pytest.mark.parametrize("toy", TOYS)
PLAIN = {
    "epsilon-plus": (AlphaBeta(), Epsilon(1e-6), Epsilon(0.0), None),
    "epsilon-plus-flat": (AlphaBeta(), Epsilon(1e-6), Epsilon(0.0), Flat()),
    "epsilon-alpha2-beta1": (AlphaBeta(2.0, 1.0), Epsilon(1e-6), Epsilon(0.0), None),
    "epsilon-alpha2-beta1-flat": (AlphaBeta(2.0, 1.0), Epsilon(1e-6), Epsilon(0.0), Flat()),
    "epsilon-gamma-box": (Gamma(0.25), Epsilon(1e-6), Epsilon(0.0), ZBox()),
    "lrp-preset-a": (AlphaBeta(), Epsilon(1e-10), Epsilon(0.0), None),
    "lrp-preset-b": (AlphaBeta(2.0, 1.0), Epsilon(1e-10), Epsilon(0.0), None),
    "deep-taylor": (AlphaBeta(), AlphaBeta(), AlphaBeta(), ZBox()),
}


# ---------------------------------------------------------------- places


def two_readers() -> Graph:
    """Two convolutions and a sum read the image, one of them through a mean."""

    def body(m: nn.Module, x: Tensor) -> Tensor:
        y = m.a(x).relu() + m.b(nn.functional.avg_pool2d(x, 3, 1, 1)).relu()
        return m.head((m.c(y) + x).flatten(1))

    modules = {"a": conv(2, 3), "b": conv(2, 3), "c": conv(3, 2), "head": nn.Linear(84, 4)}
    return trace(seeded(lambda: Toy(body, **modules)), SHAPE)


def test_the_lowest_operations_with_weights():
    """All that read the image, past pools; not those that also read a higher one, beside the image."""
    assert lowest(two_readers()) == ["a", "b"]
    assert lowest(graph("nested branches")) == ["a"]
    assert lowest(graph("module twice"))[0] == "a"
    assert len(lowest(graph("module twice"))) == 1
    assert lowest(graph("linear alone, signed input")) == ["fc"]


@pytest.mark.covering
@toys
@pytest.mark.parametrize("name", PLAIN)
def test_each_operation_has_the_map_of_its_rule(toy, name):
    convolution, dense, pool, first = PLAIN[name]
    rule = get_method(name).rule.bind(graph(toy))
    for node, xs, y in activations(toy):
        expected = pool if isinstance(node.op, LinearOp) else convolution  # the latter: what all rules do
        if isinstance(node.op, Conv2d | Linear):
            expected = convolution if isinstance(node.op, Conv2d) else dense
            if first is not None and node.name in lowest(graph(toy)):
                expected = first
        np.testing.assert_array_equal(ours(rule, node, xs, y), ours(expected, node, xs, y))


def test_a_composite_has_what_all_of_its_parts_have():
    every = Composite(AlphaBeta(), WSquare(), Flat(), ZBox())
    assert (every.is_linear, every.is_nonnegative, every.is_sum_preserving) == (True, True, True)
    for part in (Epsilon(0.0), Gamma(), AlphaBeta(2.0, 1.0), GuidedBackprop()):
        for place in ("convolution", "dense", "pool", "first"):
            changed = Composite(**{**vars(every), place: part, "lowest": frozenset()})
            assert changed.is_linear == part.is_linear
            assert not changed.is_nonnegative
            assert changed.is_sum_preserving == part.is_sum_preserving
    assert get_method("deep-taylor").nonnegative
    assert get_method("deep-taylor").sum_preserving
    assert not get_method("deep-taylor", stabiliser=1e-6).sum_preserving
    assert not get_method("deep-taylor", bias="signed").nonnegative
    assert not get_method("epsilon-plus").nonnegative


# ---------------------------------------------------------------- Deep Taylor Decomposition


@pytest.mark.parametrize("box", [{}, {"low": (-5.0, -6.0), "high": 7.0}])
def test_deep_taylor_of_a_small_vgg(box):
    """`z+` and `z^B` written out (Montavon et al. 2017): dense matrices of every operation, multiplied."""
    found = RelevanceChain(graph("small vgg"), images(), "deep-taylor", parameters=box)
    for image in range(2):
        C = np.eye(5)
        for node, xs, y in reversed(activations("small vgg")):
            x = torch.cat([x[image].flatten() for x in xs]).numpy()
            if isinstance(node.op, Conv2d | Linear):
                W, _ = weights("small vgg", node.name)
                if node.name == "0":
                    low, high = bounds(box, xs[0][image])
                    c = x * W - low * np.maximum(W, 0) - high * np.minimum(W, 0)
                else:
                    c = x * np.maximum(W, 0)
                z = c.sum(1, keepdims=True)
                C = (c / np.where(z == 0, np.inf, z)).T @ C
            else:
                C = ours(AlphaBeta(), node, xs, y)[image] @ C
        assert C.min() >= -1e-12
        np.testing.assert_allclose(found.as_matrix("logits", image=image), C, rtol=1e-9, atol=1e-12)


def bounds(box, x: Tensor) -> tuple[np.ndarray, np.ndarray]:
    low = torch.tensor(box["low"]).view(2, 1, 1).expand(SHAPE) if box else x.min().expand(SHAPE)
    high = torch.full(SHAPE, box["high"]) if box else x.max().expand(SHAPE)
    return low.flatten().double().numpy(), high.flatten().double().numpy()


@toys
def test_deep_taylor_is_stochastic_where_anything_contributes(toy):
    """Nonnegative for signed images, and what starts is kept but for units that nothing contributes to."""
    rule = get_method("deep-taylor").rule.bind(graph(toy))
    for node, xs, y in activations(toy):
        M = ours(rule, node, xs, y)
        assert M.min() >= 0
        filled = (M != 0).any(1)
        np.testing.assert_allclose(M.sum(1)[filled], 1, rtol=0, atol=1e-12)


def test_values_outside_the_box_are_refused():
    with pytest.raises(InputError, match="lie outside the box"):
        RelevanceChain(graph("small vgg"), images(), "deep-taylor", parameters={"low": 0.0, "high": 1.0})


# ---------------------------------------------------------------- zennit

EPS = 1e-6
LOW, HIGH = -6.0, 6.0
ZENNIT = {
    "epsilon-plus": ("EpsilonPlus", {"bias": "bach"}, {}),
    "epsilon-plus-flat": ("EpsilonPlusFlat", {"bias": "bach"}, {}),
    "epsilon-alpha2-beta1": ("EpsilonAlpha2Beta1", {"bias": "bach"}, {}),
    "epsilon-alpha2-beta1-flat": ("EpsilonAlpha2Beta1Flat", {"bias": "bach"}, {}),
    "epsilon-gamma-box": ("EpsilonGammaBox", {"low": LOW, "high": HIGH}, {"low": LOW, "high": HIGH}),
    "excitation-bp": ("ExcitationBackprop", {}, {"zero_params": "bias"}),
}
WHOLE = [
    pytest.param("vgg11_bn", name, marks=pytest.mark.exhaustive)
    for name in ("epsilon-plus-flat", "epsilon-gamma-box")
]
SMALL = [(network, name) for network in ("small vgg", "small resnet") for name in ZENNIT]


@lru_cache(maxsize=1)
def network(name: str) -> tuple[Graph, nn.Module, Tensor]:
    from tests.adapters.models import network

    ours, theirs, x = network(name)
    return trace(ours, x.shape[1:]), theirs, x[:1] if name == "vgg11_bn" else x


@pytest.mark.parametrize(("name", "method"), SMALL + WHOLE)
def test_zennit(name, method):
    """float64, the same stabiliser everywhere; Excitation BP on an image in [0, inf)."""
    pytest.importorskip("zennit", reason="zennit is not installed")
    from zennit import composites
    from zennit.canonizers import SequentialMergeBatchNorm

    traced, model, x = network(name)
    kind, options, theirs = ZENNIT[method]
    if method == "excitation-bp":
        x = x.abs()
    if "low" in theirs:
        theirs = {k: torch.full((1, *x.shape[1:]), v, dtype=x.dtype) for k, v in theirs.items()}
    composite = getattr(composites, kind)(stabilizer=EPS, canonizers=[SequentialMergeBatchNorm()], **theirs)
    chain = RelevanceChain(traced, x, method, parameters={"stabiliser": EPS, **options})
    v = random_images(len(x), 1, *chain.shape("logits"), seed=3)
    expected = zennit_relevance(model, x, composite, v[:, 0])
    assert largest_difference(chain.down(v, "logits")[:, 0], expected) < 1e-9


def test_deep_taylor_is_zennits_z_plus_with_a_box():
    pytest.importorskip("zennit", reason="zennit is not installed")
    from zennit.composites import SpecialFirstLayerMapComposite, layer_map_base
    from zennit.rules import ZBox as TheirBox
    from zennit.rules import ZPlus
    from zennit.types import Linear as AnyLinear

    traced, model, x = network("small vgg")
    box = (torch.full((1, *x.shape[1:]), v, dtype=x.dtype) for v in (LOW, HIGH))
    layers = [*layer_map_base(EPS), (AnyLinear, ZPlus(EPS, zero_params="bias"))]
    composite = SpecialFirstLayerMapComposite(layers, [(AnyLinear, TheirBox(*box, EPS))])
    chain = RelevanceChain(traced, x, "deep-taylor", parameters={"low": LOW, "high": HIGH, "stabiliser": EPS})
    v = random_images(len(x), 1, *chain.shape("logits"), seed=3)
    expected = zennit_relevance(model, x, composite, v[:, 0])
    assert largest_difference(chain.down(v, "logits")[:, 0], expected) < 1e-9
