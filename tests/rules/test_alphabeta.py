"""z+ and alpha-beta against the textbook: contributions, pools and shares written out on dense matrices."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import nn

from conetheory.chain.relevance import RelevanceChain
from conetheory.errors import InputError
from conetheory.networks import trace
from conetheory.networks.attention import MatMul
from conetheory.networks.graph import Node
from conetheory.networks.ops import LinearOp, Unweighted
from conetheory.networks.selection import Selection
from conetheory.rules.alphabeta import AlphaBeta
from conetheory.rules.registry import get_method, methods
from tests.rules.textbook import RULES, activations, dense, dense_pools, ours, textbook
from tests.toys import BIASES, METHODS, TOYS, graph, images, typical

EMPTY_POOLS = ("drop", "renormalise")
STABILISERS = (0.0, 1e-2)


# ---------------------------------------------------------------- the textbook


def assert_equal(M: np.ndarray, expected: np.ndarray) -> None:
    """To rounding: a pool of many terms that nearly cancel against a signed bias is off by its condition."""
    np.testing.assert_allclose(M, expected, rtol=1e-11, atol=1e-12 * np.abs(expected).max(initial=1))


@pytest.mark.covering
@pytest.mark.parametrize("bias", BIASES)
@pytest.mark.parametrize("toy", typical())
def test_every_rule_is_the_textbook_matrix_at_every_layer(toy, bias):
    for node, xs, y in activations(toy):
        if isinstance(node.op, MatMul):
            continue  # tests/rules/test_attention.py
        if not isinstance(node.op, LinearOp):
            expected = [dense(node, [x[i : i + 1] for x in xs], y[i : i + 1]) for i in range(len(y))]
            for rule in RULES.values():
                assert_equal(ours(rule, node, xs, y), np.stack(expected))
            continue
        parts = dense_pools(toy, node.name, bias)
        for base, empty, eps in itertools.product(RULES.values(), EMPTY_POOLS, STABILISERS):
            rule = AlphaBeta(base.alpha, base.beta, bias=bias, empty_pool=empty, stabiliser=eps)
            renormalise = empty == "renormalise" or isinstance(node.op, Unweighted)
            expected = [textbook(p, rule.alpha, rule.beta, eps, renormalise) for p in parts]
            assert_equal(ours(rule, node, xs, y), np.stack(expected))


@pytest.mark.covering
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("toy", typical())
def test_columns_sum_to_one_where_both_pools_are_filled(toy, method):
    """And with `renormalise` wherever either is; z+ is nonnegative under every bias but the signed one."""
    rule = RULES[method]
    renormalising = AlphaBeta(rule.alpha, rule.beta, empty_pool="renormalise")
    for node, xs, y in activations(toy):
        if isinstance(node.op, MatMul):
            continue  # tests/rules/test_attention.py
        M, N = ours(rule, node, xs, y), ours(renormalising, node, xs, y)
        both = either = np.ones((len(y), y[0].numel()), bool)
        if isinstance(node.op, LinearOp):
            filled = np.stack([np.stack(part[2:]) != 0 for part in dense_pools(toy, node.name, "none")], 1)
            both, either = filled.all(0), filled.any(0)
        if isinstance(node.op, Selection):  # what arrives at padding is lost
            both = either = np.stack([dense(node, xs, y[:1]).any(0)] * len(y))
        np.testing.assert_allclose(M.sum(1)[both], 1, rtol=0, atol=1e-12 * rule.alpha)
        np.testing.assert_allclose(N.sum(1), either, rtol=0, atol=1e-12 * rule.alpha)
        if rule.beta == 0:
            bach = ours(AlphaBeta(bias="bach", stabiliser=1e-3), node, xs, y)
            assert min(M.min(), N.min(), bach.min()) >= 0
            assert bach.sum(1).max() <= 1 + 1e-12


def test_the_toys_have_empty_pools():
    """Else the policies for them would not be tested."""
    seen = set()
    for node, *_ in activations("conv wide padding"):
        for _, _, z_plus, z_minus in dense_pools("conv wide padding", node.name, "none"):
            seen |= set(zip(z_plus != 0, z_minus != 0, strict=True))
    assert seen == set(itertools.product((False, True), repeat=2))


@pytest.mark.covering
@pytest.mark.parametrize("toy", typical())
@pytest.mark.parametrize("method", METHODS)
def test_relevance_is_conserved_through_whole_networks(toy, method):
    """All of it, but for what starts at or passes through outputs that nothing contributes to."""
    chain = RelevanceChain(graph(toy), images(), method, parameters={"empty_pool": "renormalise"})
    outputs = chain.shape("logits")
    h = chain.up(torch.ones(2, 1, *chain.graph.input_shape, dtype=torch.float64), "input", "logits")
    r = torch.randn(2, 3, *outputs, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    kept = (h * r).flatten(2).sum(2)
    found = chain.down(r, "logits").flatten(2).sum(2)
    torch.testing.assert_close(found, kept, rtol=1e-9, atol=1e-9)
    dead = [_dead_units(node, xs, y) for node, xs, y in activations(toy)]
    if not any(dead):
        torch.testing.assert_close(h, torch.ones_like(h), rtol=0, atol=1e-9)


def _dead_units(node: Node, xs, y) -> bool:
    M = ours(AlphaBeta(empty_pool="renormalise"), node, xs, y)
    return bool((M.sum(1) == 0).any())


def test_most_toys_conserve_everything():
    """Else the last line of the test before this one would be idle."""
    whole = [toy for toy in TOYS if not any(_dead_units(*step) for step in activations(toy))]
    assert len(whole) > len(TOYS) / 2


# ---------------------------------------------------------------- published cases


def relevance(weights, x, R, *, alpha, bias="none", b=0.0, **options) -> list[float]:
    """One output unit with the given weights: the relevance of its inputs."""
    layer = nn.Linear(len(weights), 1).double()
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([weights]))
        layer.bias.fill_(b)
    rule = f"lrp-alpha{alpha}beta{alpha - 1}"
    chain = RelevanceChain(
        trace(layer, (len(x),)), torch.tensor([x]).double(), rule, parameters={"bias": bias, **options}
    )
    return chain.down(torch.tensor([[[float(R)]]]), "logits")[0, 0].tolist()


@pytest.mark.parametrize(("alpha", "expected"), [(1, [-1, 0]), (2, [-2, 0.5])])
def test_a_negative_bias_belongs_to_the_negative_pool(alpha, expected):
    """zennit issue 107, innvestigate issue 273."""
    assert relevance([1.0, -1.0], [1.0, 1.0], -1, alpha=alpha, bias="bach", b=-1) == expected


def test_zennits_stabiliser_on_that_case():
    found = relevance([1.0, -1.0], [1.0, 1.0], -1, alpha=2, bias="bach", b=-1, stabiliser=1e-6)
    assert found == pytest.approx([-1.999998, 0.49999976], rel=1e-7)
    found = relevance([1.0, -1.0], [1.0, 1.0], -1, alpha=1, bias="bach", b=-1, stabiliser=1e-6)
    assert found == pytest.approx([-0.999999, 0], rel=1e-7)


def test_negative_inputs_meet_negative_weights():
    """captum issue 1234."""
    found = relevance([2.0, -1.0, 1.0], [1.0, -2.0, -1.0], 3.5, alpha=1, bias="bach", b=0.5)
    assert found == pytest.approx([14 / 9, 14 / 9, 0], rel=1e-14)


def test_captums_residual_connection():
    """captum issue 546: a linear layer filled with 5, y = W x + x."""

    class Skip(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(2, 2, bias=False)
            nn.init.constant_(self.fc.weight, 5.0)

        def forward(self, x):
            return self.fc(x) + x

    x = torch.tensor([[2.0, 3.0]], dtype=torch.float64)
    chain = RelevanceChain(trace(Skip().double(), (2,)), x)
    R = torch.tensor([[[0.0, float(chain.logits[0, 1])]]])
    assert chain.down(R, "logits")[0, 0].tolist() == pytest.approx([10, 18], rel=1e-14)


@pytest.mark.parametrize(
    ("x", "policy", "expected"),
    [
        ([2.0, 4.0], "drop", [-1, 2]),
        ([2.0, 4.0], "renormalise", [-1, 2]),
        ([0.0, 1.0], "drop", [0, 2]),
        ([0.0, 1.0], "renormalise", [0, 1]),
        ([1.0, 0.0], "drop", [-1, 0]),
        ([1.0, 0.0], "renormalise", [1, 0]),
        ([0.0, 0.0], "renormalise", [0, 0]),
    ],
)
def test_an_empty_pool_is_a_policy(x, policy, expected):
    """lrp_toolbox issue 19."""
    assert relevance([-1.0, 1.0], x, 1, alpha=2, empty_pool=policy) == expected


@pytest.mark.parametrize(
    ("bias", "alpha", "b", "expected"),
    [
        ("none", 1, 1, [2, 0, 1]),
        ("none", 1, -1, [2 / 3, 0, 1 / 3]),
        ("bach", 1, 1, [1.5, 0, 0.75]),
        ("bach", 1, -1, [2 / 3, 0, 1 / 3]),
        ("signed", 1, 1, [1.5, 0, 0.75]),
        ("signed", 1, -1, [1, 0, 0.5]),
        ("bach", 2, 1, [3, -3, 1.5]),
        ("bach", 2, -1, [4 / 3, -0.5, 2 / 3]),
        ("signed", 2, -1, [2, -0.5, 1]),
        ("none", 2, 1, [4, -3, 2]),
        ("none", 2, -1, [4 / 3, -1, 2 / 3]),
    ],
)
def test_the_table_of_bias_conventions(bias, alpha, b, expected):
    """W = (2, -1, 1), x = (1, 1, 1), R = z: bias-free, Bach et al. (zennit), signed (innvestigate)."""
    found = relevance([2.0, -1.0, 1.0], [1.0, 1.0, 1.0], 2 + b, alpha=alpha, bias=bias, b=b)
    assert found == pytest.approx(expected, rel=1e-14, abs=1e-300)


def test_a_signed_bias_can_empty_a_pool():
    """The negative pool is -1 + 1 = 0. innvestigate divides by 1e-7; here its share is left out."""
    found = relevance([2.0, -1.0, 1.0], [1.0, 1.0, 1.0], 3, alpha=2, bias="signed", b=1)
    assert found == [3, 0, 1.5]
    stabilised = relevance([2.0, -1.0, 1.0], [1.0] * 3, 3, alpha=2, bias="signed", b=1, stabiliser=1e-7)
    assert stabilised == pytest.approx([3, 3e7, 1.5], rel=1e-6)


# ---------------------------------------------------------------- parameters


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alpha": 2.0}, "alpha - beta must be 1"),
        ({"alpha": 2.0, "beta": 0.5}, "alpha - beta must be 1"),
        ({"alpha": 0.5, "beta": -0.5}, "beta >= 0"),
        ({"alpha": float("nan"), "beta": 0.0}, "alpha of AlphaBeta must be a finite number"),
        ({"alpha": float("inf"), "beta": float("inf")}, "alpha of AlphaBeta must be a finite number"),
        ({"bias": "some"}, "bias of .* must be"),
        ({"empty_pool": "keep"}, "empty_pool of .* must be"),
        ({"stabiliser": -1e-9}, "stabiliser must be"),
        ({"stabiliser": float("nan")}, "stabiliser of AlphaBeta must be"),
    ],
)
def test_parameters_out_of_range_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        AlphaBeta(**options)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("lrp-alpha2beta2", "alpha - beta must be 1"),
        ("lrp-alpha1beta1", "alpha - beta must be 1"),
        ("lrp-alpha2", "did you mean"),
        ("saliency", "unknown method"),
        ("lrp-alpha2beta1 ", "unknown method"),
    ],
)
def test_unknown_methods_are_refused(name, message):
    with pytest.raises(InputError, match=message):
        get_method(name)


def test_named_methods():
    assert {"lrp-alpha1beta0", "lrp-alpha2beta1", "lrp-alpha5beta4"} <= {m.name for m in methods()}
    assert get_method("lrp-zplus").name == "lrp-alpha1beta0"
    with pytest.raises(InputError, match="no parameter 'epsilon'"):
        get_method("lrp-zplus", epsilon=1)
    alpha_beta = [get_method(name) for name in METHODS]
    assert [m.nonnegative for m in alpha_beta] == [m.rule.beta == 0 for m in alpha_beta]
    assert not get_method("lrp-zplus", bias="signed").nonnegative
    assert get_method("lrp-zplus", bias="bach").nonnegative
    assert get_method("lrp-alpha2beta1").sum_preserving
    assert not get_method("lrp-alpha2beta1", bias="bach").sum_preserving
    assert not get_method("lrp-alpha2beta1", stabiliser=1e-6).sum_preserving
