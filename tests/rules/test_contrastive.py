"""Contrastive Excitation BP, CLRP-1 and CLRP-2 against networks with negated weights, matrices, zennit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from conetheory.chain.relevance import RelevanceChain
from conetheory.errors import InputError
from conetheory.networks import trace
from conetheory.networks.graph import Graph
from conetheory.networks.ops import Conv2d, Linear
from conetheory.rules.contrastive import Negated
from conetheory.rules.domains import ZBox
from conetheory.rules.registry import get_method
from conetheory.theory.ergodicity import tau_1
from tests.networks.toys import random_images
from tests.rules.oracles import TOYS, largest_difference, weights, zennit_relevance
from tests.rules.textbook import activations, ours
from tests.strategies import SIZES
from tests.toys import graph, images

toys = pytest.mark.parametrize("toy", TOYS)
# contrastive methods by negated weights, with the method of which they are the contrast
NEGATING = {"contrastive-excitation-bp": "excitation-bp", "clrp-2": "deep-taylor"}
# start layers of sequential toys, with the first weights below each (no max pool between: its winners change)
STARTS = {
    "small vgg": {"logits": "11", "10": "9", "9": "9", "6": "5", "3": "2", "1": "0", "0": "0"},
    "hidden linear": {"logits": "5", "3": "2.1", "1": "0"},
    "conv groups with stride": {"logits": "5", "2": "2"},
}


def negated(network: Graph, name: str) -> Graph:
    """The network with other weights and bias at one operation, which changes nothing below it."""
    node = network.nodes[name]
    op = replace(node.op, weight=-node.op.weight, bias=-node.op.bias)
    return replace(network, nodes={**network.nodes, name: replace(node, op=op)})


def vectors(chain: RelevanceChain, start: str, count: int = 3) -> Tensor:
    return random_images(len(chain), count, *chain.shape(start), seed=4)


# ---------------------------------------------------------------- negated weights


@pytest.mark.parametrize("method", NEGATING)
@pytest.mark.parametrize("toy", STARTS)
def test_a_network_with_negated_weights_is_subtracted(toy, method):
    """As Zhang et al.'s and Gu et al.'s code do it: two passes, for each start layer."""
    found, base = (RelevanceChain(graph(toy), images(), m) for m in (method, NEGATING[method]))
    starts = {start: vectors(found, start) for start in STARTS[toy]}
    *_, (_, shared) = found.sweep(starts)
    for start, first in STARTS[toy].items():
        dual = RelevanceChain(negated(graph(toy), first), images(), NEGATING[method])
        expected = base.down(starts[start], start) - dual.down(starts[start], start)
        torch.testing.assert_close(shared[start], expected, rtol=1e-11, atol=1e-13)


@given(st.data())
def test_one_layer_is_z_plus_minus_z_minus(data):
    inputs, outputs = data.draw(SIZES), data.draw(SIZES)
    numbers = st.integers(-9, 9).map(float)
    W = np.array(data.draw(st.lists(numbers, min_size=inputs * outputs, max_size=inputs * outputs)))
    W, x = W.reshape(outputs, inputs), np.abs(data.draw(st.lists(numbers, min_size=inputs, max_size=inputs)))
    layer = nn.Linear(inputs, outputs).double()
    layer.weight.data = torch.from_numpy(W.copy())
    chain = RelevanceChain(trace(layer, (inputs,)), torch.from_numpy(x)[None], "contrastive-excitation-bp")
    expected = np.zeros((inputs, outputs))
    for part in (np.maximum(W, 0) * x, np.minimum(W, 0) * x):
        pool = part.sum(1, keepdims=True)
        sign = 1 if part.max(initial=0) > 0 else -1
        expected += sign * (part / np.where(pool == 0, np.inf, pool)).T
    np.testing.assert_allclose(chain.as_matrix("logits"), expected, rtol=1e-13, atol=1e-14)


def test_each_path_of_a_residual_block_is_contrasted_at_its_first_weights():
    """y = relu(a(x)), out = b(y) + y: the path through b at b, the one around it at a."""
    steps = {step[0].name: step for step in activations("residual with a signed branch")}
    base = get_method("excitation-bp").rule
    found = RelevanceChain(graph("residual with a signed branch"), images(), "contrastive-excitation-bp")
    for image in range(2):
        matrix = {name: ours(base, *step)[image] for name, step in steps.items()}
        contrast = {name: matrix[name] - dual_matrix(base, *steps[name])[image] for name in ("a", "b")}
        units = len(matrix["b"])
        through, around = matrix["add"][:units], matrix["add"][units:]
        expected = matrix["a"] @ contrast["b"] @ through + contrast["a"] @ around
        np.testing.assert_allclose(found.as_matrix("logits", image=image), expected, rtol=1e-10, atol=1e-12)


def test_fresh_vectors_cross_pools():
    """From the classifier's input of small vgg, through a reshape, a max pool and a ReLU to weights."""
    steps = {step[0].name: step for step in activations("small vgg")}
    base = get_method("excitation-bp").rule
    found = RelevanceChain(graph("small vgg"), images(), "contrastive-excitation-bp")
    for image in range(2):
        matrix = {name: ours(base, *step)[image] for name, step in steps.items()}
        expected = matrix["5"] - dual_matrix(base, *steps["5"])[image]
        for above in ("6", "7", "8"):
            expected = expected @ matrix[above]
        for below in ("4", "3", "2", "1", "0"):
            expected = matrix[below] @ expected
        np.testing.assert_allclose(found.as_matrix("8", image=image), expected, rtol=1e-10, atol=1e-12)


def dual_matrix(rule, node, xs, y) -> np.ndarray:
    op = replace(node.op, weight=-node.op.weight, bias=-node.op.bias)
    return ours(rule, replace(node, op=op), xs, -y)


@toys
def test_columns_of_the_contrast_sum_to_zero(toy):
    """Where both pools are filled: what one sign of a weighted operation takes the other gives."""
    base = get_method("excitation-bp").rule
    for node, xs, y in activations(toy):
        if not isinstance(node.op, Conv2d | Linear):
            continue
        parts = ours(base, node, xs, y), dual_matrix(base, node, xs, y)
        both = np.logical_and(*((M != 0).any(1) for M in parts))
        np.testing.assert_allclose((parts[0] - parts[1]).sum(1)[both], 0, atol=1e-12)


@pytest.mark.parametrize(
    "op", [step[0].op for step in activations("small vgg") if hasattr(step[0].op, "weight")]
)
def test_negated_operations(op):
    """Forward, and every part and its transpose, as of an operation that holds -W."""
    if op.weight is None:
        return
    plain, lazy = replace(op, weight=-op.weight, bias=-op.bias), Negated.of(op)
    shape = {4: (op.weight.shape[1], 6, 6), 2: (op.weight.shape[1],)}[op.weight.ndim]
    x = random_images(2, *shape)
    assert torch.equal(lazy.forward(x), plain.forward(x))
    r = random_images(2, 3, *plain.forward(x).shape[1:])
    terms = [(torch.ones(1, dtype=r.dtype), part) for part in (torch.relu, torch.square, lambda w: w)]
    assert torch.equal(lazy.transpose(r, terms, [shape])[0], plain.transpose(r, terms, [shape])[0])


@pytest.mark.parametrize("name", ["small vgg", "small resnet"])
def test_zennit(name):
    """The classifier as it is minus the negated one, as TorchRay does it, on nonnegative images."""
    pytest.importorskip("zennit", reason="zennit is not installed")
    from zennit.canonizers import SequentialMergeBatchNorm
    from zennit.composites import ExcitationBackprop

    from tests.adapters.models import network

    own, model, x = network(name)
    x = x.abs()
    chain = RelevanceChain(trace(own, x.shape[1:]), x, "cebp", parameters={"stabiliser": 1e-6})
    v = random_images(2, 1, *chain.shape("logits"), seed=3)
    composite = ExcitationBackprop(1e-6, zero_params="bias", canonizers=[SequentialMergeBatchNorm()])
    plain = zennit_relevance(model, x, composite, v[:, 0])
    head = [m for m in model.modules() if isinstance(m, nn.Linear)][-1]
    head.weight.data.neg_()
    opposite = zennit_relevance(model, x, composite, v[:, 0])
    head.weight.data.neg_()
    assert largest_difference(chain.down(v, "logits")[:, 0], plain - opposite) < 1e-9


# ---------------------------------------------------------------- the other classes


@toys
@pytest.mark.parametrize("base", ["deep-taylor", "lrp-alpha2beta1"])
def test_clrp_1_is_a_class_minus_the_mean_of_the_others(toy, base):
    found = RelevanceChain(graph(toy), images(), "clrp-1", parameters={"base": base})
    plain = RelevanceChain(graph(toy), images(), base)
    units = int(np.prod(found.shape("logits")))
    for image in range(2):
        C = plain.as_matrix("logits", image=image)
        others = (C.sum(1, keepdims=True) - C) / (units - 1)
        np.testing.assert_allclose(found.as_matrix("logits", image=image), C - others, rtol=1e-9, atol=1e-11)


def test_a_layer_of_one_unit_has_no_others():
    network = trace(nn.Linear(3, 1).double(), (3,))
    x = random_images(1, 3)
    found, plain = (RelevanceChain(network, x, m).as_matrix("logits") for m in ("clrp-1", "deep-taylor"))
    assert (found == plain).all()


@pytest.mark.parametrize("toy", ["small vgg", "nested branches", "linear alone, signed input"])
def test_what_has_converged_is_subtracted(toy):
    """|C u|_1 <= tau_1(C) |u|_1 for u of sum zero bounds what CLRP-1 leaves of a map."""
    found = RelevanceChain(graph(toy), images(), "clrp-1")
    plain = RelevanceChain(graph(toy), images(), "deep-taylor")
    for image in range(2):
        C = plain.as_matrix("logits", image=image)
        # e_i - (1 - e_i)/(n-1) has l1 norm 2
        left = np.abs(found.as_matrix("logits", image=image)).sum(0)
        assert left.max() <= 2 * float(tau_1(C)) + 1e-12
        assert left.max() < 2  # the bound says something: the maps overlap


# ---------------------------------------------------------------- the base


@pytest.mark.parametrize("method", ["clrp-1", "clrp-2"])
@pytest.mark.parametrize(
    ("base", "message"),
    [
        ("guided-backprop", "guided-backprop is not linear in the relevance"),
        ("input-x-gradient", "input-x-gradient propagates something else than relevance"),
        ("contrastive-excitation-bp", "contrastive-excitation-bp propagates something else than relevance"),
        ("saliency", "unknown method"),
    ],
)
def test_bases_that_do_not_fit_are_refused(method, base, message):
    with pytest.raises(InputError, match=message):
        get_method(method, base=base)


@pytest.mark.parametrize("method", ["clrp-1", "clrp-2"])
def test_a_base_with_parameters(method):
    """The box of the image, by a rule as base; weights are read at the image right below the start too."""
    base = get_method("deep-taylor", low=-9.0, high=9.0).rule
    given, default = (
        RelevanceChain(graph("small vgg"), images(), method, parameters=o) for o in ({"base": base}, {})
    )
    v = vectors(given, "logits")
    assert largest_difference(given.down(v, "logits"), default.down(v, "logits")) > 1e-3
    if method == "clrp-2":
        start = vectors(given, "0")
        M = ours(ZBox(-9.0, 9.0), *activations("small vgg")[0])
        dual = dual_matrix(ZBox(-9.0, 9.0), *activations("small vgg")[0])
        expected = torch.from_numpy(M - dual) @ start.flatten(2).mT
        torch.testing.assert_close(given.down(start, "0").flatten(2), expected.mT, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("base", ["lrp-0", "lrp-epsilon", "lrp-gamma"])
def test_bases_that_only_see_ratios_have_no_contrast(base):
    """M(-W) = M(W): CLRP-2's maps are zero."""
    chain = RelevanceChain(graph("small vgg"), images(), "clrp-2", parameters={"base": base})
    plain = RelevanceChain(graph("small vgg"), images(), base)
    v = vectors(chain, "logits")
    size = float(plain.down(v, "logits").abs().max())
    assert float(chain.down(v, "logits").abs().max()) <= 1e-12 * size


def test_the_weights_of_small_vgg_have_no_zeros():
    """Else contrasts of empty pools would be what the tests above compare."""
    assert all((weights("small vgg", name)[0] != 0).any(1).all() for name in ("0", "2", "5", "9", "11"))
